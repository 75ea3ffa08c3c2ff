"""Which point of the rest-pose body every pixel of a photographed person shows (:mod:`dinar.nets.surface`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import current
from ..nets.surface import SURFACE_PARTS, SurfaceNet, SurfaceOutput
from .blazepose import KEYPOINTS
from .parser_input import SEEN, STRIDE, warp

WEIGHTS = Path(__file__).parent.parent / "weights" / "surface"
MARGIN = 0.06  # around the person, of the crop's shorter side
SURFACE_BODY = "anny"  # whose rest pose the network knows
OUTSIDE = 128  # grey outside of the photo
HANDS = [i for i, n in enumerate(SURFACE_PARTS) if n.endswith("hand")]
_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right")
_CHAINS = (("shoulder", "elbow", "wrist", "index"), ("hip", "knee", "ankle", "foot_index"), ("shoulder", "hip"))
NEARER, FARTHER = 1.0, 130 / 255  # of a limb's chain: the half next to the trunk, and the rest
BLUR = 0.7  # pixels: standard deviation of what is drawn as hints
# What is drawn as hints, in the channels after the mask's: from point, to point, value.
_DRAWN = [[(n, n, NEARER) for n in _HEAD]]
_DRAWN += [[(f"{s}_{a}", f"{s}_{b}", FARTHER if j else NEARER) for j, (a, b) in enumerate(pairwise(chain))]
           for chain in _CHAINS for s in ("left", "right")]  # fmt: skip
SLACK = 0.1  # metres along the body that a good fit and a good prediction may be apart (benchmarks/agreement.py)


@dataclass(frozen=True)
class SurfaceMap:
    """What the network says of one photo, in cells of 2 x 2 pixels of its crop. K parts."""

    M: np.ndarray  # [2, 3] photo pixels (centres at integers) to cells
    probability: np.ndarray  # [h, w, 1 + K] float32: of no part of the person's body, and of SURFACE_PARTS
    points: np.ndarray  # [h, w, K, 3] float32 metres on the template of the default body, if it is that part
    scale: np.ndarray  # [h, w, K] float32 metres
    turn: np.ndarray  # [3, 3] float32 rows: the world's up, the pelvis' up, the pelvis' front, in the axes of a camera
    # that looks at the middle of the person

    def cells(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # [N, 2] photo pixels, centres at .5
        """Column and row [N] of the nearest cell."""
        at = (xy - 0.5) @ self.M[:, :2].T + self.M[:, 2]
        h, w = self.probability.shape[:2]
        return np.clip(np.rint(at[:, 0]), 0, w - 1).astype(int), np.clip(np.rint(at[:, 1]), 0, h - 1).astype(int)

    def arms(self, shape: tuple[int, ...]) -> np.ndarray:  # (H, W) of the photo -> [H, W] bool
        """Where the person's arms or hands are, if it is one of the parts."""
        part = self.probability.argmax(2) - 1
        on = np.isin(part, [i for i, name in enumerate(SURFACE_PARTS) if name.endswith(("arm", "hand"))])
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(on.astype(np.uint8), self.M, shape[1::-1], flags=flags) > 0

    def agreement(
        self,
        xy: np.ndarray,  # [N, 2] photo pixels, centres at .5
        rest: np.ndarray,  # [N, 3] metres: the point of the template that a pixel is said to show
        slack: float = SLACK,
    ) -> np.ndarray:
        """[N] float32 in [0, 1]: how likely the pixel shows something within ``slack`` of the point.

        Beyond it the likelihood falls with the distance over the scale, as the Laplace distribution does.
        """
        return self.agreement_at(*self.cells(xy), rest, slack)

    def agreement_at(
        self,
        column: np.ndarray,  # [N] int
        row: np.ndarray,  # [N] int
        rest: np.ndarray,  # [N, 3] metres
        slack: float = SLACK,
    ) -> np.ndarray:
        """The same for cells."""
        p, scale = self.probability[row, column, 1:], self.scale[row, column]
        beyond = np.linalg.norm(self.points[row, column] - rest[:, None], axis=-1) - slack
        return (p * np.exp(-np.maximum(beyond, 0) / scale)).sum(1)

    def hand(self, xy: np.ndarray) -> np.ndarray:  # [N, 2] photo pixels, centres at .5
        """[N] float32 in [0, 1]: how likely the pixel shows a hand."""
        column, row = self.cells(xy)
        return self.probability[row, column][:, [1 + i for i in HANDS]].sum(1)


