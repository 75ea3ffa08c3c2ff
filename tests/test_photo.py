"""Reading photos: generated files of every kind that people have."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from dinar.errors import DinarError
from dinar.photo.image import read_photo
from dinar.photo.mask import load_mask

W, H = 192, 160


def picture() -> np.ndarray:
    """[H, W, 3] uint8: a smooth ramp whose corners all differ (red grows to the right, green downwards)."""
    y, x = np.mgrid[:H, :W]
    return np.stack([x * 255 // (W - 1), y * 255 // (H - 1), np.full_like(x, 90)], -1).astype(np.uint8)


RGB = Image.fromarray(picture())
GREY = np.asarray(RGB.convert("L"))


def save_grey16(path):
    cv2.imwrite(str(path), GREY.astype(np.uint16) * 257)


def save_rgb16(path):
    cv2.imwrite(str(path), picture()[..., ::-1].astype(np.uint16) * 257)


def save_adobe_cmyk(path):
    RGB.convert("CMYK").save(path, quality=95)  # Pillow writes the Adobe marker and inverted values


def save_exif(orientation, turn):
    def save(path):
        exif = Image.Exif()
        exif[0x0112] = orientation
        RGB.transpose(turn).save(path, exif=exif, quality=95)

    return save


def save_gif(path):
    frames = [RGB.quantize(), Image.new("P", (W, H))]
    frames[0].save(path, save_all=True, append_images=frames[1:])


T = Image.Transpose
COLOUR = {
    "plain.jpg": lambda p: RGB.save(p, quality=95),
    "plain.png": RGB.save,
    "plain.webp": lambda p: RGB.save(p, quality=95),
    "plain.bmp": RGB.save,
    "plain.tiff": RGB.save,
    "palette.png": lambda p: RGB.quantize(256).save(p),
    "rgb16.png": save_rgb16,
    "rgb16.tiff": save_rgb16,
    "cmyk.jpg": save_adobe_cmyk,
    "cmyk.tiff": lambda p: RGB.convert("CMYK").save(p),
    "ycbcr.tiff": lambda p: RGB.convert("YCbCr").save(p),
    "opaque.png": lambda p: RGB.convert("RGBA").save(p),
    "mirrored.jpg": save_exif(2, T.FLIP_LEFT_RIGHT),
    "half_turn.jpg": save_exif(3, T.ROTATE_180),
    "left.jpg": save_exif(6, T.ROTATE_90),
    "right.jpg": save_exif(8, T.ROTATE_270),
    "transposed.jpg": save_exif(5, T.TRANSPOSE),
    "left.png": save_exif(6, T.ROTATE_90),
    "left.tiff": save_exif(6, T.ROTATE_90),
    "animated.gif": save_gif,
}


@pytest.mark.parametrize("name", COLOUR)
def test_colour(tmp_path, name):
    COLOUR[name](tmp_path / name)
    photo = read_photo(tmp_path / name)
    assert photo.rgb.shape == (H, W, 3) and photo.rgb.dtype == np.uint8
    assert photo.alpha is None and photo.original_size == (W, H) and photo.scale == 1
    # GIF and palette: 256 colours for the whole ramp
    limit = 12 if name.startswith(("palette", "animated")) else 4
    assert np.abs(photo.rgb.astype(int) - picture()).mean() < limit


GREYS = {
    "grey.jpg": lambda p: Image.fromarray(GREY).save(p, quality=95),
    "grey16.png": save_grey16,
    "grey16.tiff": save_grey16,
    "grey32.tiff": lambda p: Image.fromarray(GREY.astype(np.int32) * 257).save(p),
    "float.tiff": lambda p: Image.fromarray(GREY.astype(np.float32) / 255).save(p),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_is_scaled_not_clipped(tmp_path, name):
    GREYS[name](tmp_path / name)
    rgb = read_photo(tmp_path / name).rgb.astype(int)
    assert rgb.shape == (H, W, 3)
    assert np.abs(rgb - GREY[..., None]).max() <= (4 if name.endswith("jpg") else 1)


def test_one_bit(tmp_path):
    RGB.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(read_photo(tmp_path / "bits.png").rgb)) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_that_cuts_out_is_a_mask(tmp_path, mode):
    alpha = cv2.ellipse(np.zeros((H, W), np.uint8), (95, 80), (35, 40), 0, 0, 360, 255, -1)
    image = RGB.copy()
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        flat = RGB.quantize(255)
        image = Image.fromarray(np.where(alpha > 0, np.asarray(flat), 255).astype(np.uint8))
        image.putpalette([*flat.getpalette()[: 3 * 255], 0, 0, 0])
        image.info["transparency"] = 255
    elif mode == "LA":
        image = image.convert("LA")
    image.save(tmp_path / "cut.png")
    photo = read_photo(tmp_path / "cut.png")
    assert photo.alpha is not None and photo.alpha.dtype == np.float32
    assert np.array_equal(photo.alpha, alpha / np.float32(255))
    assert (photo.rgb[alpha == 0] == 255).all()


def test_rounded_corners_are_no_cut_out(tmp_path):
    alpha = np.full((H, W), 255, np.uint8)
    alpha[:4, :4] = 0
    image = RGB.copy()
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "screenshot.png")
    assert read_photo(tmp_path / "screenshot.png").alpha is None


def test_icc_profile_is_converted(tmp_path):
    """An image in linear light, tagged so, must come out with the brightness of its sRGB original."""
    linear = np.where(picture() / 255 > 0.04045, ((picture() / 255 + 0.055) / 1.055) ** 2.4, picture() / 255 / 12.92)
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = profile.find(b"para", 128)  # the tone curve, shared by the three channels: make it the identity
    profile[at : at + 12] = b"para" + bytes(4) + b"\0\0\0\0"
    profile[at + 12 : at + 16] = (65536).to_bytes(4, "big")
    Image.fromarray((linear * 255).round().astype(np.uint8)).save(tmp_path / "linear.png", icc_profile=bytes(profile))
    assert np.abs(read_photo(tmp_path / "linear.png").rgb.astype(int) - picture()).mean() < 3


def test_useless_icc_profile_is_ignored(tmp_path):
    RGB.save(tmp_path / "bad.png", icc_profile=b"this is no profile")
    assert np.array_equal(read_photo(tmp_path / "bad.png").rgb, picture())


def test_large_photo_is_reduced(tmp_path):
    Image.new("RGB", (6000, 3000), (200, 100, 50)).save(tmp_path / "large.jpg")
    photo = read_photo(tmp_path / "large.jpg")
    assert photo.rgb.shape == (1024, 2048, 3)
    assert photo.original_size == (6000, 3000) and photo.scale == pytest.approx(2048 / 6000)
    assert np.abs(photo.rgb.astype(int) - (200, 100, 50)).max() <= 3


def truncated(kind):
    def save(path):
        noise = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
        Image.fromarray(noise).save(path, kind)
        path.write_bytes(path.read_bytes()[:-4000])

    return save


REFUSED = {
    "missing.jpg": (lambda p: None, "does not exist"),
    "folder.jpg": (lambda p: p.mkdir(), "is a folder"),
    "empty.jpg": (lambda p: p.touch(), "is empty"),
    "text.jpg": (lambda p: p.write_text("dear diary, " * 50), "not an image"),
    "page.pdf": (lambda p: RGB.save(p, "PDF"), "not an image"),
    "short.jpg": (truncated("JPEG"), "truncated"),
    "short.png": (truncated("PNG"), "truncated"),
    "short.webp": (truncated("WEBP"), "."),
    "short.tiff": (truncated("TIFF"), "."),
    "header.jpg": (lambda p: p.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "."),
    "tiny.png": (lambda p: RGB.resize((20, 20)).save(p), "too small: 20 x 20 px; expected at least 128 px"),
    "strip.png": (lambda p: RGB.resize((2000, 10)).save(p), "too small"),
    "phone.heic": (lambda p: p.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)), "HEIC"),
    "bomb.png": (lambda p: Image.new("1", (20000, 12000)).save(p), "too large: 20000 x 12000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_line(tmp_path, name):
    make, message = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(DinarError, match=message) as e:
        read_photo(tmp_path / name)
    assert "\n" not in str(e.value) and name in str(e.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_unreadable(tmp_path):
    RGB.save(tmp_path / "secret.png")
    (tmp_path / "secret.png").chmod(0)
    with pytest.raises(DinarError, match="cannot be read"):
        read_photo(tmp_path / "secret.png")


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
@pytest.mark.parametrize("name", ["huge.jpg", pytest.param("huge.png", marks=pytest.mark.slow)])
def test_144_megapixels_in_bounded_memory(tmp_path, name):
    mode = "RGB" if name.endswith("jpg") else "RGBA"
    code = f"""
