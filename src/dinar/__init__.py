"""Make a rigged, animatable full-body avatar from one photo of a person.

import dinar
avatar = dinar.create("photo.jpg")
avatar.save("me.avatar")
"""

from .errors import DinarError as DinarError
from .version import __version__ as __version__

try:
    from .avatar import Avatar as Avatar
    from .create import create as create

    load = Avatar.load
except ModuleNotFoundError as e:  # a machine that only trains needs none of what photos need
    _missing = e

    def __getattr__(name: str) -> None:
        if name in ("Avatar", "create", "load"):
            raise ModuleNotFoundError(f"dinar.{name} needs {_missing.name}: pip install dinar") from _missing
        raise AttributeError(f"module 'dinar' has no attribute {name!r}")
