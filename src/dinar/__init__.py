"""Make a rigged, animatable full-body avatar from one photo of a person.

import dinar
avatar = dinar.create("photo.jpg")
avatar.save("me.avatar")
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import DinarError as DinarError
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .avatar import Avatar as Avatar
    from .create import create as create
    from .device import use as use

    load = Avatar.load


def __getattr__(name: str) -> Any:
    """Import what takes seconds when it is first used."""
    if name not in ("Avatar", "create", "load", "use"):
        raise AttributeError(f"module 'dinar' has no attribute {name!r}")
    try:
        if name == "use":
            return import_module(".device", __name__).use
        if name == "create":
            return import_module(".create", __name__).create
        avatar = import_module(".avatar", __name__).Avatar
    except ModuleNotFoundError as e:  # a machine that only trains needs none of what photos need
        raise ModuleNotFoundError(f"dinar.{name} needs {e.name}: pip install dinar") from e
    return avatar if name == "Avatar" else avatar.load


class _Package(ModuleType):
    """Its ``create`` stays the function when the module of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.create if name == "create" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
