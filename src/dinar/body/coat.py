"""An open coat: the skirt without its front columns, over legs that stay visible in front.

It takes the texels of the outer and the back side of the legs, which are left out of the mesh.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .body import Body
from .skirt import MARGIN, ROWS, TEXELS_TOP, Piece, across, hang, hips, legs_end, piece_of, rows_of, under_hem

FIRST = 4  # column of the loop, from the front middle, where the front edge begins
OPENS = 3  # rows below the loop over which the edges part
EDGE = 0.25  # share of the half around, of the edges on the template
SHARES = (0.44, 0.9)  # of the legs' width, from the inner line over the front and the outer side: the coat's texels
BESIDE = 0.04  # the same between the texels of coat and legs (with .02 legs show as dots behind: 0011)
UNDER = 0.4  # of what legs reach up under a skirt's hem
ROW = 0.05  # metres above the legs' texels under the hem over which faces still reach down to them


class _Hem(Protocol):
    @property
    def hem(self) -> float: ...


def build_coat(body: Body, shell: _Hem) -> Piece:
    """The coat with this hem."""
    h = hips(body)
    grid = hang(body, body.v_template.numpy(), rows_of(body, shell.hem))
    grid[:, [0, len(h.loop) // 2], 0] = 0
    grid = opened(grid, np.full((ROWS + 1, 2), EDGE * (len(h.loop) // 2)))
    hidden, moved = _legs(body, shell.hem)
    return piece_of(body, shell.hem, grid, hidden, moved, FIRST, SHARES)


def opened(
    grid: np.ndarray,  # [ROWS + 1, C, 3] closed
    edge: np.ndarray,  # [ROWS + 1, 2] column, on the left counted from the front, of the left and the right front edge
) -> np.ndarray:
    """The grid with its columns moved towards the back, so that the outermost, FIRST, are at the edges."""
    C, out = grid.shape[1], grid.copy()
    half, ramp = C // 2, np.minimum(np.arange(ROWS + 1) / OPENS, 1)
    c = np.arange(FIRST, half + 1)
    for side in (0, 1):
        own = np.arange(half + 1) if side == 0 else (-np.arange(half + 1)) % C
        for r in range(1, ROWS + 1):
            first = FIRST + (edge[r, side] - FIRST) * ramp[r]
            at = first + (c - FIRST) * (half - first) / (half - FIRST)
            out[r, own[c]] = np.stack([np.interp(at, np.arange(half + 1), grid[r, own, k]) for k in range(3)], 1)
    return out


def _legs(body: Body, hem: float) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Faces [F] of the legs that are left out, and UV vertices of those that lose their texels with their places: legs
    under the coat."""
    a, (low, high) = body.atlas, (SHARES[0] - BESIDE, SHARES[1] + BESIDE)
    height = body.v_template.numpy()[a.vertex, 1]
    top, end = hem + UNDER * under_hem(hem) - MARGIN, legs_end(hem)
    level = np.linspace(top, TEXELS_TOP, 2 * ROWS)
    ends = np.stack([across(body, y, np.array([0, low, high, 1])) for y in level])  # [levels, 4, 2]
    covered, border, index, places = np.zeros(len(a.uv), bool), np.zeros(len(a.uv), bool), [], []
    for name, side in (("leg_left", 0), ("leg_right", 1)):
        island = a.faces[a.island == a.island_names.index(name)]
        own = np.unique(island)
        left, right = (np.interp(height[own], level, x) for x in ends[:, [0, 3], 0].T)
        share = (np.abs(a.uv[own, 0] - side) - left) / (right - left)
        inner = (share > low) & (share < high) & (height[own] > top)
        covered[own[inner]] = True
        border[island[~covered[island].all(1)]] = True  # beside what keeps its texels
        inner &= height[own] < TEXELS_TOP
        own, share = own[inner], share[inner]
        front = share < (low + high) / 2
        before, behind = (np.stack([np.interp(height[own], level, x) for x in ends[:, k].T], 1) for k in (1, 2))
        beside = np.where(front[:, None], before, behind)
        place = np.where((border[own] & (height[own] > top + ROW))[:, None], beside, across(body, top, share))
        places.append(np.stack([np.abs(side - place[:, 0]), place[:, 1]], 1))
        index.append(own)
    hidden = hips(body).below & covered[a.faces].all(1) & (height[a.faces] > end).any(1)
    return hidden, (np.concatenate(index), np.concatenate(places))
