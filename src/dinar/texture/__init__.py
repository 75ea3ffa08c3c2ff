"""The texture: sampling (algorithm 1), occlusion outlines (§3.5), merging (eq. 5), restoration of unseen texels."""

from .fill import push_pull as push_pull
from .merge import merge as merge
from .merge import merge_poisson as merge_poisson
from .restore import prepare as prepare
from .restore import restore as restore
from .sample import Shot as Shot
from .sample import gather as gather
from .sample import scatter as scatter
from .sample import scatter_shot as scatter_shot
from .sample import shoot as shoot
from .texels import Texels as Texels
from .texels import texels as texels
