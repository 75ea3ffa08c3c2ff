"""Stage 4: the denoiser in the VQGAN's latent space (§3.3, eq. 1).

    dinar train inpainting --data PEOPLE --init runs/finetune/weights --run runs/inpainting

The truth is the texture merged from all views of a person (eq. 5), the condition that of the most frontal one. Of a
single photo the truth is what it shows, the condition the same with holes. Latents of unknown texels do not count.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from torch import Tensor

from ..nets.denoiser import Denoiser
from ..nets.vqgan import VQGAN
from ..neural.condition import complete, resize
from ..neural.inpaint import encode_condition, inpaint
from ..neural.sampler import STEPS, noise_schedule
from ..neural.texture import SAMPLED, merge
from ..texture.texels import texels
from .avatar import AvatarStage, Nets, measures, network, strip
from .loop import State
from .losses import over

Task = tuple[Tensor, Tensor, Tensor]
"""Latents of the truth [B, 6, s, s], the condition [B, 7 or 14, s, s], and where the truth is known [B, 1, s, s]."""

SIDEWAYS = 0.3  # how frontal a view is that others are imagined from; of a person without one, the most frontal
HIDDEN = 3  # ways of hiding parts of a single photo that are kept


class InpaintingStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan", "denoiser")
    learns = ("denoiser",)
    needs = ("encoder", "generator", "renderer", "vqgan")
    direct = restored = False

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self.schedule = noise_schedule("ddpm", self.modules["denoiser"].config["prediction"])  # type: ignore[index]
        self.inside = torch.from_numpy(texels(self.people.body.atlas, self.c.texture).inside)
        self.kept: dict[tuple[int, ...], Task] = {}
        return {"denoiser": torch.optim.AdamW(self.modules["denoiser"].parameters(), self.c.lr, betas=(0.9, 0.99))}

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if not self.people.cached:
            return self.people.all_views(rng, self.c.views)
        k, person = self.people.draw(rng)
        return {"who": np.array([k, person, rng.integers(2), rng.integers(2**31)])}

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        with state.accelerator.autocast():
            latents, told, known = (x.float() for x in self.task(batch, state))
        noise = torch.randn_like(latents)
        t = torch.randint(0, STEPS, (len(latents),), device=latents.device)
        guess = self.modules["denoiser"](self.schedule.add_noise(latents, noise, t), t, told)
        speed = self.schedule.config.prediction_type == "v_prediction"
        target = self.schedule.get_velocity(latents, noise, t) if speed else noise
        error = (guess.float() - target).square() * known
        loss = error.sum() / (known.sum() * latents.shape[1]).clamp(min=1)  # eq. 1
        state.update("denoiser", loss)
        return {"loss": loss}

    @torch.no_grad()
    def task(self, batch: dict[str, Tensor], state: State) -> Task:
        """Of a batch. Networks and pictures of a person stay the same where nothing is augmented, so its latents do."""
        nets = self.nets(state.device)
        vqgan, denoiser = cast(VQGAN, nets["vqgan"]), cast(Denoiser, network(nets["denoiser"]))
        who = [tuple(w) for w in batch["who"].tolist()] if "who" in batch else []

        def views(w: tuple[int, ...]) -> dict[str, Tensor]:
            with torch.autocast(state.device.type, enabled=False):  # rasters are no matter of mixed precision
                x = self.people.views_of(w[0], w[1], bool(w[2]))
            return {n: torch.from_numpy(a)[None].to(state.device) for n, a in x.items()}

        def latents(whole: Tensor, partial: Tensor) -> tuple[Tensor, Tensor]:
            told, start = encode_condition(vqgan, denoiser, partial)
            return vqgan.encode(whole).float() - start, told

        if state.step == 0 and bool((denoiser.std == 1).all()):  # never set: the first batch stands for all
            x = torch.cat([latents(w, t[0])[0] for w, t, _ in
                           ([self.truth(nets, views(w)) for w in who] or [self.truth(nets, batch)])])  # fmt: skip
            denoiser.mean.copy_(x.mean((0, 2, 3)))
            denoiser.std.copy_(x.std((0, 2, 3)).clamp(min=1e-3))
            for t in (denoiser.mean, denoiser.std):
                t.copy_(cast(Tensor, broadcast(t)))

        def task(whole: Tensor, partial: Tensor, known: Tensor) -> Task:
            x, told = latents(whole, partial)
            return denoiser.normal(x), told, resize(known, x.shape[-1])

        if not who:
            whole, textures, known = self.truth(nets, batch)
            single = (batch["different"] < 2)[:, None, None, None]
            return task(whole, torch.where(single, hidden(textures[0]), textures[0]), known)
        for w in set(who):
            if w[:3] not in self.kept:
                x = views(w)
                whole, textures, known = self.truth(nets, x)
                if len(textures) > 1:  # from each side that shows something of the front
                    front = x["in_front"][0]
                    textures = textures[(front >= front.max().clamp(max=SIDEWAYS)).cpu()]
                else:
                    own = torch.Generator().manual_seed(w[1])
                    textures = torch.stack([hidden(textures[0], own) for _ in range(HIDDEN)])
                self.kept[w[:3]] = task(whole, textures[:, 0], known)
        found = [self.kept[w[:3]] for w in who]
        told = torch.stack([f[1][w[3] % len(f[1])] for f, w in zip(found, who, strict=True)])
        x = torch.stack([f[0][w[3] % len(f[0])] for f, w in zip(found, who, strict=True)])
        return x, told, torch.cat([f[2] for f in found])

    def truth(self, nets: Nets, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The merged texture with its gaps filled [B, 21, S, S], those of the views [V, B, 21, S, S], and where the
        merged one is known [B, 1, S, S]."""
        b, v = batch["in_rgb"].shape[:2]
        flat = {k: x.flatten(0, 1) for k, x in batch.items() if k.startswith("in_")}
        texture, part = self.texture(nets, flat)
        views = lambda x: x.view(b, v, *x.shape[1:]).transpose(0, 1)  # noqa: E731
        merged, _ = merge(views(texture), views(part.lam * part.fill))
        known = views(part.fill).amax(0)
        outside = (~self.inside).to(known.device).expand_as(known)  # empty in every texture, so known
        return complete(merged, known), views(texture), torch.maximum(known, outside.float())

    def show(self, averaged: Nets, state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Held-out people: photo, its texture, the restored one, the render of another side, the truth there."""
        nets, rows, scores = self.nets(state.device, averaged), [], []
        vqgan, denoiser = cast(VQGAN, nets["vqgan"]), cast(Denoiser, nets["denoiser"])
        inside = self.inside.to(state.device)
        for i in range(self.people.holdout):
            batch = {k: torch.from_numpy(x)[None].to(state.device) for k, x in self.people.held_out(i).items()}
            partial, _ = self.texture(nets, batch)
            whole, _ = inpaint(vqgan, denoiser, partial, (i,), inside)
            before = measures(*self.render(nets, [(partial, None)], batch), batch)
            rgb, alpha = self.render(nets, [(whole, None)], batch)
            scores.append(measures(rgb, alpha, batch) | {"psnr_without": before["psnr"]})
            n = batch["in_rgb"].shape[-1]
            big = lambda t: F.interpolate(t[:, SAMPLED].float(), size=(n, n), mode="nearest")  # noqa: B023, E731
            rows.append(strip(batch["in_rgb"], big(partial), big(whole), over(rgb, alpha), batch["out_rgb"]))
        mean = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}
        return mean, {"validation": np.concatenate(rows)} if rows else {}


def hidden(texture: Tensor, generator: torch.Generator | None = None) -> Tensor:  # [B, 21, S, S]
    """The same with holes in what is sampled."""
    coarse = torch.rand(len(texture), 1, 8, 8, generator=generator).to(texture.device)
    seen = F.interpolate(coarse, size=texture.shape[2:], mode="bilinear") <= 0.6
    return torch.cat([texture[:, :16], texture[:, 16:] * seen], 1)
