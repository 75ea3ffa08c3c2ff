"""The body: SMPL-style linear blend skinning over plain arrays, its UV atlas, and motions."""

from .body import Body as Body
from .body import Posed as Posed
from .load import load_body as load_body
