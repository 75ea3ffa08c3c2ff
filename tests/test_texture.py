"""Algorithm 1, eq. 5, the membrane and the restoration against brute force and by property."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dinar.body import Body
from dinar.body.body import PARTS
from dinar.body.regions import regions
from dinar.labels import LABEL
from dinar.photo.image import read_photo
from dinar.scene import orbit, rasterize_mesh
from dinar.texture import gather, merge, merge_poisson, push_pull, restore, scatter, scatter_shot, shoot, texels
from dinar.texture.closer import with_closer_head
from dinar.texture.membrane import membrane
from dinar.texture.occlusion import limb_colours, occlusion_outlines
from dinar.texture.worn import few_changes


def test_scatter_is_algorithm_1() -> None:
    rng = np.random.default_rng(0)
    size, n = 16, 150
    uv, values = rng.random((n, 2)), rng.random((n, 3))
    T, C = np.zeros((size, size, 3)), np.zeros((size, size))
    hit = np.zeros((size, size), bool)
    for (u, v), c in zip(uv, values, strict=True):
        i, j = int(v * size), int(u * size)
        for k in (-1, 0, 1):
            for m in (-1, 0, 1):
                if 0 <= i + k < size and 0 <= j + m < size:
                    T[i + k, j + m] += c
                    C[i + k, j + m] += 1
    T[C > 0] /= C[C > 0][:, None]
    for (u, v), c in zip(uv, values, strict=True):
        T[int(v * size), int(u * size)] = c
        hit[int(v * size), int(u * size)] = True
    texture, sampled, filled = scatter(uv, values, size)
    np.testing.assert_allclose(texture, T, atol=1e-6)
    assert (sampled == hit).all() and (filled == (C > 0)).all() and (filled | ~sampled).all()


def test_merge_is_eq_5() -> None:
    rng = np.random.default_rng(1)
    T, lam = rng.random((3, 20, 2)), rng.random((3, 20))
    w = np.exp(10 * lam) / np.exp(10 * lam).sum(0)
    merged, best = merge(T, lam)
    np.testing.assert_allclose(merged, (T * w[..., None]).sum(0), atol=1e-12)
    np.testing.assert_allclose(best, lam.max(0))


def test_merge_ignores_views_that_do_not_see() -> None:
    T = np.array([[[1.0]], [[5.0]]])
    assert merge(T, np.array([[0.3], [0.0]]))[0].item() == 1.0
    assert merge(T, np.zeros((2, 1)))[0].item() == 0.0


def test_push_pull_keeps_and_fills() -> None:
    rng = np.random.default_rng(2)
    image, known = rng.random((32, 32, 3)).astype(np.float32), rng.random((32, 32)) < 0.1
    out = push_pull(image, known)
    np.testing.assert_allclose(out[known], image[known])
    assert out.min() >= image[known].min() - 1e-5 and out.max() <= image[known].max() + 1e-5


def test_membrane_interpolates_and_fades(body: Body) -> None:
    known = np.zeros(body.num_vertices, bool)
    known[body.keypoint_support[:40]] = True
    r = membrane(body, known, np.ones((body.num_vertices, 1)), 0.1)
    assert np.abs(r[known] - 1).max() < 0.02
    v = body.v_template.numpy()
    far = np.linalg.norm(v[:, None] - v[known][None], axis=2).min(1) > 0.6
    assert far.any() and np.abs(r[far]).max() < 0.05


@pytest.fixture(scope="module")
def painted(body: Body):
    """A shot of the body painted with a smooth function of its rest position, and that truth in the atlas."""
    vertices = body(torch.zeros(1, 4)).vertices[0]
    camera = orbit(vertices, 0, height=512, width=512)
    truth = (body.v_template - body.v_template.amin(0)) / (body.v_template.amax(0) - body.v_template.amin(0))
    from dinar.scene import interpolate

    f = rasterize_mesh(vertices, body.faces, camera)
    picture = interpolate(f, truth, body.faces)[0].numpy()
    return shoot(body, vertices, camera, picture, f.face[0].numpy() >= 0), truth.numpy()


def test_gather_finds_the_painted_colours(body: Body, painted) -> None:
    shot, truth = painted
    t = texels(body.atlas, 256)
    rgb, lam, _ = gather(body, shot, t)
    error = np.abs(rgb - t.sample(truth, body.faces)).max(1)
    assert 0.25 < (lam > 0).mean() < 0.5  # the front
    assert np.quantile(error[lam > 0.4], 0.99) < 0.02


def test_scatter_shot_agrees_with_gather(body: Body, painted) -> None:
    shot, _ = painted
    t = texels(body.atlas, 256)
    rgb, lam, _ = gather(body, shot, t)
    T, sampled, filled, lam2 = scatter_shot(shot, 256)
    both = (lam > 0.4) & sampled.reshape(-1)[t.index]
    assert both.sum() > 5000 and (filled | ~sampled).all()
    assert np.quantile(np.abs(T.reshape(-1, 3)[t.index] - rgb)[both], 0.99) < 0.03
    assert np.quantile(np.abs(lam2.reshape(-1)[t.index] - lam)[both], 0.95) < 0.1


def test_restore_completes_and_keeps(body: Body, painted) -> None:
    shot, truth = painted
    t = texels(body.atlas, 256)
    colour, lam, _ = gather(body, shot, t)
    rgb, seen = np.zeros((256 * 256, 3), np.float32), np.zeros(256 * 256, np.float32)
    rgb[t.index], seen[t.index] = colour * (lam > 0)[:, None], lam
    out = restore(body, rgb.reshape(256, 256, 3), seen.reshape(256, 256)).reshape(-1, 3)
    sure = lam > 0.6
    assert np.quantile(np.abs(out[t.index][sure] - colour[sure]), 0.95) < 0.02
    # height (the green channel) must come from about the same height, also where nothing was seen
    unseen = lam == 0
    assert np.median(np.abs(out[t.index][unseen] - t.sample(truth, body.faces)[unseen])[:, 1]) < 0.04
    assert np.isfinite(out).all() and out.min() >= 0 and out.max() <= 1


def test_the_back_wears_what_is_worn_in_front(body: Body) -> None:
    """An open red coat over a white shirt, with hair and a bag before it: behind, it is a red coat; without the parse,
    shirt and hair are found there."""
    t = texels(body.atlas, 256)
    x = t.sample(body.v_template.numpy(), body.faces)
    vertex = body.faces[t.face, t.barycentrics.argmax(1)]
    torso = body.vertex_part[vertex] == PARTS.index("torso")
    corner = body.v_template.numpy()[body.faces[t.face]]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    lam = np.clip(normal[:, 2] / np.linalg.norm(normal, axis=1), 0, 1)
    high, low = x[torso, 1].max(), x[torso, 1].min()
    height = (x[:, 1] - low) / (high - low)
    things = (("lower", (0.3, 0.3, 0.5), height < 0.3), ("outer", (0.8, 0.1, 0.1), height >= 0.3),
              ("upper", (1, 1, 1), (height >= 0.3) & (np.abs(x[:, 0]) < 0.05)),
              ("hair", (0.9, 0.8, 0.3), (height > 0.7) & (x[:, 0] > 0.04)),
              ("bag", (0, 0.6, 0), (abs(height - 0.5) < 0.1) & (x[:, 0] < -0.09)))  # fmt: skip
    rgb, worn = np.zeros((256 * 256, 3), np.float32), np.zeros(256 * 256, np.uint8)
    seen = np.zeros(256 * 256, np.float32)
    seen[t.index] = lam
    for name, colour, where in things:
        rgb[t.index[where & (lam > 0)]], worn[t.index[where & (lam > 0)]] = colour, LABEL[name]
    grid = lambda a: a.reshape(256, 256, *a.shape[1:])  # noqa: E731
    back = torso & (lam == 0) & (height > 0.35)
    red = lambda w: np.abs(w.reshape(-1, 3)[t.index[back]] - (0.8, 0.1, 0.1)).max(1) < 0.15  # noqa: E731
    assert red(restore(body, grid(rgb), grid(seen), grid(worn))).mean() > 0.97
    assert red(restore(body, grid(rgb), grid(seen))).mean() < 0.9


def test_hair_of_the_back_has_strands(body: Body) -> None:
    """Of the contrast of the hair that is seen, none where it has none; and of its colour."""
    t = texels(body.atlas, 256)
    x = t.sample(body.v_template.numpy(), body.faces)
    vertex = body.faces[t.face, t.barycentrics.argmax(1)]
    back = (regions(body).skull & ~regions(body).face)[vertex] & (x[:, 2] < 0)
    rng, seen, worn = np.random.default_rng(0), (x[:, 2] > 0.03), np.full(256 * 256, LABEL["hair"], np.uint8)
    for contrast in (0.0, 0.1):
        rgb = np.zeros((256 * 256, 3), np.float32)
        rgb[t.index[seen]] = (0.5, 0.3, 0.1) * (1 + contrast * rng.standard_normal((seen.sum(), 1)))
        lam = np.zeros(256 * 256, np.float32)
        lam[t.index[seen]] = 1
        out = restore(body, rgb.reshape(256, 256, 3), lam.reshape(256, 256), worn.reshape(256, 256))
        hair = out.reshape(-1, 3)[t.index[back]]
        np.testing.assert_allclose(hair.mean(0), (0.5, 0.3, 0.1), atol=0.03)
        assert abs(hair[:, 0].std() / 0.5 - contrast) < 0.04


def test_few_changes_is_the_best_of_all_paths() -> None:
    score = np.random.default_rng(0).random((6, 3))
    value = lambda p: score[np.arange(6), list(p)].sum() - 0.4 * np.count_nonzero(np.diff(p))  # noqa: E731
    best = max(itertools.product(range(3), repeat=6), key=value)
    assert tuple(few_changes(score, 0.4)) == best
    assert len(set(few_changes(score, 9.0))) == 1


def test_occlusion_outlines_follow_a_hand_before_the_belly(body: Body) -> None:
    pose = torch.zeros(1, body.num_joints, 3)
    camera = orbit(body(torch.zeros(1, 4)).vertices[0], 0, height=512, width=512)

    def outlines() -> tuple[np.ndarray, np.ndarray]:
        f = rasterize_mesh(body(torch.zeros(1, 4), pose).vertices[0], body.faces, camera)
        return occlusion_outlines(body, f), f.face[0].numpy() >= 0

    free, _ = outlines()
    pose[0, body.joint("left_shoulder")] = torch.tensor([0.0, -0.3, -0.5])
    pose[0, body.joint("left_elbow")] = torch.tensor([-1.1, -1.0, 0.1])
    crossed, mesh = outlines()
    assert crossed.sum() > 1.5 * free.sum()
    assert not (crossed & ~mesh).sum() > 0.2 * crossed.sum()


def test_limb_colours_have_no_edge_inside_a_limb(body: Body) -> None:
    colour = limb_colours(body).numpy()
    knee = np.abs(body.v_template.numpy() - body.j_template[body.joint("left_knee")].numpy()).max(1) < 0.08
    assert np.ptp(colour[knee], 0).max() < 30


def test_poisson_merge_equals_the_views_where_they_agree(body: Body) -> None:
    t = texels(body.atlas, 128)
    x = t.sample(body.v_template.numpy(), body.faces)
    colour = np.repeat(((x - x.min(0)) / np.ptp(x, axis=0)).astype(np.float32)[None], 2, 0)
    lam = np.stack([np.clip(x[:, 2] * 4 + 0.5, 0, 1), np.clip(0.5 - x[:, 2] * 4, 0, 1)])
    merged, _ = merge_poisson(body, t, colour, lam)
    np.testing.assert_allclose(merged, colour[0], atol=1e-5)


def test_poisson_merge_hides_a_step(body: Body) -> None:
    t = texels(body.atlas, 128)
    x = t.sample(body.v_template.numpy(), body.faces)
    colour = np.stack([np.full((len(x), 3), 0.4, np.float32), np.full((len(x), 3), 0.6, np.float32)])
    lam = np.stack([np.clip(x[:, 2] * 4 + 0.5, 0.01, 1), np.clip(0.5 - x[:, 2] * 4, 0.01, 1)])
    merged, _ = merge_poisson(body, t, colour, lam)
    border = np.abs(lam[0] - lam[1]) < 0.02
    assert np.abs(merged[border] - 0.5).mean() < 0.03
    assert merged.min() >= 0.4 - 1e-4 and merged.max() <= 0.6 + 1e-4


def test_the_head_has_the_colours_of_the_file_at_its_resolution(body: Body, tmp_path: Path) -> None:
    window, t = (100, 50, 1300, 1650), texels(body.atlas, 256)
    v, weight = body.v_template, body.weights[:, body.joint("head")].numpy()
    place = orbit(v, 0, height=400, width=300)  # of the working picture: a quarter of the file's window
    x, y = place.project(v[torch.from_numpy(weight > 0.5)].mean(0))[0].numpy() * 4 + window[:2]  # in the file
    rows, columns = np.mgrid[:1700, :1400] + 0.5
    file = np.stack([0.5 + (columns - x) / 400, 0.5 + (rows - y) / 400, (columns // 4) % 2], 2)
    Image.fromarray((255.5 * np.clip(file, 0, 1)).astype(np.uint8)).save(tmp_path / "large.png", compress_level=0)
    photo = read_photo(tmp_path / "large.png", 400, window=window)
    shot = shoot(
        body, v, place.crop(-50, 0, 0.5, 200, 200), np.zeros((200, 200, 3), np.float32), np.ones((200, 200), bool)
    )
    colour, lam, _ = gather(body, shot, t)
    assert with_closer_head(body, shot, colour, lam, t) is colour
    shot.source = (photo, place)
    out = with_closer_head(body, shot, colour, lam, t)
    share = t.sample(weight[:, None], body.faces)[:, 0]
    head, below = (lam > 0) & (share > 0.95), (lam > 0) & (share < 0.2)
    at = place.project(torch.from_numpy(t.sample(v.numpy(), body.faces)))[0].numpy() * 4 + window[:2]
    true = 0.5 + (at - (x, y)) / 400
    assert head.sum() > 1000 and np.abs(out[head, :2] - true[head]).max() < 2 / 400
    assert (
        out[head, 2].std() > 0.25 and (out[below] == colour[below]).all()
    )  # stripes of a pixel of the working picture
    larger = shoot(
        body, v, place.resized(1600, 1200), np.zeros((1600, 1200, 3), np.float32), np.ones((1600, 1200), bool)
    )
    larger.source = (photo, place)
    assert with_closer_head(body, larger, colour, lam, t) is colour  # the crop has the file's resolution
