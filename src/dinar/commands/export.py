"""`dinar export`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..export.profiles import Pose, Program, suffixes_for
from ..export.simplify import Size
from ..files import check_output
from .common import Common, MotionRate, Output, Path1, Track, given_files, open_avatar, open_motion, say


@dataclass
class Export(Common):
    """Write a rigged GLB, VRM, FBX or USDZ file for Blender, Unity, Unreal, Mixamo, Quick Look or the web."""

    avatar: Path1 = Path()
    """Avatar file of `dinar create`."""
    out: Output = Path("avatar.glb")
    """File to write: .glb, .fbx, .usdz, or .vrm for VRM 1.0."""
    program: Annotated[Program | None, tyro.conf.arg(name="for")] = None
    """Program that will read the file: sets bone names, rest pose, bone axes and units. None: three for .glb, unity
    for .fbx, vrm for .vrm."""
    pose: Pose | None = None
    """Rest pose of the file: `rest` (arms down) or `t` (T-pose). None: as the program expects."""
    size: Size = "full"
    """Triangles and texture: `small` 5,000 and 512 pixels, `medium` 15,000 and 1024, `full` all and up to 2048. Skin,
    seams and face are kept."""
    motion: list[str] = field(default_factory=lambda: ["idle", "walk", "wave"])
    """Motions to include as animation clips: names or files, as for `dinar animate`."""
    motion_fps: MotionRate = None
    track: Track = None
    expressions: bool = True
    """Include facial expressions as morph targets (blend shapes, shape keys)."""
    unlit: bool = True
    """Use a material without lighting, as the texture already contains the light of the photo."""


def run(c: Export) -> None:
    check_output(c.out, [c.avatar, *given_files(*c.motion)], suffixes_for(c.program))
    motions = [open_motion(m, c.motion_fps, c.track) for m in c.motion]
    open_avatar(c, c.avatar).export(
        c.out, motions, program=c.program, pose=c.pose, size=c.size, expressions=c.expressions, unlit=c.unlit
    )
    say(f"{c.out}: {c.out.stat().st_size / 2**20:.1f} MiB")
