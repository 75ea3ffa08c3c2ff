"""The learned half of an avatar (§3.1, §3.3, §3.4): from fitted photos to a neural texture, and from that to pictures.

    encode and sample -> merge views (eq. 5) -> restore (§3.3, eq. 6) -> refine (app. B) -> Neural
    Neural, posed body, camera -> rasterise -> θ -> picture and mask
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .body import Body
from .data.arrays import view_arrays
from .data.views import Params, Views
from .errors import DinarError
from .files import replacing
from .fit.smplify import Fit
from .inpaint import blend, inpaint
from .nets.denoiser import Denoiser
from .nets.presets import NAMES, PRESETS
from .nets.pretrained import Network
from .nets.renderer import FastRenderer, PaperRenderer, folded, load_renderer, push_pull
from .nets.vqgan import VQGAN
from .scene import Camera, coverage, interpolate, rasterize
from .texture.neural import GENERATED, SAMPLED, Fine, Partial, colours, compose, merge, rasterise, sample
from .texture.refine import Refinement, refine
from .texture.texels import texels

Unseen = Literal["diffusion", "classical", "nothing"]
"""What fills the colours that no photo shows: §3.3; texture.restore; or nothing, and the renderer makes what it can."""

MARGIN = 0.06  # empty border around the person in what the networks see, a share of the person's longer side
HAZE = 0.02  # alpha that a sigmoid never quite loses: without, pictures stand in a faint grey square
# Change of alpha, smoothed over a pixel of the network's, from which on the outline is the network's and no longer the
# mesh's: at .3 six photos had PSNR 24.84, LPIPS .0475, IoU .950, without 24.76, .0502, .947 (benchmarks/learned.py).
MOVED = 0.3
FILE = "avatar.json"  # beside the networks of a weights folder


# ---- weights -------------------------------------------------------------------------------------------------------


@dataclass
class Networks:
    """The networks of a weights folder, and what they were trained for."""

    nets: dict[str, Network]
    size: int  # pixels a side of the pictures
    default: bool = False  # they are better than the classical avatar, so `create` uses them unasked
    unseen: Unseen = "diffusion"  # what does better with them
    refine: bool = False  # likewise; with all weights so far it left stains (docs/training.md)
    atlas: str = ""  # hash of the atlas of the body they were trained with; empty: not said

    @property
    def texture(self) -> int:
        """Texels a side."""
        return int(self.nets["generator"].config["size"])

    def to(self, device: torch.device | str) -> Networks:
        for net in self.nets.values():
            net.to(device)
        return self


def save_networks(folder: Path, nets: dict[str, Network], size: int, **more: Any) -> None:
    """One folder that holds all that the next stage and ``create`` need."""
    for name, net in nets.items():
        net.save_pretrained(folder / name)
    with replacing(folder / FILE) as temp:
        temp.write_text(json.dumps({"size": size, **more}, indent=1, sort_keys=True))


def load_networks(folder: Path, only: Sequence[str] = NAMES) -> Networks:
    """What is there of ``only``, by name, in eval mode on the CPU."""
    out: dict[str, Network] = {}
    for name in NAMES:
        if name in only and (folder / name / "config.json").is_file():
            kind = PRESETS["paper"][name][0]
            out[name] = load_renderer(folder / name) if name == "renderer" else kind.from_pretrained(folder / name)
    if not out:
        raise DinarError(f"{folder}: expected the weights folder of a training run ({', '.join(NAMES)}), found none")
    try:
        about = json.loads((folder / FILE).read_text())
        unseen = about.get("unseen", "diffusion")
        if unseen not in get_args(Unseen):
            raise ValueError(f"unseen: {unseen}")
        return Networks(out, int(about["size"]), bool(about.get("default", False)), unseen,
                        bool(about.get("refine", False)), str(about.get("atlas", "")))  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DinarError(f"{folder}: expected {FILE} with the size of the pictures ({e}); train again") from e


def shipped() -> Path | None:
    """Weights in the package: the largest preset that is there."""
    for name in ("paper", "base", "nano"):
        folder = Path(str(resources.files("dinar") / "weights" / name))
        if (folder / FILE).is_file():
            return folder
    return None


def open_networks(folder: Path | None, wanted: bool | None, atlas: str = "") -> Networks | None:
    """For ``create``: of a folder, or those in the package; None: make a classical avatar.

    Args:
        wanted: True: they have to be there; None: only where they say that they are better; False: never.
        atlas: hash of the body's; networks that were trained with another are of no use.
    """
    if wanted is False:
        return None
    if folder is None and (folder := shipped()) is None:
        if wanted:
            raise DinarError("this dinar ships no weights for learned avatars: train them (make nano, docs/training.md)"
                             " and give the folder with --weights")  # fmt: skip
        return None
    found = load_networks(folder, [n for n in NAMES if n != "discriminator"])
    if missing := [n for n in ("encoder", "generator", "renderer") if n not in found.nets]:
        raise DinarError(f"{folder}: expected an encoder, a generator and a renderer; {', '.join(missing)} missing")
    if atlas and found.atlas not in ("", atlas):
        if wanted:
            raise DinarError(f"{folder}: these networks were trained with another body, whose texture is laid out in "
                             "another way: train them with this one, or create without --learned")  # fmt: skip
        return None
    return found if wanted or found.default else None


def digest(net: nn.Module) -> str:
    """16 hex digits that tell weights apart, as they are on disk."""
    h = hashlib.sha256()
    for k, v in sorted(net.state_dict().items()):
        if not k.endswith("num_batches_tracked"):
            h.update(k.encode() + v.detach().half().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()[:16]


# ---- making --------------------------------------------------------------------------------------------------------


@dataclass
class Options:
    """The switches of table 2, and what to do about the rest."""

    neural: bool = True  # the 16 generated channels; off: zeros
    rgb: bool = True  # the colours sampled from the photo; off: zeros
    inpaint: bool = True  # diffusion, where it is trained; off: holes stay
    refine: bool = True  # app. B
    seed: int = 0  # of the diffusion: another seed, another back
    steps: int | None = None  # of the sampler
    refinement: Refinement = field(default_factory=lambda: Refinement(adversarial=0.0))


@dataclass
class Neural:
    """A neural texture and the renderer it was made for."""

    texture: Tensor  # [1, 21, S, S] float32, complete (eq. 6)
    fine: Fine | None  # the photo's colours at a higher resolution than S
    renderer: Network
    size: int  # pixels a side of the pictures that the renderer knows

    @cached_property
    def ready(self) -> nn.Module:
        """The renderer with its batch norms folded, in the layout that is fast."""
        return folded(self.renderer).to(memory_format=torch.channels_last)  # type: ignore[arg-type,call-overload]

    @cached_property
    def coarse(self) -> Fine | None:
        """``fine`` with about as many texels as the network's pictures have pixels: of more it sees single ones."""
        r = 1 if self.fine is None else self.fine.rgb.shape[-1] // self.size
        if self.fine is None or r < 2:
            return self.fine
        known = F.avg_pool2d(self.fine.known, r)
        return Fine(F.avg_pool2d(self.fine.rgb * self.fine.known, r) / known.clamp(min=1e-3), known)


