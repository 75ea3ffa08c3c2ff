"""Batches of texture sets, drawn on the device that holds the sets: what a GPU trains on needs no data workers.

On a CPU the sets stay memory-mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from ..texture.merge import SHARPNESS
from ..texture.sample import GRAZING
from .textures import TextureSet, drawn

GAMMA = (0.7, 1.4)  # range of the exponent of colours
RECOLOURED = 0.5  # share of samples with permuted colour channels
ORDERS = tuple(permutations(range(3)))  # of the colour channels
COLOURED = ("rgb", "guess", "truth")
ARRAYS = ("rgb", "lam", "worn", "rules", "position", "folded")  # of a set, that tasks are made of


class Batches:
    """Texture sets, mixed by weight."""

    def __init__(self, sets: Sequence[TextureSet], weights: Sequence[float]) -> None:
        self.sets, self.share = list(sets), np.cumsum(weights) / np.sum(weights)
        self.tensors = [tensors(s) for s in sets]
        self.orders, self.device = torch.tensor(ORDERS), torch.device("cpu")

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A sample as six numbers, float64: set, person, view, mirrored or not, order of the colours, gamma."""
        k = min(int((rng.random() >= self.share).sum()), len(self.sets) - 1)
        person = int(rng.integers(len(self.sets[k])))
        view = int(rng.choice(np.flatnonzero(np.isfinite(self.sets[k].front[person]))))
        return np.array([k, person, view, rng.integers(2), *recolouring(rng)])

    def to(self, device: torch.device) -> Batches:
        if device != self.device:
            self.tensors = [{n: a.to(device) for n, a in t.items()} for t in self.tensors]
            self.orders, self.device = self.orders.to(device), device
        return self

    def tasks(self, keys: Tensor) -> dict[str, Tensor]:
        """The tasks of a batch [B, 6] of :meth:`draw`, as of :func:`tasks`. Without waiting for the device."""
        keys = keys.to(self.device)
        which, person, view, flip, order = keys[:, :5].long().unbind(1)
        out: dict[str, Tensor] = {}
        for k, t in enumerate(self.tensors):
            here = which == k
            x = tasks(t, torch.where(here, person, 0), torch.where(here, view, 0))
            for n, a in x.items():
                out[n] = torch.where(_over(here, a), a, out[n]) if k else a
        gamma = keys[:, 5].float()
        orders = self.orders[order][:, :, None, None]
        for n in COLOURED:
            a = out[n]
            out[n] = a.gather(1, orders.expand_as(a)) ** _over(gamma, a)
        # The atlas is symmetric about u = 0.5, and so are the bodies at rest.
        pictures = {n for n, a in out.items() if a.ndim == 4 and n != "position"}
        return {n: torch.where(_over(flip > 0, a), a.flip(-1), a) if n in pictures else a for n, a in out.items()}


def recolouring(rng: np.random.Generator) -> tuple[int, float]:
    """Order of the colour channels and gamma."""
    return int(rng.integers(len(ORDERS))) if rng.random() < RECOLOURED else 0, float(rng.uniform(*GAMMA))


def _over(each: Tensor, a: Tensor) -> Tensor:
    """[B] as [B, 1, ...]."""
    return each.view(-1, *[1] * (a.ndim - 1))


def tensors(s: TextureSet) -> dict[str, Tensor]:
    """The arrays of a set, and what :func:`drawn` says of every input: ``inputs`` [P, V, 3]."""
    inputs = np.zeros((*s.front.shape, 3), np.float32)
    for i, j in np.argwhere(np.isfinite(s.front)).tolist():
        inputs[i, j] = drawn(np.asarray(s.lam[i, j]), i, j, s.parts)
    found = {n: getattr(s, n) for n in ARRAYS} | {"inputs": inputs}
    found |= {} if s.parts is None else {"parts": s.parts}
    found |= {} if s.style is None else {"style": s.style}
    return {n: torch.from_numpy(a) for n, a in found.items()}


def tasks(t: dict[str, Tensor], person: Tensor, view: Tensor) -> dict[str, Tensor]:
    """The textures of some views, as :func:`dinar.data.textures.shown` leaves them, and the truth; float32.

    Returns:
        guess: [B, 3, S, S] in [0, 1], of the rules.
        rgb: [B, 3, S, S] in [0, 1], 0 where not seen.
        lam: [B, 1, S, S] in [0, 1], 0 where not seen.
        worn: [B, 1, S, S] classes where seen, else 0.
        truth: [B, 3, S, S] colours merged from all views (eq. 5).
        known: [B, 1, S, S] {0, 1}, texels that any view shows.
        worn_truth: [B, 1, S, S] classes of the view with the largest λ.
        position: [B, 3, S, S] and
        folded: [B, S * S] int64, of :class:`dinar.neural.condition.Geometry`.
        style: [B, D] style vector of the most frontal view, if the set has them.
    """
    lams = t["lam"][person].float() / 255  # [B, V, S, S]
    lams = torch.where(lams > GRAZING, lams, 0)
    most, best = lams.max(1, keepdim=True)
    weight = torch.where(lams > 0, torch.exp(SHARPNESS * (lams - most)), 0)
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
    rgbs = t["rgb"][person].float() / 255
    truth = (rgbs * weight[..., None]).sum(1)
    worns = t["worn"][person]
    each = torch.arange(len(person), device=person.device)
    threshold, parsed, direction = t["inputs"][person, view].unbind(-1)
    lam = lams[each, view]
    lam = torch.where(lam > _over(threshold, lam), lam, 0)
    if "parts" in t:
        hidden = t["parts"][direction.long().clamp(min=0)] & _over(direction >= 0, lam)
        lam = torch.where(hidden, 0, lam)
    seen = lam > 0
    out = {"guess": t["rules"][person, view].float().movedim(-1, 1) / 255,
           "rgb": (rgbs[each, view] * seen[..., None]).movedim(-1, 1), "lam": lam[:, None],
           "worn": (worns[each, view] * seen * _over(parsed, lam))[:, None].float(), "truth": truth.movedim(-1, 1),
           "known": (most > 0).float(), "worn_truth": worns.gather(1, best).float(),
           "position": t["position"][person].float(), "folded": t["folded"][person].flatten(1).long()}  # fmt: skip
    return out | ({"style": t["style"][person].float()} if "style" in t else {})


def task(s: TextureSet, person: int, view: int) -> dict[str, np.ndarray]:
    """:func:`tasks` of one view, without the batch's axis."""
    rows = slice(person, person + 1)
    one = {n: getattr(s, n)[rows] for n in ARRAYS}
    one["inputs"] = np.zeros((1, s.front.shape[1], 3), np.float32)
    one["inputs"][0, view] = drawn(np.asarray(s.lam[person, view]), person, view, s.parts)
    one |= {} if s.parts is None else {"parts": s.parts}
    one |= {} if s.style is None else {"style": s.style[rows]}
    x = tasks({n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in one.items()}, torch.tensor([0]),
              torch.tensor([view]))  # fmt: skip
    return {n: a[0].numpy() for n, a in x.items()}
