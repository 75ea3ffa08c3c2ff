"""Stage 1: encoder, generator, renderer and discriminator, end to end (§3.1, §4.1).

    dinar train avatar --data PEOPLE --run runs/avatar [--preset nano|base|paper]

One view of a person is encoded and sampled into a texture. The texture is rendered in another view and pose (eq. 3) and
compared with the picture there (eq. 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DinarError
from ..nets.channels import COLOURS, GENERATED, SAMPLED
from ..nets.discriminator import discriminator_loss, generator_loss, r1
from ..nets.perceptual import LPIPS
from ..nets.presets import build
from ..nets.pretrained import Network
from ..nets.renderer import push_pull
from ..nets.vqgan import VQGAN
from ..neural.condition import complete
from ..neural.encode import encode
from ..neural.texture import Drawn, Fine, Partial, merge, rasterize_texture, sample
from ..neural.weights import load_networks, save_networks
from . import presets, windows
from .looks import Looks
from .losses import over, reconstruction, texture_loss
from .people import People
from .state import State

Nets = dict[str, nn.Module]
Textures = list[tuple[Tensor, Fine | None]]
"""Textures [B, 21, S, S] with their fine layers."""


class AvatarStage:
    """Stage 1, a :class:`dinar.train.state.Stage`. Stages 2 to 4 are subclasses."""

    uses: ClassVar[tuple[str, ...]] = ("encoder", "generator", "renderer")  # networks of the stage
    learns: tuple[str, ...] = ("encoder", "generator", "renderer")  # those that it trains
    needs: ClassVar[tuple[str, ...]] = ()  # those that have to be trained already
    direct: ClassVar[bool] = True  # render the texture itself
    restored: ClassVar[bool] = False  # render the texture restored by the VQGAN
    windowed: ClassVar[bool] = True  # --windows has an effect

    def __init__(self, c: presets.AvatarOptions, people: People, start: Path | None = None) -> None:
        self.c, self.people = c, people
        self.looks = Looks(people) if self.windowed and c.windows > 0 else None
        torch.manual_seed(c.loop.seed)
        found = load_networks(start).nets if start else {}
        if missing := [n for n in self.needs if n not in found]:
            got = f"{start} lacks {', '.join(missing)}" if start else "got none"
            raise DinarError(f"expected trained networks ({', '.join(self.needs)}) in --init, the weights folder of "
                             f"the stage before; {got}")  # fmt: skip
        self.learns = tuple(n for n in self.learns if n not in c.fixed)
        if not self.learns or not {*c.fixed} <= {*self.uses} & {*found}:
            raise DinarError("expected some, but not all, of the networks that this stage trains in --fixed, and their "
                             f"weights in --init; got {', '.join(c.fixed)}")  # fmt: skip
        critic = ("discriminator",) if (self.direct or self.restored) and c.losses.adversarial > 0 else ()
        fitting = {"generator": {"size": c.texture}, "vqgan": {"size": c.texture}, "discriminator": {"size": c.size},
                   "denoiser": {"start": c.start}}  # fmt: skip
        nets = {n: found.pop(n, None) or build(c.nets, n, **fitting.get(n, {})) for n in (*self.uses, *critic)}
        if nets["generator"].config["size"] != c.texture:
            raise DinarError(f"expected a generator of {c.texture}² textures, got {nets['generator'].config['size']}²")
        self.others = found  # trained networks that this stage does not use; exported unchanged
        self.modules: dict[str, nn.Module] = {}
        self.fixed: dict[str, nn.Module] = {}
        for n, net in nets.items():
            net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if n in self.learns or n in critic:
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
            discriminator = self.modules["discriminator"].parameters()
            out["discriminator"] = torch.optim.Adam(discriminator, self.c.discriminator_lr, betas=(0.0, 0.99))
        return out  # type: ignore[return-value]

    # ---- the model -------------------------------------------------------------------------------------------------

    def nets(self, device: torch.device, averaged: Nets | None = None) -> Nets:
        """All networks by name; ``averaged`` (running averages) replace those in training."""
        for m in self.fixed.values():
            m.to(device)
        if self.lpips is not None:
            self.lpips.to(device)
        return {**self.fixed, **self.modules, **(averaged or {})}

    def texture(self, nets: Nets, batch: dict[str, Tensor], way: str = "in", noise: bool = False
                ) -> tuple[Tensor, Partial]:  # fmt: skip
        """T^j = T_gen ⊕ T_rgb ⊕ B_smp ⊕ B_fill [B, 21, S, S] of the ``in_*`` or ``out_*`` views (eq. 2)."""
        b = {k[len(way) + 1 :]: v for k, v in batch.items() if k.startswith(way)}
        n = network(nets["encoder"]).config["size"]
        z = torch.randn(len(b["rgb"]), 1, n, n, device=b["rgb"].device) if noise else None
        return encode(nets, b, self.c.texture, z)

    def input_textures(self, nets: Nets, batch: dict[str, Tensor]) -> tuple[Tensor, Fine | None]:
        """The textures [B, 21, S, S] of a step and their fine layer.

        A share of ``complete`` is merged with another view (eq. 5) and filled, like textures after inpainting; a share
        of ``ablated`` lacks the generated channels or all that is sampled, as with ``create --neural False`` and
        ``--rgb False``.
        """
        texture, part = self.texture(nets, batch, noise=True)
        drawn = self.drawn(batch)
        fine = None if drawn else self.fine(batch)
        layer = drawn if fine is None else Fine(fine.rgb, fine.fill)
        if "complete" in batch:
            chosen = batch["complete"][:, :, None, None] > 0.5
            whole = complete(*_merged((texture, part), self.texture(nets, batch, "more")))
            texture = torch.where(chosen, whole, texture)
            if fine is not None and layer is not None:
                more = cast(Partial, self.fine(batch, "more"))
                rgb, known = _merged((fine.rgb, fine), (more.rgb, more))
                layer = Fine(torch.where(chosen, push_pull(rgb, known), layer.rgb),
                             torch.where(chosen, torch.ones_like(known), layer.known))  # fmt: skip
        if self.c.ablated > 0:
            draw = torch.rand(len(texture), 1, 1, 1).to(texture.device) / self.c.ablated
            generated, sampled = ~(draw < 0.5), ~((draw >= 0.5) & (draw < 1))
            texture = torch.cat([texture[:, GENERATED] * generated, texture[:, COLOURS] * sampled], 1)
            layer = layer and type(layer)(layer.rgb * sampled, layer.known * sampled)
        return texture, layer

    def drawn(self, batch: dict[str, Tensor]) -> Drawn | None:
        """Sampled colours of every pixel of the ``out_*`` view, with --windows."""
        return Drawn(*batch["out_seen"].split([3, 1], 1)) if "out_seen" in batch else None

    def fine(self, batch: dict[str, Tensor], way: str = "in") -> Partial | None:
        """Sampled colours at ``rgb_size``; None if that is the texture's size."""
        if self.c.rgb_size in (0, self.c.texture):
            return None
        rgb, mask, uv, body, facing = (batch[f"{way}_{k}"] for k in ("rgb", "mask", "uv", "sample_mask", "facing"))
        return sample(rgb, mask, uv, body, facing, self.c.rgb_size)

    def render(self, nets: Nets, textures: Textures, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """θ(R(T, M, C)) in the ``out_*`` views (eq. 3): RGB and alpha of every texture, [len(textures) * B, ...]."""
        uv, cover = (batch[n] for n in ("out_uv", "out_cover"))
        rasters = torch.cat([rasterize_texture(t, uv, batch["out_body_mask"], fine) for t, fine in textures])
        return nets["renderer"](rasters, *(x.repeat(len(textures), 1, 1, 1) for x in (uv, cover)))

    def rendered_textures(self, nets: Nets, texture: Tensor, fine: Fine | None) -> tuple[Textures, dict[str, Tensor]]:
        """The textures that this stage renders, and losses in texture space (§3.3)."""
        out, parts = [(texture, fine)] if self.direct else [], {}
        if self.restored:
            restored, parts["codebook"] = nets["vqgan"](texture)
            std = cast(VQGAN, network(nets["vqgan"])).std if self.c.texture_statistics else None
            parts["texture"] = texture_loss(restored, texture, std, self.c.losses.colours)
            out.append((restored, None))
        return out, parts

    # ---- Stage protocol --------------------------------------------------------------------------------------------

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        target = self.c.complete_with == "target"
        if self.looks is not None:
            return windows.pair(self.looks, rng, self.c.windows, self.c.complete, target)
        x = self.people.pair(rng, self.c.complete, target)
        if self.c.loop.precision == "no":
            return x
        # half the bytes from the workers to the device: a batch of 64 samples of 256² has 500 MB in float32
        return {k: a.astype(np.float16) if a.ndim == 3 else a for k, a in x.items()}

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        w, nets = self.c.losses, self.nets(state.device)
        batch = windows.floats(batch)
        with state.accelerator.autocast():  # for fixed networks, which accelerate has not prepared
            texture, fine = self.input_textures(nets, batch)
            textures, parts = self.rendered_textures(nets, texture, fine)
            rgb, alpha = self.render(nets, textures, batch)
        k = len(textures)
        truth, mask = batch["out_rgb"].repeat(k, 1, 1, 1), batch["out_mask"].repeat(k, 1, 1, 1)
        face = batch["out_face"].repeat(k, 1)
        colour = torch.rand(len(texture), 3, 1, 1)
        colour[torch.rand(len(texture)) >= self.c.backgrounds] = 1
        colour = colour.to(truth.device).repeat(k, 1, 1, 1)
        loss, terms = reconstruction(rgb, alpha, truth, mask, face, self.lpips, w, self.c.crop, colour)
        if "generator" in self.learns and w.scale:
            parts["scale"] = texture[:, GENERATED].float().square().mean().clamp(min=1e-8).log().square()
        for name, value in parts.items():
            terms[name], loss = value, loss + getattr(w, name) * value
        if "discriminator" not in self.modules:
            state.update("generator", loss)
            return {"loss": loss, **terms}
        fake = over(rgb.float(), alpha.float())
        discriminator = state.plain("discriminator")  # without its wrapper: no gradients, no exchange of them
        discriminator.requires_grad_(False)
        terms["adversarial"] = generator_loss(discriminator(fake))
        loss = loss + w.adversarial * terms["adversarial"]
        state.update("generator", loss)
        discriminator.requires_grad_(True)
        terms["discriminator"] = self._discriminator_step(batch, fake.detach(), state)
        return {"loss": loss, **terms}

    def _discriminator_step(self, batch: dict[str, Tensor], fake: Tensor, state: State) -> Tensor:
        """The discriminator's loss and update, with R1 every ``r1_every`` steps (lazy regularisation)."""
        w, discriminator = self.c.losses, self.modules["discriminator"]
        with_r1 = state.step % w.r1_every == 0
        real = batch["out_rgb"].detach().clone().requires_grad_(with_r1)  # on white, as the rendered pictures
        logits = discriminator(real)
        loss = total = discriminator_loss(logits, discriminator(fake))
        if with_r1:
            total = loss + w.r1 * w.r1_every * r1(logits, real)
        state.update("discriminator", total)
        return loss

    def show(self, averaged: Nets, state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Held-out people. Scalars: :func:`measures`; picture: input, rasterised colours, render, truth."""
        nets, rows, scores = self.nets(state.device, averaged), [], []
        for i in range(self.people.holdout):
            x = windows.held_out(self.looks, i) if self.looks else self.people.held_out(i)
            batch = windows.floats({k: torch.from_numpy(v)[None].to(state.device) for k, v in x.items()})
            texture, _ = self.texture(nets, batch)
            layer, fine = self.drawn(batch), self.fine(batch) if self.looks is None else None
            layer = (fine and Fine(fine.rgb, fine.fill)) or layer
            last = self.rendered_textures(nets, texture, layer)[0][-1:]
            rgb, alpha = self.render(nets, last, batch)
            body_mask = batch["out_body_mask"]
            colours = rasterize_texture(last[0][0], batch["out_uv"], body_mask, last[0][1])[:, SAMPLED]
            scores.append(measures(rgb, alpha, batch))
            rows.append(strip(batch["in_rgb"], over(colours, body_mask), over(rgb, alpha), batch["out_rgb"]))
        mean = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]} if scores else {}
        return mean, {"validation": np.concatenate(rows)} if rows else {}

    def export(self, averaged: Nets, folder: Path) -> None:
        """Write all networks, also those that were not trained here: the folder is complete for the next stage."""
        everything = {**self.others, **self.fixed, **self.modules, **averaged}
        rgb_size = 0 if self.c.rgb_size == self.c.texture else self.c.rgb_size  # 0: no fine layer
        save_networks(folder, {n: network(m) for n, m in everything.items()}, self.c.size,
                      atlas=self.people.body.atlas.hash, rgb_size=rgb_size, complete=self.c.complete > 0,
                      bags=self.people.bags, largest=round(windows.SCALES[1] * self.c.size) if self.looks else 0,
                      offsets=self.people.offsets)  # fmt: skip


def network(module: nn.Module) -> Network:
    """The network inside of accelerate's wrappers."""
    from accelerate.utils import extract_model_from_parallel

    inner = extract_model_from_parallel(module)
    assert isinstance(inner, Network)
    return inner


def _merged(*views: tuple[Tensor, Partial]) -> tuple[Tensor, Tensor]:
    """Eq. 5 of textures [B, C, S, S], and the union of their B_fill [B, 1, S, S]."""
    texture, _ = merge(torch.stack([t for t, _ in views]), torch.stack([p.lam * p.fill for _, p in views]))
    return texture, torch.stack([p.fill for _, p in views]).amax(0)


def measures(rgb: Tensor, alpha: Tensor, batch: dict[str, Tensor]) -> dict[str, float]:
    """PSNR over the union of both masks in dB, IoU of the masks, and IoU of the body's mask as a control."""
    truth, mask = batch["out_rgb"], batch["out_mask"]
    a, b, body_mask = alpha > 0.5, mask > 0.5, batch["out_body_mask"] > 0.5
    either = (a | b).float()
    error = ((over(rgb.float(), alpha.float()) - truth).square() * either).sum() / (3 * either.sum().clamp(min=1))
    iou = lambda p, q: float((p & q).sum() / (p | q).sum().clamp(min=1))  # noqa: E731
    return {"psnr": float(-10 * torch.log10(error.clamp(min=1e-8))), "iou": iou(a, b), "body_iou": iou(body_mask, b)}


def strip(*pictures: Tensor) -> np.ndarray:
    """The first picture of each batch [B, 3, H, W], side by side: [H, W', 3] uint8."""
    row = torch.cat([p[0].float().clamp(0, 1).cpu() for p in pictures], 2)
    return (row.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
