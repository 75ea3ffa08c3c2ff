"""SMPL-X files: a random model of that format against a straight float64 loop of the published equations."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from dinar.body.skeleton import PARENT, SMPLX
from dinar.body.smplx import load_smplx
from dinar.errors import DinarError

V, F = 140, 60


def model(components: int = 400, **changes: np.ndarray) -> dict[str, np.ndarray]:
    """A random, anatomically meaningless model in the layout of SMPLX_NEUTRAL.npz."""
    rng = np.random.default_rng(0)
    J = len(SMPLX)
    weights = rng.random((V, J)) ** 8
    regressor = rng.random((J, V)) ** 4
    parents = np.array([4294967295] + [SMPLX.index(PARENT[n]) for n in SMPLX[1:]], np.uint32)
    faces = rng.integers(0, V, (F, 3)).astype(np.uint32)
    return {
        "v_template": rng.normal(size=(V, 3)),
        "f": faces,
        "shapedirs": rng.normal(size=(V, 3, components)) * 0.02,
        "posedirs": rng.normal(size=(V, 3, 9 * (J - 1))) * 0.01,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(J, dtype=np.uint32)]),
        "vt": rng.random((3 * F, 2)),
        "ft": np.arange(3 * F).reshape(F, 3).astype(np.uint32),
        "hands_meanl": np.zeros(45),
    } | changes


def save(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save(tmp_path / "SMPLX_RANDOM.npz", model())


def rodrigues(a: np.ndarray) -> np.ndarray:
    t = np.linalg.norm(a)
    if t == 0:
        return np.eye(3)
    x, y, z = a / t
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(t) * K + (1 - np.cos(t)) * K @ K


def reference(m: dict, shape: np.ndarray, expression: np.ndarray, pose: np.ndarray, transl: np.ndarray):
    """SMPL-X as its paper writes it, one joint and one vertex at a time."""
    split = 300 if m["shapedirs"].shape[2] >= 300 else 10
    v = m["v_template"].copy()
    for k, b in enumerate(shape):
        v = v + b * m["shapedirs"][:, :, k]
    for k, e in enumerate(expression):
        v = v + e * m["shapedirs"][:, :, split + k]
    joints = m["J_regressor"] @ v
    R = [rodrigues(a) for a in pose]
    feature = np.concatenate([(r - np.eye(3)).reshape(-1) for r in R[1:]])
    for k, x in enumerate(feature):
        v = v + x * m["posedirs"][:, :, k]
    chain = []
    for j, name in enumerate(SMPLX):
        T = np.eye(4)
        T[:3, :3] = R[j]
        p = SMPLX.index(PARENT[name]) if PARENT[name] else -1
        T[:3, 3] = joints[j] - (joints[p] if p >= 0 else 0)
        chain.append(T if p < 0 else chain[p] @ T)
    posed = np.zeros_like(v)
    for i in range(len(v)):
        for j in range(len(R)):
            A = chain[j].copy()
            A[:3, 3] -= A[:3, :3] @ joints[j]
            posed[i] += m["weights"][i, j] * (A @ np.append(v[i], 1))[:3]
    return posed + transl, np.stack([T[:3, 3] for T in chain]) + transl


@pytest.mark.parametrize("components", [400, 20])
def test_agrees_with_a_float64_loop(tmp_path: Path, components: int) -> None:
    m = model(components)
    body = load_smplx(save(tmp_path / "m.npz", m))
    assert (body.num_betas, body.num_expression) == (10, 100 if components == 400 else 10)
    rng = np.random.default_rng(1)
    shape, expression = rng.normal(size=(2, 10)), rng.normal(size=(2, 10))
    pose, transl = rng.normal(size=(2, 55, 3)) * 0.6, rng.normal(size=(2, 3))
    pose[0, 3:9] = 0
    t = lambda x: torch.from_numpy(x).float()  # noqa: E731
    got = body(t(shape), t(pose), t(transl), t(expression))
    for b in range(2):
        v, j = reference(m, shape[b], expression[b], pose[b], transl[b])
        np.testing.assert_allclose(got.vertices[b], v, atol=3e-5)
        np.testing.assert_allclose(got.joints[b], j, atol=3e-5)


def test_reduced_body_equals_the_full_one_on_its_vertices(path: Path) -> None:
    body = load_smplx(path)
    keep = np.array([3, 50, 7, 139])
    pose = torch.randn(2, 55, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    betas = torch.ones(2, 3)
    full, small = body(betas, pose), body.reduced(keep)(betas, pose)
    torch.testing.assert_close(small.vertices, full.vertices[:, keep])


def test_more_shape_components_and_fewer_of_expression(path: Path) -> None:
    body = load_smplx(path, num_betas=300, num_expression=5)
    assert (body.num_betas, body.num_expression) == (300, 5)
    full = load_smplx(path)
    e = torch.ones(1, 5)
    torch.testing.assert_close(body(torch.ones(1, 10), expression=e).vertices,
                               full(torch.ones(1, 10), expression=e).vertices)  # fmt: skip


def test_sparse_joint_regressor_is_read_without_running_it(tmp_path: Path) -> None:
    dense = model()["J_regressor"]
    for kind in (sparse.csc_matrix, sparse.csr_matrix):
        holder = np.empty((), object)
        holder[()] = kind(dense)
        path = tmp_path / "m.npz"
        np.savez(path, allow_pickle=True, **model(J_regressor=holder))
        torch.testing.assert_close(load_smplx(path).j_template, load_smplx(save(path, model())).j_template)


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path(MARK),))


MARK = ""


def test_a_hostile_object_array_does_not_run(tmp_path: Path) -> None:
    global MARK
    MARK = str(tmp_path / "ran")
    bad = np.empty((), object)
    bad[()] = Hostile()
    path = tmp_path / "m.npz"
    np.savez(path, allow_pickle=True, **model(hands_meanl=bad))  # not needed: never opened
    load_smplx(path)
    np.savez(path, allow_pickle=True, **model(J_regressor=bad))
    with pytest.raises(DinarError, match="may run code"):
        load_smplx(path)
    assert not Path(MARK).exists()


def test_atlas_beside_the_model_wins_over_its_own_uv(path: Path) -> None:
    own = load_smplx(path).atlas
    m = model()
    np.testing.assert_allclose(
        own.uv[own.faces], np.stack([m["vt"][..., 0], 1 - m["vt"][..., 1]], -1)[m["ft"]], rtol=1e-6
    )
    assert (own.vertex[own.faces] == m["f"]).all()
    f = m["f"].astype(int)
    arrays = dict(
        atlas_uv=np.zeros((V, 2)), atlas_faces=f, atlas_vertex=np.arange(V), atlas_island=np.zeros(F, np.uint8),
        atlas_island_names=np.array(["all"]), atlas_mirror=np.arange(V),
    )  # fmt: skip
    beside = path.with_suffix(".atlas.npz")
    np.savez(beside, **arrays)
    assert load_smplx(path).atlas.island_names == ("all",)
    np.savez(beside, **(arrays | {"atlas_faces": f[::-1]}))
    with pytest.raises(DinarError, match=r"another mesh.*build_atlas\.py"):
        load_smplx(path)


def test_uv_vertices_shared_by_mesh_vertices_are_split(tmp_path: Path) -> None:
    shared = np.zeros((F, 3), np.uint32)
    atlas = load_smplx(save(tmp_path / "m.npz", model(ft=shared))).atlas
    assert (atlas.vertex[atlas.faces] == model()["f"]).all()


def without(*keys: str) -> dict[str, np.ndarray]:
    return {k: v for k, v in model().items() if k not in keys}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (model(weights=np.ones((V, 24))), r"SMPL model \(24 joints\)"),
        (model(weights=np.ones((V, 52))), "SMPL-H model"),
        (without("posedirs"), "with posedirs"),
        (without("vt"), "build_atlas.py"),
        (model(v_template=np.zeros((V - 1, 3))), f"weights of shape \\[{V - 1}, 55\\]"),
        (model(posedirs=np.zeros((V, 3, 207))), "posedirs of shape"),
        (model(shapedirs=np.zeros((V, 10))), "shapedirs of shape"),
        (model(f=np.full((F, 3), V, np.uint32)), f"faces over {V} vertices"),
        (model(v_template=np.full((V, 3), np.nan)), "finite numbers in v_template"),
        (model(kintree_table=np.stack([np.full(55, 60), np.arange(55)])), "parents before children"),
        (model(ft=np.full((F, 3), 9999, np.uint32)), "vt \\[T, 2\\] and ft"),
        ({"poses": np.zeros(3)}, "expected an SMPL-X model"),
    ],
)
def test_refuses_inconsistent_files(tmp_path: Path, arrays: dict, reason: str) -> None:
    with pytest.raises(DinarError, match=reason) as e:
        load_smplx(save(tmp_path / "m.npz", arrays))
    assert "\n" not in str(e.value)


def test_refuses_other_files(tmp_path: Path, path: Path) -> None:
    with pytest.raises(DinarError, match="no SMPL-X model file"):
        load_smplx(tmp_path / "none.npz")
    cut = tmp_path / "cut.npz"
    cut.write_bytes(path.read_bytes()[:5000])
    pkl = tmp_path / "SMPLX_NEUTRAL.pkl"
    pkl.write_bytes(pickle.dumps({"v_template": 1}))
    for file, reason in ((cut, "damaged"), (pkl, "npz version")):
        with pytest.raises(DinarError, match=reason):
            load_smplx(file)


def test_unreadable_entries_that_are_not_needed_do_no_harm(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as z:
        z.writestr("part2num.npy", b"not an array")
    assert load_smplx(path).num_vertices == V


def test_keypoints_by_name(path: Path) -> None:
    body = load_smplx(path)
    posed = body(torch.zeros(1, 1))
    k = body.keypoints(posed)[0]
    torch.testing.assert_close(k[body.keypoint_index("left_shoulder")], posed.joints[0, body.joint("left_shoulder")])
    assert (body.keypoint_weights.sum(1) == 1).all()
