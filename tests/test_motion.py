"""Motions: canonical form, retargeting, readers of many formats, and what they refuse."""

import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dinar.body import Body, load_body
from dinar.body.bvh import parse_bvh
from dinar.body.hands import relaxed_hands
from dinar.body.joint_names import joint_roles
from dinar.body.motion import Motion, canonical_pose, from_orientations, lowest, retarget, to_t_pose
from dinar.body.procedural import MOTIONS, motion
from dinar.body.readers import load_motion
from dinar.body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from dinar.body.skeleton import BODY, LEG, PARENT, SMPLX
from dinar.errors import DinarError
from test_smplx import model, save

pytestmark = pytest.mark.filterwarnings("ignore:.*no frame rate")
CLIPS = Path(__file__).parents[2] / "shared/data/motion"


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_motion(T: int = 5, names: tuple[str, ...] = BODY, fps: float = 30.0) -> Motion:
    transl = random(T, 3, seed=1) * 0.2
    return Motion("random", names, axis_angle_to_matrix(random(T, len(names), 3) * 0.5), transl, fps, 0.93)


def global_orientations(body: Body, pose: torch.Tensor) -> list[torch.Tensor]:
    R, G = axis_angle_to_matrix(pose), []
    for j, p in enumerate(body.parents):
        G.append(R[:, j] if p < 0 else G[p] @ R[:, j])
    return G


# --- canonical form and retargeting ---------------------------------------------------------------------------------


def test_global_orientations_agree_after_retargeting(body: Body) -> None:
    m = random_motion()
    pose, _ = retarget(m, body, ground=False)
    A, G, source = to_t_pose(body), global_orientations(body, pose), m.orientations()
    for n in BODY:
        j = body.joint(n)
        torch.testing.assert_close(G[j], source[n] @ A[j], atol=1e-5, rtol=0)
    fingers = body.joint("left_index1")
    relaxed = relaxed_hands(body)[fingers:].expand(len(pose), -1, -1)  # what is not in the motion
    torch.testing.assert_close(pose[:, fingers:], relaxed, atol=1e-3, rtol=0)


def test_t_pose_of_the_default_body_has_straight_arms_and_legs_of_smpl(body: Body) -> None:
    pose, transl = retarget(motion("t_pose"), body)
    posed = body(torch.zeros(1, 1), pose, transl)
    at = lambda n: posed.joints[0, body.joint(n)]  # noqa: E731
    for side, x in (("left", 1.0), ("right", -1.0)):
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist")):
            d = at(f"{side}_{b}") - at(f"{side}_{a}")
            torch.testing.assert_close(d / d.norm(), torch.tensor([x, 0, 0]), atol=0.02, rtol=0)
        leg = at(f"{side}_ankle") - at(f"{side}_hip")
        torch.testing.assert_close(leg / leg.norm(), torch.nn.functional.normalize(torch.tensor(LEG[side]), dim=0))
        palm = at(f"{side}_index1") - at(f"{side}_pinky1")
        assert palm[2] > 0.8 * palm.norm()  # palms down
    assert abs(float(posed.vertices[..., 1].min())) < 1e-4


def test_smplx_takes_poses_unchanged(tmp_path: Path) -> None:
    smplx = load_body("smplx", save(tmp_path / "m.npz", model()))
    m = random_motion(names=SMPLX)
    pose, transl = retarget(m, smplx, ground=False)
    torch.testing.assert_close(axis_angle_to_matrix(pose), m.rotations, atol=1e-5, rtol=0)
    ratio = float(smplx.j_template[0, 1] - smplx.v_template[:, 1].min()) / m.hip_height
    torch.testing.assert_close(transl, m.transl * ratio)


def test_round_trip_of_a_fitted_pose(body: Body) -> None:
    pose = random(3, 54, 3) * 0.6
    m = canonical_pose(body, pose, random(3, 3, seed=2))
    back, _ = retarget(m, body, ground=False)
    torch.testing.assert_close(axis_angle_to_matrix(back), axis_angle_to_matrix(pose), atol=2e-5, rtol=0)
    assert m.transl[0, [0, 2]].abs().max() == 0
    one = canonical_pose(body, pose[0])
    torch.testing.assert_close(one.rotations, m.rotations[:1])


def test_rest_pose_is_canonical_a_pose(body: Body) -> None:
    G = canonical_pose(body, torch.zeros(54, 3)).orientations()
    assert (G["left_shoulder"][0] @ torch.tensor([1.0, 0, 0]))[1] < -0.5  # its arms hang
    torch.testing.assert_close(G["spine3"][0], torch.eye(3))


