"""The losses of eq. 4, 2.2 L2 + 1.0 LPIPS + 1.0 Dice + 0.01 Adv + 0.1 R1, and their terms for the face (§3.1, §4.1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.channels import FILL, GENERATED, MASKS, SAMPLED
from ..nets.perceptual import LPIPS
from .presets import Losses

MIN_FACE = 32  # pixels a side of face crops, at least: LPIPS needs as many
FACE_STEP = 16  # pixels: their sides are multiples of it


def over(rgb: Tensor, alpha: Tensor, background: Tensor | float = 1.0) -> Tensor:
    """RGB [B, 3, H, W] with alpha [B, 1, H, W] over a background colour; the paper's is white."""
    return rgb * alpha + background * (1 - alpha)


def dice(guess: Tensor, truth: Tensor) -> Tensor:  # [B, 1, H, W] in [0, 1]
    """Soft Dice loss: 1 − 2 |A ∩ B| / (|A| + |B|)."""
    both = (guess * truth).sum((1, 2, 3))
    return (1 - (2 * both + 1) / (guess.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)).mean()


def texture_loss(
    restored: Tensor,  # [B, 21, S, S] T_res
    texture: Tensor,  # [B, 21, S, S] T
    scale: Tensor | None,  # [21, 1, 1] standard deviations of the channels; None: all 21 channels as they are
    colours: float = 1.0,  # weight of colours beside generated channels and masks
) -> Tensor:
    """‖T − T_res‖² of §3.3, or the same in units of each channel's standard deviation.

    In these units it is the mean of three terms: generated channels, known colours, masks.
    """
    if scale is None:
        return F.mse_loss(restored, texture)
    known = texture[:, FILL]
    error = ((restored - texture) / scale).square()
    rgb = (error[:, SAMPLED] * known).sum() / (3 * known.sum()).clamp(min=1)
    return (error[:, GENERATED].mean() + colours * rgb + error[:, MASKS].mean()) / (2 + colours)


def random_crop(pictures: Tensor, size: int) -> Tensor:
    """One random window of all pictures, [B, C, H, W] -> [B, C, size, size]; §4.1: 256 of 512 pixels."""
    h, w = pictures.shape[2:]
    if size >= min(h, w):
        return pictures
    y, x = (int(torch.randint(0, n - size + 1, ())) for n in (h, w))
    return pictures[..., y : y + size, x : x + size]


def windows(boxes: Tensor, height: int, width: int) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """Where the pixels of boxes [B, 4] (x0, y0, x1, y1 in [0, 1]) are, by the window's rows and columns: the picture's
    number, first row and column. Windows are widened to multiples of FACE_STEP and to MIN_FACE, at most to the whole
    picture: those of a batch have few sizes. Boxes without area are left out."""
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for i, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        if not (x1 > x0 and y1 > y0):
            continue
        sides, starts = [], []
        for low, high, n in ((y0, y1, height), (x0, x1, width)):
            a, b = int(low * n), math.ceil(high * n)
            side = min(n, max(-(-(b - a) // FACE_STEP) * FACE_STEP, MIN_FACE))
            sides.append(side)
            starts.append(min(max(0, (a + b - side) // 2), n - side))
        found.setdefault((sides[0], sides[1]), []).append((i, starts[0], starts[1]))
    return found


def cut(pictures: Tensor, at: Tensor, rows: int, columns: int) -> Tensor:
    """Windows [n, C, rows, columns] of pictures [B, C, H, W], not resampled; ``at`` [n, 3] int64: the picture, the
    first row and column."""
    y = at[:, 1, None] + torch.arange(rows, device=at.device)
    x = at[:, 2, None] + torch.arange(columns, device=at.device)
    return pictures.movedim(1, -1)[at[:, 0, None, None], y[:, :, None], x[:, None]].movedim(-1, 1)


def reconstruction(
    rgb: Tensor,  # [B, 3, H, W] in [0, 1] I_rend
    alpha: Tensor,  # [B, 1, H, W] in [0, 1]
    truth: Tensor,  # [B, 3, H, W] in [0, 1] I_GT, on white
    mask: Tensor,  # [B, 1, H, W] in [0, 1]
    face: Tensor,  # [B, 4] x0, y0, x1, y1 of the face in [0, 1]; zeros: not seen
    lpips: LPIPS | None,  # None: without that term
    w: Losses,
    crop: int,  # pixels a side of the random window for LPIPS
    background: Tensor | float = 1.0,  # [B, 3, 1, 1] in [0, 1]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the terms of eq. 4 except the adversarial ones, and the unweighted terms by name."""
    rgb, alpha = rgb.float(), alpha.float()
    a, b = over(rgb, alpha, background), truth + (background - 1) * (1 - mask)
    parts = {"l2": F.mse_loss(a, b), "dice": dice(alpha, mask)}
    total = w.l2 * parts["l2"] + w.dice * parts["dice"]
    if w.l1:
        parts["l1"] = F.l1_loss(a, b)
        total = total + w.l1 * parts["l1"]
    if lpips is not None:
        window = random_crop(torch.cat([a, b], 1), crop)
        parts["lpips"] = lpips(window[:, :3], window[:, 3:]).mean()
        total = total + w.lpips * parts["lpips"]
    if w.face and (found := windows(face, *a.shape[2:])):
        loss = a.new_zeros(())
        at = torch.tensor([k for some in found.values() for k in some]).to(a.device).split([*map(len, found.values())])
        for size, places in zip(found, at, strict=True):  # one call for each: a GPU waits for the calls
            fa, fb = cut(torch.cat([a, b], 1), places, *size).chunk(2, 1)
            loss = loss + w.l2 * F.mse_loss(fa, fb) * len(places)
            if lpips is not None:
                loss = loss + w.lpips * lpips(fa, fb).sum()
        parts["face"] = loss / len(face)
        total = total + w.face * parts["face"]
    return total, parts
