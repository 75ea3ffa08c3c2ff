"""dinar: one photo of a person in; a rigged, animatable, photo-like full-body avatar out.

import dinar
avatar = dinar.create("photo.jpg")
avatar.save("me.avatar")
"""

__version__ = "0.1.0.dev0"

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .avatar import Avatar as Avatar
    from .create import create as create
    from .errors import DinarError as DinarError

    load = Avatar.load


def __getattr__(name: str) -> Any:
    """The four names above on first use: training machines need none of what fitting a photo imports."""
    if name in ("Avatar", "load"):
        from .avatar import Avatar

        return Avatar if name == "Avatar" else Avatar.load
    if name == "create":
        from .create import create

        return create
    if name == "DinarError":
        from .errors import DinarError

        return DinarError
    raise AttributeError(f"module 'dinar' has no attribute {name!r}")