def test_missing_joints_in_between_stay_straight() -> None:
    a = random_motion()
    G = a.orientations()
    some = {n: G[n] for n in ("pelvis", "spine3", "left_shoulder", "left_elbow")}
    H = from_orientations("some", some, a.transl, 30, 0.9).orientations()
    for n in some:
        torch.testing.assert_close(H[n], G[n], atol=1e-5, rtol=0)
    torch.testing.assert_close(H["spine1"], G["pelvis"])


def test_nothing_sinks_into_the_floor(body: Body) -> None:
    for name in ("walk", "dance", "turn"):
        pose, transl = retarget(motion(name), body)
        low = lowest(body, torch.zeros(1, 1), pose, transl)
        assert low.min() > -1e-4 and low.median() < 0.01, name


def test_steps_scale_with_the_legs(body: Body) -> None:
    m = motion("walk")
    _, small = retarget(m, body, betas=torch.tensor([-2.0]), ground=False)
    _, tall = retarget(m, body, betas=torch.tensor([2.0]), ground=False)
    ratio = tall.norm() / small.norm()
    assert 1.05 < float(ratio) < 2
    torch.testing.assert_close(tall, small * ratio)


def test_resampling_is_slerp_and_keeps_the_frames_it_has() -> None:
    axis = torch.tensor([0.0, 1.0, 0.0])
    R = axis_angle_to_matrix(torch.linspace(0, 2, 5)[:, None, None] * axis)
    m = Motion("m", ("pelvis",), R, torch.linspace(0, 4, 5)[:, None] * torch.ones(3), 10.0, 1.0)
    up = m.resampled(40.0)
    assert len(up) == 17 and up.duration == pytest.approx(m.duration)
    torch.testing.assert_close(up.rotations[::4], m.rotations, atol=1e-5, rtol=0)
    expected = axis_angle_to_matrix(torch.linspace(0, 2, 17)[:, None, None] * axis)
    torch.testing.assert_close(up.rotations, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(up.transl[:, 0], torch.linspace(0, 4, 17))
    loop = motion("walk").resampled(60.0)
    assert len(loop) == 66 and loop.loop
    step = (loop.rotations[0] - loop.rotations[-1]).norm()
    assert step < 1.5 * (loop.rotations[1] - loop.rotations[0]).norm() + 0.02


def test_slices(body: Body) -> None:
    m = motion("walk").sliced(0.2, 0.5)
    assert len(m) == 9 and not m.loop and m.transl[0, [0, 2]].abs().max() == 0
    with pytest.raises(DinarError, match="time span"):
        m.sliced(5)


def test_bad_motions_are_refused() -> None:
    R, t = torch.eye(3).repeat(2, 1, 1, 1), torch.zeros(2, 3)
    for args, reason in (
        ((("tail",), R, t, 30.0, 1.0), "joint names"),
        ((("pelvis",), R[:0], t[:0], 30.0, 1.0), "rotations"),
        ((("pelvis",), R, t[:1], 30.0, 1.0), "transl"),
        ((("pelvis",), R * float("nan"), t, 30.0, 1.0), "finite"),
        ((("pelvis",), R, t, 0.0, 1.0), "frames per second"),
    ):
        with pytest.raises(DinarError, match=reason):
            Motion("bad", *args)


# --- built-in motions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(MOTIONS))
def test_built_in_motions_are_smooth_loops(name: str) -> None:
    m = load_motion(name)
    R = m.rotations
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand_as(R), atol=1e-5, rtol=0)
    if len(m) == 1:
        return
    assert m.loop
    step = lambda a, b: float(matrix_to_axis_angle(a.mT @ b).norm(dim=-1).max())  # noqa: E731
    steps = [step(R[i], R[(i + 1) % len(m)]) for i in range(len(m))]
    assert max(steps) < np.radians(16), name  # nothing jumps in a thirtieth of a second
    assert steps[-1] <= max(steps[:-1]) * 1.2  # nor where the loop closes


def test_feet_of_a_walk_move_back_at_one_speed_while_they_stand(body: Body) -> None:
    pose, transl = retarget(motion("walk"), body)
    joints = body(torch.zeros(1, 1), pose, transl).joints
    stance = joints[3:13, body.joint("left_ankle"), 2] - joints[3:13, 0, 2]
    speed = stance.diff() * 30
    assert speed.mean() == pytest.approx(-1.03, abs=0.15) and speed.std() < 0.15


def test_knees_and_elbows_bend_the_right_way(body: Body) -> None:
    for name in ("walk", "dance", "turn", "wave", "hands_on_hips"):
        G = motion(name).orientations()
        for side, x in (("left", 1.0), ("right", -1.0)):
            knee = matrix_to_axis_angle(G[f"{side}_hip"].mT @ G[f"{side}_knee"])
            assert knee[:, 0].min() > -0.02, name
            elbow = matrix_to_axis_angle(G[f"{side}_shoulder"].mT @ G[f"{side}_elbow"])
            assert (elbow[:, 1] * x).max() < 0.02, name


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DinarError, match=r"idle, walk, wave.*'moonwalk'"):
        load_motion("moonwalk")
    with pytest.raises(DinarError, match="a folder"):
        load_motion(tmp_path)


