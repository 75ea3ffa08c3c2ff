"""`dinar demo`: make an avatar of one photo, and all outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .body.readers import load_motion
from .create import create
from .errors import DinarError
from .export import write_video
from .files import replaced_input
from .pictures import write_image
from .preview import preview
from .scene.textured import over, to_uint8

PHOTO = Path(__file__).parent / "data" / "demo.jpg"  # a rendered person
SIZE, FPS = 640, 30  # of the videos: pixels a side, frames a second


def demo(photo: Path | None, folder: Path, say: Callable[[str], None]) -> None:
    """Write the avatar, a preview, a turntable and a walk as videos and a GLB into ``folder``.

    Raises:
        DinarError: of :func:`~dinar.create`, or the folder cannot be made.
    """
    start = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise DinarError(f"cannot write into {folder}: {e.strerror}") from e
    names = ("me.avatar", "preview.png", "turntable.mp4", "walk.mp4", "me.glb")
    if lost := replaced_input((folder / n for n in names), [photo or PHOTO]):
        raise DinarError(f"cannot write {lost}: it is the photo. Give another folder")
    avatar = create(photo or PHOTO, progress=lambda s: say(f"  {s}"))
    avatar.save(folder / "me.avatar")
    write_image(folder / "preview.png", preview(avatar, avatar.work))
    say("  turntable")
    frames = avatar.turntable(4 * FPS, SIZE)
    write_video(folder / "turntable.mp4", (to_uint8(over(f)) for f in frames), FPS)
    say("  walk")
    walk = load_motion("walk").resampled(FPS)
    frames = avatar.animate(walk, SIZE, turn=120, repeat=4)
    write_video(folder / "walk.mp4", (to_uint8(over(f)) for f in frames), FPS)
    say("  GLB")
    avatar.export(folder / "me.glb")
    say(f"{folder}: preview.png, turntable.mp4, walk.mp4, me.glb, me.avatar in {time.perf_counter() - start:.0f} s")
