"""Files for Blender, Unity, Unreal and Mixamo: names, rest pose, bone axes, and clips of others."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dinar.body import Body, load_body
from dinar.body.joint_names import joint_roles
from dinar.errors import DinarError
from dinar.export import build_model, write_glb
from dinar.export.profiles import PROFILES, suffixes_for
from known_body import bow
from read_glb import Read

TEXTURE = np.full((8, 8, 3), 128, np.uint8)
TURNS = {"left_index1": [0.1, 0.2, -0.5], "pelvis": [0, 0.7, 0]}


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def written(body: Body, program: str, folder: Path) -> Read:
    path = folder / f"{program}{'.vrm' if program == 'vrm' else '.glb'}"
    model = build_model(body, torch.zeros(1), None, TEXTURE, [bow(body, TURNS)], program=program, expressions=False)
    write_glb(path, model)
    return Read(path)


@pytest.mark.parametrize("program", [*PROFILES])
def test_every_program_sees_the_same_movement(body: Body, tmp_path: Path, program: str) -> None:
    read, clip = written(body, program, tmp_path), bow(body, TURNS)
    for frame in (0, 1):
        v, joints = read.skinned(0, frame / 30)
        posed = body(torch.zeros(1, 1), *(torch.from_numpy(x[frame])[None] for x in (clip.pose, clip.transl)))
        shift = joints[0] - posed.joints[0, 0].numpy()
        assert np.abs(joints[: body.num_joints] - posed.joints[0].numpy() - shift).max() < 1e-5
        error = np.linalg.norm(v - posed.vertices[0].numpy()[body.atlas.vertex] - shift, axis=1)
        # metres; frame 0 is the body's rest pose, which the T-pose file reaches exactly
        assert error.max() < (1e-4 if frame == 0 else 4e-2) and error.mean() < 1e-3


@pytest.mark.parametrize("program", [*PROFILES])
def test_rest_pose_and_names(body: Body, tmp_path: Path, program: str) -> None:
    read = written(body, program, tmp_path)
    v, joints = read.skinned()
    assert abs(v[:, 1].min()) < 1e-5  # on the ground
    names = [read.gltf.nodes[j].name for j in read.skin.joints]
    assert len(set(names)) == len(names)
    parents = [next((k for k, p in enumerate(read.skin.joints) if j in (read.gltf.nodes[p].children or [])), -1)
               for j in read.skin.joints]  # fmt: skip
    roles = joint_roles(names, parents)
    own = [n for n in body.joint_names if "eye" not in n and n != "jaw"]
    assert {n: roles.get(n) for n in own} == {n: body.joint(n) for n in own}
    for side, x in (("left", 1), ("right", -1)):
        chain = [
            joints[body.joint(f"{side}_{n}")] for n in ("shoulder", "elbow", "wrist", "middle1", "middle2", "middle3")
        ]
        steps = np.diff(chain, axis=0)
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        straight = np.abs(steps - [x, 0, 0]).max() < 1e-4
        assert straight == (PROFILES[program].pose == "t")
    assert ("root" in names) == (program == "unreal") and ("mixamorig:HeadTop_End" in names) == (program == "mixamo")


# Axes of Mixamo's X Bot at rest: x, y and z of some bones in the world.
XBOT = {
    "Hips": [[1, 0, 0], [0, 1, 0.013], [0, -0.013, 1]], "Spine": [[1, 0, 0], [0, 0.989, -0.147], [0, 0.147, 0.989]],
    "Spine1": [[1, 0, 0], [0, 0.989, -0.147], [0, 0.147, 0.989]],
    "Spine2": [[1, 0, 0], [0, 0.993, -0.121], [0, 0.121, 0.993]],
    "LeftShoulder": [[-0.206, 0.010, -0.979], [0.977, -0.048, -0.206], [-0.049, -0.999, 0]],
    "LeftArm": [[0, 0, -1], [1, 0, 0], [0, -1, 0]], "LeftForeArm": [[0, 0, -1], [1, 0, 0], [0, -1, 0]],
    "LeftHand": [[0, 0, -1], [1, 0, 0], [0, -1, 0]], "LeftHandIndex1": [[0, 0, -1], [1, 0, 0], [0, -1, 0]],
    "LeftHandIndex2": [[0, 0, -1], [1, 0, 0], [0, -1, 0]],
    "RightUpLeg": [[-1, 0, 0], [0, -1, 0.008], [0, 0.008, 1]],
    "RightLeg": [[-1, 0, 0], [0, -0.998, -0.068], [0, -0.068, 0.998]],
    "RightFoot": [[-1, 0, 0], [0, -0.632, 0.775], [0, 0.775, 0.632]],
}  # fmt: skip
ABOVE = {
    "Spine": "Hips", "Spine1": "Spine", "Spine2": "Spine1", "LeftShoulder": "Spine2", "LeftArm": "LeftShoulder",
    "LeftForeArm": "LeftArm", "LeftHand": "LeftForeArm", "LeftHandIndex1": "LeftHand",
    "LeftHandIndex2": "LeftHandIndex1", "RightUpLeg": "Hips", "RightLeg": "RightUpLeg", "RightFoot": "RightLeg",
}  # fmt: skip


def test_a_mixamo_clip_fits_by_names(body: Body, tmp_path: Path) -> None:
    """X Bot bows, lifts an arm, bends elbow, finger and knee: our limbs point where its limbs do."""
    read = written(body, "mixamo", tmp_path)
    turn = {  # degrees about the world's axes, children follow
        "Spine1": [25, 0, 0], "LeftArm": [0, 20, 60], "LeftForeArm": [0, -80, 0], "LeftHandIndex1": [0, 0, -40],
        "RightUpLeg": [-50, 0, 0], "RightLeg": [70, 0, 0],
    }  # fmt: skip
    world, lasting = {}, {"Hips": np.eye(3)}
    for n, axes in XBOT.items():
        own = Rotation.from_euler("xyz", turn.get(n, [0, 0, 0]), degrees=True).as_matrix()
        lasting[n] = lasting[ABOVE.get(n, n)] @ own
        world[n] = lasting[n] @ Rotation.from_matrix(np.array(axes, float).T).as_matrix()  # orthonormal
    local = {n: world[ABOVE[n]].T @ m if n in ABOVE else m for n, m in world.items()}
    clip = {f"mixamorig:{n}": Rotation.from_matrix(m).as_quat().tolist() for n, m in local.items()}
    _, joints = read.skinned(turned=clip)
    at = {read.gltf.nodes[j].name.split(":")[1]: p for j, p in zip(read.skin.joints, joints, strict=True)}
    limbs = "LeftArm LeftForeArm LeftHand; LeftHandIndex1 LeftHandIndex2 LeftHandIndex3; RightUpLeg RightLeg RightFoot"
    for a, b in (pair for limb in limbs.split("; ") for pair in pairwise(limb.split())):
        limb = at[b] - at[a]
        angle = np.degrees(np.arccos(min(1, limb @ world[a][:, 1] / np.linalg.norm(limb))))
        assert angle < 2, (a, angle)
    hips = next(n for n in read.gltf.nodes if n.name == "mixamorig:Hips")
    assert 80 < hips.translation[1] < 110  # centimetres, as the clips'


def test_bones_rest_as_those_of_x_bot(body: Body) -> None:
    """Turned alike to a degree; legs, whose knees and hips are the person's, to 5 degrees."""
    model = build_model(body, torch.zeros(1), None, TEXTURE, program="mixamo", expressions=False)
    for n, axes in XBOT.items():
        own = model.rest[model.bones.index(f"mixamorig:{n}"), :3, :3]
        apart = Rotation.from_matrix(own.T @ Rotation.from_matrix(np.array(axes, float).T).as_matrix()).magnitude()
        assert np.degrees(apart) < (5 if n.endswith("Leg") else 1), n


def test_a_program_reads_only_its_files() -> None:
    assert suffixes_for("vrm") == (".vrm",) and ".vrm" not in suffixes_for("unity") and ".glb" in suffixes_for(None)
    with pytest.raises(DinarError, match=r"blender, unity.*got 'maya'"):
        suffixes_for("maya")
