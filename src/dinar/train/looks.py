"""What windows need of every view: its picture as the source has it, the body's vertices, and what the view shows.

Records are kept in memory that the workers of a run share, because making one takes many times as long as a window.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import cv2
import numpy as np

from ..body import Body
from ..body.shells import can_wear
from ..labels import LABEL
from ..neural.arrays import view_arrays
from ..scene import rasterize, vertex_normals
from ..texture.sample import BEHIND, ERODE, facing_camera
from ..views import project
from .people import People

MEMORY = 8 << 30  # bytes of views that are kept
SHELLS = (4000, 4500, 6500)  # vertices, texture vertices and faces that clothes and hair add to a body, at most
LOOKED = 2  # pixels of ``wall`` in those of the network's picture, along a side
WHOLE = ("rgb", "mask", "uv", "sample_mask", "facing")  # arrays of the encoded view
JOINTS = {"head": ("left_eye_smplhf", "right_eye_smplhf"), "hand": ("left_middle1", "right_middle1"),
          "foot": ("left_foot", "right_foot")}  # fmt: skip


def to8(x: np.ndarray) -> np.ndarray:  # in [0, 1]
    return (x * 255 + np.float32(0.5)).astype(np.uint8)


class Looks:
    """What windows need of every view, in memory that all workers share: 5 MB a view at ``size`` 256."""

    def __init__(self, people: People) -> None:
        self.people, left = people, MEMORY
        self.kept: list[np.ndarray | None] = []
        self.first: list[np.ndarray] = []  # of each source, the number of views before each person
        for source in people.sources:
            count, n = 0, source.num_people or 0  # an endless source: no view is used twice
            counts = [source.num_views(i) for i in range(n)]
            self.first.append(np.concatenate([[0], np.cumsum(counts)]).astype(int))
            if n:
                kind = record(source.views(0, [0]).size[0], people.size, people.body)
                count = min(sum(counts), left // kind.itemsize)
                left -= count * kind.itemsize
            # anonymous memory: workers that are forked share it
            self.kept.append(np.frombuffer(mmap.mmap(-1, count * kind.itemsize), kind) if count else None)

    def num_views(self, k: int, person: int) -> int:
        first = self.first[k]
        if len(first) == 1:
            return self.people.sources[k].num_views(person)
        return int(first[person + 1] - first[person])

    def __call__(self, k: int, person: int, views: Sequence[int]) -> list[np.void]:
        """The records of some views of a person."""
        kept, first = self.kept[k], self.first[k]
        slots = [int(first[person]) + i for i in views] if kept is not None else []
        if kept is None or max(slots) >= len(kept):
            return list(look(self.people, k, person, views))  # type: ignore[arg-type]
        if missing := [j for j, s in enumerate(slots) if not kept[s]["done"]]:
            made = look(self.people, k, person, [views[j] for j in missing])
            for j, new in zip(missing, made, strict=True):
                for name in kept.dtype.names or ():
                    kept[slots[j]][name] = new[name]  # ``done`` is last; two workers write the same
        return [kept[s] for s in slots]


def mesh(view: np.void) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of a view's body with its clothes: vertices [V, 3], faces [F, 3], texture vertices [T, 2] and their faces."""
    v, t, f = view["counts"]
    return view["vertices"][:v], view["faces"][:f], view["atlas"][:t], view["uv_faces"][:f]


def record(side: int, size: int, body: Body) -> np.dtype:
    """A view: see :func:`look`."""
    more = SHELLS if can_wear(body) else (0, 0, 0)
    v, t, f = (k + m for k, m in zip((body.num_vertices, len(body.atlas.uv), len(body.faces)), more, strict=True))
    n = LOOKED * size
    return np.dtype([
        ("picture", np.uint8, (side, side, 4)), ("vertices", np.float32, (v, 3)), ("cosine", np.float32, (v,)),
        ("faces", np.int32, (f, 3)), ("uv_faces", np.int32, (f, 3)), ("atlas", np.float32, (t, 2)),
        ("counts", np.int32, (3,)), ("wall", np.float32, (n, n)), ("parts", np.float32, (6, 2)),
        ("K", np.float32, (3, 3)), ("T", np.float32, (4, 4)), ("face", np.float32, (4,)),
        ("rgb", np.uint8, (3, size, size)), ("mask", np.uint8, (1, size, size)), ("uv", np.float16, (2, size, size)),
        ("sample_mask", np.uint8, (1, size, size)), ("facing", np.uint8, (1, size, size)), ("done", np.uint8),
    ])  # fmt: skip


def look(people: People, k: int, person: int, chosen: Sequence[int]) -> np.ndarray:
    """Records of views of a person: the encoded view's arrays at the network's size; RGB on white and alpha as the
    source has them; vertices and faces of the fitted body with its clothes; the wall behind which it is not seen (-1:
    its pixel must not be sampled); and where the parts of PARTS are."""
    body, size = people.body, people.size
    v = people._views(k, person, chosen)
    a = view_arrays(v, body, size, people.bags)
    out = np.zeros(len(v), record(v.size[0], size, body))
    for name in WHOLE:
        out[name] = a[name] if name == "uv" else to8(a[name])
    out["face"] = a["face"]
    n, side = LOOKED * size, v.size[0]
    alpha = np.array(v.alpha.numpy())
    if not people.bags and v.labels is not None:
        alpha[v.labels.numpy() == LABEL["bag"]] = 0
    share = alpha[..., None] / np.float32(255)
    out["picture"][..., :3] = (v.rgb.numpy() * share + 255 * (1 - share)).round()
    out["picture"][..., 3] = alpha
    posed, body = v.fit.posed(body), v.fit.worn(body)
    drawn = {"vertices": posed.vertices.numpy(), "faces": body.faces, "uv_faces": body.atlas.faces,
             "atlas": body.atlas.uv}  # fmt: skip
    out["counts"] = [body.num_vertices, len(body.atlas.uv), len(body.faces)]
    for name, own in drawn.items():
        out[name][:, : own.shape[-2]] = own
    out["K"], out["T"] = v.K, v.T_cam_world
    xy, z = project(posed.vertices, v.K, v.T_cam_world)
    depth = rasterize(xy * (n / side), z, body.faces, n, n).depth.numpy()
    k_erode = max(1, round(ERODE * side))
    around = np.ones((2 * k_erode + 1, 2 * k_erode + 1), np.uint8)
    normals = vertex_normals(posed.vertices, body.faces)
    joints, _ = project(posed.joints, v.K, v.T_cam_world)
    names = list(body.joint_names)
    for i in range(len(v)):
        core = cv2.erode((alpha[i] > 127).astype(np.uint8), around)
        core = cv2.resize(core, (n, n), interpolation=cv2.INTER_NEAREST)
        sure = cv2.resize(a["sample_mask"][i, 0], (n, n), interpolation=cv2.INTER_NEAREST)
        before = cv2.resize(a["body_mask"][i, 0], (n, n), interpolation=cv2.INTER_NEAREST)
        out["wall"][i] = np.where((core > 0) & ((sure > 0.5) | (before < 0.5)), depth[i] + BEHIND, -1)
        out["cosine"][i, : body.num_vertices] = facing_camera(posed.vertices[i], normals[i], v.camera(i))
        found = [joints[i, names.index(j)].tolist() for js in JOINTS.values() for j in js if j in names]
        out["parts"][i] = found if len(found) == 6 else [[side / 2, side / 2]] * 6
    out["done"] = 1
    return out
