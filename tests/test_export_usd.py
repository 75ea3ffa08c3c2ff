"""USDZ packages read back with USD's own skinning, and its validators."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.body import load_body
from dinar.errors import DinarError
from dinar.export import Clip, Model, build_model, write_usdz

TEXTURE = np.full((16, 16, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def clip() -> Clip:
    body = load_body()
    pose = np.zeros((3, body.num_joints, 3), np.float32)
    pose[1:, body.joint("left_elbow")] = [0, -0.9, 0.2]
    pose[1:, body.joint("pelvis")] = [0, 3.5, 0]
    expression = np.zeros((3, body.num_expression), np.float32)
    expression[1, body.expression_names.index("jawOpen")] = 0.5
    return Clip("a bow", pose, np.array([[0, 0, 0], [0.2, 0.1, 0], [0.2, 0.1, 0]], np.float32), 30, expression)


@pytest.fixture(scope="module")
def model(clip: Clip) -> Model:
    return build_model(load_body(), torch.zeros(1), None, TEXTURE, [clip])


def test_usd_skins_it_as_the_body(model: Model, clip: Clip, tmp_path: Path) -> None:
    from pxr import Usd, UsdGeom, UsdSkel, UsdValidation

    path, body = tmp_path / "me.usdz", load_body()
    write_usdz(path, model)
    stage = Usd.Stage.Open(str(path))
    errors = UsdValidation.ValidationContext(UsdValidation.ValidationRegistry().GetOrLoadAllValidators()).Validate(
        stage
    )
    assert not [e.GetMessage() for e in errors]
    assert (stage.GetEndTimeCode(), stage.GetTimeCodesPerSecond()) == (2, 30)
    root = UsdSkel.Root(stage.GetDefaultPrim())
    skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath("/avatar/skeleton"))
    cache = UsdSkel.Cache()
    cache.Populate(root, Usd.PrimDefaultPredicate)
    query = cache.GetSkelQuery(skeleton)
    joints = np.array(query.ComputeJointSkelTransforms(1.0))[:, 3, :3]
    posed = body(torch.zeros(1, 1), *(torch.from_numpy(x[1:2]) for x in (clip.pose, clip.transl, clip.expression)))
    shift = np.array([0, model.tracks[0].lift, 0])
    assert np.abs(joints - posed.joints[0].numpy() - shift).max() < 1e-5
    open_stage = Usd.Stage.Open(stage.Flatten())
    assert UsdSkel.BakeSkinning(UsdSkel.Root(open_stage.GetDefaultPrim()))
    points = np.array(UsdGeom.Mesh(open_stage.GetPrimAtPath("/avatar/mesh")).GetPointsAttr().Get(1.0))
    assert np.linalg.norm(points - posed.vertices[0].numpy() - shift, axis=1).mean() < 1e-4
    with zipfile.ZipFile(path) as package:
        assert package.namelist() == ["avatar.usdc", "texture.jpg"]
        assert {i.compress_type for i in package.infolist()} == {zipfile.ZIP_STORED}


def test_without_usd_one_line_says_what_to_install(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(DinarError, match=r"pip install 'dinar\[usd\]'"):
        write_usdz(tmp_path / "me.usdz", model)
    assert not list(tmp_path.iterdir())


def test_the_same_model_gives_the_same_bytes(model: Model, tmp_path: Path) -> None:
    write_usdz(tmp_path / "a.usdz", model)
    write_usdz(tmp_path / "b.usdz", model)
    assert (tmp_path / "a.usdz").read_bytes() == (tmp_path / "b.usdz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.usdz") as z:
        assert z.testzip() is None and {i.date_time for i in z.infolist()} == {(1980, 1, 1, 0, 0, 0)}
