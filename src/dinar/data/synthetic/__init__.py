"""Synthetic clothed people (§4.2's scans cannot be had): shapes, garments, poses, light, pictures, all from a seed.

:class:`Synthetic` is the source; ``dinar synthesize`` writes one to disk. The way of the data: :mod:`.surfaces` (what
garments are cut from), :mod:`.outfit` and :mod:`.garments`, :mod:`.dress` and :mod:`.drape`, :mod:`.people`,
:mod:`.figure` (one mesh, posed), :mod:`.light` and :mod:`.render`, :mod:`.source`.
"""

from .source import Synthetic as Synthetic