def has_surface() -> bool:
    """Whether the weights are there: a checkout may be without."""
    return (WEIGHTS / "config.json").exists()


def load_surface(folder: Path = WEIGHTS) -> SurfaceNet:
    """The network on the device in use, with the batch norms folded into the convolutions."""
    return _load(folder, current())


@cache
def _load(folder: Path, device: torch.device) -> SurfaceNet:
    net = SurfaceNet.from_pretrained(folder).fold()
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    return net.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Crop:
    """What the network is shown of one person."""

    M: np.ndarray  # [2, 3] photo pixels to crop pixels, centres at integers
    rgb: np.ndarray  # [H, W, 3] uint8
    mask: np.ndarray  # [H, W] float32
    keypoints: np.ndarray  # [33, 4] float32 of the crop

    @property
    def cells(self) -> np.ndarray:  # [2, 3] photo pixels to cells: a cell is the middle of 2 x 2 pixels
        return np.c_[self.M[:, :2] / 2, (self.M[:, 2] - 0.5) / 2]


def crop_of(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    alpha: np.ndarray,  # [H, W] float in [0, 1]: the person
    keypoints: np.ndarray | None,  # [33, 4] BlazePose: x, y, z in pixels, visibility
    sizes: tuple[tuple[int, int], ...],
) -> Crop:
    """The crop of one person in the shape that shows them largest."""
    points = corners(alpha > 0.5)
    size = sizes[best_size(points, sizes)]
    M = box_affine(points, size, margin=MARGIN)
    picture, mask = warp(rgb, M, size, border=OUTSIDE), warp(alpha.astype(np.float32), M, size)
    points = np.zeros((33, 4), np.float32) if keypoints is None else keypoints.astype(np.float32)
    points[:, :2] = (points[:, :2] - 0.5) @ M[:, :2].T + M[:, 2]
    return Crop(M, picture, mask, points)


def answer(net: SurfaceNet, crops: Sequence[Crop]) -> SurfaceOutput:
    """What the network says of crops of one size."""
    like = next(net.parameters())
    rgb, mask, points = (torch.from_numpy(np.stack([getattr(c, k) for c in crops])).to(like.device)
                         for k in ("rgb", "mask", "keypoints"))  # fmt: skip
    x = (rgb.movedim(-1, 1).float() / 127.5 - 1).to(like)
    return net(x.contiguous(memory_format=torch.channels_last), hints(mask, points).to(like))


@torch.inference_mode()
def surface_map(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    alpha: np.ndarray,  # [H, W] float in [0, 1]: the person
    keypoints: np.ndarray | None,  # [33, 4] BlazePose: x, y, z in pixels, visibility
    net: SurfaceNet | None = None,  # another one than the shipped
) -> SurfaceMap:
    """The network's answer for one person."""
    net = net or load_surface()
    crop = crop_of(rgb, alpha, keypoints, net.sizes)
    out = answer(net, [crop])
    last = lambda t: t[0].float().cpu().movedim(-1, 0).movedim(-1, 0).contiguous().numpy()  # noqa: E731  [..., h, w] -> [h, w, ...]
    return SurfaceMap(crop.cells, last(out.logits.float().softmax(1)), last(out.points), last(out.scale),
                      out.turn[0].float().cpu().numpy())  # fmt: skip