def make_neural(
    body: Body,
    networks: Networks,
    photos: Sequence[tuple[np.ndarray, np.ndarray]],  # rgb [H, W, 3] uint8, alpha [H, W] float32
    fits: Sequence[Fit],
    offsets: Tensor | None = None,  # [V, 3] metres at rest, to the clothes
    fine: Fine | None = None,
    options: Options | None = None,
    perceptual: nn.Module | None = None,  # LPIPS, for the refinement
    progress: Callable[[str], None] = lambda _: None,
    lap: Callable[[str], None] = lambda _: None,  # told what has just been done, for a clock
) -> tuple[Neural, list[str]]:
    """The neural texture of a person, and the names of the parts that were used."""
    o, nets, used = options or Options(), networks.nets, []
    device = next(nets["renderer"].parameters()).device
    views = [as_views(body, *p, f, networks.size, offsets) for p, f in zip(photos, fits, strict=True)]
    batches = [{k: torch.from_numpy(x).to(device) for k, x in view_arrays(v, body, networks.size).items()
                if k != "front"} for v in views]  # fmt: skip
    with torch.no_grad():
        made = [encode(nets, b, networks.texture) for b in batches]
    textures = torch.stack([t for t, _ in made])
    lam = torch.stack([p.lam * p.fill for _, p in made])
    partial, lam = merge(textures, lam) if len(made) > 1 else (textures[0], lam[0])
    used.append("encoder")
    lap("encode")
    if not o.rgb:
        partial, fine = torch.cat([partial[:, GENERATED], torch.zeros_like(partial[:, 16:])], 1), None
    if not o.neural:
        partial = torch.cat([torch.zeros_like(partial[:, GENERATED]), partial[:, 16:]], 1)
    inside = torch.from_numpy(texels(body.atlas, networks.texture).inside).to(device)
    mix: Callable[[Tensor, Tensor], Tensor] = lambda _, part: part  # noqa: E731
    restored = whole = partial
    if o.inpaint and "denoiser" in nets and "vqgan" in nets:
        progress("imagining what the photo does not show")
        whole, restored = inpaint(cast(VQGAN, nets["vqgan"]), cast(Denoiser, nets["denoiser"]), partial, (o.seed,),
                                  inside, steps=o.steps)  # fmt: skip
        mix = lambda res, part: blend(res, part, inside)  # noqa: E731
        used.append("diffusion")
        lap("inpaint")
    if o.refine and o.rgb:
        progress("refining the colours")
        b = batches[0]
        whole, fine, _ = refine(nets["renderer"], partial, restored, mix, lam, b["uv"], b["drawn"], b["cover"],
                                b["rgb"], b["mask"], perceptual, None, fine, o.refinement)  # fmt: skip
        used.append("refinement" if perceptual is not None else "refinement without LPIPS")
        lap("refine")
    most = float(whole.abs().max())
    if most > torch.finfo(torch.float16).max:
        raise DinarError(f"expected generated channels that fit into fp16, got up to {most:.0f}: the generator of "
                         "these weights has run away; train it again (losses.scale in train/presets.py)")  # fmt: skip
    if fine is not None:  # as the file keeps them, so that a saved avatar looks like the one that was made
        fine = Fine((fine.rgb * 255).round() / 255, fine.known)
    return Neural(whole.half().float(), fine, nets["renderer"], networks.size), [*used, "renderer"]


