"""Every metric: identities, orderings, and an independent computation or a stored reference value."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from dinar.errors import DinarError
from dinar.evaluate import iou, ms_ssim, psnr
from dinar.evaluate.animation import body_motion, flicker, warp_error
from dinar.evaluate.features import (
    Dists,
    InceptionFeatures,
    Kid,
    Lpips,
    Reid,
    Vgg16Features,
    mmd2,
    person_crop,
    reduced,
)
from dinar.evaluate.metrics import FACE, METRICS, MS_SSIM_WEIGHTS, Measures, interval
from dinar.scene import look_at


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.random((24, 24, 3)), (256, 256), interpolation=cv2.INTER_CUBIC).clip(0, 1)


@pytest.fixture(scope="module")
def weights() -> None:
    from dinar.assets import asset

    try:
        for name in ("lpips-vgg16.ckpt", "lpips-alexnet.ckpt", "dists.pt"):
            asset(name)
    except DinarError as e:
        pytest.skip(f"the metrics' weights cannot be fetched here: {e}")


# ---- plain numbers -------------------------------------------------------------------------------------------------


def test_identity(picture: np.ndarray) -> None:
    assert psnr(picture, picture) == float("inf")
    assert ms_ssim(picture, picture) == pytest.approx(1)


def test_psnr_of_a_known_error(picture: np.ndarray) -> None:
    assert psnr(np.zeros((8, 8, 3)), np.full((8, 8, 3), 0.1)) == pytest.approx(20)


def test_more_blur_is_worse(picture: np.ndarray) -> None:
    blurred = [cv2.GaussianBlur(picture, (0, 0), s) for s in (1, 2, 4, 8)]
    for metric in (psnr, ms_ssim):
        values = [metric(picture, b) for b in blurred]
        assert values == sorted(values, reverse=True)


def test_ssim_against_direct_windows(picture: np.ndarray) -> None:
    """One scale of the definition, computed window by window."""
    from dinar.evaluate.metrics import _ssim

    x, y = picture[:24, :24], cv2.GaussianBlur(picture, (0, 0), 2)[:24, :24]
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(g, g) / g.sum() ** 2
    out = []
    for i in range(14):
        for j in range(14):
            p, q = x[i : i + 11, j : j + 11, 0], y[i : i + 11, j : j + 11, 0]
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq, c = (w * p * p).sum() - mp**2, (w * q * q).sum() - mq**2, (w * p * q).sum() - mp * mq
            out.append((2 * mp * mq + 1e-4) * (2 * c + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    assert _ssim(x, y)[0][0] == pytest.approx(np.mean(out), abs=1e-9)


def test_ms_ssim_against_scipy(picture: np.ndarray) -> None:
    """All five scales once more: scipy's convolutions, a 2x2 mean by slices, one channel after the other."""
    x, y = picture[:181, :200], cv2.GaussianBlur(picture, (0, 0), 2)[:181, :200] * 0.9  # odd sides at some scales
    g = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    blur = lambda z: ndimage.convolve1d(ndimage.convolve1d(z, g / g.sum(), 0), g / g.sum(), 1)[5:-5, 5:-5]  # noqa: E731
    scores = []
    for p, q in zip(np.moveaxis(x, 2, 0), np.moveaxis(y, 2, 0), strict=True):
        score = 1.0
        for k, weight in enumerate(MS_SSIM_WEIGHTS):
            mp, mq = blur(p), blur(q)
            vp, vq, c = blur(p**2) - mp**2, blur(q**2) - mq**2, blur(p * q) - mp * mq
            value = (2 * c + 9e-4) / (vp + vq + 9e-4)
            score *= (value * ((2 * mp * mq + 1e-4) / (mp**2 + mq**2 + 1e-4) if k == 4 else 1)).mean() ** weight
            h, w = p.shape[0] // 2 * 2, p.shape[1] // 2 * 2
            p, q = (sum(z[i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)) / 4 for z in (p, q))
        scores.append(score)
    assert ms_ssim(x, y) == pytest.approx(np.mean(scores), abs=1e-9) and ms_ssim(x, y) < 0.99
    with pytest.raises(DinarError, match="176"):
        ms_ssim(x[:170], y[:170])


def test_iou() -> None:
    a, b = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert iou(a, b) == pytest.approx(1 / 3) and iou(a & b & ~a, a & ~a) == 1.0


def test_interval_of_the_mean() -> None:
    """It agrees with the normal approximation for many values, widens for few, and needs two."""
    x = np.random.default_rng(1).normal(3, 2, 400)
    low, high = interval(x)
    assert (low, high) == pytest.approx((x.mean() - 1.96 * x.std() / 20, x.mean() + 1.96 * x.std() / 20), abs=0.03)
    assert interval(x) == interval(x) != interval(x, seed=1)
    few = interval(x[:20])
    assert few[1] - few[0] > 2 * (high - low) and np.isnan(interval([1.0])).all()


# ---- networks ------------------------------------------------------------------------------------------------------