@cache
def _drawn(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of all rows of _DRAWN: both points, value, whether they differ."""
    a, b, value = zip(*(row for rows in _DRAWN for row in rows), strict=True)
    a, b = (torch.tensor([KEYPOINTS.index(n) for n in names], device=device) for names in (a, b))
    return a, b, torch.tensor(value, device=device), a != b


def hints(
    mask: Tensor,  # [B, H, W] in [0, 1] of the crops
    keypoints: Tensor,  # [B, 33, 4] crop pixels (centres at integers), visibility
) -> Tensor:
    """[B, HINTS, H/4, W/4] float32 in [0, 1]: mask, points of the face, left and right arm, leg and side of the trunk;
    lines and points are blurred."""
    h, w = mask.shape[1] // STRIDE, mask.shape[2] // STRIDE
    points, seen = (keypoints[..., :2] + 0.5) / STRIDE - 0.5, keypoints[..., 3] > SEEN
    seen = seen & points.isfinite().all(-1)
    points = torch.where(seen[..., None], points, 0.0)
    r = max(1, round(max(h, w) / 40))
    y = torch.arange(h, device=mask.device, dtype=torch.float32)[:, None]
    x = torch.arange(w, device=mask.device, dtype=torch.float32)
    below = lambda d: torch.special.ndtr(d / BLUR)  # noqa: E731
    first, last, value, lines = _drawn(mask.device)
    a, b = points[:, first, :, None, None], points[:, last, :, None, None]  # [B, lines, 2, 1, 1]
    along = b - a
    t = (x - a[:, :, 0]) * along[:, :, 0] + (y - a[:, :, 1]) * along[:, :, 1]
    t = (t / along.square().sum(2).clamp(min=1e-6)).clamp(0, 1)
    far = ((x - a[:, :, 0] - t * along[:, :, 0]) ** 2 + (y - a[:, :, 1] - t * along[:, :, 1]) ** 2).sqrt()
    half = torch.where(lines, r // 2 + 0.5, 0.0)[:, None, None]  # a point: a disc
    line = below(far + half) - below(far - half)
    drawn = torch.where(half > 0, line, below(max(1, r // 2) - far)) * value[:, None, None]
    drawn = drawn * (seen[:, first] & seen[:, last])[..., None, None]
    maps = torch.stack([x.amax(1) for x in drawn.split([len(rows) for rows in _DRAWN], 1)], 1)
    return torch.cat([F.adaptive_avg_pool2d(mask[:, None].float(), (h, w)), maps], 1)


def towards(K: np.ndarray, pixel: np.ndarray) -> np.ndarray:  # [3, 3], [2] -> [3, 3]
    """The rotation that takes the ray through a pixel to the camera's z axis, the shortest way."""
    d = np.linalg.solve(K, [*pixel, 1.0])
    d /= np.linalg.norm(d)
    axis = np.cross(d, [0.0, 0, 1])
    sine = float(np.linalg.norm(axis))
    return cv2.Rodrigues(axis / max(sine, 1e-9) * np.arctan2(sine, d[2]))[0]


def corners(on: np.ndarray) -> np.ndarray:  # [H, W] bool
    """[P, 2] the leftmost and rightmost pixels of the person in every row: enough for any turned box."""
    ys = np.flatnonzero(on.any(1))
    left, right = on[ys].argmax(1), on.shape[1] - 1 - on[ys, ::-1].argmax(1)
    return np.stack([np.r_[left, right], np.r_[ys, ys]], 1).astype(np.float64)


def box_affine(
    points: np.ndarray,  # [P, 2] pixels that have to be in the crop
    size: tuple[int, int],  # rows and columns of the crop
    degrees: float = 0.0,  # turned clockwise in the picture
    margin: float = MARGIN,  # of the crop's shorter side
) -> np.ndarray:
    """[2, 3] affine from the picture to the crop that holds all the points."""
    a = np.deg2rad(degrees)
    R = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    p = points @ R.T
    low, high = p.min(0), p.max(0)
    room = np.array(size[::-1]) - 2 * margin * min(size)
    k = float((room / np.maximum(high - low, 1e-6)).min())
    return np.c_[k * R, np.array(size[::-1]) / 2 - 0.5 - k * (low + high) / 2]


def best_size(points: np.ndarray, sizes: tuple[tuple[int, int], ...], degrees: float = 0.0) -> int:
    """Which crop shows the points largest."""
    scale = [np.linalg.det(box_affine(points, s, degrees)[:, :2]) for s in sizes]
    return int(np.argmax(scale))
