"""Stage 1: encoder, generator, renderer and discriminator, end to end (§3.1, §4.1).

    dinar train avatar --data PEOPLE --run runs/avatar [--preset nano|base|paper]

One view of a person is encoded and sampled into a texture, which is rendered in another view and pose (eq. 3) and
compared with what is seen there (eq. 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DinarError
from ..nets.discriminator import fool, r1, tell
from ..nets.perceptual import LPIPS
from ..nets.presets import build
from ..nets.pretrained import Network
from ..nets.renderer import push_pull
from ..nets.vqgan import VQGAN
from ..neural.condition import complete
from ..neural.encode import encode
from ..neural.texture import SAMPLED, Fine, Partial, merge, rasterise, sample
from ..neural.weights import load_networks, save_networks
from . import presets
from .loop import State
from .losses import over, reconstruction, texture_loss
from .people import People

Nets = dict[str, nn.Module]
Drawn = list[tuple[Tensor, Fine | None]]
"""Textures and their finer colours."""


class AvatarStage:
    """See :class:`dinar.train.loop.Stage`. Stages 2 and 3 are this one with the VQGAN's branch."""

    uses: ClassVar[tuple[str, ...]] = ("encoder", "generator", "renderer")
    learns: ClassVar[tuple[str, ...]] = ("encoder", "generator", "renderer")
    needs: ClassVar[tuple[str, ...]] = ()  # what has to be trained already
    direct: ClassVar[bool] = True  # the texture as it is goes through the renderer
    restored: ClassVar[bool] = False  # the texture goes through the VQGAN and then the renderer

    def __init__(self, c: presets.Learned, people: People, start: Path | None = None) -> None:
        self.c, self.people = c, people
        torch.manual_seed(c.loop.seed)
        found = load_networks(start).nets if start else {}
        if missing := [n for n in self.needs if n not in found]:
            raise DinarError(f"expected trained networks ({', '.join(self.needs)}) in --init, the weights folder of "
                             f"the stage before; {start or 'none was given'} lacks {', '.join(missing)}")  # fmt: skip
        rival = ("discriminator",) if (self.direct or self.restored) and c.losses.adversarial > 0 else ()
        fitting = {"generator": {"size": c.texture}, "vqgan": {"size": c.texture}, "discriminator": {"size": c.size}}
        nets = {n: found.pop(n, None) or build(c.nets, n, **fitting.get(n, {})) for n in (*self.uses, *rival)}
        if nets["generator"].config["size"] != c.texture:
            raise DinarError(f"expected a generator of {c.texture}² textures, got {nets['generator'].config['size']}²")
        self.others = found  # trained, not used here, handed on
        self.modules: dict[str, nn.Module] = {}
        self.fixed: dict[str, nn.Module] = {}
        for n, net in nets.items():
            net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if n in self.learns or n in rival:
                self.modules[n] = net.train()
            else:
                self.fixed[n] = net.eval().requires_grad_(False)
        self.averaged: Sequence[str] = self.learns
        self.lpips = None if c.lpips == "none" else LPIPS("vgg" if c.lpips == "vgg" else "alex")
        self.optimizers = self._optimizers()

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        learn = [p for n in self.learns for p in self.modules[n].parameters()]
        out = {"generator": torch.optim.Adam(learn, self.c.lr, betas=(0.9, 0.99))}
        if "discriminator" in self.modules:
            rival = self.modules["discriminator"].parameters()
            out["discriminator"] = torch.optim.Adam(rival, self.c.discriminator_lr, betas=(0.0, 0.99))
        return out  # type: ignore[return-value]

    # ---- the model -------------------------------------------------------------------------------------------------

    def nets(self, device: torch.device, learned: Nets | None = None) -> Nets:
        """All networks by name; ``learned`` (running averages) in place of those in training."""
        for m in self.fixed.values():
            m.to(device)
        if self.lpips is not None:
            self.lpips.to(device)
        return {**self.fixed, **self.modules, **(learned or {})}

    def texture(self, nets: Nets, batch: dict[str, Tensor], way: str = "in", noise: bool = False
                ) -> tuple[Tensor, Partial]:  # fmt: skip
        """T^j = T_gen ⊕ T_rgb ⊕ B_smp ⊕ B_fill [B, 21, S, S] of the ``in_*`` or ``out_*`` views (eq. 2)."""
        b = {k[len(way) + 1 :]: v for k, v in batch.items() if k.startswith(way)}
        n = network(nets["encoder"]).config["size"]
        z = torch.randn(len(b["rgb"]), 1, n, n, device=b["rgb"].device) if noise else None
        return encode(nets, b, self.c.texture, z)

    def given(self, nets: Nets, batch: dict[str, Tensor]) -> tuple[Tensor, Fine | None]:
        """The textures [B, 21, S, S] of a step, and the colours at their own resolution. About half are complete, as
        they are after the inpainting: merged from both views (eq. 5), the rest filled."""
        texture, part = self.texture(nets, batch, noise=True)
        other, seen = self.texture(nets, batch, "out")
        whole = complete(*_merged((texture, part), (other, seen)))
        chosen = torch.rand(len(texture)).to(texture.device)[:, None, None, None] < 0.5
        texture = torch.where(chosen, whole, texture)
        if (fine := self.fine(batch)) is None:
            return texture, None
        parts = (fine, cast(Partial, self.fine(batch, "out")))
        rgb, known = _merged(*((p.rgb, p) for p in parts))
        rgb = torch.where(chosen, push_pull(rgb, known), fine.rgb)
        return texture, Fine(rgb, torch.where(chosen, torch.ones_like(known), fine.fill))

    def fine(self, batch: dict[str, Tensor], way: str = "in") -> Partial | None:
        """What the views show at ``rgb_size``; None: the texture itself holds all."""
        if self.c.rgb_size in (0, self.c.texture):
            return None
        rgb, mask, uv, body, facing = (batch[f"{way}_{k}"] for k in ("rgb", "mask", "uv", "body", "facing"))
        return sample(rgb, mask, uv, body, facing, self.c.rgb_size)

    def render(self, nets: Nets, drawn: Drawn, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """θ(R(T, M, C)) in the ``out_*`` views (eq. 3), several textures for one view in turn."""
        uv, cover = (batch[n] for n in ("out_uv", "out_cover"))
        rasters = torch.cat([rasterise(t, uv, batch["out_drawn"], fine) for t, fine in drawn])
        return nets["renderer"](rasters, *(x.repeat(len(drawn), 1, 1, 1) for x in (uv, cover)))

    def textures(self, nets: Nets, texture: Tensor, fine: Fine | None) -> tuple[Drawn, dict[str, Tensor]]:
        """The textures that are rendered, one after the other, and losses in texture space (§3.3)."""
        out, parts = [(texture, fine)] if self.direct else [], {}
        if self.restored:
            again, parts["codebook"] = nets["vqgan"](texture)
            parts["texture"] = texture_loss(again, texture, cast(VQGAN, network(nets["vqgan"])).std)
            out.append((again, None))
        return out, parts

    # ---- for the loop ----------------------------------------------------------------------------------------------

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return self.people.pair(rng)

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        w, nets = self.c.losses, self.nets(state.device)
        with state.accelerator.autocast():  # for the fixed networks, too, which accelerate has not prepared
            texture, fine = self.given(nets, batch)
            drawn, parts = self.textures(nets, texture, fine)
            rgb, alpha = self.render(nets, drawn, batch)
        k = len(drawn)
        truth, mask = batch["out_rgb"].repeat(k, 1, 1, 1), batch["out_mask"].repeat(k, 1, 1, 1)
        face = batch["out_face"].repeat(k, 1)
        colour = torch.rand(len(texture), 3, 1, 1)
        colour[torch.rand(len(texture)) >= self.c.backgrounds] = 1
        colour = colour.to(truth.device).repeat(k, 1, 1, 1)
        loss, terms = reconstruction(rgb, alpha, truth, mask, face, self.lpips, w, self.c.crop, colour)
        if "generator" in self.learns:
            parts["scale"] = texture[:, :16].float().square().mean().clamp(min=1e-8).log().square()
        for name, value in parts.items():
            terms[name], loss = value, loss + getattr(w, name) * value
        if "discriminator" not in self.modules:
            state.update("generator", loss)
            return {"loss": loss, **terms}
        fake = over(rgb.float(), alpha.float())
        judge = state.plain("discriminator")  # its gradients are not wanted here, nor their exchange
        judge.requires_grad_(False)
        terms["adversarial"] = fool(judge(fake))
        loss = loss + w.adversarial * terms["adversarial"]
        state.update("generator", loss)
        judge.requires_grad_(True)
        terms["discriminator"] = self._rival(batch, fake.detach(), state)
        return {"loss": loss, **terms}

    def _rival(self, batch: dict[str, Tensor], fake: Tensor, state: State) -> Tensor:
        """The discriminator's step, with R1 every so often."""
        w, judge = self.c.losses, self.modules["discriminator"]
        lazily = state.step % w.r1_every == 0
        real = over(batch["out_rgb"], batch["out_mask"]).requires_grad_(lazily)
        told = judge(real)
        loss = total = tell(told, judge(fake))
        if lazily:
            total = loss + w.r1 * w.r1_every * r1(told, real)
        state.update("discriminator", total)
        return loss

    def show(self, averaged: Nets, state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """People never trained on: photo, pasted texture, render, truth; measures of the render and of controls."""
        nets, rows, scores = self.nets(state.device, averaged), [], []
        for i in range(self.people.holdout):
            batch = {k: torch.from_numpy(v)[None].to(state.device) for k, v in self.people.held_out(i).items()}
            texture, _ = self.texture(nets, batch)
            fine = self.fine(batch)
            drawn = self.textures(nets, texture, fine and Fine(fine.rgb, fine.fill))[0][-1:]
            rgb, alpha = self.render(nets, drawn, batch)
            pasted = rasterise(drawn[0][0], batch["out_uv"], batch["out_drawn"], drawn[0][1])[:, SAMPLED]
            scores.append(measures(rgb, alpha, batch))
            rows.append(strip(batch["in_rgb"], over(pasted, batch["out_drawn"]), over(rgb, alpha), batch["out_rgb"]))
        mean = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}
        return mean, {"validation": np.concatenate(rows)} if rows else {}

    def export(self, averaged: Nets, folder: Path) -> None:
        """Every network so far, so that one folder is all that the next stage and ``create`` need."""
        everything = {**self.others, **self.fixed, **self.modules, **averaged}
        save_networks(folder, {n: network(m) for n, m in everything.items()}, self.c.size,
                      atlas=self.people.body.atlas.hash)  # fmt: skip


def network(module: nn.Module) -> Network:
    """Without what accelerate put around it."""
    from accelerate.utils import extract_model_from_parallel

    inner = extract_model_from_parallel(module)
    assert isinstance(inner, Network)
    return inner


def _merged(*views: tuple[Tensor, Partial]) -> tuple[Tensor, Tensor]:
    """Eq. 5 of textures [B, C, S, S], and where it is known [B, 1, S, S]."""
    texture, _ = merge(torch.stack([t for t, _ in views]), torch.stack([p.lam * p.fill for _, p in views]))
    return texture, torch.stack([p.fill for _, p in views]).amax(0)


def measures(rgb: Tensor, alpha: Tensor, batch: dict[str, Tensor]) -> dict[str, float]:
    """PSNR over the person (what is drawn or true), silhouette IoU, and the body's own IoU as a control."""
    truth, mask = batch["out_rgb"], batch["out_mask"]
    a, b, body = alpha > 0.5, mask > 0.5, batch["out_drawn"] > 0.5
    either = (a | b).float()
    error = ((over(rgb.float(), alpha.float()) - truth).square() * either).sum() / (3 * either.sum().clamp(min=1))
    iou = lambda p, q: float((p & q).sum() / (p | q).sum().clamp(min=1))  # noqa: E731
    return {"psnr": float(-10 * torch.log10(error.clamp(min=1e-8))), "iou": iou(a, b), "body_iou": iou(body, b)}


def strip(*pictures: Tensor) -> np.ndarray:
    """First pictures of batches [B, 3, H, W] side by side: [H, W', 3] uint8."""
    row = torch.cat([p[0].float().clamp(0, 1).cpu() for p in pictures], 2)
    return (row.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


