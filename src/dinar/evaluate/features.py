"""Metrics with networks: LPIPS, DISTS, KID, ReID.

Weights come from packages with a pinned hash (:mod:`dinar.assets`). No registry has the standard extractors of KID and
ReID, InceptionV3 with the weights of FID and FlipReID. Users give them as TorchScript files. Without these files, the
same formulas with ImageNet's VGG16 are computed under the names "KID-VGG16 (substitute)" and "ReID-VGG16 (substitute)";
their values are not comparable with published ones.

Pictures are [H, W, 3] float32 in [0, 1], sRGB. Objects load their weights once.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..assets import asset, cache_dir
from ..errors import DinarError
from ..files import replacing
from ..nets.perceptual import LPIPS

INCEPTION = (
    "InceptionV3 with the weights of FID as TorchScript (inception-2015-12-05.pt from "
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/)"
)
FLIPREID = "FlipReID as TorchScript, [1, 3, 384, 128] in [0, 1] -> [1, D], with its normalisation inside"
DISTS_SIDE = 256  # pixels of the shorter side (DISTS, §3.1)
VGG_SIDE = 256  # pixels of the longer side for the substitutes' features
REID_SIZE = (384, 128)  # rows and columns of FlipReID's input
CROP_MARGIN = 20  # the margin of a person's crop is the box's height divided by this


@cache
def backbone(net: Literal["vgg", "alex"], device: str) -> LPIPS:
    """ImageNet's VGG16 or AlexNet with LPIPS' heads, loaded once for all metrics."""
    return LPIPS(net).to(device)


def to_tensor(picture: np.ndarray, device: str = "cpu") -> Tensor:  # [H, W, 3] in [0, 1] -> [1, 3, H, W] float32
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise DinarError(f"expected a picture [H, W, 3] float in [0, 1], got {list(picture.shape)}")
    x = torch.from_numpy(np.ascontiguousarray(picture, np.float32))
    return x.permute(2, 0, 1)[None].to(device)


def reduced(x: Tensor, side: int, which: Callable[..., int] = min) -> Tensor:
    """[1, 3, H, W] reduced to ``side`` pixels of its shorter side (``which=max``: longer), bilinear with antialiasing.

    Smaller pictures are unchanged.
    """
    h, w = x.shape[2:]
    scale = side / which(h, w)
    if scale >= 1:
        return x
    return F.interpolate(x, size=(round(h * scale), round(w * scale)), mode="bilinear", antialias=True)


# ---- pairs of pictures ---------------------------------------------------------------------------------------------


class Lpips:
    """LPIPS 0.1 (Zhang et al. 2018) at the pictures' resolution. ``name`` contains the network."""

    def __init__(self, net: Literal["alex", "vgg"] = "alex", device: str = "cpu") -> None:
        self.name = {"alex": "LPIPS-AlexNet", "vgg": "LPIPS-VGG16"}[net]
        self.net, self.device = backbone(net, str(device)), str(device)

    @torch.inference_mode()
    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        return float(self.net(to_tensor(a, self.device), to_tensor(b, self.device)))