# --- arrays of SMPL parameters --------------------------------------------------------------------------------------


def amass(path: Path, width: int = 156, T: int = 6, **more: object) -> tuple[Path, np.ndarray]:
    """A z-up recording: a person that stands upright with a heading of 40 degrees and walks along its front."""
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(T, width)) * 0.2
    stand = axis_angle_to_matrix(torch.tensor([np.pi / 2, 0.0, 0.0], dtype=torch.float64))
    yaw = axis_angle_to_matrix(torch.tensor([0.0, 0.0, np.radians(40)], dtype=torch.float64))
    poses[:, :3] = matrix_to_axis_angle(yaw @ stand).numpy()
    front = np.array([np.sin(np.radians(40)), -np.cos(np.radians(40)), 0])  # of the turned body, in z-up axes
    trans = np.arange(T)[:, None] * 0.1 * front + [3, 4, 0.9]
    np.savez(path, **({"poses": poses, "trans": trans, "mocap_framerate": 120.0, "gender": "neutral"} | more))
    return path, poses


@pytest.mark.parametrize("width", [72, 156, 165])
def test_amass_is_turned_to_y_up_and_to_the_front(tmp_path: Path, width: int) -> None:
    path, poses = amass(tmp_path / "a.npz", width)
    m = load_motion(path)
    assert m.fps == 120 and len(m) == 6 and len(m.joint_names) == {72: 22, 156: 52, 165: 55}[width]
    torch.testing.assert_close(m.rotations[:, 0], torch.eye(3).expand(6, 3, 3), atol=1e-5, rtol=0)
    expected = torch.arange(6)[:, None] * torch.tensor([0, 0, 0.1])
    torch.testing.assert_close(m.transl - m.transl[:1] * torch.tensor([0.0, 1, 0]), expected, atol=1e-5, rtol=0)
    R = axis_angle_to_matrix(torch.from_numpy(poses).float().reshape(6, -1, 3))
    at = m.joint_names.index
    torch.testing.assert_close(m.rotations[:, at("left_elbow")], R[:, BODY.index("left_elbow")], atol=1e-5, rtol=0)
    first_finger = {72: None, 156: 22, 165: 25}[width]
    if first_finger:
        torch.testing.assert_close(m.rotations[:, at("left_index1")], R[:, first_finger], atol=1e-5, rtol=0)
        torch.testing.assert_close(m.rotations[:, at("right_thumb3")], R[:, -1], atol=1e-5, rtol=0)


def test_hands_that_were_not_recorded_stay_relaxed(tmp_path: Path) -> None:
    path, poses = amass(tmp_path / "a.npz", 156)
    poses[:, 66:111] = 0
    path, _ = amass(tmp_path / "b.npz", 156, poses=poses)
    m = load_motion(path)
    assert "left_index1" not in m.joint_names and "right_index1" in m.joint_names


def test_y_up_recordings_and_the_override(tmp_path: Path) -> None:
    poses = np.zeros((4, 72))
    np.savez(tmp_path / "y.npz", poses=poses, trans=np.zeros((4, 3)))
    up = lambda m: m.rotations[0, 0] @ torch.tensor([0.0, 1, 0])  # noqa: E731
    torch.testing.assert_close(up(load_motion(tmp_path / "y.npz")), torch.tensor([0.0, 1, 0]))
    torch.testing.assert_close(up(load_motion(tmp_path / "y.npz", up="z")), torch.tensor([0.0, 0, -1]))
    with pytest.raises(DinarError, match="auto, y, z or -y"):
        load_motion(tmp_path / "y.npz", up="x")


def upright_in_camera(T: int) -> np.ndarray:
    """Axis-angle of a person upright in camera axes (y down) who faces the camera."""
    return np.tile([np.pi, 0, 0], (T, 1))


def parameters(T: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "global_orient": upright_in_camera(T), "body_pose": rng.normal(size=(T, 63)) * 0.3,
        "left_hand_pose": rng.normal(size=(T, 45)) * 0.3, "right_hand_pose": rng.normal(size=(T, 45)) * 0.3,
        "jaw_pose": rng.normal(size=(T, 3)) * 0.1, "expression": rng.normal(size=(T, 10)),
        "betas": rng.normal(size=(T, 10)), "transl": np.arange(T)[:, None] * np.array([0.1, 0.2, 0.3]),
    }  # fmt: skip


def check_parameters(m: Motion, d: dict[str, np.ndarray]) -> None:
    T = len(d["body_pose"])
    torch.testing.assert_close(m.rotations[:, 0], torch.eye(3).expand(T, 3, 3), atol=1e-5, rtol=0)
    R = axis_angle_to_matrix(torch.from_numpy(d["body_pose"]).float().reshape(T, 21, 3))
    torch.testing.assert_close(m.rotations[:, 1:22], R, atol=1e-5, rtol=0)


