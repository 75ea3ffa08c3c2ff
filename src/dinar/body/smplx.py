"""Read the user's own licensed ``SMPLX_*.npz`` as a :class:`~dinar.body.body.Body` (the body model of §3.1).

Only plain arrays are read; nothing in the file is executed. Rest pose: SMPL's T-pose, metres, y up, facing +z.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

from ..arrays import Array, read_npz
from ..assets import cache_dir
from ..errors import DinarError
from ..pickles import Sparse, read_pickle
from .atlas import Atlas
from .body import Body
from .skeleton import SMPLX

SHAPE_SPACE = 300  # files of version 1.1: 300 shape components, then 100 of expression; version 1.0: 10 and 10
LARGEST = 1e4  # no number of a model is larger (metres, weights)
ATLAS = {
    "atlas_uv": Array(np.float32, ("T", 2), -0.01, 1.01),
    "atlas_faces": Array(np.int32, ("F", 3), 0),
    "atlas_vertex": Array(np.int64, ("T",), 0),
    "atlas_island": Array(np.uint8, ("F",)),
    "atlas_island_names": Array(np.str_, (None,)),
}

# Published vertex ids of the 10,475-vertex mesh.
_VERTEX = {
    "nose": 9120, "left_eye": 9448, "right_eye": 9929, "left_ear": 6, "right_ear": 616,
    "left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846,
    "right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635,
    "left_thumb_tip": 5361, "left_index_tip": 4933, "left_middle_tip": 5058, "left_ring_tip": 5169,
    "left_pinky_tip": 5286, "right_thumb_tip": 8079, "right_index_tip": 7669, "right_middle_tip": 7794,
    "right_ring_tip": 7905, "right_pinky_tip": 8022,
}  # fmt: skip
_MOUTH = {"mouth_right": 31, "mouth_left": 37}  # of the 51 static face landmarks


def load_smplx(
    path: str | Path,
    num_betas: int = 10,  # shape components to keep, at most those of the file
    num_expression: int | None = None,  # expression components to keep; None: all, at most 100
    atlas: str | Path | None = None,  # npz of scripts/build_atlas.py; None: that of `atlas_paths`, or the file's own UV
) -> Body:
    """A body from an SMPL-X model file. Any consistent numbers of vertices, faces and components are accepted."""
    path = Path(path).expanduser()
    a = _arrays(path)
    _check(path, a)
    V, F = len(a["v_template"]), len(a["f"])
    dirs = a["shapedirs"].astype(np.float32)
    total = dirs.shape[2]
    n_shape = min(total, SHAPE_SPACE if total >= SHAPE_SPACE else 10)
    keep = min(num_betas, n_shape)
    n_expr = min(total - n_shape, 100 if num_expression is None else num_expression)
    dirs = np.concatenate([dirs[..., :keep], dirs[..., n_shape : n_shape + n_expr]], 2)
    regress = a["J_regressor"].astype(np.float64)
    weights = a["weights"].astype(np.float64)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    faces = a["f"].astype(np.int32)
    joints = regress @ a["v_template"].astype(np.float64)
    eyes = weights[:, [SMPLX.index("left_eye_smplhf"), SMPLX.index("right_eye_smplhf")]].sum(1) > 0.5
    names, rows = _keypoints(a, weights, joints)
    t = lambda x: torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))  # noqa: E731
    return Body(
        name="smplx",
        v_template=t(a["v_template"]),
        shapedirs=t(dirs),
        j_template=t(joints),
        j_dirs=t((regress @ dirs.reshape(V, -1).astype(np.float64)).reshape(len(SMPLX), 3, -1)),
        weights=t(weights),
        parents=(-1, *(int(p) for p in a["kintree_table"][0, 1:])),
        joint_names=SMPLX,
        num_betas=keep,
        expression_names=tuple(f"expression_{i}" for i in range(n_expr)),
        faces=faces,
        t_pose=torch.eye(3).repeat(len(SMPLX), 1, 1),
        posedirs=t(a["posedirs"].reshape(V * 3, -1).T),
        keypoint_names=names,
        keypoint_weights=t(rows),
        segment=eyes[faces].all(1).astype(np.uint8) if F else np.zeros(0, np.uint8),
        segment_names=("skin", "eye_front"),
        atlas=_atlas(path, a, None if atlas is None else Path(atlas)),
        mirror=_mirror(a["v_template"]),
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in use. Entries of other kinds (dictionaries of the official file) are never opened."""
    need = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
    if not path.is_file():
        raise DinarError(f"no SMPL-X model file at {path}: give the path of your SMPLX_NEUTRAL.npz "
                         "(free registration at smpl-x.is.tue.mpg.de)")  # fmt: skip
    if path.suffix == ".pkl":
        raise DinarError(f"{path.name}: expected an SMPL-X model as npz; pickled models are not read: download the npz "
                         "version of SMPL-X")  # fmt: skip
    what = "an SMPL-X model (SMPLX_NEUTRAL.npz)"
    integers = ("f", "kintree_table", "ft", "lmk_faces_idx")
    whole, number = Array(np.int64, None, -LARGEST, 1 << 32), Array(np.float64, None, -LARGEST, LARGEST)
    needed = {k: whole if k in integers else number for k in need}
    shapes = {"vt": (None, 2), "ft": (None, 3), "lmk_faces_idx": ("L",), "lmk_bary_coords": ("L", 3)}
    more = {k: dataclasses.replace(whole if k in integers else number, shape=shape, required=False)
            for k, shape in shapes.items()}  # fmt: skip
    out = read_npz(path, needed, name=path.name, what=what, pickled=_plain)
    return out | read_npz(path, more, name=path.name, what=what)