def waves() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fixture of test_nets.py's stored LPIPS values: sharp, blurred by a 5x5 mean, darker. [64, 64, 3]."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 64
    board = ((x * 8).astype(int) + (y * 8).astype(int)) % 2
    sharp = np.stack([0.5 + 0.5 * np.sin(9 * x + 4 * y), np.hypot(x - 0.5, y - 0.5), board], -1).clip(0, 1)
    sharp = sharp.astype(np.float32)
    return sharp, cv2.blur(sharp, (5, 5), borderType=cv2.BORDER_CONSTANT), sharp * 0.8


# The three come from the authors' own code (dists-pytorch 0.1, DISTS_pt.py with its weights.pt, torchvision replaced by
# the same VGG16 weights) on the same pictures; on a photo of 300 x 280 pixels ours and theirs agree to 2e-5.
DISTS_REFERENCE = (0.270813, 0.045451)


def test_dists_equals_the_authors_code(weights: None) -> None:
    net, (sharp, soft, dark) = Dists(short_side=None), waves()
    assert [net(sharp, x) for x in (soft, dark)] == pytest.approx(DISTS_REFERENCE, abs=2e-6)
    assert [net(x, sharp) for x in (soft, dark)] == pytest.approx(DISTS_REFERENCE, abs=2e-6)  # symmetric
    assert Dists()(sharp, soft) == net(sharp, soft)  # never enlarged


def test_reduced_is_pillows_resize() -> None:
    from PIL import Image

    x = np.random.default_rng(2).random((60, 41, 3)).astype(np.float32)
    ours = reduced(torch.from_numpy(x).permute(2, 0, 1)[None], 20)[0]
    theirs = [Image.fromarray(x[..., c]).resize((20, 29), Image.Resampling.BILINEAR) for c in range(3)]
    assert np.abs(ours.numpy() - np.stack([np.asarray(t) for t in theirs])).max() < 1e-5


def test_networks_are_zero_on_equals_and_grow_with_blur(weights: None) -> None:
    sharp, *_ = waves()
    blurred = [cv2.GaussianBlur(sharp, (0, 0), s) for s in (0.5, 1, 2)]
    for net in (Lpips("alex"), Lpips("vgg"), Dists(), Reid(Vgg16Features(3))):
        values = [net(sharp, x) for x in (sharp, *blurred)]
        assert abs(values[0]) < 1e-6 and values == sorted(values) and values[1] > 1e-4, net.name
        assert net(blurred[0], sharp) == pytest.approx(values[1], rel=1e-4), net.name


def test_mmd_against_sums() -> None:
    """The estimator written out, and its expectation: 0 for one distribution, growing with the distance of two."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.3, 1, (5, 7)), rng.normal(0, 1, (4, 7))
    k = lambda p, q: (sum(a * b for a, b in zip(p, q, strict=True)) / 7 + 1) ** 3  # noqa: E731
    pairs = lambda z: [k(p, q) for i, p in enumerate(z) for j, q in enumerate(z) if i != j]  # noqa: E731
    within = lambda z: np.mean(pairs(z))  # noqa: E731
    assert mmd2(x, y) == pytest.approx(within(x) + within(y) - 2 * np.mean([[k(p, q) for q in y] for p in x]))
    draw = lambda m: mmd2(rng.normal(0, 1, (8, 4)), rng.normal(m, 1, (8, 4)))  # noqa: E731
    draws = np.array([[draw(m) for _ in range(300)] for m in (0, 0.5, 1)])
    mean, error = draws.mean(1), draws.std(1) / 300**0.5
    assert abs(mean[0]) < 4 * error[0] and mean[1] > 4 * error[1] and mean[2] > 2 * mean[1]


class Identity:
    """An extractor whose features are the pixels."""

    name, standard = "pixels", False

    def __call__(self, pictures):
        return np.stack([np.asarray(p, np.float64).ravel() for p in pictures])


def test_kid_and_reid_over_any_extractor() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.random((12, 4, 4, 3)), rng.random((12, 4, 4, 3)) * 0.5
    kid = Kid(Identity())
    assert kid.name == "KID-pixels (substitute)" and kid(a, b) == mmd2(a.reshape(12, -1), b.reshape(12, -1))
    assert Kid(Identity(), subset=12, subsets=3)(a, b) == pytest.approx(kid(a, b))
    assert Kid(Identity(), subset=6, subsets=400)(a, b) == pytest.approx(kid(a, b), rel=0.1)
    with pytest.raises(DinarError, match="at least 2"):
        kid(a[:1], b)
    reid, mask = Reid(Identity()), np.zeros((4, 4), bool)
    mask[1:3, 0:2] = True
    assert person_crop(a[0], mask).shape == (2, 2, 3) and person_crop(a[0], mask & ~mask).shape == (4, 4, 3)
    x, y = a[0][1:3, :2].ravel(), b[0][1:3, :2].ravel()
    assert reid(a[0], b[0], mask, mask) == pytest.approx(1 - np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y))


class Inception(torch.nn.Module):
    """Called as FID's InceptionV3: 8-bit pictures in, 2,048 numbers out."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert x.dtype == torch.uint8 and return_features
        return x.float().mean((2, 3)).repeat(1, 683)[:, :2048]