def test_smplx_npz_in_camera_axes(tmp_path: Path) -> None:
    d = parameters()
    np.savez(tmp_path / "p.npz", **d)
    m = load_motion(tmp_path / "p.npz")
    check_parameters(m, d)
    assert m.expression is not None and m.expression.shape == (3, 10) and "jaw" in m.joint_names
    torch.testing.assert_close(m.transl, torch.arange(3)[:, None] * torch.tensor([0.1, -0.2, -0.3]))


@pytest.mark.parametrize("protocol", [2, 4])
def test_smplify_x_result(tmp_path: Path, protocol: int) -> None:
    d = {k: v.astype(np.float32) for k, v in parameters(1).items() if k != "transl"}
    d["left_hand_pose"] = d["left_hand_pose"][:, :12]  # PCA numbers: the hand stays relaxed
    d |= {"camera_rotation": np.eye(3)[None], "camera_translation": np.array([[0, 0, 20.0]]), "loss": np.float64(3.5)}
    (tmp_path / "000.pkl").write_bytes(pickle.dumps(d, protocol=protocol))
    m = load_motion(tmp_path / "000.pkl")
    check_parameters(m, d)
    assert len(m) == 1 and "left_index1" not in m.joint_names and "right_index1" in m.joint_names


def test_rotation_matrices_of_several_people(tmp_path: Path) -> None:
    d = parameters(4)
    R = axis_angle_to_matrix(torch.from_numpy(d["body_pose"]).reshape(4, 21, 3)).numpy()
    R = np.concatenate([R, np.tile(np.eye(3), (4, 2, 1, 1))], 1)  # SMPL: two more joints
    person = {
        "global_orient": axis_angle_to_matrix(torch.from_numpy(d["global_orient"])).numpy()[:, None],
        "body_pose": R,
    }
    short = {k: v[:1] for k, v in person.items()}
    (tmp_path / "people.pkl").write_bytes(pickle.dumps({0: short, 1: {"smpl": person}, 2: short}))
    np.savez(tmp_path / "one.npz", **person)
    for name in ("people.pkl", "one.npz"):
        m = load_motion(tmp_path / name)
        assert len(m) == 4
        check_parameters(m, d)


# --- BVH ------------------------------------------------------------------------------------------------------------

OFFSETS = {
    "pelvis": (0, 0, 0), "left_hip": (0.09, -0.02, 0), "spine1": (0, 0.1, 0), "left_knee": LEG["left"],
    "spine2": (0, 0.12, 0), "left_ankle": LEG["left"], "spine3": (0, 0.12, 0), "left_foot": (0, -0.05, 0.13),
    "neck": (0, 0.2, 0), "left_collar": (0.03, 0.12, 0), "head": (0, 0.1, 0), "left_shoulder": (0.13, 0, 0),
    "left_elbow": (0.28, 0, 0), "left_wrist": (0.26, 0, 0),
}  # fmt: skip
MIXAMO = {
    "pelvis": "Hips", "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "spine1": "Spine",
    "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head", "collar": "Shoulder", "shoulder": "Arm",
    "elbow": "ForeArm", "wrist": "Hand",
}  # fmt: skip


def offset(n: str) -> np.ndarray:
    side, _, rest = n.partition("_")
    o = np.array(OFFSETS[n.replace("right", "left")], float)
    o = o * 0.5 if rest in ("knee", "ankle") else o
    return o * [-1, 1, 1] if side == "right" else o


def mixamo(n: str) -> str:
    side, _, rest = n.partition("_")
    return "mixamorig:" + (side.capitalize() + MIXAMO[rest] if rest else MIXAMO[n])


def euler(R: np.ndarray, order: str) -> np.ndarray:
    """Degrees such that R = A(first) B(second) C(third)."""
    return Rotation.from_matrix(R).as_euler(order.upper(), degrees=True)


