"""Picture files: formats, names and bounds; what `dinar batch` takes from a folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dinar.errors import DinarError
from dinar.photo.image import photos_of, read_photo
from dinar.photo.parsing import read_label_map
from dinar.pictures import FORMATS, SUFFIXES, open_picture, quiet, read_array, write_array, write_picture

CASES = Path(__file__).parents[2] / "shared" / "cases"
RGB = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
needs_avif = pytest.mark.skipif("AVIF" not in (Image.init(), Image.OPEN)[1], reason="this Pillow has no AVIF")


def picture(path: Path, kind: str = "JPEG") -> Path:
    Image.fromarray(RGB).save(path, kind)
    return path


def test_what_decoders_print_does_not_reach_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libpng, libtiff and OpenCV write of damage to stderr; so do other threads at the same time, and nothing is lost
    of what is written afterwards."""
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=bytes(200))
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[1000:1100] = bytes(100)
    (tmp_path / "b.tif").write_bytes(data)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:4000])

    def read(path: Path) -> None:
        read_array(path)
        with contextlib.suppress(DinarError):
            read_photo(path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, sorted(tmp_path.iterdir()) * 5))
    with quiet(), quiet():
        os.write(2, b"inside")
    os.write(2, b"outside")
    assert capfd.readouterr().err == "outside"


def many_scans(path: Path) -> None:
    """A progressive JPEG whose last scan is repeated 4,000 times."""
    Image.fromarray(RGB).save(path, "JPEG", progressive=True)
    data = path.read_bytes()
    scan = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + 4000 * scan + b"\xff\xd9")


def much_metadata(path: Path) -> None:
    data = picture(path).read_bytes()
    path.write_bytes(data[:2] + 600 * (b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) + data[2:])


def long_ppm(path: Path) -> None:
    path.write_bytes(b"P6 #" + b"x" * 100_000_000 + b"\n128 96 255\n" + RGB.tobytes())


def long_gif(path: Path) -> None:
    data = picture(path, "GIF").read_bytes()
    at = data.index(b"\x2c", 13 + 3 * 256)
    path.write_bytes(data[:at] + b"\x21\xfe" + 100_000 * (b"\xff" + b"x" * 255) + b"\0" + data[at:])


def pipe(path: Path) -> None:
    os.mkfifo(path)


def damaged_avif(path: Path) -> None:
    data = picture(path, "AVIF").read_bytes()
    at = data.index(b"mdat") + 4
    path.write_bytes(data[:at] + bytes(len(data) - at))


def eps(path: Path) -> None:
    Image.fromarray(RGB).save(path, "EPS")


BAD = {
    "scans.jpg": (many_scans, "scans"), "exif.jpg": (much_metadata, "metadata"), "comment.ppm": (long_ppm, "header"),
    "comment.gif": (long_gif, "comments"), "eps.png": (eps, "not an image"),
    "pipe.png": pytest.param(pipe, "pipe", marks=pytest.mark.skipif(os.name != "posix", reason="no pipes")),
    "half.avif": pytest.param(damaged_avif, "damaged", marks=needs_avif),
}  # fmt: skip


@pytest.mark.parametrize(("make", "why"), BAD.values(), ids=BAD)
def test_pictures_that_would_hang_or_run_something(make, why, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("started a program"))
    make(tmp_path / "photo.png")
    for read in (read_photo, lambda p: read_label_map(p, (96, 128), "atr")):
        with pytest.raises(DinarError, match=why) as e:
            read(tmp_path / "photo.png")
        assert "photo.png" in str(e.value) and len(str(e.value)) <= 300
    assert read_array(tmp_path / "photo.png") is None


@pytest.mark.skipif(not CASES.is_dir(), reason="no cases here: ../shared/cases is absent")
@pytest.mark.parametrize("name", ["avif-damaged.jpg", "label-map-eps.png"])
def test_the_reported_pictures(name):
    with pytest.raises(DinarError, match=f"{name} is (damaged|not an image)"):
        read_photo(CASES / "hostile" / name)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", pytest.param(".avif", marks=needs_avif)])
def test_every_orientation_of_every_format(suffix, tmp_path):
    turns = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # of Image.Transpose, which undo them
    upright = Image.fromarray(cv2.resize(RGB, (96, 144)))
    upright.paste((255, 0, 0), (0, 0, 48, 72))
    for orientation, (transpose,) in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(transpose).save(tmp_path / f"a{suffix}", exif=exif, quality=95)
        rgb = read_photo(tmp_path / f"a{suffix}").rgb
        assert rgb.shape == (144, 96, 3) and np.abs(rgb[4:64, 4:40].astype(int) - (255, 0, 0)).mean() < 8


@pytest.mark.skipif(not CASES.is_dir(), reason="no cases here: ../shared/cases is absent")
@needs_avif
def test_the_reported_orientation_and_format():
    photo = read_photo(CASES / "photo" / "exif6.avif")
    assert photo.rgb.shape[0] > photo.rgb.shape[1] and photo.original_size[1] > photo.original_size[0]
    with pytest.raises(DinarError, match=r"HEIC.*JPEG"):
        read_photo(CASES / "photo" / "photo.HEIC")


