"""The avatar: texture, shape, offsets and where they came from; it saves, loads, renders and animates itself.

One file, ``.avatar``: safetensors with a json header. Nothing in it is executed on loading.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from .arrays import Array, check_arrays
from .body import Body, load_body
from .body.body import PARTS
from .body.motion import Motion, expression_of, retarget
from .body.readers import load_motion
from .body.shells import from_header, to_header, wear
from .body.teeth import offsets_with_teeth, with_teeth
from .bounds import check_numbers, within
from .device import current
from .errors import DinarError
from .export import Clip, build_model, write_model
from .export.profiles import DEFAULTS, Pose, Program, suffixes_for
from .export.simplify import Size, simplified
from .files import check_output, replacing
from .neural.avatar import Neural, from_tensors, to_tensors
from .neural.render import render as render_neural
from .scene import Camera, orbit
from .scene.camera import check_cameras
from .scene.fragments import GUARD
from .scene.textured import render_textured, render_together
from .tensors import read_metadata, read_tensors
from .texture.mouth import with_teeth_colours

FORMAT, VERSION = "dinar-avatar", 1
SUFFIXES = (".avatar",)

TOGETHER = 1 << 21  # pixels of the frames that a GPU draws at once: 8 of 512², about 1 GB

Frame = tuple[Tensor, Tensor | None, Tensor | None]
"""Pose [J, 3], place [3], weights of the body's expressions."""

# What the file must hold: shapes, types, and generous ranges (metres, radians, pixels).
TABLE = {
    "betas": Array(np.float32, ("B",), -100, 100),
    "offsets": Array(np.float32, ("V", 3), -10, 10),
    "pose": Array(np.float32, ("J", 3), -100, 100),
    "transl": Array(np.float32, (3,), -1e6, 1e6),
    "camera.K": Array(np.float32, (3, 3), -1e6, 1e6),
    "camera.T_cam_world": Array(np.float32, (4, 4), -1e6, 1e6),
    "rgb": Array(np.uint8, ("S", "S", 3)),
    "lam": Array(np.uint8, ("S", "S")),
}


