"""Shells: a skirt as part of the mesh, its fit to a parse, its movement and its file."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.spatial import KDTree

from dinar.avatar import Avatar
from dinar.body import Body, load_body
from dinar.body.motion import retarget
from dinar.body.readers import load_motion
from dinar.body.shells import Shell, wear
from dinar.body.skirt import ROWS, clear_legs, grid_of, tuck_legs
from dinar.errors import DinarError
from dinar.export import Clip, build_model, write_glb
from dinar.fit.coats import Coat
from dinar.fit.hanging import hang_from_shoulders
from dinar.fit.offsets import Silhouette
from dinar.fit.shells import finish, fit_shells
from dinar.labels import LABEL
from dinar.scene import Camera, orbit, rasterize_mesh, vertex_normals
from dinar.scene.edges import unique_edges
from dinar.texture.texels import texels
from read_glb import Read

HEM = -0.4


@pytest.fixture(scope="module")
def skirted() -> Body:
    return wear(load_body(), (Shell("skirt", HEM),))


def is_cloth(body: Body) -> np.ndarray:
    return body.segment == body.segment_names.index("skirt")


def test_without_shells_a_body_stays_itself():
    body = load_body()
    assert wear(body, ()) is body


def test_a_skirt_and_the_body_are_one_surface(skirted: Body):
    body, v = load_body(), skirted.v_template.numpy()
    edges, _, count = unique_edges(skirted.faces)
    assert count.max() == 2
    assert v[np.unique(edges[count == 1]), 1].max() < -0.07  # open are the legs, under the skirt
    assert skirted.num_joints == body.num_joints and len(skirted.faces) < 1.1 * len(body.faces)
    assert (skirted.mirror[skirted.mirror] == np.arange(len(v))).all()
    assert np.abs(v[skirted.mirror] * [-1, 1, 1] - v).max() < 1e-3
    assert torch.allclose(skirted.weights.sum(1), torch.ones(len(v)), atol=1e-5)
    outside = skirted.faces[is_cloth(skirted)][: 2 * ROWS * grid_of(skirted).shape[1]]
    a, b, c = (v[outside[:, k]] for k in range(3))
    assert ((np.cross(b - a, c - a) * (a + b + c) * [1, 0, 1]).sum(1) > 0).all()  # it faces outwards


def test_a_skirt_takes_the_texels_of_the_legs_under_it(skirted: Body):
    body = load_body()
    t, old = texels(skirted.atlas, 256), texels(body.atlas, 256)
    assert len(t.index) > 0.72 * 256**2
    cloth = set(t.index[is_cloth(skirted)[t.face]])
    lining = np.flatnonzero(is_cloth(skirted))[2 * ROWS * grid_of(skirted).shape[1] :]
    assert not np.isin(t.face, lining).any()  # it has those of the outside, whose colours are sampled
    legs = [body.atlas.island_names.index(n) for n in ("leg_left", "leg_right")]
    assert len(cloth) > 1500
    assert len(cloth & set(old.index[np.isin(body.atlas.island[old.face], legs)])) > 0.97 * len(cloth)
    others = lambda a, t: set(t.index[~np.isin(a.island[t.face], [*legs, len(body.atlas.island_names)])])  # noqa: E731
    assert len(others(skirted.atlas, t) - others(body.atlas, old)) < 20  # the rest lies where it was
    assert skirted.atlas.hash != body.atlas.hash


def poke_through(body: Body, vertices: torch.Tensor, camera: Camera) -> float:
    """Share of the person's pixels that show a covered leg in front of the outside of the skirt."""
    cloth = is_cloth(body)
    outside = body.faces[cloth][: 2 * ROWS * grid_of(body).shape[1]]
    face = rasterize_mesh(vertices, body.faces, camera).face[0].numpy()
    low = body.v_template.numpy()[body.faces][:, :, 1].max(1)
    arms = np.isin(body.vertex_part, [2, 3, 4, 5])[body.faces].any(1)
    covered = ~cloth & ~arms & (low > HEM) & (low < -0.08)
    behind = rasterize_mesh(vertices, outside, camera).mask[0].numpy()
    return float(((face >= 0) & covered[face.clip(0)] & behind).sum() / (face >= 0).sum())


