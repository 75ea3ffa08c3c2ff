"""The joints of a skirt in files: six chains around, which hang from the thighs, and from the shins below the knees.

A hem that hangs from the legs it covers moves with them in every program, with or without spring bones.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .chains import AROUND, Chain
from .swing import BEYOND, BONES

COLLIDERS = ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee")
SHIN = 0.12  # metres that a hem reaches below the knee to hang from the shins there
BELOW = dict(BONES)
STIFFNESS = {"hip": 8.0, "knee": 20.0}  # of spring bones; shins are faster than cloth falls
BEND = 0.06  # metres, at most, on either side of a joint over which weights go from one bone to the next


def skirt_chains(
    body: Body,
    grid: np.ndarray,  # [R + 1, C, 3] on the template: the loop and the rows, columns from the front by the left
    number: np.ndarray,  # [R + 1, C] vertices
    left: np.ndarray,  # [R C] share of the left leg in the movement of the rows below the loop
    weights: np.ndarray,  # [R C, J] their skin weights
    first: int = 0,  # column from which there is cloth
) -> tuple[tuple[Chain, ...], np.ndarray]:
    """The chains, and the skin weights [R C, J + K] of the rows below the loop."""
    hip, knee = (body.j_template[body.joint(f"left_{n}")].numpy() for n in ("hip", "knee"))
    x, half, C = grid[0, :, 0], grid.shape[1] // 2, grid.shape[1]
    heights, side = grid[..., 1].mean(1), int(grid[0, :, 0].argmax())
    # those in front and at the back are at the middle of the legs
    column = np.array([np.abs(x[:side] - hip[0]).argmin(), side, side + np.abs(x[side:half] - hip[0]).argmin()])
    column = np.maximum(column, first)
    long = heights[-1] < knee[1] - SHIN
    levels = [knee[1]] if long else [(hip[1] + heights[-1]) / 2, heights[-1]]
    rows = [int(np.abs(heights - y).argmin()) for y in levels]

    def chain(name: str, at: str, c: int, rows: list[int]) -> Chain:
        side, out = "left" if "left" in name else "right", np.array(AROUND[name])
        points, n = np.array([number[0, c], *(number[r, c] for r in rows)]), len(rows)
        start, end, top = (body.j_template[body.joint(f"{side}_{j}")].numpy() for j in (at, BELOW[at], "hip"))
        tip = grid[rows[-1], c]
        bone = start + np.clip((tip[1] - start[1]) / (end[1] - start[1]), 0, BEYOND) * (end - start)
        leg = float((tip - bone) @ out), float((grid[0, c] - top) @ out)
        return Chain(f"{'hem' if at == 'knee' else 'skirt'}_{name}", f"{side}_{at}", points, (STIFFNESS[at],) * n,
                     (0.0,) * n, COLLIDERS, leg)  # fmt: skip

    around = list(zip(AROUND, [*column, *(C - column)[::-1]], strict=True))
    chains = [chain(name, "hip", c, rows) for name, c in around]
    chains += [chain(name, "knee", c, [len(heights) - 1]) for name, c in around] if long else []

    near = np.minimum(np.arange(C), C - np.arange(C))
    near = np.stack([np.interp(near, column[:3], one) for one in np.eye(3)], 1)  # [C, 3] of the side's chains
    left = left.reshape(-1, C, 1)
    hung = np.concatenate([left * near, (1 - left) * near[:, ::-1]], 2).reshape(len(weights), -1)
    down = np.ones((len(heights) - 1, len(rows)))
    if not long:
        band = min(BEND, (heights[0] - heights[rows[0]]) / 2)
        t = np.clip((heights[rows[0]] + band - heights[1:]) / (2 * band), 0, 1)
        down = np.stack([1 - t, t], 1)
    parts = []
    for at, along in (("hip", np.repeat(down, C, 0)), ("knee", np.ones((len(weights), int(long))))):
        legs = [body.joint(f"{s}_{at}") for s in ("left", "right")]
        own = weights[:, legs].sum(1, keepdims=True)
        parts.append((own * hung)[..., None] * along[:, None])
    own = weights.copy()
    own[:, [body.joint(f"{s}_{n}") for s in ("left", "right") for n in (("hip", "knee") if long else ("hip",))]] = 0
    return tuple(chains), np.concatenate([own, *(p.reshape(len(weights), -1) for p in parts)], 1)
