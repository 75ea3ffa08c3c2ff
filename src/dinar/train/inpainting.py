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
from torch import Tensor

from ..inpaint import inpaint, resize
from ..inpaint.inpaint import encode_condition
from ..inpaint.sampler import STEPS, noise_schedule
from ..nets.denoiser import Denoiser
from ..nets.renderer import push_pull
from ..nets.vqgan import VQGAN
from ..texture.neural import SAMPLED, merge
from ..texture.texels import texels
from .avatar import AvatarStage, Nets, measures, network, strip
from .loop import State
from .losses import over


class InpaintingStage(AvatarStage):
    uses = ("encoder", "generator", "renderer", "vqgan", "denoiser")
    learns = ("denoiser",)
    needs = ("encoder", "generator", "renderer", "vqgan")
    direct = restored = False

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self.schedule = noise_schedule("ddpm")
        self.inside = torch.from_numpy(texels(self.people.body.atlas, self.c.texture).inside)
        return {"denoiser": torch.optim.AdamW(self.modules["denoiser"].parameters(), self.c.lr, betas=(0.9, 0.99))}

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return self.people.all_views(rng, self.c.views)

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        nets = self.nets(state.device)
        latents, told, known = self.task(nets, batch, state)
        noise = torch.randn_like(latents)
        t = torch.randint(0, STEPS, (len(latents),), device=latents.device)
        guess = nets["denoiser"](self.schedule.add_noise(latents, noise, t), t, told)
        loss = ((guess.float() - noise).square() * known).sum() / (known.sum() * latents.shape[1]).clamp(min=1)  # eq. 1
        state.update("denoiser", loss)
        return {"loss": loss}

    @torch.no_grad()
    def task(self, nets: Nets, batch: dict[str, Tensor], state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Latents of the truth [B, 6, s, s], the condition, and where the truth is known [B, 1, s, s]."""
        vqgan, denoiser = cast(VQGAN, nets["vqgan"]), cast(Denoiser, network(nets["denoiser"]))
        whole, first, known = self.truth(nets, batch)
        latents = vqgan.encode(whole).float()
        if state.step == 0 and bool((denoiser.std == 1).all()):  # never set: the first batch stands for all
            denoiser.mean.copy_(latents.mean((0, 2, 3)))
            denoiser.std.copy_(latents.std((0, 2, 3)).clamp(min=1e-3))
        return denoiser.normal(latents), encode_condition(vqgan, denoiser, first), resize(known, latents.shape[-1])

    def truth(self, nets: Nets, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The merged texture with its gaps filled, that of the first view, and where the merged one is known."""
        b, v = batch["in_rgb"].shape[:2]
        flat = {k: x.flatten(0, 1) for k, x in batch.items() if k.startswith("in_")}
        texture, part = self.texture(nets, flat)
        views = lambda x: x.view(b, v, *x.shape[1:]).transpose(0, 1)  # noqa: E731
        merged, _ = merge(views(texture), views(part.lam * part.fill))
        known = views(part.fill).amax(0)
        whole = torch.cat([merged[:, :16], push_pull(merged[:, SAMPLED], known), torch.ones_like(merged[:, 19:])], 1)
        first = views(texture)[0].clone()
        single = (batch["different"] < 2)[:, None, None, None]
        coarse = torch.rand(b, 1, 8, 8, device=known.device)
        hidden = single & (F.interpolate(coarse, size=known.shape[2:], mode="bilinear") > 0.6)
        first[:, 16:] = first[:, 16:] * (~hidden)
        outside = (~self.inside).to(known.device).expand_as(known)  # empty in every texture, so known
        return whole, first, torch.maximum(known, outside.float())

    def show(self, averaged: Nets, state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Held-out people: photo, its texture, the restored one, the render of another side, the truth there."""
        nets, rows, scores = self.nets(state.device, averaged), [], []
        vqgan, denoiser = cast(VQGAN, nets["vqgan"]), cast(Denoiser, nets["denoiser"])
        inside = self.inside.to(state.device)
        for i in range(self.people.holdout):
            batch = {k: torch.from_numpy(x)[None].to(state.device) for k, x in self.people.held_out(i).items()}
            partial, _ = self.texture(nets, batch)
            whole, _ = inpaint(vqgan, denoiser, partial, (i,), inside)
            before = measures(*self.render(nets, partial, batch), batch)
            rgb, alpha = self.render(nets, whole, batch)
            scores.append(measures(rgb, alpha, batch) | {"psnr_without": before["psnr"]})
            n = batch["in_rgb"].shape[-1]
            big = lambda t: F.interpolate(t[:, SAMPLED].float(), size=(n, n), mode="nearest")  # noqa: B023, E731
            rows.append(strip(batch["in_rgb"], big(partial), big(whole), over(rgb, alpha), batch["out_rgb"]))
        mean = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}
        return mean, {"validation": np.concatenate(rows)} if rows else {}


