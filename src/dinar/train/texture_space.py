"""Stages 2 and 4 from sampled textures alone, without pictures (``--textures``).

    dinar train compression --textures --data PEOPLE --init runs/avatar/weights --run runs/compression
    dinar train inpainting  --textures --data PEOPLE --init runs/compression/weights --run runs/inpainting

The textures of all views are sampled once, into RUN/textures; a folder of it is a set, too. They lie on the training
device, which draws batches from them (``data/batches.py``). Stage 2 has no renders in its loss, stage 4 computes all
latents before its first step. Generated channels are those of the most frontal view.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from ..body import Body
from ..data.batches import Batches, recolouring, task
from ..data.textures import TextureSet
from ..errors import DinarError
from ..nets.channels import SAMPLED
from ..nets.denoiser import Denoiser
from ..nets.regressor import TextureRegressor
from ..nets.vqgan import VQGAN
from ..neural.condition import Geometry, complete, geometry, resize, surface_condition
from ..neural.inpaint import encode_condition, inpaint
from .avatar import Nets, network, strip
from .compression import INIT_TEXTURES, CompressionStage
from .inpainting import MIN_STD, InpaintingStage, Task
from .losses import texture_loss
from .state import State

CHUNK = 64  # tasks that are encoded at once
SHOWN = 8  # people in the picture of a validation


class Sampled:
    """Texture sets in the place of :class:`dinar.train.people.People`."""

    bags, offsets, cached = False, True, 0

    def __init__(self, body: Body, batches: Batches, validation: TextureSet) -> None:
        self.body, self.batches, self.validation = body, batches, validation
        self.holdout = len(validation)
        self._inside = geometry(body, validation.rgb.shape[2]).inside > 0

    def inside(self, device: torch.device) -> Tensor:
        """[1, S, S] bool, texels in an island."""
        if self._inside.device != device:
            self._inside = self._inside.to(device)
        return self._inside

    def held_out(self, device: torch.device) -> list[dict[str, Tensor]]:
        """The most frontal view of everyone, as of :func:`dinar.data.batches.tasks`."""
        s = self.validation
        found = (task(s, i, int(s.front[i].argmax())) for i in range(len(s)))
        return [{k: torch.from_numpy(a)[None].to(device) for k, a in x.items()} for x in found]


def textures(generator: nn.Module, x: dict[str, Tensor], inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The texture of each view with its holes, the true one without [B, 21, S, S], and where that one is known
    [B, 1, S, S] {0, 1}; texels outside the islands count as known."""
    if "style" not in x:
        raise DinarError("expected textures with style vectors, got some without: sample them from their pictures with "
                         "--textures")  # fmt: skip
    generated = generator(x["style"]).float()
    seen, known = (x["lam"] > 0).float(), x["known"]
    partial = torch.cat([generated, x["rgb"] * seen, seen, seen], 1)
    whole = complete(torch.cat([generated, x["truth"], known, known], 1), known)
    return partial, whole, torch.maximum(known, (~inside).float().expand_as(known))


def psnr(out: Tensor, x: dict[str, Tensor], on: Tensor) -> float:
    """PSNR in dB of the colours of textures [1, 21, S, S] over ``on`` [1, 1, S, S]."""
    error = ((out[:, SAMPLED].clamp(0, 1) - x["truth"]).square() * on).sum() / (3 * on.sum()).clamp(min=1)
    return float(-10 * torch.log10(error.clamp(min=1e-8)))