def encode(
    nets: dict[str, nn.Module] | dict[str, Network],
    view: dict[str, Tensor],  # arrays of data.arrays.view_arrays
    size: int,  # texels a side
    noise: Tensor | None = None,  # [B, 1, n, n] for the encoder; None: zeros
) -> tuple[Tensor, Partial]:
    """T^j = T_gen ⊕ T_rgb ⊕ B_smp ⊕ B_fill [B, 21, S, S] of single views (eq. 2)."""
    generated = nets["generator"](nets["encoder"](view["rgb"], view["mask"], noise))
    part = sample(view["rgb"], view["mask"], view["uv"], view["body"], view["facing"], size)
    return compose(generated, part), part


def as_views(body: Body, rgb: np.ndarray, alpha: np.ndarray, fit: Fit, size: int, offsets: Tensor | None = None
             ) -> Views:  # fmt: skip
    """A photo and its fit as training sees people: the square around the person, at the networks' size."""
    from .fit.offsets import crop_box, warp_crop

    box = crop_box(alpha > 0.5, size, MARGIN)
    camera = fit.camera.crop(*box, size, size)
    picture = warp_crop(rgb.astype(np.float32), box, size, 255.0)
    mask = warp_crop(alpha.astype(np.float32), box, size, 0.0)
    to8 = lambda x: torch.from_numpy(np.rint(x).clip(0, 255).astype(np.uint8))[None]  # noqa: E731
    return Views(to8(picture), to8(mask * 255), camera.K[None], camera.T_cam_world[None],
                 Params(fit.betas, fit.pose[None], fit.transl[None], offsets=offsets),
                 body=body.name).check()  # fmt: skip


def fine_layer(rgb: np.ndarray, seen: np.ndarray) -> Fine:  # [n, n, 3] float32 in [0, 1], [n, n] λ, 0: not seen
    """The sampled colours at the photo's own resolution (``rgb_size``)."""
    known = torch.from_numpy((seen > 0).astype(np.float32))[None, None]
    return Fine(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() * known, known)