import sys, resource
from PIL import Image
if sys.argv[1] == "make":
    Image.new({mode!r}, (12000, 12000), (9, 99, 199)).save({name!r}, compress_level=1)
else:
    from dinar.photo.image import read_photo
    photo = read_photo({name!r})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    print(*photo.rgb.shape, peak // 1024)
"""
    for step in ("make", "read"):
        done = subprocess.run([sys.executable, "-c", code, step], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    h, w, _, megabytes = map(int, done.stdout.split())
    print(f"{name}: peak {megabytes} MB")
    assert (h, w) == (2048, 2048)
    assert megabytes < 3000


# Masks -------------------------------------------------------------------------------------------


def square() -> np.ndarray:
    m = np.zeros((H, W), np.uint8)
    m[40:120, 60:130] = 1
    return m


def test_masks_of_every_kind_agree(tmp_path):
    m = square()
    Image.fromarray(m * 255).save(tmp_path / "grey.png")
    Image.fromarray(m * 7).save(tmp_path / "label.png")
    Image.fromarray(m * 255).convert("1").save(tmp_path / "bits.png")
    Image.fromarray(np.dstack([picture(), m * 255])).save(tmp_path / "alpha.png")
    Image.fromarray(m * 255).resize((2 * W, 2 * H), Image.Resampling.NEAREST).save(tmp_path / "double.png")
    for name in ("grey", "label", "bits", "alpha", "double"):
        got = load_mask(tmp_path / f"{name}.png", (H, W, 3))
        assert got.dtype == np.float32 and np.array_equal(got, m.astype(np.float32)), name


def test_masks_refused(tmp_path):
    Image.fromarray(square() * 255).resize((W, W)).save(tmp_path / "aspect.png")
    Image.new("L", (W, H)).save(tmp_path / "black.png")
    with pytest.raises(DinarError, match="aspect"):
        load_mask(tmp_path / "aspect.png", (H, W))
    with pytest.raises(DinarError, match="is empty"):
        load_mask(tmp_path / "black.png", (H, W))
