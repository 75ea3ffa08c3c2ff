"""From fitted photos to a neural texture (§3.1, §3.3, §3.4): encode, merge, inpaint, refine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..body import Body
from ..device import current, half
from ..errors import DinarError
from ..fit.fit_file import Fit
from ..nets.channels import COLOURS, GENERATED, MASKS
from ..nets.denoiser import Denoiser
from ..nets.pretrained import Network
from ..nets.vqgan import VQGAN
from ..scene.crop import crop_box, warp_crop
from ..texture.texels import texels
from ..views import Params, Views
from .arrays import view_arrays
from .avatar import Neural
from .blend import blend
from .inpaint import inpaint
from .refine import Refinement, refine
from .texture import Fine, Partial, compose, merge, sample
from .weights import Networks, Unseen

FILLED = ("restoration", "regression")  # choices of ``unseen`` that complete the colours before the networks
MARGIN = 0.06  # border around the person in network inputs, as a share of the person's longer side


@dataclass(frozen=True)
class NeuralOptions:
    """The switches of table 2, and how unseen texels are filled."""

    neural: bool = True
    """With the neural renderer: use the generated texture channels. Does not select the renderer (--renderer)."""
    rgb: bool = True
    """With the neural renderer: use the texture colours sampled from the photo."""
    # What fills texels (texture pixels) that no photo shows. restoration: rules. regression: a network that predicts
    # them. Only with the neural renderer: diffusion (paper, §3.3), or nothing. None: restoration for the mesh, else the
    # choice stored with the weights.
    unseen: Unseen | None = None
    # With the neural renderer: optimise the texture so that its picture matches the photo, and match the colours of the
    # rest (paper, app. B). None: the choice stored with the weights.
    refine: bool | None = None
    # Weight of the adversarial loss in the refinement (paper: 0.01). It needs weights with a discriminator, as training
    # with --adversarial writes them. 0: without.
    refine_adversarial: float = 0.0
    seed: int = 0
    """Random seed of --unseen diffusion."""

    def resolved(self: O, networks: Networks | None) -> O:
        """With the networks' own choices where none is given; None: the mesh alone.

        Raises:
            DinarError: ``unseen`` needs networks that are not there.
        """
        if networks is None:
            if self.unseen in ("diffusion", "nothing"):
                raise DinarError(f"unseen {self.unseen} is a choice of the neural renderer: expected renderer neural, "
                                 "or unseen restoration or regression")  # fmt: skip
            return replace(self, unseen=self.unseen or "restoration", refine=False)
        if self.unseen == "diffusion" and not networks.diffusion:
            raise DinarError("unseen diffusion needs a VQGAN and a denoiser, which these weights lack: train the "
                             "stages compression and inpainting, or take unseen restoration")  # fmt: skip
        if self.refine_adversarial > 0 and "discriminator" not in networks.nets:
            raise DinarError("refine_adversarial needs a discriminator, which these weights lack: train with "
                             "--adversarial, or take 0")  # fmt: skip
        own = networks.unseen or ("diffusion" if networks.diffusion else "restoration")
        own = "restoration" if own == "diffusion" and not networks.diffusion else own
        refine = networks.refine if self.refine is None else self.refine
        return replace(self, unseen=self.unseen or own, refine=refine)


O = TypeVar("O", bound=NeuralOptions)


def make_neural(
    body: Body,
    networks: Networks,
    photos: Sequence[tuple[np.ndarray, np.ndarray]],  # rgb [H, W, 3] uint8, alpha [H, W] float32
    fits: Sequence[Fit],
    offsets: Tensor | None = None,  # [V, 3] metres at rest, from the body to the clothes
    fine: Fine | None = None,  # sampled colours at a higher resolution; complete if ``unseen`` is filled by rules
    options: NeuralOptions | None = None,
    occlusion: bool = True,  # leave out the outlines of limbs (§3.5)
    perceptual: nn.Module | None = None,  # LPIPS, for the refinement
    refinement: Refinement | None = None,  # None: that of the options
    steps: int | None = None,  # of the diffusion sampler; None: as many as it needs
    answer: np.ndarray | None = None,  # [n, n, 3] the regressor's colours, for a diffusion that starts from them
    progress: Callable[[str], None] = lambda _: None,
    lap: Callable[[str], None] = lambda _: None,  # told what has just been done, for a clock
) -> tuple[Neural, list[str]]:
    """The neural texture of a person, and the names of the parts that were used.

    Raises:
        DinarError: the generated channels do not fit into fp16.
    """
    o, nets, used = (options or NeuralOptions()).resolved(networks), networks.nets, []
    device = current()
    networks.to(device)
    fine = None if fine is None else fine.to(device)
    views = [as_views(body, *p, f, networks.size, offsets) for p, f in zip(photos, fits, strict=True)]
    arrays = [view_arrays(v, body, networks.size, occlusion=occlusion) for v in views]
    batches = [{k: torch.from_numpy(x).to(device) for k, x in a.items() if k != "front"} for a in arrays]
    with torch.no_grad(), half(device):
        made = [encode(nets, b, networks.texture) for b in batches]
    textures = torch.stack([t.float() for t, _ in made])
    lam = torch.stack([p.lam * p.fill for _, p in made])
    partial, lam = merge(textures, lam) if len(made) > 1 else (textures[0], lam[0])
    used.append("encoder")
    lap("encode")
    if not o.rgb:
        partial, fine = torch.cat([partial[:, GENERATED], torch.zeros_like(partial[:, COLOURS])], 1), None
    if not o.neural:
        partial = torch.cat([torch.zeros_like(partial[:, GENERATED]), partial[:, COLOURS]], 1)
    inside = torch.from_numpy(texels(body.atlas, networks.texture).inside).to(device)
    mix: Callable[[Tensor, Tensor], Tensor] = lambda _, part: part  # noqa: E731
    whole, restored = partial, None
    told = networks.complete or networks.rgb_size == 0  # in training complete textures had both masks, or nothing finer
    if o.unseen in FILLED and fine is not None and told:
        whole = partial = blend(with_colours(partial, fine), partial)
    elif o.unseen == "diffusion":
        progress("inpainting unseen texels")
        start = None if answer is None else torch.from_numpy(answer).permute(2, 0, 1)[None].to(device)
        if start is not None and start.shape[-1] != networks.texture:
            start = F.interpolate(start, size=(networks.texture, networks.texture), mode="bilinear", antialias=True)
        whole, restored = inpaint(cast(VQGAN, nets["vqgan"]), cast(Denoiser, nets["denoiser"]), partial, (o.seed,),
                                  inside, steps=steps, start=start)  # fmt: skip
        mix = lambda res, part: blend(res, part, inside)  # noqa: E731
        used.append("diffusion")
        lap("inpaint")
    if o.refine and o.rgb:
        progress("refining the colours")
        b = batches[0]
        whole, fine, _ = refine(nets["renderer"], partial, restored, mix, lam, b["uv"], b["body_mask"], b["cover"],
                                b["rgb"], b["mask"], perceptual, nets.get("discriminator"), fine,
                                refinement or Refinement(adversarial=o.refine_adversarial))  # fmt: skip
        used.append("refinement" if perceptual is not None else "refinement without LPIPS")
        lap("refine")
    largest = float(whole.abs().max())
    if largest > torch.finfo(torch.float16).max:
        raise DinarError(f"expected generated channels that fit into fp16, got values up to {largest:.0f}: the "
                         "generator diverged; train it again with a larger losses.scale")  # fmt: skip
    if fine is not None:  # 8 bits, as in the avatar file, so that a loaded avatar equals the one that was made
        fine = Fine((fine.rgb * 255).round() / 255, fine.known)
    rgb_size = networks.size if networks.rgb_size is None else networks.rgb_size
    neural = Neural(whole.half().float(), fine, nets["renderer"], networks.size, rgb_size, networks.largest)
    return neural, [*used, "renderer"]


def with_colours(texture: Tensor, fine: Fine) -> Tensor:  # [B, 21, S, S]
    """The texture with the fine layer's colours, averaged down to its size, in place of its own."""
    r = fine.rgb.shape[-1] // texture.shape[-1]
    known = F.avg_pool2d(fine.known, r) if r > 1 else fine.known
    rgb = F.avg_pool2d(fine.rgb * fine.known, r) / known.clamp(min=1e-3) if r > 1 else fine.rgb
    return torch.cat([texture[:, GENERATED], rgb.to(texture).expand(len(texture), -1, -1, -1), texture[:, MASKS]], 1)


