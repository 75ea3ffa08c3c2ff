"""Training samples of the four stages: views of people from several sources, as network inputs (§3.1, §4.2).

Sources are mixed by weight. A sample of a multi-view set is two different views of one person, one to encode and one to
render. A sample of a single photo is the same view twice; the encoded one has holes in its sample mask.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from ..body import Body, load_body
from ..data.augment import augment
from ..data.dressing import dressed
from ..errors import DinarError
from ..neural.arrays import frontality, mirror_arrays, view_arrays
from ..views import Params, Source, Views

HOLES = 0.4  # mean share of the pixels that are hidden where input and target are the same picture
HOLE_SIDES = (0.08, 0.35)  # range of a hole's sides, as a share of the picture's
ENDLESS = 2**31  # people of a source without end


class People:
    """Several sources as one, sampled by weight."""

    def __init__(
        self,
        sources: Sequence[Source],
        weights: Sequence[float] = (),  # relative sampling rate of each source; none: equal rates
        size: int = 512,  # pixels a side
        holdout: int = 0,  # the last people of the first source are kept for validation
        augmented: bool = True,  # camera angle, colour shift and mirror (§4.2); False: mirror only
        cached: int = 0,  # number of views whose arrays are kept in memory; without effect if ``augmented``
        body: Body | None = None,
        offsets: bool = True,  # widen the body to the clothes, as in ``create``; False: the bare body, as in the paper
        bags: bool = False,  # bags are part of the person; False: they are cut out, as in ``create``
    ) -> None:
        self.offsets, self.bags = offsets, bags
        self.sources, self.size, self.holdout, self.augmented = list(sources), size, holdout, augmented
        self._dressed: dict[tuple[int, int], Params] = {}  # by source and person
        self._kept: dict[tuple[int, int, int], dict[str, np.ndarray]] = {}  # by source, person and view
        self.cached = 0 if augmented else cached
        weights = list(weights) or [1.0] * len(self.sources)
        if not self.sources or len(weights) != len(self.sources):
            raise DinarError(f"expected one or more sources of people and a weight for each, got {len(self.sources)} "
                             f"and {len(weights)}")  # fmt: skip
        self.share = np.cumsum(weights) / np.sum(weights)
        self.body = body or load_body(self.sources[0].body)  # type: ignore[arg-type]
        for s in self.sources:
            if s.body != self.body.name:
                raise DinarError(f"expected sources with the {self.body.name} body alone, got one with {s.body}")
        self.counts = [ENDLESS if s.num_people is None else s.num_people for s in self.sources]
        self.counts[0] -= holdout
        if min(self.counts) < 1:
            raise DinarError(f"expected more than {holdout} people in the first source, {holdout} of which are for "
                             "validation, and at least one in the others")  # fmt: skip

    def pair(
        self,
        rng: np.random.Generator,
        complete: float = 0.0,  # share of samples whose texture will be completed
        target: bool = False,  # complete it with the view that is rendered; False: with a third one
    ) -> dict[str, np.ndarray]:
        """Two different views of one person, or one view twice: ``in_*`` to encode, ``out_*`` to render.

        If ``complete`` > 0, there are also ``more_*`` to complete the texture with, and ``complete`` [1] {0, 1}.
        Without a third view, or where the texture will not be completed, ``more_*`` are the ``in_*``.
        """
        k, person = self.draw(rng)
        n = self.sources[k].num_views(person)
        chosen = rng.choice(n, 2, replace=False).tolist() if n > 1 else [0]
        whole = complete > 0 and rng.random() < complete
        third = [i for i in range(n) if i not in chosen] if whole and not target else []
        x = self._arrays(k, person, [*chosen, *([int(rng.choice(third))] if third else [])], rng)
        last = min(1, n - 1)
        out = _two(x, last)
        if n == 1:
            out["in_sample_mask"] = out["in_sample_mask"] * holes(self.size, rng)
        if complete > 0:
            more = 2 if third else last if whole and target else 0
            out |= {f"more_{name}": a[more] for name, a in x.items() if name != "front"}
            if more == 0:
                out["more_sample_mask"] = out["in_sample_mask"]
            out["complete"] = np.array([whole], np.float32)
        return out

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Index of a source, chosen by weight, and of one of its people."""
        k = min(int((rng.random() >= self.share).sum()), len(self.sources) - 1)
        return k, int(rng.integers(self.counts[k]))

    def all_views(self, rng: np.random.Generator, views: int) -> dict[str, np.ndarray]:
        """``in_*`` [views, ...] of one person, the most frontal first, and the number of different views among them."""
        k, person = self.draw(rng)
        n = self.sources[k].num_views(person)
        chosen = rng.permutation(n)[:views].tolist()
        x = self._arrays(k, person, chosen, rng)
        order = np.argsort(-x["front"], kind="stable")
        order = [order[i % len(order)] for i in range(views)]  # repeated: all samples of a batch have equal shapes
        return {f"in_{k}": a[order] for k, a in x.items()} | {"different": np.asarray(len(chosen), np.float32)}

    def views_of(self, k: int, person: int, flip: bool) -> dict[str, np.ndarray]:
        """``in_*`` [views, ...] of all views of a person without augmentation; ``flip`` mirrors them."""
        x = view_arrays(self._views(k, person), self.body, self.size, self.bags)
        return {f"in_{n}": a for n, a in (mirror_arrays(x) if flip else x).items()}

    def held_out(self, i: int) -> dict[str, np.ndarray]:
        """Held-out person i: ``in_*`` is the most frontal view, ``out_*`` another one."""
        person = self.counts[0] + i
        n = self.sources[0].num_views(person)
        v = self._views(0, person)
        order = np.argsort(-frontality(v), kind="stable")
        # even i: the second most frontal view; odd i: the least frontal one
        other = int(order[min(1, n - 1)] if i % 2 == 0 else order[-1])
        return _two(view_arrays(v.select([int(order[0]), other]), self.body, self.size, self.bags))

    def _views(self, k: int, person: int, chosen: Sequence[int] | None = None) -> Views:
        """Views of a person, with offsets to the clothes as in ``create`` if the source has none."""
        source = self.sources[k]
        v = source.views(person, chosen).to("cpu")
        if not self.offsets:
            bare = dataclasses.replace(v.fit, offsets=None, shells=())
            return dataclasses.replace(v, **{"params" if v.fitted is None else "fitted": bare})
        if v.fit.offsets is not None:
            return v
        if source.num_people is None:  # an endless source: no person is used twice, so offsets are not kept
            return dressed(v, self.body)
        if (k, person) not in self._dressed:
            everything = v if chosen is None else source.views(person).to("cpu")
            self._dressed[k, person] = dressed(everything, self.body).fit
        own = self._dressed[k, person]
        wider = dataclasses.replace(v.fit, offsets=own.offsets, shells=own.shells)
        return dataclasses.replace(v, **{"params" if v.fitted is None else "fitted": wider})

    def _arrays(self, k: int, person: int, chosen: list[int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Arrays [views, ...] of some views of a person: augmented; or mirrored with probability .5 and cached."""
        if self.augmented:
            v = self._views(k, person, chosen)
            v = augment(v, self.body, torch.Generator().manual_seed(int(rng.integers(2**31))))
            return view_arrays(v, self.body, self.size, self.bags)
        if any((k, person, i) not in self._kept for i in chosen):
            x = view_arrays(self._views(k, person, chosen), self.body, self.size, self.bags)
            # Of half precision also when first used: a resumed run has an empty cache and ends with the same bytes.
            x = {n: a.astype(np.float16) if a.ndim == 4 and self.cached else a for n, a in x.items()}
            if len(self._kept) < self.cached:
                self._kept |= {(k, person, i): {n: a[j] for n, a in x.items()} for j, i in enumerate(chosen)}
        else:
            kept = [self._kept[k, person, i] for i in chosen]
            x = {n: np.stack([a[n] for a in kept]) for n in kept[0]}
        x = {n: a.astype(np.float32) for n, a in x.items()}
        return mirror_arrays(x) if rng.random() < 0.5 else x


def _two(x: dict[str, np.ndarray], other: int = -1) -> dict[str, np.ndarray]:
    """The first view as ``in_*``, another one as ``out_*``."""
    return {f"{way}_{k}": a[i] for way, i in (("in", 0), ("out", other)) for k, a in x.items() if k != "front"}


def holes(size: int, rng: np.random.Generator) -> np.ndarray:
    """[1, S, S] {0, 1}: 0 in random boxes, so that rendering a single photo's own view is not copying."""
    keep = np.ones((1, size, size), np.float32)
    hidden = rng.uniform(0, 2 * HOLES)
    while (keep == 0).mean() < hidden:
        h, w = (rng.uniform(*HOLE_SIDES, 2) * size).astype(int)
        y, x = int(rng.integers(-h // 2, size - h // 2)), int(rng.integers(-w // 2, size - w // 2))
        keep[:, max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = 0
    return keep