def _plain(data: bytes, where: str) -> np.ndarray:
    """An array of objects as the official files have them: a sparse matrix, or an array in an array."""
    x = read_pickle(data, where)
    x = x.item() if isinstance(x, np.ndarray) and x.dtype == object and x.size == 1 else x
    x = x.dense() if isinstance(x, Sparse) else np.asarray(x)
    if x.dtype == object:
        raise DinarError(f"{where}: expected an array of numbers, got objects; download the file again")
    return x


def _check(path: Path, a: dict[str, np.ndarray]) -> None:
    J = len(SMPLX)

    def refuse(expected: str, got: object, do: str = "give an unchanged SMPLX_NEUTRAL/MALE/FEMALE.npz") -> None:
        raise DinarError(f"{path.name}: expected {expected}, got {got}; {do}")

    v, f, w = a["v_template"], a["f"], a["weights"]
    joints = w.shape[1] if w.ndim == 2 else -1
    if joints != J:
        family = {24: "a SMPL model (24 joints)", 52: "an SMPL-H model (52 joints)"}.get(joints, f"weights {w.shape}")
        refuse(f"the {J} joints of SMPL-X", family)
    if v.ndim != 2 or v.shape[1] != 3 or not len(v):
        refuse("v_template of shape [V, 3]", list(v.shape))
    V = len(v)
    for name, shape in (("weights", (V, J)), ("J_regressor", (J, V)), ("posedirs", (V, 3, 9 * (J - 1)))):
        if a[name].shape != shape:
            refuse(f"{name} of shape {list(shape)} for {V} vertices", list(a[name].shape))
    if a["shapedirs"].ndim != 3 or a["shapedirs"].shape[:2] != (V, 3) or not a["shapedirs"].shape[2]:
        refuse(f"shapedirs of shape [{V}, 3, components]", list(a["shapedirs"].shape))
    if a["kintree_table"].shape != (2, J):
        refuse(f"kintree_table of shape [2, {J}]", list(a["kintree_table"].shape))
    parents = a["kintree_table"][0, 1:].astype(np.int64)
    if (parents < 0).any() or (parents >= np.arange(1, J)).any():
        refuse("a kintree_table with parents before children", "another order")
    if f.ndim != 2 or f.shape[1] != 3 or not np.issubdtype(f.dtype, np.integer):
        refuse("faces f of shape [F, 3], integers", f"{list(f.shape)} {f.dtype}")
    if f.size and (f.astype(np.int64).min() < 0 or f.max() >= V):
        refuse(f"faces over {V} vertices", f"indices up to {f.max()}")
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        if not np.isfinite(a[name]).all():
            refuse(f"finite numbers in {name}", "NaN or infinity")
    if (w.sum(1) < 0.5).any():
        refuse("skin weights that sum to 1", f"a sum of {w.sum(1).min():.2f}")