@dataclass
class Avatar:
    """A person that can be posed. ``rgb`` is complete; ``lam`` tells what of it the photos showed."""

    body: Body  # with the shells that the person wears
    betas: Tensor  # [num_betas]
    offsets: Tensor  # [V, 3] metres in the rest pose
    rgb: np.ndarray  # [S, S, 3] uint8 sRGB in the layout of body.atlas, gutters filled
    lam: np.ndarray  # [S, S] uint8, 255 λ: how frontally a texel was seen, 0 = restored
    pose: Tensor  # [J, 3] of the (first) photo
    transl: Tensor  # [3]
    camera: Camera  # of the (first) photo, whole picture
    meta: dict[str, Any] = field(default_factory=dict)  # json: photos, version, options, measures
    neural: Neural | None = None  # neural texture and renderer: pictures are drawn with them, exports use ``rgb``
    inputs: tuple[Path, ...] = field(default=(), repr=False)  # the files it was read from: never written to
    work: Any = field(default=None, repr=False)  # what `create` found on the way (dinar.create.Work); not saved

    # ---- pictures ------------------------------------------------------------------------------------------------

    def vertices(
        self, pose: Tensor | None = None, transl: Tensor | None = None, expression: Tensor | None = None
    ) -> Tensor:
        """Mesh [V, 3] with the offsets of clothes; without arguments in the pose of the photo."""
        if pose is None:
            pose, transl = self.pose, self.transl if transl is None else transl
        return self._posed(self.body, [(pose, transl, expression)])[0]

    def _posed(self, body: Body, frames: Sequence[Frame]) -> Tensor:
        """[B, V, 3] meshes on the body's device."""
        device, rest = body.v_template.device, []
        v, j = _shape(body, self.betas, self.offsets, self.betas._version, self.offsets._version)
        for _, _, expression in frames:
            if expression is None:
                rest.append((v, j))
                continue
            used = expression.detach().nonzero()[:, 0]
            share, column = expression[used].to(device), (used + body.num_betas).to(device)
            rest.append([x + d.index_select(2, column) @ share for x, d in ((v, body.shapedirs), (j, body.j_dirs))])
        if any(expression is not None for *_, expression in frames):
            v, j = (torch.cat(x) for x in zip(*rest, strict=True))
        pose = torch.stack([p for p, _, _ in frames]).to(device)
        place = torch.stack([p.new_zeros(3) if t is None else t for p, t, _ in frames]).to(device)
        return body.posed(v, j, pose, place).vertices

    def render(
        self,
        pose: Tensor | None = None,  # [J, 3] axis-angle; None: as in the photo
        camera: Camera | None = None,  # None: the photo's front view, framed
        size: int | tuple[int, int] = 512,  # of the picture when no camera is given: pixels, or (height, width)
        *,
        azimuth: float = 0.0,  # degrees around the person, when no camera is given
        transl: Tensor | None = None,  # [3]
        expression: Tensor | None = None,  # [num_expression] weights of the body's expressions
    ) -> np.ndarray:
        """[H, W, 4] float32 in [0, 1], straight alpha."""
        if camera is None:
            check_numbers(size=size, azimuth=azimuth)
        else:
            within("height of the camera", camera.height, 1, GUARD)
            within("width of the camera", camera.width, 1, GUARD)
        device = current()
        if pose is None:
            pose, transl = self.pose, self.transl if transl is None else transl
        see = lambda v: camera or orbit(v, azimuth, height=h, width=w)  # noqa: E731
        h, w = (size, size) if isinstance(size, int) else size
        if self.neural is not None:
            self.neural, whole = self.neural.to(device), self.with_teeth()
            v = whole.vertices(pose, transl, expression)
            return render_neural(self.neural, whole.body, v, see(v))
        if device.type == "cuda":
            return self._drawn_together([(pose, transl, expression)], lambda v: [see(v[0])])[0]
        whole = self.with_teeth()
        v, a = whole.vertices(pose, transl, expression), whole.body.atlas
        return render_textured(v, whole.body.faces, a.uv, a.faces, whole.rgb, see(v))

    def _drawn_together(self, frames: Sequence[Frame], cameras: Callable[[Tensor], Sequence[Camera]]) -> np.ndarray:
        """[B, H, W, 4] of the mesh, by the GPU in use; ``cameras`` is asked for those of the meshes [B, V, 3]."""
        whole = self.with_teeth()
        body, faces, uv, uv_faces = _on_gpu(whole.body, current())
        v, texture = whole._posed(body, frames), torch.as_tensor(whole.rgb).to(current())
        return render_together(v, faces, uv, uv_faces, texture, cameras(v)).cpu().numpy()

    def with_teeth(self) -> Avatar:
        """What pictures and files show: the body has teeth."""
        body = with_teeth(self.body)
        if body is self.body:
            return self
        return self.replace(body=body, offsets=_teeth_too(self.body, self.offsets, self.offsets._version),
                            rgb=with_teeth_colours(self.body, self.rgb))  # fmt: skip

    def turntable(
        self, frames: int = 90, size: int | tuple[int, int] = 512, pose: Tensor | None = None
    ) -> Iterator[np.ndarray]:
        """One turn around the person, standing as in the photo (or in ``pose``)."""
        check_numbers(frames=frames, size=size)
        for k in range(frames):
            yield self.render(pose, size=size, azimuth=360 * k / frames)

    def animate(
        self,
        motion: Motion,
        size: int | tuple[int, int] = 512,
        *,
        azimuth: float = 20.0,
        turn: float = 0.0,  # degrees the camera goes round during the motion
        repeat: int = 1,  # how often a loop is shown
        close: bool = False,  # head and shoulders instead of the whole person
    ) -> Iterator[np.ndarray]:
        """Frames [H, W, 4] of the motion at its own rate, from one camera that frames all of it."""
        check_numbers(size=size, azimuth=azimuth, turn=turn, repeat=repeat)
        pose, transl = retarget(motion, self.body, betas=self.betas, offsets=self.offsets)
        face = expression_of(motion, self.body)
        h, w = (size, size) if isinstance(size, int) else size
        sample = range(0, len(pose), max(1, len(pose) // 12))
        shown = self._above_shoulders() if close else slice(None, None, 7)
        extent = torch.cat([self.vertices(pose[i], transl[i])[shown] for i in sample])
        n, first = repeat * len(pose), orbit(extent, azimuth, height=h, width=w)
        together = max(1, TOGETHER // (h * w))
        for start in range(0, n, together):
            some = range(start, min(start + together, n))
            cameras = [orbit(extent, azimuth + turn * k / max(n - 1, 1), height=h, width=w) if turn else first
                       for k in some]  # fmt: skip
            frames = [(pose[k % len(pose)], transl[k % len(pose)], None if face is None else face[k % len(pose)])
                      for k in some]  # fmt: skip
            if self.neural is None and current().type == "cuda":
                yield from self._drawn_together(frames, lambda _, c=cameras: c)
            else:
                for (p, t, e), camera in zip(frames, cameras, strict=True):
                    yield self.render(p, camera, transl=t, expression=e)

    def _above_shoulders(self) -> Tensor:
        """[n] vertices from the shoulders up, in the rest pose, without the arms."""
        v, joints = self.body.rest(self.betas[None])
        low = joints[0, [self.body.joint(f"{s}_shoulder") for s in ("left", "right")], 1].mean()
        arms = np.isin(self.body.vertex_part, [i for i, part in enumerate(PARTS) if "arm" in part])
        return torch.nonzero((v[0, :, 1] > low) & ~torch.from_numpy(arms)).flatten()

    def export(
        self,
        path: str | Path,
        motions: Sequence[str | Path | Motion | Clip] = ("idle", "walk", "wave"),
        *,
        program: Program | None = None,
        pose: Pose | None = None,
        size: Size = "full",
        expressions: bool = True,
        unlit: bool = True,
    ) -> None:
        """Write a rigged file with texture, bones, expressions and clips: ``.glb``, ``.vrm``, ``.fbx`` or ``.usdz``.

        Args:
            program: the one that will read the file: sets bone names, rest pose, axes and units; None: by the suffix.
            pose: rest pose of the file, ``rest`` (arms down) or ``t``; None: as the program expects.
            size: ``small`` (5,000 triangles, texture of 512 pixels), ``medium`` (15,000, 1024) or ``full``.
        """
        inputs = (*self.inputs, *(m for m in motions if isinstance(m, str | Path)))
        check_output(path, inputs, suffixes_for(program))
        clips = []
        for m in motions:
            if isinstance(m, Clip):
                clips.append(m)
                continue
            motion = m if isinstance(m, Motion) else load_motion(m)
            turns, transl = retarget(motion, self.body, betas=self.betas, offsets=self.offsets)
            face = expression_of(motion, self.body)
            if motion.loop:  # end on the first frame, or players jump
                turns, transl = torch.cat([turns, turns[:1]]), torch.cat([transl, transl[:1]])
                face = None if face is None else torch.cat([face, face[:1]])
            clips.append(Clip(motion.name, turns, transl, motion.fps, face))
        whole = self.with_teeth()
        model = build_model(
            whole.body, self.betas, whole.offsets, whole.rgb, clips,
            program=program or DEFAULTS[Path(path).suffix.lower()], pose=pose, expressions=expressions, unlit=unlit,
            notes={"dinar": self.meta},
        )  # fmt: skip
        write_model(path, simplified(model, size))

    # ---- file ----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one ``.avatar`` file; a failure leaves nothing behind. The same avatar gives the same bytes."""
        check_output(path, self.inputs, SUFFIXES)
        header = {
            "format": FORMAT, "version": VERSION, "body": self.body.name, "vertices": self.body.num_vertices,
            "atlas": self.body.atlas.hash, "renderer": "mesh" if self.neural is None else "neural",
            "camera": {"height": self.camera.height, "width": self.camera.width}, "meta": self.meta,
        }  # fmt: skip
        if self.body.shells:
            header["shells"] = to_header(self.body.shells)
        tensors = {
            "betas": self.betas, "offsets": self.offsets.half(), "pose": self.pose, "transl": self.transl,
            "camera.K": self.camera.K, "camera.T_cam_world": self.camera.T_cam_world,
            "rgb": torch.from_numpy(self.rgb), "lam": torch.from_numpy(self.lam),
        }  # fmt: skip
        if self.neural is not None:
            more, header["neural"] = to_tensors(self.neural, with_teeth_colours(self.body, self.rgb))
            tensors |= more
        # one metadata entry: the library writes several in random order
        data = safetensors.torch.save(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            {"dinar": json.dumps(header, sort_keys=True)},
        )
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(cls, path: str | Path, body: Body | None = None) -> Avatar:
        """Read an ``.avatar`` file; another format, version, body or atlas is refused with the reason."""
        path = Path(path)
        what = "an avatar made by `dinar create`"
        t, metadata = read_tensors(path, what)
        header = read_metadata(metadata.get("dinar", "{}"), path, what)
        if header.get("format") != FORMAT:
            raise DinarError(f"{path} is a safetensors file but not an avatar: expected one written by `dinar create`")
        if header.get("version") != VERSION:
            raise DinarError(f"{path} has avatar format version {header.get('version')}, this dinar reads {VERSION}: "
                             "make it again with `dinar create`")  # fmt: skip
        if body is None:
            if header.get("body") != "anny":
                raise DinarError(f"{path} needs the {header.get('body')} body: add --body-path with your model file")
            body = load_body()
        body = wear(body, from_header(header.get("shells", []), f"{path} is damaged"))
        if header.get("body") != body.name or header.get("vertices") != body.num_vertices:
            raise DinarError(f"{path} was made with the {header.get('body')} body of {header.get('vertices')} "
                             f"vertices, got {body.name} of {body.num_vertices}")  # fmt: skip
        if header.get("atlas") != body.atlas.hash:
            raise DinarError(f"{path} was made with another texture atlas ({header.get('atlas')}, now "
                             f"{body.atlas.hash}): make it again with `dinar create`")  # fmt: skip
        size, meta, neural = header.get("camera"), header.get("meta", {}), header.get("neural")
        h, w = (size.get(k, 0) if isinstance(size, dict) else 0 for k in ("height", "width"))
        if type(h) is not int or type(w) is not int or not (1 <= h <= GUARD and 1 <= w <= GUARD):
            raise DinarError(f"{path} is damaged: expected the height and width of its photo, 1 to {GUARD:.0f} pixels")
        if not isinstance(meta, dict) or not isinstance(neural, (dict, type(None))):
            raise DinarError(f"{path} is damaged: expected its description by name; make it again with `dinar create`")
        V, J = body.num_vertices, body.num_joints
        if wide := [k for k in TABLE if k in t and t[k].dtype == torch.float64]:
            raise DinarError(f"{path}: expected {wide[0]} in float32, as dinar writes it, got float64: make the avatar "
                             "again with `dinar create`")  # fmt: skip
        arrays = {k: v.float().numpy() if v.dtype == torch.bfloat16 else v.numpy() for k, v in t.items() if k in TABLE}
        a = check_arrays(str(path), arrays, TABLE, {"B": body.num_betas, "V": V, "J": J}, what)
        f = {k: torch.from_numpy(np.ascontiguousarray(x)) for k, x in a.items()}
        check_cameras(f["camera.K"], f["camera.T_cam_world"], str(path))
        camera = Camera(f["camera.K"], f["camera.T_cam_world"], h, w)
        drawn = None if neural is None else from_tensors(t, neural, with_teeth_colours(body, a["rgb"]), path)
        return cls(body, f["betas"], f["offsets"], a["rgb"], a["lam"], f["pose"], f["transl"], camera,
                   _with_current_words(meta), drawn, (path.absolute(),))  # fmt: skip

    def replace(self, **changes: Any) -> Avatar:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@lru_cache(maxsize=4)
def _shape(body: Body, betas: Tensor, offsets: Tensor, *versions: int) -> tuple[Tensor, Tensor]:
    """:meth:`Body.rest` of one avatar, which frames share; versions tell tensors that were changed in place."""
    device = body.v_template.device
    return body.rest(betas[None].to(device), offsets=offsets.to(device))


@lru_cache(maxsize=4)
def _teeth_too(body: Body, offsets: Tensor, version: int) -> Tensor:
    return offsets_with_teeth(body, offsets)


@lru_cache(maxsize=2)
def _on_gpu(body: Body, device: torch.device) -> tuple[Body, Tensor, Tensor, Tensor]:
    """Body, faces, texture coordinates and their faces, which frames share."""
    faces, uv_faces = (torch.as_tensor(x.astype(np.int64)).to(device) for x in (body.faces, body.atlas.faces))
    return body.to(device), faces, torch.as_tensor(body.atlas.uv).to(device), uv_faces


def _with_current_words(meta: dict[str, Any]) -> dict[str, Any]:
    """The meta of older files: "texture" classical or learned is the renderer now, "learned" is "neural"."""
    meta = dict(meta)
    if "texture" in meta:
        meta["renderer"] = "neural" if meta.pop("texture") == "learned" else "mesh"
    if isinstance(meta.get("learned"), dict):
        meta["neural"] = dict(meta.pop("learned"))
        if meta["neural"].get("unseen") == "classical":
            meta["neural"]["unseen"] = "restoration"
    return meta