def write_bvh(
    path: Path, m: Motion, zero: dict[str, np.ndarray], name=mixamo, unit: float = 0.01, order: str = "ZXY",
    world: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """A BVH of a canonical motion whose zero pose is turned by ``zero`` per joint; returns its joint positions.

    ``zero[n]`` takes the file's zero pose of joint n to the T-pose, as a capture system's own skeleton would differ.
    """
    G = {n: g.double().numpy() for n, g in m.orientations().items()}
    W = np.eye(3) if world is None else world
    file = {n: W.T @ G[n] @ zero[n] for n in BODY}
    own = {n: zero[PARENT[n]].T @ offset(n) if PARENT[n] else offset(n) for n in BODY}
    position: dict[str, np.ndarray] = {"pelvis": (m.transl.double().numpy() + [0, m.hip_height, 0]) @ W}
    for n in BODY[1:]:
        p = PARENT[n]
        position[n] = position[p] + file[p] @ own[n]
    lines, columns = ["HIERARCHY"], []

    def joint(n: str, depth: int) -> None:
        pad = "  " * depth
        o = " ".join(f"{v / unit:.6f}" for v in (own[n] if PARENT[n] else np.zeros(3)))
        lines.extend([f"{pad}{'JOINT' if PARENT[n] else 'ROOT'} {name(n)}", pad + "{", f"{pad}  OFFSET {o}"])
        rotations = [f"{c}rotation" for c in order]
        listed = rotations if PARENT[n] else ["Xposition", "Yposition", "Zposition", *rotations]
        lines.append(f"{pad}  CHANNELS {len(listed)} {' '.join(listed)}")
        if not PARENT[n]:
            columns.append(position[n] / unit)
        local = file[n] if not PARENT[n] else np.swapaxes(file[PARENT[n]], 1, 2) @ file[n]
        columns.append(euler(local, order))
        children = [c for c in BODY if PARENT[c] == n]
        for c in children:
            joint(c, depth + 1)
        if not children:
            lines.extend([pad + "  End Site", pad + "  {", pad + "    OFFSET 0 1 0", pad + "  }"])
        lines.append(pad + "}")

    joint("pelvis", 0)
    values = np.concatenate(columns, 1)
    lines += ["MOTION", f"Frames: {len(values)}", "Frame Time: 0.0333333"]
    lines += [" ".join(f"{v:.6f}" for v in row) for row in values]
    path.write_text("\n".join(lines))
    return np.stack([position[n] for n in BODY], 1) @ W.T


def positions(m: Motion) -> np.ndarray:
    """Joints [T, 22, 3] of the test's own skeleton under a canonical motion, pelvis in the origin."""
    G = {n: g.double().numpy() for n, g in m.orientations().items()}
    at = {"pelvis": np.zeros((len(m), 3))}
    for n in BODY[1:]:
        at[n] = at[PARENT[n]] + G[PARENT[n]] @ offset(n)
    return np.stack([at[n] for n in BODY], 1)


def same_motion(got: Motion, m: Motion, atol: float, joints: tuple[str, ...] = BODY) -> None:
    G, H = got.orientations(), m.orientations()
    for n in joints:
        torch.testing.assert_close(G[n], H[n], atol=atol, rtol=0, msg=lambda s, n=n: f"{n}: {s}")


def facing_front(name: str) -> Motion:
    """A built-in motion without the yaw of its first frame, as readers return it."""
    m = motion(name)
    f = m.rotations[0, 0, :, 2]
    a = -torch.atan2(f[0], f[2])
    R = m.rotations.clone()
    turn = axis_angle_to_matrix(torch.stack([a * 0, a, a * 0]))
    R[:, 0] = turn @ R[:, 0]
    return Motion(m.name, m.joint_names, R, m.transl @ turn.T, m.fps, m.hip_height)


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YZX", "ZYX"])
@pytest.mark.parametrize("unit", [1.0, 0.01, 0.0254])
def test_bvh_with_a_t_pose(tmp_path: Path, order: str, unit: float) -> None:
    m = facing_front("dance")
    truth = write_bvh(tmp_path / "m.bvh", m, {n: np.eye(3) for n in BODY}, unit=unit, order=order)
    got = load_motion(tmp_path / "m.bvh")
    assert got.fps == pytest.approx(30, rel=1e-4) and len(got) == len(m)
    same_motion(got, m, 1e-4)
    np.testing.assert_allclose(positions(got), truth - truth[:, :1], atol=2e-4)
    moved = (m.transl - m.transl[:1]).numpy()
    np.testing.assert_allclose((got.transl - got.transl[:1]).numpy(), moved, atol=2e-4)
    assert abs(got.hip_height - m.hip_height) < 0.1


def rz(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_bvh_whose_zero_pose_has_the_arms_down(tmp_path: Path) -> None:
    m = facing_front("wave")
    zero = {n: np.eye(3) for n in BODY}
    for side, a in (("left", 90.0), ("right", -90.0)):
        zero |= {f"{side}_{n}": rz(a) for n in ("shoulder", "elbow", "wrist")}
    write_bvh(tmp_path / "m.bvh", m, zero)
    same_motion(load_motion(tmp_path / "m.bvh"), m, 1e-4)


def test_bvh_whose_zero_pose_faces_sideways_in_a_z_up_world(tmp_path: Path) -> None:
    m = facing_front("dance")
    y_from_z = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    sideways = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]) @ y_from_z
    write_bvh(tmp_path / "m.bvh", m, dict.fromkeys(BODY, sideways), world=y_from_z)
    same_motion(load_motion(tmp_path / "m.bvh"), m, 1e-4)