def test_no_leg_pokes_through_in_a_walk(skirted: Body):
    pose, transl = retarget(load_motion("walk"), skirted)
    found = []
    for k in range(0, len(pose), len(pose) // 4):
        v = skirted(torch.zeros(1, 1), pose[k][None], transl[k][None]).vertices[0]
        found += [poke_through(skirted, v, orbit(v, az, height=256, width=256)) for az in (0, 90, 180)]
    assert np.mean(found) < 0.001


def test_no_leg_comes_out_of_a_skirt_in_a_kick(skirted: Body):
    """Of a skirt that is narrower than the template's, and of legs that their outline in the photo has made thick."""
    naked = skirted.rest(torch.zeros(1, 1))[0][0]
    normal, grid = vertex_normals(naked[None], skirted.faces)[0].numpy(), grid_of(skirted)[: ROWS + 1]
    way = naked.numpy()[grid] * [1, 0, 1]
    pose = torch.zeros(1, skirted.num_joints, 3)
    pose[0, skirted.joint("left_hip"), 0], pose[0, skirted.joint("right_hip"), 0] = -0.9, 0.3
    for narrow, thick in ((0.02, 0.0), (0.0, 0.02)):
        D = thick * normal * np.isin(skirted.vertex_part, [6, 7])[:, None]
        D[grid] -= narrow * way / np.linalg.norm(way, axis=2, keepdims=True)
        D = finish(skirted, load_body(), torch.zeros(1), D, D)
        v = skirted(torch.zeros(1, 1), pose, offsets=torch.from_numpy(D).float()).vertices[0]
        found = [poke_through(skirted, v, orbit(v, az, height=256, width=256)) for az in (0, 60, 90, 180)]
        assert np.mean(found) < 0.001


def test_cloth_swings_with_legs_but_does_not_turn_with_them(skirted: Body):
    pose = torch.zeros(1, skirted.num_joints, 3)
    v0 = skirted(torch.zeros(1, 1), pose).vertices[0]
    for side, sign in (("left", 1), ("right", -1)):  # toes outwards
        pose[0, skirted.joint(f"{side}_hip"), 1] = 0.5 * sign
    moved = (skirted(torch.zeros(1, 1), pose).vertices[0] - v0).norm(dim=1)
    grid = grid_of(skirted)
    assert moved[grid[8 : ROWS + 1]].max() < 0.03
    pose[0, :, 1] = 0
    pose[0, skirted.joint("left_hip"), 0] = -0.5
    moved = (skirted(torch.zeros(1, 1), pose).vertices[0] - v0).norm(dim=1)[grid[ROWS]]
    C = grid.shape[1]
    assert moved[C // 4] > 0.15 and moved[3 * C // 4] < 0.02 and 0.05 < moved[0] < moved[C // 4]


def test_wide_cloth_falls_from_a_leg_that_narrow_cloth_follows(skirted: Body):
    grid, pose = grid_of(skirted)[: ROWS + 1], torch.zeros(2, skirted.num_joints, 3)
    pose[1, skirted.joint("left_hip"), 0] = 0.5  # to the back
    way = skirted.v_template[grid] * torch.tensor([1.0, 0, 1])
    D = torch.zeros(skirted.num_vertices, 3)
    D[grid] = 0.15 * way / way.norm(dim=2, keepdim=True) * torch.linspace(0, 1, ROWS + 1)[:, None, None]
    moved = []
    for offsets in (None, D):
        v = skirted(torch.zeros(2, 1), pose, offsets=offsets).vertices[:, grid[ROWS]]
        moved.append((v[0] - v[1])[:, 2])
    front, back = 5, 15  # columns on the left leg
    narrow, wide = moved
    assert narrow[back] > 0.14 and narrow[back] - 0.08 < wide[back] < narrow[back] - 0.02
    assert narrow[front] > 0.12 and narrow[front] - 0.14 < wide[front] < narrow[front] - 0.03


def test_cloth_does_not_hang_from_level_legs(skirted: Body):
    """Who sits sits on the back of a wide skirt, and its sides hang beside the legs instead of standing out."""
    grid, pose = grid_of(skirted)[: ROWS + 1], torch.zeros(1, skirted.num_joints, 3)
    way = skirted.v_template[grid] * torch.tensor([1.0, 0, 1])
    D = torch.zeros(skirted.num_vertices, 3)
    D[grid] = 0.1 * way / way.norm(dim=2, keepdim=True) * torch.linspace(0, 1, ROWS + 1)[:, None, None]
    for side in ("left", "right"):
        pose[0, skirted.joint(f"{side}_hip"), 0] = -1.4
    narrow, wide = (skirted(torch.zeros(1, 1), pose, offsets=o).vertices[0][grid[ROWS]] for o in (None, D))
    assert 0 < narrow[15, 1] - wide[15, 1] < 0.065  # more if it hung as from legs that stand
    left = wide[:, 0].argmax()
    assert wide[left, 0] - narrow[:, 0].max() < 0.075
    assert narrow[left, 1] - wide[left, 1] > 0.06


@pytest.mark.parametrize("hem", [-0.25, -0.5, -0.75])
@pytest.mark.parametrize("program", ["three", "mixamo", "unreal"])
def test_chains_move_the_cloth_of_a_file_as_the_body_does(hem: float, program: str, tmp_path: Path):
    body = wear(load_body(), (Shell("skirt", hem),))
    pose, transl = (x[::12] for x in retarget(load_motion("walk"), body))
    sit = pose[:1].clone()
    for side in ("left", "right"):
        sit[0, body.joint(f"{side}_hip"), 0], sit[0, body.joint(f"{side}_knee"), 0] = -1.4, 1.4
    pose, transl = torch.cat([pose, sit]), torch.cat([transl, transl[:1]])
    model = build_model(body, torch.zeros(1), None, np.zeros((8, 8, 3), np.uint8), [Clip("c", pose, transl, 30)],
                        program=program)  # fmt: skip
    write_glb(tmp_path / "a.glb", model)
    assert sum(b.startswith(("skirt_", "hem_")) for b in model.bones) == 12
    read, cloth = Read(tmp_path / "a.glb"), np.isin(body.atlas.vertex, grid_of(body))
    for k in range(len(pose)):
        v = body(torch.zeros(1, 1), pose[k][None], transl[k][None]).vertices[0].numpy()[body.atlas.vertex]
        error = read.skinned(0, k / 30)[0] - v
        error = np.linalg.norm(error - np.median(error, axis=0), axis=1)[cloth]
        assert error.mean() < 0.003 and error.max() < 0.02  # metres: four weights of more


def test_a_vrm_has_spring_bones(skirted: Body, tmp_path: Path):
    for body, springs in ((skirted, 6), (wear(load_body(), (Shell("skirt", -0.75),)), 12)):
        model = build_model(body, torch.zeros(1), None, np.zeros((8, 8, 3), np.uint8), program="vrm")
        write_glb(tmp_path / "a.vrm", model)
        read = Read(tmp_path / "a.vrm")
        gltf = read.gltf
        assert gltf is not None and gltf.extensions is not None and gltf.extensionsUsed is not None
        found = gltf.extensions["VRMC_springBone"]
        assert {"VRMC_vrm", "VRMC_springBone"} <= set(gltf.extensionsUsed) and len(found["springs"]) == springs
        legs = [c["shape"]["capsule"] for c in found["colliders"]]
        assert all(0.04 < c["radius"] < 0.15 for c in legs)
        for s in found["springs"]:
            nodes = [j["node"] for j in s["joints"]]
            for parent, child in pairwise(nodes):
                assert child in gltf.nodes[parent].children
            assert nodes[-1] not in read.array(read.prim.attributes.JOINTS_0)  # the end of the last bone
    plain = build_model(load_body(), torch.zeros(1), None, np.zeros((8, 8, 3), np.uint8), program="vrm")
    assert not plain.springs


def dressed_photo(body: Body, classes: dict[str, str], flare: float = 0.0) -> Silhouette:
    """A parse of the standing template from in front: "cloth" and "legs" by name, the rest upper."""
    worn = wear(body, (Shell("skirt", HEM),))
    grid = grid_of(worn)
    D = torch.zeros(worn.num_vertices, 3)
    down = torch.linspace(0, 1, ROWS + 1)[:, None, None] * flare
    way = worn.v_template[grid[: ROWS + 1]] * torch.tensor([1.0, 0, 1])
    D[grid[: ROWS + 1]] = way / way.norm(dim=2, keepdim=True) * down
    pose = torch.zeros(body.num_joints, 3)
    v = worn(torch.zeros(1, 1), pose[None], offsets=D).vertices[0]
    camera = orbit(v, 0, height=400, width=400)
    face = rasterize_mesh(v, worn.faces, camera).face[0].numpy()
    legs = np.isin(worn.vertex_part, [6, 7, 8, 9])[worn.faces].any(1)
    label = np.where(is_cloth(worn), LABEL[classes["cloth"]], np.where(legs, LABEL[classes["legs"]], LABEL["upper"]))
    labels = np.where(face >= 0, label[face.clip(0)], 0).astype(np.uint8)
    return Silhouette(face >= 0, pose, torch.zeros(3), camera, labels=labels)


def test_the_fit_finds_hem_and_width():
    body = load_body()
    s = dressed_photo(body, {"cloth": "skirt", "legs": "skin"}, flare=0.12)
    worn, start = fit_shells(body, torch.zeros(1), [s])
    assert [x.kind for x in worn.shells] == ["skirt"] and abs(worn.shells[0].hem - HEM) < 0.02
    v = worn(torch.zeros(1, 1), s.pose[None], offsets=torch.from_numpy(start)).vertices[0]
    found = rasterize_mesh(v, worn.faces, s.camera).mask[0].numpy()
    bare = rasterize_mesh(body(torch.zeros(1, 1), s.pose[None]).vertices[0], body.faces, s.camera).mask[0].numpy()
    iou = lambda m: (m & s.mask).sum() / (m | s.mask).sum()  # noqa: E731
    assert iou(found) > 0.97 and iou(found) > 1 - (1 - iou(bare)) / 3
    deep = np.ptp(v.numpy()[grid_of(worn)[ROWS], 2])
    assert deep > np.ptp(worn.v_template.numpy()[grid_of(worn)[ROWS], 2]) + 0.08  # it widens to the back too


def test_only_a_parse_of_loose_cloth_gives_a_skirt():
    body = load_body()
    for cloth, legs in (("lower", "lower"), ("skin", "skin")):
        assert not fit_shells(body, torch.zeros(1), [dressed_photo(body, {"cloth": cloth, "legs": legs})])[0].shells
    s = dressed_photo(body, {"cloth": "outer", "legs": "lower"})
    assert fit_shells(body, torch.zeros(1), [s])[0].shells and s.labels is not None
    for labels in (None, np.where(s.labels == LABEL["outer"], LABEL["upper"], s.labels)):  # no parse; a jumpsuit
        worn, start = fit_shells(body, torch.zeros(1), [replace(s, labels=labels)])
        assert worn is body and not start.any()


def test_culottes_are_a_skirt_and_trousers_are_none():
    body = load_body()
    for flare, expected in ((0.0, 0), (0.12, 1)):
        s = dressed_photo(body, {"cloth": "lower", "legs": "skin"}, flare=flare)
        assert len(fit_shells(body, torch.zeros(1), [s])[0].shells) == expected
    s = dressed_photo(body, {"cloth": "lower", "legs": "lower"}, flare=0.12)  # down to the ankles
    assert not fit_shells(body, torch.zeros(1), [s])[0].shells


def test_an_avatar_keeps_its_skirt(avatar: Avatar, skirted: Body, tmp_path: Path):
    path = tmp_path / "a.avatar"
    D = torch.zeros(skirted.num_vertices, 3)
    D[grid_of(skirted)[ROWS], 0] = 0.25
    avatar.replace(body=skirted, offsets=D, neural=None).save(path)
    again = Avatar.load(path)
    assert again.body is skirted and torch.equal(again.offsets, D)
    with safe_open(path, "pt") as f:
        header = json.loads(f.metadata()["dinar"])
        tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
    wrong = ([{"kind": "skirt"}], [{"kind": "wings", "hem": 0.1}], [{"kind": "skirt", "hem": "low"}], "skirt",
             [{"kind": "skirt", "hem": 1e9}], [{"kind": "skirt", "hem": 10**400}])  # fmt: skip
    for shells in wrong:
        save_file(tensors, path, {"dinar": json.dumps(header | {"shells": shells})})
        with pytest.raises(DinarError, match="shell"):
            Avatar.load(path)
    save_file(tensors, path, {"dinar": json.dumps(header | {"shells": [{"kind": "skirt", "hem": -0.3}]})})
    with pytest.raises(DinarError, match=r"vertices|atlas"):
        Avatar.load(path)


def test_a_hem_above_the_legs_is_refused(body: Body) -> None:
    with pytest.raises(DinarError, match="hem"):
        wear(body, (Shell("skirt", 0.9),))


@pytest.fixture(scope="module")
def coated() -> Body:
    return wear(load_body(), (Shell("coat", -0.6),))


def test_an_open_coat_leaves_the_legs_visible_in_front(coated: Body):
    body, v = load_body(), coated.v_template.numpy()
    coat = coated.segment == coated.segment_names.index("coat")
    legs = np.isin(coated.vertex_part, [6, 7])[coated.faces].all(1) & ~coat
    assert len(coated.faces) < 1.1 * len(body.faces)
    assert (coated.mirror[coated.mirror] == np.arange(len(v))).all()
    assert np.abs(v[coated.mirror] * [-1, 1, 1] - v).max() < 1e-3
    for azimuth, least, most in ((0, 0.3, 0.8), (180, 0.9, 1.0)):  # of the thighs' and knees' pixels
        f = rasterize_mesh(coated.v_template, coated.faces, orbit(coated.v_template, azimuth, height=300, width=300))
        face = f.face[0].numpy()
        seen = face[(face >= 0) & (coat | legs)[face.clip(0)]]
        high = v[coated.faces[seen], 1].max(1) > -0.5
        assert least < coat[seen][high].mean() <= most
    t = texels(coated.atlas, 256)
    assert len(t.index) > 0.72 * 256**2 and coat[t.face].sum() > 700


def test_legs_are_thin_near_an_open_coat(coated: Body):
    """In trousers 3 cm thick, so that these do not come through in front; what the coat leaves open stays."""
    body, naked = load_body(), coated.v_template.numpy()
    thick = 0.03 * vertex_normals(coated.v_template[None], coated.faces)[0].numpy()
    moved = np.linalg.norm(tuck_legs(coated, naked, thick) - thick, axis=1)
    y = naked[:, 1]
    leg = np.isin(coated.vertex_part, [6, 7]) & (coated.numbers < body.num_vertices) & (y > -0.45) & (y < -0.2)
    coat = naked[grid_of(coated)[: ROWS + 1].ravel()]
    away = KDTree(coat).query((naked + thick)[leg])[0]
    assert np.quantile(moved[leg][away < 0.03], 0.1) > 0.05
    assert (away > 0.07).sum() > 10 and not moved[leg][away > 0.07].any()
    assert not moved[y < -0.65].any()


@pytest.mark.parametrize("which", ["skirted", "coated"])
def test_cloth_where_no_legs_are_stays_as_it_is(which: str, request: pytest.FixtureRequest):
    """The upper half of a loose coat may hang from above the hips."""
    body: Body = request.getfixturevalue(which)
    rows, offsets = grid_of(body)[1 : ROWS // 2], np.zeros((body.num_vertices, 3))
    offsets[rows, 1] = 0.6
    out = clear_legs(body, body.v_template.numpy(), offsets)
    assert np.array_equal(out[rows], offsets[rows])


def test_legs_are_there_under_a_hem_that_rises(coated: Body):
    body, D = load_body(), torch.zeros(coated.num_vertices, 3)
    D[grid_of(coated)[ROWS - 3 :], 1] = 0.06
    v = coated(torch.zeros(1, 1), torch.zeros(1, body.num_joints, 3), offsets=D).vertices[0]
    for azimuth in (90, 180):
        camera = orbit(v, azimuth, height=400, width=400)
        shown = rasterize_mesh(v, coated.faces, camera).mask[0].numpy()
        bare = rasterize_mesh(body.v_template, body.faces, camera)
        height = body.v_template.numpy()[body.faces, 1].mean(1)[bare.face[0].numpy().clip(0)]
        inside = bare.mask[0].numpy() & (height > -0.6) & (height < -0.545)
        assert inside.sum() > 100 and shown[inside].mean() > 0.95


def test_a_hem_that_is_longer_on_one_side_has_no_step_behind():
    """Columns are close in the middle of the back."""
    body = load_body()
    naked = body.rest(torch.zeros(1, 1))[0][0].numpy()
    coat = Coat(body, wear(body, (Shell("coat", -0.6),)), torch.zeros(1), naked, -0.6)
    level = coat.grid[-1, :, 1].copy()
    coat.shorten(np.array([1.0, 0.85]))
    x, rise = coat.grid[-1, :, 0], coat.grid[-1, :, 1] - level
    assert np.ptp(rise) > 0.07 and np.ptp(rise[np.abs(x) < 0.05]) < 0.03


def test_no_leg_pokes_through_the_back_of_a_coat(coated: Body):
    pose, transl = retarget(load_motion("walk"), coated)
    bad = person = 0
    grid, high = grid_of(coated), coated.v_template.numpy()[coated.faces][:, :, 1].max(1)
    behind = np.isin(coated.faces, grid[: ROWS + 1, 8:-8]).all(1)  # the middle of the back
    coat = coated.segment == coated.segment_names.index("coat")
    for k in range(0, len(pose), len(pose) // 4):
        v = coated(torch.zeros(1, 1), pose[k][None], transl[k][None]).vertices[0]
        camera = orbit(v, 180, height=256, width=256)
        face = rasterize_mesh(v, coated.faces, camera).face[0].numpy()
        under = rasterize_mesh(v, coated.faces[behind], camera).mask[0].numpy()
        legs = ~coat & (high > -0.6) & (high < -0.08)
        bad += ((face >= 0) & legs[face.clip(0)] & under).sum()
        person += (face >= 0).sum()
    assert bad < 0.0015 * person


def test_the_fit_finds_an_open_coat():
    body = load_body()
    worn = wear(body, (Shell("coat", -0.55),))
    pose = torch.zeros(body.num_joints, 3)
    v = worn(torch.zeros(1, 1), pose[None]).vertices[0]
    camera = orbit(v, 0, height=400, width=400)
    face = rasterize_mesh(v, worn.faces, camera).face[0].numpy()
    legs = np.isin(worn.vertex_part, [6, 7, 8, 9])[worn.faces].any(1)
    coat = worn.segment == worn.segment_names.index("coat")
    label = np.where(coat, LABEL["outer"], np.where(legs, LABEL["lower"], LABEL["upper"]))
    labels = np.where(face >= 0, label[face.clip(0)], 0).astype(np.uint8)
    s = Silhouette(face >= 0, pose, torch.zeros(3), camera, labels=labels)
    found, form = fit_shells(body, torch.zeros(1), [s])
    assert [x.kind for x in found.shells] == ["coat"] and abs(found.shells[0].hem + 0.55) < 0.03
    v = found(torch.zeros(1, 1), pose[None], offsets=torch.from_numpy(form)).vertices[0]
    again = rasterize_mesh(v, found.faces, camera).face[0].numpy()
    shown = (again >= 0) & (found.segment == found.segment_names.index("coat"))[again.clip(0)]
    true = labels == LABEL["outer"]
    assert (shown & true).sum() / (shown | true).sum() > 0.8
    for other in ("upper", "lower"):  # no outerwear: a jumper over wide trousers
        plain = replace(s, labels=np.where(true, LABEL[other], labels))
        assert not fit_shells(body, torch.zeros(1), [plain])[0].shells


def widened(coated: Body, by: float) -> np.ndarray:
    """Offsets [V, 3] of a coat that is wider by these metres 15 cm below its loop, and a third of that behind."""
    rows, out = grid_of(coated)[: ROWS + 1], np.zeros((coated.num_vertices, 3))
    v = coated.v_template.numpy()[rows]
    more = by * np.clip((v[0, :, 1].mean() - v[..., 1]) / 0.15, 0, 1)
    out[rows, 0] = more * v[..., 0] / np.abs(v[..., 0]).max()
    out[rows, 2] = -more / 3 * (v[..., 2] < v[0, :, 2].mean())
    return out


def test_a_loose_coat_hangs_straight_from_the_shoulders(coated: Body) -> None:
    betas, rest = torch.zeros(1), coated.v_template.numpy()
    fitted, loose = widened(coated, 0.04), widened(coated, 0.15)
    assert np.array_equal(hang_from_shoulders(coated, betas, fitted), fitted)
    out = hang_from_shoulders(coated, betas, loose)
    torso = coated.vertex_part == 1
    behind = torso & (np.abs(rest[:, 0]) < 0.03) & (rest[:, 2] < -0.05) & (np.abs(rest[:, 1] - 0.15) < 0.19)

    def bend(form: np.ndarray) -> float:  # metres from the chord, at most
        y, z = (rest + form)[behind][:, 1:].T
        line = np.interp(y, [y.min(), y.max()], [z[y.argmin()], z[y.argmax()]])
        return float((z - line).max())

    assert bend(loose) > 0.015 and bend(out) < 0.005
    front = torso & (rest[:, 2] > 0.05) & (np.abs(rest[:, 0]) < 0.05)
    assert np.abs(out - loose)[front].max() < 1e-6


@pytest.mark.parametrize("kind", ["outer", "skirt"])
def test_outerwear_hangs_and_a_skirt_does_not(coated: Body, kind: str) -> None:
    pose, form = torch.zeros(coated.num_joints, 3), torch.from_numpy(widened(coated, 0.2)).float()
    v = coated(torch.zeros(1, 1), pose[None], offsets=form).vertices[0]
    camera = orbit(v, 0, height=400, width=400)
    face = rasterize_mesh(v, coated.faces, camera).face[0].numpy()
    legs = np.isin(coated.vertex_part, [6, 7, 8, 9])[coated.faces].any(1)
    coat = coated.segment == coated.segment_names.index("coat")
    label = np.where(coat, LABEL[kind], np.where(legs, LABEL["lower"], LABEL["upper"]))
    labels = np.where(face >= 0, label[face.clip(0)], 0).astype(np.uint8)
    s = Silhouette(face >= 0, pose, torch.zeros(3), camera, labels=labels)
    moved = fit_shells(load_body(), torch.zeros(1), [s])[1]
    body = load_body()
    waist = (body.vertex_part == 1) & (body.v_template.numpy()[:, 1] > 0.15)
    assert (np.abs(moved[: body.num_vertices][waist]).max() > 0.05) == (kind == "outer")