class Dists:
    """DISTS (Ding et al. 2020): structure and texture of RGB and of VGG16's features pooled by a Hanning window.

    The article reduces the shorter side to 256 pixels (§3.1), and α and β were learnt so. Some published values are of
    pictures at full resolution instead; ``short_side=None`` computes these.
    """

    name = "DISTS"

    def __init__(self, device: str = "cpu", short_side: int | None = DISTS_SIDE) -> None:
        self.net, self.device, self.short_side = backbone("vgg", str(device)), str(device), short_side
        # tensors only; the asset's hash is pinned
        weights = torch.load(io.BytesIO(asset("dists.pt")), map_location=device, weights_only=True)
        alpha, beta = (weights[k].flatten() for k in ("alpha", "beta"))
        total, channels = alpha.sum() + beta.sum(), (3, 64, 128, 256, 512, 512)
        self.alpha, self.beta = (alpha / total).split(channels), (beta / total).split(channels)
        window = torch.tensor([0.25, 0.5, 0.25], device=device)  # np.hanning(5) without its zeros, sum 1
        self.window = window[:, None] * window

    def features(self, picture: np.ndarray) -> list[Tensor]:
        """RGB and VGG16's relu1_2, 2_2, 3_3, 4_3, 5_3: [C, H, W] each, with L2 instead of maximum pooling."""
        x = to_tensor(picture, self.device)
        x = x if self.short_side is None else reduced(x, self.short_side)
        out, h, convs = [x[0]], (x * 2 - 1 - self.net.shift) / self.net.scale, iter(self.net.convs)
        for layer in self.net.layout:
            if layer == "pool":
                window = self.window.expand(h.shape[1], 1, 3, 3)
                h = (F.conv2d(h.square(), window, stride=2, padding=1, groups=h.shape[1]) + 1e-12).sqrt()
            elif layer == "tap":
                out.append(h[0])
            else:
                h = F.relu(next(convs)(h))
        return out

    @torch.inference_mode()
    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        similarity = 0.0
        for x, y, alpha, beta in zip(self.features(a), self.features(b), self.alpha, self.beta, strict=True):
            x, y = x.flatten(1), y.flatten(1)
            mx, my = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
            dx, dy = x - mx, y - my  # centred moments: the distance of a picture to itself is exactly 0
            texture = (2 * mx * my + 1e-6) / (mx.square() + my.square() + 1e-6)
            structure = (2 * (dx * dy).mean(1) + 1e-6) / (dx.square().mean(1) + dy.square().mean(1) + 1e-6)
            similarity += float((alpha * texture[:, 0]).sum() + (beta * structure).sum())
        return 1 - similarity


# ---- extractors: a picture -> a vector ------------------------------------------------------------------------------


class Extractor(Protocol):
    """A feature extractor. With a ``standard`` one the metric has its plain name; else the name contains ``name``."""

    name: str
    standard: bool

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray: ...  # -> [N, D] float64


class Vgg16Features:
    """The substitute: channel means of one of VGG16's five LPIPS layers, longer side reduced to VGG_SIDE."""

    name, standard = "VGG16", False

    def __init__(self, layer: int = 4, device: str = "cpu") -> None:
        self.net, self.device, self.layer = backbone("vgg", str(device)), str(device), layer

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        maps = (self.net.features(reduced(to_tensor(p, self.device), VGG_SIDE, max))[self.layer] for p in pictures)
        return np.stack([m[0].mean((1, 2)).double().cpu().numpy() for m in maps])


class InceptionFeatures:
    """The standard extractor of KID: 2,048 pooled features of FID's InceptionV3. The network resizes 8-bit pictures."""

    name, standard = "InceptionV3", True

    def __init__(self, file: str | Path, device: str = "cpu") -> None:
        self.device, (self.net, self.sha256) = str(device), _script(file, INCEPTION, str(device))

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        eight_bit = ((to_tensor(p, self.device) * 255).round().clamp(0, 255).byte() for p in pictures)
        return _vectors((self.net(x, return_features=True) for x in eight_bit), INCEPTION, 2048)


class FlipReidFeatures:
    """The standard extractor of ReID: the user's module, [1, 3, 384, 128] in [0, 1] -> [1, D]."""

    name, standard = "FlipReID", True

    def __init__(self, file: str | Path, device: str = "cpu") -> None:
        self.device, (self.net, self.sha256) = str(device), _script(file, FLIPREID, str(device))

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        resized = (F.interpolate(to_tensor(p, self.device), size=REID_SIZE, mode="bilinear", antialias=True)
                   for p in pictures)  # fmt: skip
        return _vectors((self.net(x) for x in resized), FLIPREID)


