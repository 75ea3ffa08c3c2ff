"""dinar: one photo of a person in; a rigged, animatable, photo-like full-body avatar out.

import dinar
avatar = dinar.create("photo.jpg")
avatar.save("me.avatar")
"""

__version__ = "0.1.0.dev0"

from .avatar import Avatar as Avatar
from .create import create as create
from .errors import DinarError as DinarError

load = Avatar.load
