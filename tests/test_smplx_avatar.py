"""An avatar with a user's SMPL-X body, from photo to GLB, on a stand-in: the default body in that file format."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.body import Body, load_body
from dinar.body.skeleton import SMPLX
from dinar.cli import main
from dinar.data.folder import start_set, write_views
from dinar.neural.weights import load_networks
from test_data import person


@pytest.fixture(scope="module")
def model(body: Body, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default body, T-posed, as an SMPLX_*.npz with its atlas beside it."""
    folder = tmp_path_factory.mktemp("smplx")
    T = body.t_pose
    pose = torch.stack([T[j] if p < 0 else T[p].T @ T[j] for j, p in enumerate(body.parents)])
    from dinar.body.rotation import matrix_to_axis_angle

    posed = body(torch.zeros(1, 1), matrix_to_axis_angle(pose)[None])
    v, joints = posed.vertices[0].numpy().astype(np.float64), posed.joints[0].numpy()
    turn = (body.weights @ posed.skinning[0, :, :3, :3].flatten(1)).unflatten(1, (3, 3)).numpy()
    dirs = np.einsum("nij,njk->nik", turn, body.shapedirs[..., :10].numpy())
    index = [body.joint_names.index(n) if n in body.joint_names else body.joint("head") for n in SMPLX]
    regressor = np.zeros((len(SMPLX), len(v)))
    for row, j in enumerate(index):  # affine weights of near vertices that give the joint exactly
        near = np.argsort(np.linalg.norm(v - joints[j], axis=1))[:60]
        A = np.concatenate([v[near].T, np.ones((1, 60))])
        regressor[row, near] = np.linalg.lstsq(A, np.r_[joints[j], 1], rcond=None)[0]
    weights = np.zeros((len(v), len(SMPLX)), np.float32)
    for j, n in enumerate(body.joint_names):
        weights[:, SMPLX.index(n)] = body.weights[:, j].numpy()
    from dinar.body.skeleton import PARENT

    parents = [-1 if PARENT[n] is None or PARENT[n] == "" else SMPLX.index(PARENT[n]) for n in SMPLX]
    np.savez(
        folder / "SMPLX_NEUTRAL.npz", v_template=v, f=body.faces, shapedirs=np.concatenate([dirs, dirs * 0], 2),
        posedirs=np.zeros((len(v), 3, 486), np.float32), J_regressor=regressor, weights=weights,
        kintree_table=np.array([parents, list(range(len(SMPLX)))]),
    )  # fmt: skip
    a = body.atlas
    np.savez(folder / "SMPLX_NEUTRAL.atlas.npz", atlas_uv=a.uv, atlas_faces=a.faces, atlas_vertex=a.vertex,
             atlas_island=a.island, atlas_island_names=np.array(a.island_names))  # fmt: skip
    return folder / "SMPLX_NEUTRAL.npz"


def test_sets_of_smplx_bodies_train(model: Path, tmp_path: Path, capsys) -> None:
    """From the command line: a multi-view set whose body is smplx."""
    body = load_body("smplx", model)
    start_set(tmp_path / "people", "smplx", (64, 64))
    for i in range(2):
        write_views(tmp_path / "people", dataclasses.replace(person(body, f"p{i}", i, 2, 64), body="smplx"))
    words = ["train", "avatar", "--data", str(tmp_path / "people"), "--run", str(tmp_path / "run"), "--preset", "nano",
             "--steps", "1", "--batch", "2", "--micro-batch", "2", "--size", "64", "--texture", "32", "--holdout", "1",
             "--device", "cpu"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 1 and "needs your own model file: add --body-path" in capsys.readouterr().err
    main([*words, "--body-path", str(model)])
    assert load_networks(tmp_path / "run" / "weights").atlas == body.atlas.hash


@pytest.mark.slow
def test_photo_to_glb_with_smplx(model: Path, demo_photo: Path, pose_network: None, tmp_path: Path, capsys) -> None:
    assert load_body("smplx", model).num_joints == 55
    me, options = tmp_path / "me.avatar", ["--body", "smplx", "--body-path", str(model)]
    main(["create", str(demo_photo), "-o", str(me), "--no-preview", *options])
    main(["render", str(me), "-o", str(tmp_path / "x.png"), "--size", "128", *options])
    main(["export", str(me), "-o", str(tmp_path / "me.glb"), "--motion", "walk", *options])
    assert (tmp_path / "me.glb").stat().st_size > 10_000
    with pytest.raises(SystemExit) as stop:  # the default body is refused
        main(["render", str(me), "-o", str(tmp_path / "y.png")])
    assert stop.value.code == 1 and "needs the smplx body" in capsys.readouterr().err