@needs_avif
def test_avif_under_the_brand_of_heic(tmp_path):
    """Some encoders name the container first: mif1, and avif among the compatible brands."""
    data = bytearray(picture(tmp_path / "a.avif", "AVIF").read_bytes())
    assert data[8:12] == b"avif"
    data[8:12] = b"mif1"
    (tmp_path / "a.avif").write_bytes(data)
    assert read_photo(tmp_path / "a.avif").rgb.shape == RGB.shape
    (tmp_path / "a.avif").write_bytes(data.replace(b"avif", b"heic"))
    with pytest.raises(DinarError, match="HEIC"):
        read_photo(tmp_path / "a.avif")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
def test_files_without_a_size_are_not_read():
    """Files of /proc may never end."""
    with pytest.raises(DinarError, match="empty"):
        read_photo("/proc/self/environ")


def test_cameras_own_files_are_within_the_bounds(tmp_path):
    """Progressive scans, a thumbnail, restart markers, a preview and a film behind the picture."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    Image.fromarray(RGB).save(tmp_path / "a.jpg", progressive=True, exif=exif, comment=b"\xff\xda" * 500)
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"\xff\xda\0\2" * 500)
    open_picture(tmp_path / "a.jpg").load()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
@pytest.mark.parametrize("name", [b"caf\xe9.png", "ä \n.png".encode(), b"\x1b[31m.png"])
def test_names_of_any_bytes(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    write_array(path, RGB)
    assert np.array_equal(read_array(path), RGB)
    assert np.array_equal(read_photo(path).rgb, RGB[..., ::-1])
    path.write_bytes(b"spoiled")
    with pytest.raises(DinarError) as e:
        read_photo(path)
    assert str(e.value).isprintable()


def test_float_pictures_that_are_not_finite(tmp_path):
    grey = RGB[..., 0].astype(np.float32) / 255
    grey[:2], grey[2:4] = np.nan, np.inf
    grey[4:8] = -np.inf
    assert cv2.imwrite(str(tmp_path / "a.tiff"), grey)
    rgb = read_photo(tmp_path / "a.tiff").rgb
    assert np.abs(rgb[8:, :, 0].astype(int) - RGB[8:, :, 0]).max() <= 1 and rgb[4:8].max() == 0


# Folders ------------------------------------------------------------------------------------------


def test_a_folder_gives_every_format_that_is_read(tmp_path):
    for kind, suffixes in FORMATS.items():
        if kind in Image.SAVE:
            for suffix in suffixes:
                picture(tmp_path / f"{suffix[1:]}{suffix}", kind)
    (tmp_path / "big.JPG").write_bytes((tmp_path / "jpg.jpg").read_bytes())
    for name in ("._jpg.jpg", ".hidden.png", "notes.md", "d.HEIC", "done.avatar", "manifest.sqlite"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    told = []
    found = [Path(p) for p in photos_of([tmp_path], told.append)]
    assert {p.suffix for p in found} >= {s for k, v in FORMATS.items() for s in v if k in Image.SAVE} | {".JPG"}
    assert all(read_photo(p).rgb.shape == RGB.shape for p in found)
    assert told == ["left out 4 that dinar does not read: d.HEIC, folder.png, gone.png, notes.md"]


def test_our_own_previews_are_no_photos(tmp_path):
    picture(tmp_path / "a.png", "PNG")
    picture(tmp_path / "theirs.preview.png", "PNG")
    picture(tmp_path / "old.preview.png", "PNG")
    (tmp_path / "old.avatar").write_bytes(b"x")
    write_picture(tmp_path / "a.preview.png", RGB)
    assert [Path(p).name for p in photos_of([tmp_path])] == ["a.png", "theirs.preview.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_lists_of_any_bytes(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9.jpg\r\n\n two words.png \r\n")
    assert [os.fsencode(p) for p in photos_of([tmp_path / "list.txt"])] == [b"caf\xe9.jpg", b"two words.png"]
    (tmp_path / "powershell.txt").write_text("café.jpg\r\n\r\nb.png\r\n", "utf-16", newline="")
    assert photos_of([tmp_path / "powershell.txt"]) == ["café.jpg", "b.png"]
    (tmp_path / "binary.txt").write_bytes(b"a.jpg\n\0b.jpg")
    with pytest.raises(DinarError, match="binary"):
        photos_of([tmp_path / "binary.txt"])


@pytest.mark.skipif(not CASES.is_dir(), reason="no cases here: ../shared/cases is absent")
@needs_avif
def test_the_reported_folder():
    told = []
    assert [Path(p).name for p in photos_of([CASES / "folder"], told.append)] == [
        "b.jfif", "c.avif", "e.gif", "f.mpo", "g.JPG"]  # fmt: skip
    assert len(told) == 1 and "d.HEIC" in told[0]


def test_suffixes_are_those_of_the_formats():
    assert len(SUFFIXES) == len(set(SUFFIXES)) and all(s == s.lower() and s.startswith(".") for s in SUFFIXES)