class TextureCompression(CompressionStage):
    people: Sampled  # type: ignore[assignment]

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"key": self.people.batches.draw(rng)}

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        w, nets = self.c.losses, self.nets(state.device)
        vqgan = cast(VQGAN, network(self.modules["vqgan"]))
        if self.c.texture_statistics and state.step == 0 and bool((vqgan.std == 1).all()):
            vqgan.init_statistics(self.first_textures(state))
            for t in (vqgan.mean, vqgan.std, vqgan.model.quantize.embedding.weight.data):
                t.copy_(cast(Tensor, broadcast(t)))
        partial, whole, _ = self._textures(batch["key"], state)
        chosen = torch.rand(len(whole), 1, 1, 1, device=whole.device) < self.c.complete
        texture = torch.where(chosen, whole, partial)
        restored, codebook = nets["vqgan"](texture)
        std = vqgan.std if self.c.texture_statistics else None
        error = texture_loss(restored.float(), texture, std, w.colours)
        loss = w.texture * error + w.codebook * codebook
        state.update("generator", loss)
        return {"loss": loss, "texture": error, "codebook": codebook}

    @torch.no_grad()
    def _textures(self, keys: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
        x = self.people.batches.to(state.device).tasks(keys)
        inside = self.people.inside(state.device)
        return textures(self.nets(state.device)["generator"], x, inside)

    def first_textures(self, state: State) -> Tensor:
        rngs = (np.random.default_rng([self.c.loop.seed, i]) for i in range(INIT_TEXTURES))
        keys = torch.from_numpy(np.stack([self.people.batches.draw(rng) for rng in rngs]))
        partial, whole, _ = self._textures(keys, state)
        return torch.cat([whole[::2], partial[1::2]])

    def show(self, averaged: Nets, state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Held-out people: PSNR of the colours of their true textures, coded; over all known texels, and over those
        that the most frontal view does not show. Picture: the true texture, coded."""
        nets, rows, scores = self.nets(state.device, averaged), [], []
        inside = self.people.inside(state.device)
        for x in self.people.held_out(state.device):
            _, whole, _ = textures(nets["generator"], x, inside)
            out = cast(VQGAN, nets["vqgan"])(whole)[0]
            hidden = x["known"] * (x["lam"] == 0)
            scores.append({"psnr": psnr(out, x, x["known"]), "psnr_hidden": psnr(out, x, hidden)})
            rows += [strip(x["truth"], out[:, SAMPLED])] if len(rows) < SHOWN else []
        return _mean(scores), {"validation": np.concatenate(rows)} if rows else {}


class TextureInpainting(InpaintingStage):
    people: Sampled  # type: ignore[assignment]
    regressor: TextureRegressor | None = None  # for a denoiser that starts from its answer

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        k, person, view, flip = self.people.batches.draw(rng)[:4].astype(int).tolist()
        return {"row": np.array(self._row(k, person, view, flip, int(rng.integers(self.c.recoloured))))}

    def _row(self, k: int, person: int, view: int, flip: int, colour: int) -> int:
        """Where the latents of a sample are kept."""
        sizes = [s.front.size * 2 * self.c.recoloured for s in self.people.batches.sets]
        views = self.people.batches.sets[k].front.shape[1]
        return sum(sizes[:k]) + ((person * views + view) * 2 + flip) * self.c.recoloured + colour

    @torch.no_grad()
    def task(self, batch: dict[str, Tensor], state: State) -> Task:
        if not hasattr(self, "latents"):
            self.latents = self._all_latents(state)
        x, cond, known = (a[batch["row"]].float() for a in self.latents)
        return cast(Denoiser, network(self.modules["denoiser"])).normalize(x), cond, known

    def _all_latents(self, state: State) -> Task:
        """Latents of every view of everyone in every colour, as :meth:`task` has them for a batch; float16."""
        nets, sets, out = self.nets(state.device), self.people.batches.sets, []
        denoiser = cast(Denoiser, network(nets["denoiser"]))
        rows = [(k, p, v, flip, c) for k, s in enumerate(sets) for p, v in np.ndindex(*s.front.shape) for flip in (0, 1)
                for c in range(self.c.recoloured)]  # fmt: skip
        # Views that are not there are not drawn: their rows hold another view's latents.
        there = [np.where(np.isfinite(s.front), np.arange(s.front.shape[1]), s.front.argmax(1)[:, None]) for s in sets]
        keys = np.array([(k, p, there[k][p, v], flip, *recolouring(np.random.default_rng([k, p, v, flip, c])))
                         for k, p, v, flip, c in rows])  # fmt: skip
        inside = self.people.inside(state.device)
        for some in torch.from_numpy(keys).split(CHUNK):
            x = self.people.batches.to(state.device).tasks(some)
            with state.accelerator.autocast():
                partial, whole, known = textures(nets["generator"], x, inside)
                latents, cond = self._latents(nets, partial, whole, x)
            out.append((latents.half(), cond.half(), resize(known, latents.shape[-1]).half()))
        with torch.autocast(state.device.type, enabled=False):  # it refuses fp16 where it has bf16
            latents, cond, known = (torch.cat(a) for a in zip(*out, strict=True))
        if self.c.latent_statistics and state.step == 0 and bool((denoiser.std == 1).all()):
            denoiser.mean.copy_(latents.float().mean((0, 2, 3)))
            denoiser.std.copy_(latents.float().std((0, 2, 3)).clamp(min=MIN_STD))
            for t in (denoiser.mean, denoiser.std):
                t.copy_(cast(Tensor, broadcast(t)))
        return latents, cond, known

    def _latents(self, nets: Nets, partial: Tensor, whole: Tensor, x: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        vqgan, denoiser = cast(VQGAN, nets["vqgan"]), cast(Denoiser, network(nets["denoiser"]))
        cond, start = encode_condition(vqgan, denoiser, partial, self._answer(denoiser, x))
        return vqgan.encode(whole).float() - start, cond

    def _answer(self, denoiser: Denoiser, x: dict[str, Tensor]) -> Tensor | None:
        """The regressor's colours [B, 3, S, S], for a denoiser that starts from them."""
        if denoiser.config["start"] != "regression":
            return None
        if self.regressor is None:
            raise DinarError("expected a regressor for a denoiser that starts from its answer: give --regressor")
        told = surface_condition(Geometry(x["folded"], x["position"]), x["rgb"], x["lam"], x["worn"], x["guess"])
        return (x["guess"] + self.regressor.to(told.device)(told)[0]).clamp(0, 1)

    def show(self, averaged: Nets, state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Held-out people: PSNR of the colours that the most frontal view does not show, inpainted. Picture: the
        partial texture, two samples, the truth."""
        nets, rows, scores = self.nets(state.device, averaged), [], []
        vqgan, denoiser = cast(VQGAN, nets["vqgan"]), cast(Denoiser, nets["denoiser"])
        inside = self.people.inside(state.device)
        for x in self.people.held_out(state.device):
            partial, _, _ = textures(nets["generator"], x, inside)
            answer = self._answer(denoiser, x)
            out, _ = inpaint(vqgan, denoiser, partial, (0, 1), inside[0], start=answer)
            hidden = x["known"] * (x["lam"] == 0)
            both = [psnr(o[None], x, hidden) for o in out]
            scores.append({"psnr": float(np.mean(both))})
            if answer is not None:
                scores[-1]["psnr_start"] = psnr(torch.cat([partial[:, : SAMPLED.start], answer], 1), x, hidden)
            if len(rows) < SHOWN:
                show = [] if answer is None else [answer]
                rows.append(strip(partial[:, SAMPLED], *show, *(o[None, SAMPLED] for o in out), x["truth"]))
        return _mean(scores), {"validation": np.concatenate(rows)} if rows else {}


def _mean(scores: list[dict[str, float]]) -> dict[str, float]:
    return {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}


STAGES: dict[str, Any] = {"compression": TextureCompression, "inpainting": TextureInpainting}