# ---- drawing -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def draw(
    neural: Neural,
    body: Body,
    vertices: Tensor,  # [V, 3] world, of the dressed body
    camera: Camera,
) -> np.ndarray:
    """[H, W, 4] float32 in [0, 1], straight alpha.

    The renderer sees the square around the body at the size it knows, and its picture is put in its place in the
    camera's. Where that is larger, the fast layout's own colours, gate and alpha are enlarged, but the photo's colours
    are rasterised at the camera's resolution, and so is the body's outline where the network has not moved it: a
    picture is as sharp as the photo, whatever the network's size.
    """
    picture = np.zeros((camera.height, camera.width, 4), np.float32)
    xy, depth = camera.project(vertices)
    front = xy[depth > 0]
    if not len(front):
        return picture
    low, high = front.amin(0), front.amax(0)
    reach = float((high - low).max()) * 2 * MARGIN  # of clothes and hair beyond the body
    left, top = (low - reach).clamp(min=0).int().tolist()
    right, bottom = (high + reach + 1).minimum(xy.new_tensor([camera.width, camera.height])).int().tolist()
    h, w = bottom - top, right - left
    if h <= 0 or w <= 0:
        return picture
    side = float((high - low).max()) + 2 * reach
    x0, y0 = ((low + high) / 2 - side / 2).tolist()
    n = neural.size
    k = n / side
    square = _Raster(neural, body, vertices, camera.crop(x0, y0, k, n, n))
    inputs = rasterise(neural.texture, square.uv, square.on, neural.coarse), square.uv, square.cover()
    A = np.array([[1 / k, 0, x0 - left + 0.5 / k - 0.5], [0, 1 / k, y0 - top + 0.5 / k - 0.5]])

    def place(*layers: Tensor) -> np.ndarray:  # [1, c, n, n] -> [h, w, all channels]
        image = torch.cat(layers, 1)[0].float().permute(1, 2, 0).cpu().numpy()
        flags = cv2.INTER_CUBIC if k < 1 else cv2.INTER_LINEAR
        parts = [cv2.warpAffine(image[..., i : i + 4], A, (w, h), flags=flags) for i in range(0, image.shape[-1], 4)]
        return np.concatenate([p if p.ndim == 3 else p[..., None] for p in parts], -1).clip(0, 1)

    renderer = neural.ready
    if k >= 1 or not isinstance(renderer, FastRenderer):
        rgb, alpha = renderer(*inputs)
        out = place(rgb * alpha, alpha)
        colour, alpha = out[..., :3] / out[..., 3:].clip(1e-3), _clear(out[..., 3:])
    else:
        own, alpha, gate, _ = renderer.layers(*inputs)
        moved = _smooth((_smooth(alpha - inputs[2]).abs() / MOVED).clamp(max=1))
        weight = (alpha + HAZE) / (1 + HAZE)  # of colours: where alpha is 0, they still are something
        out = place(own * weight, weight, gate * weight, alpha, moved)
        own, gate = out[..., :3] / out[..., 3:4].clip(1e-3), (out[..., 4:5] / out[..., 3:4].clip(1e-3)).clip(0, 1)
        tall, wide = (-(-x // 64) * 64 for x in (h, w))  # so that push-pull has levels enough
        sharp = _Raster(neural, body, vertices, camera.crop(left, top, 2, 2 * tall, 2 * wide))  # four samples a pixel
        rgb, _, known = colours(neural.texture, sharp.uv, sharp.on, neural.fine).split([3, 1, 1], 1)
        rgb, known, outline = (F.avg_pool2d(x, 2) for x in (rgb * known, known, sharp.on))
        seen = (known > 0.05).to(rgb.dtype)
        filled = push_pull(rgb / known.clamp(min=0.05), seen)[0, :, :h, :w].permute(1, 2, 0).cpu().numpy()
        colour = gate * filled + (1 - gate) * own
        outline = outline[0, 0, :h, :w, None].cpu().numpy()
        alpha = out[..., 6:] * _clear(out[..., 5:6]) + (1 - out[..., 6:]) * outline
    picture[top:bottom, left:right] = np.concatenate([colour.clip(0, 1), alpha], -1)
    return picture


def _clear(alpha: np.ndarray) -> np.ndarray:
    return ((alpha - HAZE) / (1 - 2 * HAZE)).clip(0, 1)


def _smooth(x: Tensor) -> Tensor:  # [1, 1, n, n]
    return torch.from_numpy(cv2.GaussianBlur(x[0, 0].float().cpu().numpy(), (0, 0), 1.0))[None, None].to(x.device)


class _Raster:
    """UV [1, 2, H, W] and where the body is, ``on`` [1, 1, H, W] {0, 1}."""

    def __init__(self, neural: Neural, body: Body, vertices: Tensor, camera: Camera) -> None:
        xy, depth = camera.project(vertices)
        self.mesh = (xy[None], depth[None], body.faces, camera.height, camera.width)
        self.device = neural.texture.device
        f = rasterize(*self.mesh)
        uv = interpolate(f, torch.from_numpy(body.atlas.uv), body.atlas.faces)
        self.uv, self.on = uv.permute(0, 3, 1, 2).to(self.device), f.mask[:, None].float().to(self.device)

    def cover(self) -> Tensor:
        """[1, 1, H, W], its share of each pixel."""
        return coverage(*self.mesh)[:, None].to(self.device)


# ---- in a file -----------------------------------------------------------------------------------------------------


def to_tensors(neural: Neural, rgb: Tensor) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """For the avatar's file: tensors, and what its header says. The renderer goes along, unless it is a shipped one,
    and the finer colours, unless they are the avatar's own, ``rgb`` [n, n, 3] uint8."""
    out, same = {"neural.texture": neural.texture[0].half()}, False
    if neural.fine is not None:
        fine, known = ((x[0] * 255).round().to(torch.uint8) for x in (neural.fine.rgb, neural.fine.known))
        same = bool((known == 255).all()) and torch.equal(fine.permute(1, 2, 0).cpu(), rgb)
        out |= {} if same else {"neural.fine": fine, "neural.known": known}
    name, weights = type(neural.renderer).__name__, digest(neural.renderer)
    home = shipped()
    ours = home is not None and digest(load_renderer(home / "renderer")) == weights
    if not ours:
        out |= {f"renderer.{k}": v.half() if v.is_floating_point() else v
                for k, v in neural.renderer.state_dict().items() if not k.endswith("num_batches_tracked")}  # fmt: skip
    about = {"size": neural.size, "renderer": {"network": name, **neural.renderer.config}, "weights": weights,
             "embedded": not ours, "colours": same}  # fmt: skip
    return out, about


def from_tensors(t: dict[str, Tensor], about: dict[str, Any], path: Path) -> Neural:
    """The other way; a renderer that is neither in the file nor in this package is refused."""
    try:
        config = dict(about["renderer"])
        kind = {c.__name__: c for c in (FastRenderer, PaperRenderer)}[config.pop("network")]
        if about["embedded"]:
            renderer: Network = kind(**config)
            found = {k[len("renderer."):]: v.float() for k, v in t.items() if k.startswith("renderer.")}
            missing, unknown = renderer.load_state_dict(found, strict=False)
            if unknown or any(not k.endswith("num_batches_tracked") for k in missing):
                raise KeyError("weights of the renderer")
            renderer.eval()
        else:
            home = shipped()
            loaded = load_renderer(home / "renderer") if home else None
            if loaded is None or digest(loaded) != about["weights"]:
                raise DinarError(f"{path} was made with renderer {about['weights']}, which this dinar does not ship: "
                                 "make it again with `dinar create`")  # fmt: skip
            renderer = loaded
        texture = t["neural.texture"][None].float()
        fine = None
        if about.get("colours"):
            fine = fine_layer(t["rgb"].numpy() / np.float32(255), np.ones(t["rgb"].shape[:2], np.float32))
        elif "neural.fine" in t:
            fine = Fine(t["neural.fine"][None].float() / 255, t["neural.known"][None].float() / 255)
        if texture.shape[1] != SAMPLED.stop + 2 or not torch.isfinite(texture).all():
            raise KeyError("neural.texture")
        return Neural(texture, fine, renderer, int(about["size"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        raise DinarError(f"{path} is damaged: its neural texture or renderer cannot be read ({e})") from e