def test_standard_names_need_the_users_files(tmp_path, weights: None) -> None:
    a, b = np.random.default_rng(5).random((2, 3, 16, 16, 3))
    assert Measures(["KID", "ReID"]).names == ("KID-VGG16 (substitute)", "ReID-VGG16 (substitute)")
    with pytest.raises(DinarError, match="InceptionV3 with the weights of FID"):
        Measures(["KID"], inception=tmp_path / "nothing.pt")
    path = tmp_path / "inception.pt"
    torch.jit.script(Inception()).save(str(path))
    got = Measures(["KID"], inception=path).sets(a, b)
    features = [np.tile((z * 255).round().mean((1, 2)), 683)[:, :2048] for z in (a, b)]
    assert list(got) == ["KID"] and got["KID"] == pytest.approx(mmd2(*features), rel=1e-3)
    assert len(InceptionFeatures(path).sha256) == 64


def test_measures_of_a_pair(picture: np.ndarray, weights: None) -> None:
    names = ("PSNR", "PSNR-person", "LPIPS-AlexNet", "IoU", "KID", "flicker")
    a, b = picture.astype(np.float32), cv2.GaussianBlur(picture, (0, 0), 1).astype(np.float32)
    b[:, 128:] = a[:, 128:]
    left, middle = np.zeros((2, 256, 256), bool)
    left[:, :128], middle[:, 64:192] = True, True
    got = Measures(names).pair(a, b, left, middle, face_box=(0, 90, 20, 100))
    part = np.s_[95 - FACE // 2 : 95 + FACE // 2, :FACE]
    assert got == pytest.approx({
        "PSNR": psnr(a, b), "PSNR-person": psnr(a[:, :192], b[:, :192]), "LPIPS-AlexNet": Lpips("alex")(a, b),
        "IoU": 1 / 3, "face PSNR": psnr(a[part], b[part]), "face LPIPS-AlexNet": Lpips("alex")(a[part], b[part]),
        "face IoU": 0,
    })  # fmt: skip
    assert {k.removeprefix("face ") for k in got} <= set(METRICS)
    with pytest.raises(DinarError, match="of one size"):
        Measures(names[:1]).pair(a, b[:, :90], left, middle)
    with pytest.raises(DinarError, match="among"):
        Measures(["FID"])


# ---- animations ----------------------------------------------------------------------------------------------------


def test_flicker() -> None:
    """Steady changes cost nothing; noise of deviation s costs √6 s √(2/π) on average."""
    ramp = [np.full((64, 64, 3), 0.1 + 0.05 * t, np.float32) for t in range(6)]
    assert flicker(ramp) < 1e-4
    rng = np.random.default_rng(6)
    noisy = [f + rng.normal(0, 0.02, f.shape).astype(np.float32) for f in ramp]
    assert flicker(noisy) == pytest.approx(255 * 0.02 * 6**0.5 * (2 / np.pi) ** 0.5, rel=0.02)
    outside = np.zeros((64, 64), bool)
    outside[:32] = True
    for f in noisy:
        f[:32] = 0.5
    assert flicker(noisy, [outside] * 6) == 0 and np.isnan(flicker(noisy, [~outside, outside] * 3))


def test_warp_error_takes_the_motion_out(picture: np.ndarray) -> None:
    frames = [picture[20:220, 20 - 3 * t : 220 - 3 * t] for t in range(4)]  # the contents move right by 3 pixels
    right = np.zeros((200, 200, 2))
    right[..., 0] = 3
    assert warp_error(frames, [right] * 3) < 1e-9 < 1e-4 < warp_error(frames, [right * 0] * 3)
    brighter = [f + 0.1 * t for t, f in enumerate(frames)]
    assert warp_error(brighter, [right] * 3) == pytest.approx(0.01, rel=1e-3)


def test_body_motion_of_two_squares() -> None:
    """One square moves sideways, the other in front of it does not: its pixels per metre, and hidden where hidden."""
    square = torch.tensor([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=torch.float32)
    now = torch.cat([square, square * 0.2 + torch.tensor([0.5, 0, 1.0])])
    after = now + torch.cat([torch.tensor([0.4, 0, 0]).expand(4, 3), torch.zeros(4, 3)])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32)
    camera = look_at(torch.tensor([0.0, 0, 5]), torch.zeros(3), 96, 96, 100.0)
    (flow,) = body_motion(torch.stack([now, after]), faces, [camera, camera])
    pixel = lambda x, y, z: tuple(int(48 + 100 * c / (5 - z)) for c in (-y, x))  # noqa: E731
    assert flow[pixel(-0.5, 0, 0)] == pytest.approx((8, 0), abs=1e-3)
    assert flow[pixel(0.5, 0, 1)] == pytest.approx((0, 0), abs=1e-3)
    assert np.isnan(flow[pixel(0.2, 0, 0)]).all()  # there, but behind the small square afterwards
    assert np.isnan(flow[0, 0]).all()  # nothing there