def test_bvh_whose_bones_all_lie_along_x(tmp_path: Path) -> None:
    """The zero pose of LaFAN1 says nothing: the way knees bend tells the legs' twist."""
    m = facing_front("walk")
    axes = lambda a, b: np.stack([a / np.linalg.norm(a), b, np.cross(a / np.linalg.norm(a), b)], 1)  # noqa: E731
    x, z = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    zero = {n: axes(np.array([0, 1.0, 0]), x) @ axes(x, z).T for n in BODY}  # up the spine is x, left is z
    across = np.array([1.0, 0, 0])
    for side in ("left", "right"):
        leg = np.array(LEG[side])
        hinge = across - leg * (across @ leg) / (leg @ leg)
        hinge /= np.linalg.norm(hinge)
        for n in ("hip", "knee"):
            zero[f"{side}_{n}"] = axes(leg, hinge) @ axes(x, -z).T
    write_bvh(tmp_path / "m.bvh", m, zero)
    got = load_motion(tmp_path / "m.bvh")
    same_motion(got, m, 1e-4, ("pelvis", "spine1", "spine3", "head"))
    same_motion(got, m, 0.05, ("left_hip", "right_hip", "left_knee", "right_knee"))


def names_bvh(*chains: str) -> str:
    """A hierarchy of one chain a string, all from the first joint of the first one."""
    lines = [f"ROOT {chains[0]}", "{", "OFFSET 0 0 0", "CHANNELS 3 Zrotation Xrotation Yrotation"]
    for chain in chains[1:]:
        words = chain.split(" > ")
        for w in words:
            lines += [f"JOINT {w}", "{", "OFFSET 0 1 0", "CHANNELS 3 Zrotation Xrotation Yrotation"]
        lines += ["}"] * len(words)
    text = "\n".join(["HIERARCHY", *lines, "}"])
    n = 3 * text.count("CHANNELS")
    return f"{text}\nMOTION\nFrames: 1\nFrame Time: 0.03\n{' '.join(['0'] * n)}\n"


SCHEMES = {
    "cmu": ("Hips", "LHipJoint > LeftUpLeg > LeftLeg > LeftFoot > LeftToeBase",
            "RHipJoint > RightUpLeg > RightLeg > RightFoot > RightToeBase",
            "LowerBack > Spine > Spine1 > Neck > Neck1 > Head",
            "LeftShoulder > LeftArm > LeftForeArm > LeftHand", "RightShoulder > RightArm > RightForeArm > RightHand"),
    "accurig": ("CC_Base_Hip", "CC_Base_L_Thigh > CC_Base_L_Calf > CC_Base_L_Foot > CC_Base_L_ToeBase",
                "CC_Base_R_Thigh > CC_Base_R_Calf > CC_Base_R_Foot", "CC_Base_Waist > CC_Base_Spine01 > "
                "CC_Base_Spine02 > CC_Base_NeckTwist01 > CC_Base_Head", "CC_Base_L_Clavicle > CC_Base_L_Upperarm > "
                "CC_Base_L_Forearm > CC_Base_L_Hand > CC_Base_L_Index1",
                "CC_Base_R_Clavicle > CC_Base_R_Upperarm > CC_Base_R_Forearm"),
    "vrm": ("hips", "leftUpperLeg > leftLowerLeg > leftFoot > leftToes", "rightUpperLeg > rightLowerLeg > rightFoot",
            "spine > chest > upperChest > neck > head", "leftShoulder > leftUpperArm > leftLowerArm > leftHand > "
            "leftIndexProximal", "rightShoulder > rightUpperArm > rightLowerArm > rightHand"),
    "vroid": ("J_Bip_C_Hips", "J_Bip_L_UpperLeg > J_Bip_L_LowerLeg > J_Bip_L_Foot",
              "J_Bip_R_UpperLeg > J_Bip_R_LowerLeg",
              "J_Bip_C_Spine > J_Bip_C_Chest > J_Bip_C_Neck", "J_Bip_L_Shoulder > J_Bip_L_UpperArm",
              "J_Bip_R_Shoulder > J_Bip_R_UpperArm"),
    "biped": ("Bip01", "Bip01 Pelvis > Bip01 Spine > Bip01 Neck > Bip01 Head",
              "Bip01 L Thigh > Bip01 L Calf > Bip01 L Foot",
              "Bip01 R Thigh > Bip01 R Calf", "Bip01 L Clavicle > Bip01 L UpperArm > Bip01 L Forearm",
              "Bip01 R Clavicle > Bip01 R UpperArm"),
    "smpl": ("Pelvis", "L_Hip > L_Knee > L_Ankle > L_Foot", "R_Hip > R_Knee", "Spine1 > Spine2 > Spine3 > Neck > Head",
             "L_Collar > L_Shoulder > L_Elbow > L_Wrist", "R_Collar > R_Shoulder > R_Elbow"),
}  # fmt: skip


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_joints_are_found_by_their_names(scheme: str) -> None:
    bvh = parse_bvh(names_bvh(*SCHEMES[scheme]), "names.bvh")
    role = {n: bvh.names[j] for n, j in joint_roles(bvh.names, bvh.parents).items()}
    assert {"pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_shoulder", "right_shoulder"} <= set(
        role
    )
    assert role["left_hip"].lower()[-5:] in ("upleg", "thigh", "erleg", "l_hip")
    assert any(w in role["left_shoulder"].lower() for w in ("arm", "l_shoulder"))
    assert "left_collar" in role and ("neck" in role["neck"].lower())