def _keypoints(a: dict[str, np.ndarray], weights: np.ndarray, joints: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and rows [K, V]. Shoulders, hips and so on are the joints of these names."""
    v = a["v_template"]
    V = len(v)
    vertex = dict(_VERTEX) if V == 10475 else _guess_keypoints(v, weights, joints)
    rows = np.zeros((len(vertex), V), np.float32)
    rows[np.arange(len(vertex)), list(vertex.values())] = 1
    names = list(vertex)
    lmk, bary = a.get("lmk_faces_idx", np.zeros(0)), a.get("lmk_bary_coords", np.zeros(0))
    if lmk.shape == (51,) and bary.shape == (51, 3) and lmk.max() < len(a["f"]):
        for name, i in _MOUTH.items():
            row = np.zeros((1, V), np.float32)
            np.add.at(row[0], a["f"][int(lmk[i])].astype(int), bary[i])
            rows = np.concatenate([rows, row])
            names.append(name)
    return tuple(names), rows


def _guess_keypoints(v: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> dict[str, int]:
    """Extreme vertices of the parts, for other meshes than the official one."""
    owner = weights.argmax(1)
    out: dict[str, int] = {}

    def pick(name: str, joint: str, direction: np.ndarray) -> None:
        own = np.flatnonzero(owner == SMPLX.index(joint))
        if len(own):
            out[name] = int(own[(v[own] @ direction).argmax()])

    pick("nose", "head", np.array([0, 0, 1.0]))
    for side, x in (("left", 1.0), ("right", -1.0)):
        pick(f"{side}_eye", f"{side}_eye_smplhf", np.array([0, 0, 1.0]))
        pick(f"{side}_ear", "head", np.array([x, 0, 0]))
        pick(f"{side}_big_toe", f"{side}_foot", np.array([-0.3 * x, 0, 1]))
        pick(f"{side}_small_toe", f"{side}_foot", np.array([x, 0, 0.3]))
        pick(f"{side}_heel", f"{side}_ankle", np.array([0, -0.5, -1]))
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            along = joints[SMPLX.index(f"{side}_{finger}3")] - joints[SMPLX.index(f"{side}_{finger}2")]
            pick(f"{side}_{finger}_tip", f"{side}_{finger}3", along)
    return out


def _mirror(v: np.ndarray) -> np.ndarray:
    """[V] nearest vertex to each vertex reflected at x = 0."""
    return np.asarray(KDTree(v).query(v * np.array([-1, 1, 1]))[1], np.int64)


def atlas_paths(model: Path) -> list[Path]:
    """Where the atlas of a model file is looked for: beside it, then in the user's cache."""
    return [model.with_suffix(".atlas.npz"), cache_dir() / f"{model.stem}.atlas.npz"]


def _atlas(path: Path, a: dict[str, np.ndarray], given: Path | None) -> Atlas:
    faces, V = a["f"].astype(np.int64), len(a["v_template"])
    if given is not None and not given.is_file():
        raise DinarError(f"no atlas file at {given}: make it with scripts/build_atlas.py {path.name} -o {given.name}")
    for file in [given] if given else atlas_paths(path):
        if not file.is_file():
            continue
        atlas = Atlas.from_arrays(read_npz(file, ATLAS, what="an atlas from scripts/build_atlas.py"))
        fits = atlas.faces.shape == faces.shape and atlas.vertex.max(initial=0) < V
        fits = fits and atlas.faces.max(initial=0) < len(atlas.vertex)
        fits = fits and atlas.island.max(initial=0) < len(atlas.island_names)
        if not fits or not (atlas.vertex[atlas.faces] == faces).all():
            raise DinarError(f"{file}: expected an atlas of {path.name}, got one of another mesh; "
                             f"make it again with scripts/build_atlas.py {path.name} -o {file.name}")  # fmt: skip
        return atlas
    if "vt" not in a or "ft" not in a:
        raise DinarError(f"{path.name} has no UV layout (vt, ft) and no {path.stem}.atlas.npz lies beside it: "
                         f"run scripts/build_atlas.py {path.name} -o {path.stem}.atlas.npz")  # fmt: skip
    vt, ft = a["vt"], a["ft"].astype(np.int64)
    inside = ft.min(initial=0) >= 0 and ft.max(initial=0) < len(vt)
    if vt.ndim != 2 or vt.shape[1] != 2 or ft.shape != faces.shape or not inside:
        raise DinarError(f"{path.name}: expected vt [T, 2] and ft {list(faces.shape)} into it, got {list(vt.shape)} "
                         f"and {list(ft.shape)}; make an atlas with scripts/build_atlas.py {path.name}")  # fmt: skip
    vertex = np.zeros(len(vt), np.int64)
    vertex[ft] = faces
    if not (vertex[ft] == faces).all():  # a UV vertex shared by two mesh vertices: one UV vertex a corner
        vt, vertex, ft = vt[ft].reshape(-1, 2), faces.reshape(-1), np.arange(ft.size).reshape(-1, 3)
    return Atlas.from_arrays(
        {
            "atlas_uv": np.stack([vt[:, 0], 1 - vt[:, 1]], 1).astype(np.float32),
            "atlas_faces": ft.astype(np.int32),
            "atlas_vertex": vertex,
            "atlas_island": np.zeros(len(ft), np.uint8),
            "atlas_island_names": np.array(["body"]),
        }
    )
