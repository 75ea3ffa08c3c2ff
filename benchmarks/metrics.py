"""What one pixel or one per cent means: true pictures moved, rescaled, recoloured, blurred, scored by every metric.

python benchmarks/metrics.py --out out/metrics.json                 the demo photo and generated people
python benchmarks/metrics.py --photos DIR --pairs 4                 and people of the first photos of a folder

512², the person alone on white. Measures of pairs are means over the first ``--pairs`` pictures, KID is of all pictures
against their distorted copies. Milliseconds are CPU time of one thread for a pair.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from dinar.evaluate.features import backbone
from dinar.evaluate.metrics import METRICS, Measures
from dinar.files import replacing
from dinar.scene.crop import crop_box, warp_crop
from dinar.subject import read_subject
from dinar.synthetic.source import Synthetic

Picture = tuple[np.ndarray, np.ndarray]  # straight colour [H, W, 3] and alpha [H, W], float32 in [0, 1]
DEMO = Path(__file__).parents[1] / "src" / "dinar" / "data" / "demo.jpg"


def square(rgb: np.ndarray, alpha: np.ndarray, size: int) -> Picture:
    """The person as a square of ``size`` pixels, from [H, W, 3] uint8 and [H, W] float."""
    box = crop_box(alpha > 0.5, size)
    return (warp_crop(rgb.astype(np.float32) / 255, box, size, 1).clip(0, 1),
            warp_crop(alpha.astype(np.float32), box, size, 0).clip(0, 1))  # fmt: skip


def on_white(p: Picture) -> np.ndarray:
    return (p[0] * p[1][..., None] + 1 - p[1][..., None]).astype(np.float32)


def moved(p: Picture, shift: float = 0, scale: float = 1) -> Picture:
    """Shifted to the right by pixels, or scaled about the centre; cubic, so that half a pixel blurs little."""
    c = (p[1].shape[0] - 1) / 2
    A = np.array([[scale, 0, c - scale * c + shift], [0, scale, c - scale * c]])
    warp = lambda x, fill: cv2.warpAffine(x, A, x.shape[1::-1], flags=cv2.INTER_CUBIC, borderValue=fill)  # noqa: E731
    return warp(on_white(p), (1, 1, 1)).clip(0, 1), warp(p[1], 0).clip(0, 1)


def recoloured(p: Picture, how: Callable[[np.ndarray], np.ndarray]) -> Picture:
    return how(p[0]).clip(0, 1), p[1]


def turned(rgb: np.ndarray, degrees: float) -> np.ndarray:
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + degrees) % 360
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    eight_bit = (picture[..., ::-1] * 255).round().astype(np.uint8)
    coded = cv2.imencode(".jpg", eight_bit, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255


def distortions() -> dict[str, Callable[[Picture], tuple[np.ndarray, np.ndarray]]]:
    """Name -> what it makes of a picture: [H, W, 3] on white and its alpha."""
    table: dict[str, Callable[[Picture], tuple[np.ndarray, np.ndarray]]] = {"none": lambda p: (on_white(p), p[1])}
    for px in (0.5, 1, 2, 4):
        table[f"moved {px:g} px"] = lambda p, px=px: moved(p, shift=px)
    for percent in (1, -1, 2, -2, 5, -5):
        table[f"scaled {percent:+d} %"] = lambda p, s=1 + percent / 100: moved(p, scale=s)
    paint = lambda how: lambda p: (on_white(q := recoloured(p, how)), q[1])  # noqa: E731
    for percent in (1, -1, 2, -2, 5, -5):
        table[f"brighter {percent:+d} %"] = paint(lambda x, s=1 + percent / 100: x * s)
    for g in (0.9, 1.1):
        table[f"gamma {g}"] = paint(lambda x, g=g: x**g)
    for degrees in (2, 10):
        table[f"hue {degrees}°"] = paint(lambda x, d=degrees: turned(x, d))
    for sigma in (0.5, 1, 2):
        table[f"blurred, σ {sigma:g} px"] = lambda p, s=sigma: (cv2.GaussianBlur(on_white(p), (0, 0), s), p[1])
    for quality in (90, 50):
        table[f"jpeg {quality}"] = lambda p, q=quality: (jpeg(on_white(p), q), p[1])
    return table


def pictures(people: int, photos: Path | None, count: int, size: int) -> list[Picture]:
    """The demo photo's person, generated people from the front, and those of a folder's first photos."""
    out = []
    for path in (DEMO, *(sorted(photos.glob("*.jpg"))[:count] if photos else ())):
        subject = read_subject(path)
        out.append(square(subject.rgb, subject.alpha, size))
    source = Synthetic(seed=101, size=size, views_per_person=1)
    for i in range(people):
        v = source.views(i)
        out.append(square(v.rgb[0].numpy(), v.alpha[0].numpy() / 255, size))
    return out


def remember_truth(truths: list[np.ndarray]) -> None:
    """Let VGG16 and AlexNet keep the features of the true pictures, which are compared with every distorted copy."""
    digest = lambda x: hashlib.sha1(x.numpy().tobytes()).digest()  # noqa: E731
    known = {digest(torch.from_numpy(t).permute(2, 0, 1)[None]) for t in truths}
    for net in (backbone("vgg", "cpu"), backbone("alex", "cpu")):
        plain, kept = net.features, {}

        def features(x: Tensor, plain=plain, kept=kept) -> list[Tensor]:
            if (key := digest(x)) not in known:
                return plain(x)
            kept[key] = kept.get(key) or plain(x)
            return kept[key]

        net.features = features  # type: ignore[method-assign]


def milliseconds(m: Measures, a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """CPU time of the one metric of ``m`` for one pair of pictures."""
    is_set = METRICS[m.names[0]].scope == "set"
    start = time.process_time()
    _ = m.sets([a, b], [b, a]) if is_set else m.pair(a, b, mask, mask)
    return 1e3 * (time.process_time() - start) / (2 if is_set else 1)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--people", type=int, default=3, help="generated ones")
    p.add_argument("--photos", type=Path, help="a folder of jpg")
    p.add_argument("--count", type=int, default=4, help="of its photos")
    p.add_argument("--pairs", type=int, default=2, help="pictures that the measures of pairs see")
    p.add_argument("--metrics", nargs="+", default=[k for k, m in METRICS.items() if m.scope != "animation"])
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--inception", help="FID's InceptionV3, TorchScript: KID instead of its substitute")
    p.add_argument("--reid", help="FlipReID, TorchScript: ReID instead of its substitute")
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    files = {"inception": a.inception, "reid": a.reid}
    measures = Measures(a.metrics, **files)
    names = measures.names
    people = pictures(a.people, a.photos, a.count, a.size)
    truths = [on_white(q) for q in people]
    cost = {n: milliseconds(Measures([n], **files), truths[0], truths[-1], people[0][1] > 0.5) for n in names}
    remember_truth(truths)
    rows: dict[str, dict[str, float]] = {}
    print(f"| {len(people)} people, {a.pairs} in pairs, {a.size}² | {' | '.join(names)} |")
    print(f"|{' --- |' * (len(names) + 1)}")
    for label, distort in distortions().items():
        copies = [distort(q) for q in people]
        pairs = [measures.pair(c, t, alpha > 0.5, q[1] > 0.5)
                 for (c, alpha), t, q in zip(copies[: a.pairs], truths, people, strict=False)]  # fmt: skip
        rows[label] = {k: float(np.mean([r[k] for r in pairs])) for k in pairs[0]}
        rows[label] |= measures.sets([c for c, _ in copies], truths)
        print(f"| {label} | {' | '.join(number(rows[label][k], k) for k in names)} |", flush=True)
    print(f"| *CPU ms a pair* | {' | '.join(f'*{cost[k]:.0f}*' for k in names)} |")
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(a.out) as temp:
            finite = {r: {k: x if math.isfinite(x) else str(x) for k, x in v.items()} for r, v in rows.items()}
            temp.write_text(json.dumps({"size": a.size, "pairs": a.pairs, "people": len(people), "rows": finite,
                                        "cpu_ms": cost}, indent=1))  # fmt: skip


def number(x: float, metric: str) -> str:
    if not math.isfinite(x):
        return "∞"
    return f"{x:.1f}" if METRICS[metric].unit == "dB" else f"{round(x, 4) + 0.0:.4f}".replace("0.", ".", 1)


if __name__ == "__main__":
    main()