def test_cmu_neck_and_hip_joints_are_folded() -> None:
    bvh = parse_bvh(names_bvh(*SCHEMES["cmu"]), "names.bvh")
    role = {n: bvh.names[j] for n, j in joint_roles(bvh.names, bvh.parents).items()}
    assert role["left_hip"] == "LeftUpLeg" and role["neck"] == "Neck" and role["head"] == "Head"
    assert [role[f"spine{i}"] for i in (1, 2, 3)] == ["LowerBack", "Spine", "Spine1"]


# --- DeepMimic ------------------------------------------------------------------------------------------------------


def clip(**changes: tuple[int, list[float]]) -> dict:
    row = np.zeros(44)
    row[0], row[2] = 1 / 30, 0.89
    row[[4, 8, 12, 16, 21, 25, 30, 35, 39]] = 1
    for at, values in changes.values():
        row[at : at + len(values)] = values
    return {"Loop": "none", "Frames": [row.tolist()] * 3}


def read_clip(path: Path, d: dict) -> dict[str, torch.Tensor]:
    path.write_text(json.dumps(d))
    m = load_motion(path)
    return {n: g[0] for n, g in m.orientations().items()}


def test_deepmimic_hinges_bend_as_people_do(tmp_path: Path) -> None:
    d = clip(right_knee=(20, [-1.0]), left_elbow=(43, [1.2]))
    G = read_clip(tmp_path / "c.txt", d)
    shin = G["right_knee"] @ torch.tensor(LEG["right"])
    assert shin[2] < -0.5  # to the back
    thigh = G["right_hip"] @ torch.tensor(LEG["right"])
    torch.testing.assert_close(thigh / thigh.norm(), torch.tensor([0, -1.0, 0]), atol=1e-5, rtol=0)
    forearm = G["left_elbow"] @ torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(forearm, torch.tensor([0, -np.cos(1.2), np.sin(1.2)]).float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(G["pelvis"], torch.eye(3), atol=1e-5, rtol=0)


def test_deepmimic_sides(tmp_path: Path) -> None:
    """Its right side is +z while it faces +x: a turn about x by which the right leg lifts sideways."""
    h = np.radians(30) / 2
    G = read_clip(tmp_path / "c.txt", clip(right_hip=(16, [np.cos(h), -np.sin(h), 0, 0])))
    assert (G["right_hip"] @ torch.tensor(LEG["right"]))[0] < -0.3
    G = read_clip(tmp_path / "d.txt", clip(root=(4, [np.cos(h), 0, np.sin(h), 0])))
    torch.testing.assert_close(G["pelvis"], torch.eye(3), atol=1e-5, rtol=0)  # turned to the front


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no ../shared/data/motion here")
@pytest.mark.parametrize("name", ["walk", "cartwheel", "dance_a", "sideflip"])
def test_real_clips_stay_on_the_floor(name: str, body: Body) -> None:
    m = load_motion(CLIPS / f"humanoid3d_{name}.txt")
    pose, transl = retarget(m, body)
    low = lowest(body, torch.zeros(1, 1), pose, transl)
    assert low.min() > -1e-4 and low.quantile(0.3) < 0.03


# --- refused --------------------------------------------------------------------------------------------------------


class Hostile:
    mark = ""

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


@pytest.mark.parametrize("key", ["poses", "other", ""])
def test_a_hostile_pickle_does_not_run(tmp_path: Path, key: str) -> None:
    Hostile.mark = str(tmp_path / "ran")
    data = {"poses": np.zeros((1, 72)), key: Hostile()} if key else Hostile()
    for protocol in range(5):
        (tmp_path / "evil.pkl").write_bytes(pickle.dumps(data, protocol=protocol))
        with pytest.raises(DinarError, match=r"system: it may run code"):
            load_motion(tmp_path / "evil.pkl")
    holder = np.empty(1, object)
    holder[0] = Hostile()
    np.savez(tmp_path / "evil.npz", allow_pickle=True, poses=holder)
    with pytest.raises(DinarError, match=r"evil\.npz, poses: .*it may run code"):
        load_motion(tmp_path / "evil.npz")
    assert not (tmp_path / "ran").exists()


def npz(**arrays: object) -> bytes:
    f = io.BytesIO()
    np.savez(f, **arrays)  # pyright: ignore[reportArgumentType]
    return f.getvalue()


def torch_file() -> bytes:
    f = io.BytesIO()
    torch.save({"body_pose": torch.zeros(1, 63)}, f)
    return f.getvalue()


BVH = names_bvh(*SCHEMES["cmu"])
BAD = {
    "vposer.pkl": (pickle.dumps({"body_pose": np.zeros((1, 32)), "global_orient": np.zeros((1, 3))}), "VPoser"),
    "vposer.npz": (npz(body_pose=np.zeros((5, 32))), "decode it"),
    "degrees.npz": (npz(poses=np.full((2, 72), 90.0)), "degrees"),
    "degrees_body.npz": (npz(body_pose=np.full((2, 63), 45.0)), "degrees"),
    "width.npz": (npz(poses=np.zeros((2, 70))), r"\[T, 156\].*\[2, 70\]"),
    "joints.npz": (npz(poses=np.tile(np.eye(3), (2, 17, 1, 1))), "17"),
    "body_width.npz": (npz(body_pose=np.zeros((2, 60))), r"\[T, 63\].*\[2, 60\]"),
    "frames.npz": (npz(body_pose=np.zeros((2, 63)), global_orient=np.zeros((3, 3))), "2 frames"),
    "trans.npz": (npz(poses=np.zeros((2, 72)), trans=np.zeros((3, 3))), r"trans of shape \[2, 3\]"),
    "nan.npz": (npz(poses=np.full((2, 72), np.nan)), "NaN"),
    "empty.npz": (npz(poses=np.zeros((0, 72))), "at least one frame"),
    "text.npz": (npz(poses=np.array(["a", "b"])), "poses of numbers, got text"),
    "other.npz": (npz(image=np.zeros((4, 4))), "entries image"),
    "none.npz": (npz(), "entries none|damaged|something else"),
    "matrices.npz": (npz(body_pose=np.ones((1, 23, 3, 3))), "rotation matrices"),
    "speed.npz": (npz(poses=np.zeros((2, 72)), mocap_framerate=0.0), "frames per second"),
    "cut.npz": (npz(poses=np.zeros((200, 72)))[:9000], "damaged or cut short"),
    "model.pt": (torch_file(), "torch file"),
    "list.pkl": (pickle.dumps([1, 2]), "dictionary of pose"),
    "nothing.pkl": (pickle.dumps({"a": 1}), "entries a"),
    "cut.pkl": (pickle.dumps({"poses": np.zeros((9, 72))})[:700], "damaged or cut short"),
    "tensor.pkl": (pickle.dumps({"body_pose": torch.zeros(1, 63)}), "torch tensors"),
    "zipped.pkl": (b"\x78\x9c" + bytes(40), "damaged or cut short"),
    "motion.fbx": (b"Kaydara FBX Binary  \x00", "export it as BVH"),
    "void.bvh": (b"", "empty file"),
    "notes.txt": (b"dear diary", "something else"),
    "array.npy": (b"\x93NUMPY\x01\x00", "damaged"),
    "clip.txt": (b'{"Frames": [[1, 2], [3, 4]]}', r"shape \[2, 44\], got \[2, 2\]"),
    "clip2.txt": (b'{"Frames": [[1, 2], [3]]}', "no array"),
    "clip3.txt": (b'{"Frames": [[1, 2', "not json"),
    "clip4.txt": (json.dumps(clip(root=(4, [0, 0, 0, 0]))).encode(), "unit quaternions"),
    "channels.bvh": (BVH.rsplit(" ", 1)[0].encode(), r"channels .*\(63 a frame|channels.*numbers"),
    "frames.bvh": (BVH.replace("Frames: 1", "Frames: 7").encode(), "7 frames of"),
    "word.bvh": (BVH.replace("0 0 0\n}", "0 0 x\n}").replace("MOTION", "MOTION", 1)[:-3].encode() + b"x", "numbers"),
    "kind.bvh": (BVH.replace("3 Zrotation", "4 Zrotation", 1).encode(), "4 channels"),
    "motionless.bvh": (BVH.split("MOTION")[0].encode(), "MOTION section"),
    "braces.bvh": (BVH.replace("}", "", 1).encode(), "well-formed HIERARCHY"),
    "time.bvh": (BVH.replace("0.03", "-1").encode(), "Frame Time"),
    "dog.bvh": (names_bvh("root", "tail > tip").encode(), "a person's skeleton"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    data, reason = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DinarError, match=reason) as e:
        load_motion(tmp_path / name)
    assert "\n" not in str(e.value) and len(str(e.value)) < 400