def encode(
    nets: dict[str, nn.Module] | dict[str, Network],
    view: dict[str, Tensor],  # tensors of :func:`.arrays.view_arrays`
    size: int,  # texels a side
    noise: Tensor | None = None,  # [B, 1, n, n] for the encoder; None: zeros
) -> tuple[Tensor, Partial]:
    """T^j = T_gen ⊕ T_rgb ⊕ B_smp ⊕ B_fill [B, 21, S, S] of single views (eq. 2)."""
    generated = nets["generator"](nets["encoder"](view["rgb"], view["mask"], noise))
    part = sample(view["rgb"], view["mask"], view["uv"], view["sample_mask"], view["facing"], size)
    return compose(generated, part), part


def as_views(body: Body, rgb: np.ndarray, alpha: np.ndarray, fit: Fit, size: int, offsets: Tensor | None = None
             ) -> Views:  # fmt: skip
    """A photo and its fit as views with the same crop as in training: the square around the person, ``size`` pixels.

    ``rgb`` is [H, W, 3] uint8, ``alpha`` [H, W] float32 in [0, 1], ``offsets`` [V, 3] metres.
    """
    box = crop_box(alpha > 0.5, size, MARGIN)
    camera = fit.camera.crop(*box, size, size)
    picture = warp_crop(rgb.astype(np.float32), box, size, 255.0)
    mask = warp_crop(alpha.astype(np.float32), box, size, 0.0)
    to8 = lambda x: torch.from_numpy(np.rint(x).clip(0, 255).astype(np.uint8))[None]  # noqa: E731
    return Views(to8(picture), to8(mask * 255), camera.K[None], camera.T_cam_world[None],
                 Params(fit.betas, fit.pose[None], fit.transl[None], offsets=offsets),
                 body=body.name).check()  # fmt: skip
