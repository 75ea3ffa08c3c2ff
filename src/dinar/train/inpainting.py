"""Stage 4: the denoiser in the VQGAN's latent space (§3.3, eq. 1).

    dinar train inpainting --data PEOPLE --init runs/finetune/weights --run runs/inpainting

The target is the texture merged from all views of a person (eq. 5), the condition the texture of the most frontal view.
For a single photo, the target is its texture and the condition the same texture with holes. The loss ignores latents of
unknown texels.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from torch import Tensor

from ..nets.channels import COLOURS, GENERATED, SAMPLED
from ..nets.denoiser import Denoiser
from ..nets.vqgan import VQGAN
from ..neural.condition import complete, resize
from ..neural.inpaint import encode_condition, inpaint
from ..neural.sampler import STEPS, noise_schedule
from ..neural.texture import merge
from ..texture.texels import texels
from .avatar import AvatarStage, Nets, measures, network, strip
from .losses import over
from .state import State

Task = tuple[Tensor, Tensor, Tensor]
"""Latents of the target [B, 6, s, s], the condition [B, 7 or 14, s, s], and the target's known share [B, 1, s, s]."""

MIN_FRONTALITY = 0.3  # of views that are conditions; if a person has none, the most frontal view is
HOLE_PATTERNS = 3  # random hole patterns of a single photo that are kept in memory
HOLE_GRID, HOLE_THRESHOLD = 8, 0.6  # holes: a uniform random grid, enlarged to the texture, over the threshold
MIN_STD = 1e-3  # floor of the latents' standard deviations


class InpaintingStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan", "denoiser")
    learns = ("denoiser",)
    needs = ("encoder", "generator", "renderer", "vqgan")
    direct = restored = windowed = False

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self.schedule = noise_schedule("ddpm", self.modules["denoiser"].config["prediction"])  # type: ignore[index]
        self.inside = torch.from_numpy(texels(self.people.body.atlas, self.c.texture).inside)
        self.kept: dict[tuple[int, ...], Task] = {}
        return {"denoiser": torch.optim.AdamW(self.modules["denoiser"].parameters(), self.c.lr, betas=(0.9, 0.99))}

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if not self.people.cached:
            return self.people.all_views(rng, self.c.views)
        k, person = self.people.draw(rng)
        return {"key": np.array([k, person, rng.integers(2), rng.integers(2**31)])}  # 2: mirrored or not

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        with state.accelerator.autocast():
            latents, cond, known = (x.float() for x in self.task(batch, state))
        noise = torch.randn_like(latents)
        t = torch.randint(0, STEPS, (len(latents),), device=latents.device)
        prediction = self.modules["denoiser"](self.schedule.add_noise(latents, noise, t), t, cond)
        velocity = self.schedule.config.prediction_type == "v_prediction"
        target = self.schedule.get_velocity(latents, noise, t) if velocity else noise
        error = (prediction.float() - target).square() * known
        loss = error.sum() / (known.sum() * latents.shape[1]).clamp(min=1)  # eq. 1
        state.update("denoiser", loss)
        return {"loss": loss}

    @torch.no_grad()
    def task(self, batch: dict[str, Tensor], state: State) -> Task:
        """The task of a batch. Without augmentation, a person's latents are constant and kept in memory."""
        nets = self.nets(state.device)
        vqgan, denoiser = cast(VQGAN, nets["vqgan"]), cast(Denoiser, network(nets["denoiser"]))
        keys = [tuple(key) for key in batch["key"].tolist()] if "key" in batch else []

        def views(key: tuple[int, ...]) -> dict[str, Tensor]:
            with torch.autocast(state.device.type, enabled=False):  # rasterise in float32
                x = self.people.views_of(key[0], key[1], bool(key[2]))
            return {n: torch.from_numpy(a)[None].to(state.device) for n, a in x.items()}

        def latents(whole: Tensor, partial: Tensor) -> tuple[Tensor, Tensor]:
            cond, start = encode_condition(vqgan, denoiser, partial)
            return vqgan.encode(whole).float() - start, cond

        first = state.step == 0 and bool((denoiser.std == 1).all())
        if self.c.latent_statistics and first:  # not set yet: take the first batch's statistics
            x = torch.cat([latents(w, t[0])[0] for w, t, _ in
                           ([self.truth(nets, views(key)) for key in keys] or [self.truth(nets, batch)])])  # fmt: skip
            denoiser.mean.copy_(x.mean((0, 2, 3)))
            denoiser.std.copy_(x.std((0, 2, 3)).clamp(min=MIN_STD))
            for t in (denoiser.mean, denoiser.std):
                t.copy_(cast(Tensor, broadcast(t)))

        def task(whole: Tensor, partial: Tensor, known: Tensor) -> Task:
            x, cond = latents(whole, partial)
            return denoiser.normalize(x), cond, resize(known, x.shape[-1])

        if not keys:
            whole, textures, known = self.truth(nets, batch)
            single = (batch["different"] < 2)[:, None, None, None]
            return task(whole, torch.where(single, with_holes(textures[0]), textures[0]), known)
        for key in set(keys):
            if key[:3] not in self.kept:
                x = views(key)
                whole, textures, known = self.truth(nets, x)
                if len(textures) > 1:  # every view that is frontal enough is a condition
                    front = x["in_front"][0]
                    textures = textures[(front >= front.max().clamp(max=MIN_FRONTALITY)).cpu()]
                else:
                    generator = torch.Generator().manual_seed(key[1])
                    textures = torch.stack([with_holes(textures[0], generator) for _ in range(HOLE_PATTERNS)])
                self.kept[key[:3]] = task(whole, textures[:, 0], known)
        found = [self.kept[key[:3]] for key in keys]
        cond = torch.stack([f[1][key[3] % len(f[1])] for f, key in zip(found, keys, strict=True)])
        x = torch.stack([f[0][key[3] % len(f[0])] for f, key in zip(found, keys, strict=True)])
        return x, cond, torch.cat([f[2] for f in found])

    def truth(self, nets: Nets, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The merged texture with its holes filled [B, 21, S, S], the views' textures [V, B, 21, S, S], and the known
        texels of the merged one [B, 1, S, S] {0, 1}."""
        b, v = batch["in_rgb"].shape[:2]
        flat = {k: x.flatten(0, 1) for k, x in batch.items() if k.startswith("in_")}
        texture, part = self.texture(nets, flat)
        views = lambda x: x.view(b, v, *x.shape[1:]).transpose(0, 1)  # noqa: E731
        merged, _ = merge(views(texture), views(part.lam * part.fill))
        known = views(part.fill).amax(0)
        outside = (~self.inside).to(known.device).expand_as(known)  # texels outside the islands are always 0
        return complete(merged, known), views(texture), torch.maximum(known, outside.float())

    def show(self, averaged: Nets, state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Held-out people. Scalars: :func:`measures` with and without inpainting; picture: input, its texture, the
        inpainted texture, the render of another view, the truth."""
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


def with_holes(texture: Tensor, generator: torch.Generator | None = None) -> Tensor:  # [B, 21, S, S]
    """The texture with random holes in T_rgb, B_smp and B_fill."""
    coarse = torch.rand(len(texture), 1, HOLE_GRID, HOLE_GRID, generator=generator).to(texture.device)
    seen = F.interpolate(coarse, size=texture.shape[2:], mode="bilinear") <= HOLE_THRESHOLD
    return torch.cat([texture[:, GENERATED], texture[:, COLOURS] * seen], 1)