def _vectors(results: Iterable[Tensor], what: str, size: int | None = None) -> np.ndarray:
    out = []
    for y in results:
        if y.ndim != 2 or len(y) != 1 or size not in (None, y.shape[1]):
            raise DinarError(f"expected [1, {size or 'D'}] features from {what}, got {list(y.shape)}")
        out.append(y[0].double().cpu().numpy())
    return np.stack(out)


def _script(file: str | Path, what: str, device: str) -> tuple[torch.jit.ScriptModule, str]:
    """A TorchScript module from a path or an https address (cached), and its sha256.

    A TorchScript file is a program: use only files from sources that you trust.
    """
    path = Path(file)
    try:
        if str(file).startswith("https://"):
            path = cache_dir() / Path(urlsplit(str(file)).path).name
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as temp, urlopen(str(file), timeout=60) as source, temp.open("wb") as out:
                    shutil.copyfileobj(source, out)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return torch.jit.load(path, map_location=device).eval(), digest
    except (OSError, RuntimeError, ValueError) as e:
        raise DinarError(f"{file}: expected {what}; {' '.join(str(e).split())[:200]}") from e


# ---- measures over extractors ---------------------------------------------------------------------------------------


def mmd2(
    x: np.ndarray,  # [M, D] float, M >= 2
    y: np.ndarray,  # [N, D] float, N >= 2
) -> float:
    """Unbiased squared maximum mean discrepancy with k(x, y) = (x·y/D + 1)³ (Bińkowski et al. 2018); may be < 0."""
    if min(len(x), len(y)) < 2:
        raise DinarError(f"KID needs two pictures or more on both sides, got {len(x)} and {len(y)}")
    kernel = lambda p, q: (p @ q.T / p.shape[1] + 1) ** 3  # noqa: E731
    others = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))  # noqa: E731
    return float(others(kernel(x, x)) + others(kernel(y, y)) - 2 * kernel(x, y).mean())


class Kid:
    """KID of two sets of pictures: :func:`mmd2` of all of them, or its mean over random subsets (both unbiased)."""

    def __init__(self, extractor: Extractor, subset: int | None = None, subsets: int = 100, seed: int = 0) -> None:
        self.name = "KID" if extractor.standard else f"KID-{extractor.name} (substitute)"
        self.extractor, self.subset, self.subsets, self.seed = extractor, subset, subsets, seed

    def __call__(self, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
        if min(len(a), len(b)) < (self.subset or 2):
            raise DinarError(f"{self.name}: expected at least {self.subset or 2} pictures on both sides, "
                             f"got {len(a)} and {len(b)}")  # fmt: skip
        x, y = self.extractor(a), self.extractor(b)
        if self.subset is None:
            return mmd2(x, y)
        rng = np.random.default_rng(self.seed)
        draw = lambda z: z[rng.choice(len(z), self.subset, replace=False)]  # noqa: E731
        return float(np.mean([mmd2(draw(x), draw(y)) for _ in range(self.subsets)]))


class Reid:
    """Cosine distance of two pictures' embeddings, 0 to 2. A picture with a mask is cropped to the mask's box first."""

    def __init__(self, extractor: Extractor) -> None:
        self.name = "ReID" if extractor.standard else f"ReID-{extractor.name} (substitute)"
        self.extractor = extractor

    def __call__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        mask_a: np.ndarray | None = None,  # [H, W] bool, where the person is
        mask_b: np.ndarray | None = None,
    ) -> float:
        x, y = self.extractor([person_crop(a, mask_a), person_crop(b, mask_b)])
        return float(1 - x @ y / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-12))


def person_crop(picture: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The box of the mask with a margin of 1/CROP_MARGIN of its height; the whole picture without a mask."""
    if mask is None or not mask.any():
        return picture
    (y0, y1), (x0, x1) = ((i.min(), i.max() + 1) for i in np.nonzero(mask))
    m = round((y1 - y0) / CROP_MARGIN)
    return picture[max(y0 - m, 0) : y1 + m, max(x0 - m, 0) : x1 + m]
