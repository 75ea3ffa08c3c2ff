"""FBX files in other people's readers: ufbx, and Blender where there is a Python with ``bpy`` (named by DINAR_BPY)."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from dinar.body import Body, load_body
from dinar.body.visemes import VISEMES
from dinar.errors import DinarError
from dinar.export import build_model, write_fbx, write_model
from dinar.export.fbx import Z_UP, continuous
from dinar.export.profiles import PROFILES
from known_body import bow

HERE = Path(__file__).parent
BLENDER = os.environ.get("DINAR_BPY") or (sys.executable if find_spec("bpy") else None)
PROGRAMS = [p for p, how in PROFILES.items() if ".fbx" in how.suffixes]
TEXTURE = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def write(body: Body, program: str, folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """The file, and where joints and vertices are in frame 1: metres, y up."""
    path = folder / f"{program}.fbx"
    jaw = np.zeros((3, body.num_expression), np.float32)
    jaw[1, body.expression_names.index("jawOpen")] = 0.5
    clip = bow(body, {"left_collar": [0, 0.1, 0.3], "pelvis": [0, 3.5, 0]}, jaw)  # more than half a circle
    model = build_model(body, torch.zeros(1), None, TEXTURE, [clip], program=program)
    write_fbx(path, model)
    posed = body(torch.zeros(1, 1), *(torch.from_numpy(x[1:2]) for x in (clip.pose, clip.transl, clip.expression)))
    lift = [0, model.tracks[0].lift, 0]
    return path, posed.joints[0].numpy() + lift, posed.vertices[0].numpy() + lift


def read(python: str, script: str, *args: object) -> dict[str, np.ndarray]:
    out = Path(str(args[0])).with_suffix(f".{script}.npz")
    done = subprocess.run([python, str(HERE / script), *map(str, args), str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(out))


@pytest.mark.parametrize("program", PROGRAMS)
def test_ufbx_reads_it(body: Body, tmp_path: Path, program: str) -> None:
    path, joints, vertices = write(body, program, tmp_path)
    how, found = PROFILES[program], read(sys.executable, "read_fbx.py", path, "bow", 1 / 30)
    assert found["warnings"] == 0 and np.isclose(found["unit"], 1 / how.scale)
    C = how.scale * (Z_UP if how.z_up else np.eye(3))
    names = list(found["bones"])
    own = [names.index(how.bone(n)) for n in body.joint_names]
    assert np.abs(found["joints"][own] - joints @ C.T).max() < 1e-4 * how.scale  # 0.1 mm
    parents = [found["parents"][own[j]] for j in range(1, body.num_joints)]
    assert parents == [how.bone(body.joint_names[p]) for p in body.parents[1:]]
    jaw = np.linalg.norm(body.shapedirs[:, :, body.num_betas + body.expression_names.index("jawOpen")], axis=1)
    error = np.linalg.norm(found["vertices"] - vertices @ C.T, axis=1)[jaw < 1e-6] / how.scale
    assert error.mean() < 1e-3 and np.abs(found["total"] - 1).max() < 1e-6
    shapes = [*body.expression_names, *(f"viseme_{n}" for n in VISEMES)]
    assert list(found["channels"]) == shapes and list(found["stacks"]) == ["bow"]
    assert np.allclose(found["blend"], 0.5 * (np.array(shapes) == "jawOpen"))
    assert np.isclose(found["ends"], 2 / 30)
    assert np.allclose(found["uv"][found["corners"]], (body.atlas.uv * [1, -1] + [0, 1])[body.atlas.faces.ravel()])
    assert np.array_equal(found["faces"], body.faces.ravel())
    picture = np.asarray(Image.open(io.BytesIO(found["texture"].tobytes())), int)
    assert np.abs(picture - TEXTURE).mean() < 12


@pytest.mark.skipif(BLENDER is None, reason="no Python with bpy: DINAR_BPY can name one")
@pytest.mark.parametrize("program", PROGRAMS)
def test_blender_reads_it(body: Body, tmp_path: Path, program: str) -> None:
    path, joints, vertices = write(body, program, tmp_path)
    found = read(str(BLENDER), "blender.py", path, "bow", 2)  # Blender's first frame is 1
    own = [list(found["bones"]).index(PROFILES[program].bone(n)) for n in body.joint_names]
    assert np.abs(found["joints"][own] - joints @ Z_UP.T).max() < 1e-3
    assert np.linalg.norm(found["vertices"] - vertices @ Z_UP.T, axis=1).mean() < 1e-3
    assert list(found["shapes"][1:53]) == list(body.expression_names) and found["pictures"].tolist() == [[32, 32]]
    if program == "blender":
        assert np.abs(found["scale"] - 1).max() < 1e-6 and np.abs(found["turn"]).max() < 1e-6


@pytest.mark.skipif(BLENDER is None, reason="no Python with bpy: DINAR_BPY can name one")
@pytest.mark.parametrize(("suffix", "program"), [(".glb", "blender"), (".glb", "three"), (".vrm", "vrm")])
def test_blender_reads_gltf(body: Body, tmp_path: Path, suffix: str, program: str) -> None:
    clip = bow(body, {"left_collar": [0, 0.1, 0.3], "pelvis": [0, 3.5, 0]})
    model = build_model(body, torch.zeros(1), None, TEXTURE, [clip], program=program)
    write_model(tmp_path / f"me{suffix}", model)
    joints = body(torch.zeros(1, 1), *(torch.from_numpy(x[1:2]) for x in (clip.pose, clip.transl))).joints[0].numpy()
    found = read(str(BLENDER), "blender.py", tmp_path / f"me{suffix}", "bow", 1)  # the first frame is 0
    own = [list(found["bones"]).index(PROFILES[program].bone(n)) for n in body.joint_names]
    assert np.abs(found["joints"][own] - (joints + [0, model.tracks[0].lift, 0]) @ Z_UP.T).max() < 1e-3


def test_same_input_same_bytes_and_other_suffixes_are_refused(body: Body, tmp_path: Path) -> None:
    model = build_model(body, torch.zeros(1), None, TEXTURE, program="unity", expressions=False)
    for name in ("a.fbx", "b.fbx"):
        write_fbx(tmp_path / name, model)
    assert (tmp_path / "a.fbx").read_bytes() == (tmp_path / "b.fbx").read_bytes()
    with pytest.raises(DinarError, match=r"ends in \.fbx"):
        write_fbx(tmp_path / "a.obj", model)


def test_angles_do_not_jump() -> None:
    jumping = np.array([[0.0, 0, 0], [10, 80, -170], [-160, 85, 15], [-170, 85, 5]])
    smooth = continuous(jumping)
    assert np.abs(np.diff(smooth, axis=0)[1:]).max() < 40
    matrices = [Rotation.from_euler("xyz", e, degrees=True).as_matrix() for e in (jumping, smooth)]
    assert np.abs(matrices[0] - matrices[1]).max() < 1e-9
