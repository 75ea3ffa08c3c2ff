"""Motions as people bring them: layouts of arrays, tracks, frame rates, positions, and the files that lie."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.body.motion import Motion
from dinar.body.positions import are_positions
from dinar.body.readers import load_motion
from dinar.body.rotation import axis_angle_to_matrix
from dinar.body.skeleton import BODY, PARENT
from dinar.commands.main import OneLine
from dinar.errors import DinarError

CASES = Path(__file__).parents[2] / "shared/cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the inputs of real users (../shared/cases) are not here")

# --- arrays ---------------------------------------------------------------------------------------------------------

T = 5
rng = np.random.default_rng(0)
ROOT, POSE = np.tile([0.1, 0.2, 0.0], (T, 1)), rng.normal(size=(T, 63)) * 0.3
SMPL72 = np.concatenate([ROOT, POSE, np.zeros((T, 6))], 1)
MATRICES = axis_angle_to_matrix(torch.from_numpy(SMPL72).reshape(T, 24, 3)).numpy()
MOVED = np.linspace(0, 1, T)[:, None] * [1.0, 0, 2.0]
MOTION_X = np.concatenate([ROOT, POSE, np.zeros((T, 243)), MOVED, np.zeros((T, 10))], 1)


def by_frame(person: dict) -> dict:
    """PHALP: another person is seen in the first two frames; frame 2 lacks ours."""
    out = {}
    for t in reversed(range(T)):
        people = [(7, person, t)] * (t != 2) + [(3, person, 0)] * (t < 2)
        rows = [{k: v[i] for k, v in p.items()} for _, p, i in people]
        out[f"x/img/{t:06d}.jpg"] = {"time": t, "tid": [who for who, *_ in people], "smpl": rows, "camera": [rows]}
    return out


def saved(path: Path, content: object) -> Path:
    if path.suffix == ".npy":
        np.save(path, content, allow_pickle=True)  # pyright: ignore[reportArgumentType]
    elif path.suffix == ".npz":
        np.savez(path, **content)  # pyright: ignore
    else:
        path.write_bytes(pickle.dumps(content, protocol=4))
    return path


PHALP = {"global_orient": MATRICES[:, :1], "body_pose": MATRICES[:, 1:]}
LAYOUTS = {
    "AMASS without poses": ("a.npz", {"root_orient": ROOT, "pose_body": POSE, "trans": MOVED, "mocap_framerate": 30.0}),
    "SLAHMR": ("a.npz", {"root_orient": ROOT[None], "pose_body": POSE[None], "trans": MOVED[None], "fps": 30}),
    "HuMoR": ("a.npz", {"root_orient": ROOT, "pose_body": POSE.reshape(T, 21, 3), "trans": MOVED, "fps": 30}),
    "AIST++": ("a.pkl", {"smpl_poses": SMPL72, "smpl_trans": MOVED * 2, "smpl_scaling": [2.0], "fps": 30}),
    "BEDLAM": ("a.npz", {"pose_world": SMPL72, "trans_world": MOVED, "fps": np.array([30])}),
    "TRAM": ("a.npz", {"pred_rotmat": MATRICES, "pred_trans": MOVED[:, None], "fps": 30}),
    "3DPW": ("a.pkl", {"poses": [SMPL72], "trans": [MOVED], "fps": 30}),
    "GRAB": ("a.npz", {"fullpose": np.concatenate([SMPL72[:, :66], np.zeros((T, 99))], 1), "transl": MOVED, "fps": 30}),
    "Motion-X": ("a.npy", MOTION_X.astype(np.float32)),
    "WHAM": ("a.pkl", {0: {"pose": SMPL72[:1], "trans": MOVED[:1]}, 4: {"pose_world": SMPL72, "trans_world": MOVED,
                                                                       "pose": SMPL72 * 0, "fps": 30}}),
    "GVHMR": ("a.pkl", {"smpl_params_global": {"body_pose": POSE, "global_orient": ROOT, "transl": MOVED}}),
    "an array in a dictionary": ("a.npy", np.array({"poses": SMPL72, "trans": MOVED, "fps": 30}, object)),
    "an array without a name": ("a.npz", {"arr_0": MOTION_X}),
    "a duration": ("a.npz", {"poses": SMPL72, "trans": MOVED, "mocap_time_length": T / 30}),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("ignore:.*no frame rate")
def test_layouts_hold_one_motion(tmp_path: Path, layout: str) -> None:
    name, content = LAYOUTS[layout]
    m = load_motion(saved(tmp_path / name, content))
    assert len(m) == T and m.fps == pytest.approx(30) and m.layout
    expected = torch.from_numpy(MATRICES[:, 1:22]).float()
    torch.testing.assert_close(m.rotations[:, [m.joint_names.index(n) for n in BODY[1:]]], expected, atol=1e-5, rtol=0)
    assert float((m.transl - m.transl[:1]).norm(dim=1)[-1]) == pytest.approx(np.sqrt(5), abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*no frame rate")
def test_frame_by_frame(tmp_path: Path) -> None:
    """Frames are ordered by time, tracks are told apart, a gap repeats the frame before."""
    thetas = {str(t): {"smpl_thetas": np.stack([SMPL72[t] * 0, SMPL72[t]]), "track_ids": [3, 7]} for t in range(T)}
    romp = {f"{t}": [{"pose": SMPL72[t] * 0, "track_id": 3}, {"pose": SMPL72[t, :66], "track_id": 7}] for t in range(T)}
    romp_file = {"results": np.array(romp, object), "sequence_results": np.array({}, object)}
    for name, content, gap in (("phalp.pkl", by_frame(PHALP), True), ("bev.npz", {"results": thetas}, False),
                               ("romp.npz", romp_file, False)):  # fmt: skip
        m = load_motion(saved(tmp_path / name, content), track=7)
        frames = [0, 1, 1, 3, 4] if gap else range(T)
        expected = torch.from_numpy(MATRICES[frames, 1:22]).float()
        torch.testing.assert_close(m.rotations[:, 1:], expected, atol=1e-5, rtol=0)
        assert "track 7 of" in m.layout
        with pytest.raises(DinarError, match=r"no track 9; the file has (7, 3|3, 7)"):
            load_motion(tmp_path / name, track=9)
    picture = saved(tmp_path / "picture.npz", {"results": {"smpl_thetas": SMPL72[:2], "cam_trans": MOVED[:2]}})
    assert len(load_motion(picture, track=1)) == 1  # two people, not two frames
    assert len(load_motion(tmp_path / "phalp.pkl")) == T and len(load_motion(tmp_path / "phalp.pkl", track=3)) == 2


@pytest.mark.filterwarnings("ignore:.*no frame rate")
def test_a_list_of_single_frames_is_one_motion(tmp_path: Path) -> None:
    """Not as many people as frames; --track N says that they are people."""
    frames = [{"pred_smpl_params": {"global_orient": m[:1], "body_pose": m[1:]}} for m in MATRICES]
    pictures = {f"{t:04d}.jpg": f["pred_smpl_params"] for t, f in enumerate(frames)}
    for name, content in (("list.pkl", frames), ("pictures.pkl", pictures)):
        m = load_motion(saved(tmp_path / name, content))
        assert len(m) == T and "frame by frame" in m.layout
        torch.testing.assert_close(m.rotations[:, 1:], torch.from_numpy(MATRICES[:, 1:22]).float(), atol=1e-5, rtol=0)
    one = load_motion(tmp_path / "list.pkl", track=3)
    assert len(one) == 1 and "track 3" in one.layout


@pytest.mark.filterwarnings("ignore:.*no frame rate")
def test_gaps_of_a_track_repeat_the_frame_before(tmp_path: Path) -> None:
    for seen, rows in (([3, 4, 7, 8, 10], [0, 1, 1, 1, 2, 3, 3, 4]), ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
                       ([0, 1, 1, 3, 4], [0, 1, 2, 3, 4]), ([0, 1, 2, 3, 10**9], [0, 1, 2, 3, 4]),
                       ([5, 6, "x", 7, 8], [0, 1, 2, 3, 4])):  # fmt: skip
        for ids in (seen, np.array(seen)) if "x" not in seen else (seen,):
            track = {"pose": SMPL72, "trans": MOVED, "frame_ids": ids}
            m = load_motion(saved(tmp_path / "wham.pkl", {0: track, 1: {"pose": SMPL72[:1], "trans": MOVED[:1]}}))
            expected = torch.from_numpy(MATRICES[rows, 1:22]).float()
            torch.testing.assert_close(m.rotations[:, 1:], expected, atol=1e-5, rtol=0)
            assert len(m.transl) == len(rows) and ("without the person" in m.layout) == (len(rows) > T)


def test_a_missing_frame_rate_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", {"poses": SMPL72})
    with pytest.warns(UserWarning, match="a.npz has no frame rate: 30 .* assumed; --motion-fps"):
        assert load_motion(path).fps == 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_motion(path, fps=120).fps == 120
        assert load_motion(saved(tmp_path / "one.npz", {"poses": SMPL72[:1]})).fps == 30
        assert load_motion(saved(tmp_path / "b.npz", {"poses": SMPL72, "fps": 0.001}), fps=25).fps == 25
    with pytest.raises(DinarError, match=r"0\.1 to 1000 frames per second"):
        load_motion(path, fps=float("nan"))


def test_the_layout_is_said_without_control_characters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "dinar"):
        load_motion(saved(tmp_path / "a.npz", {"poses": SMPL72, "fps": 30}))
        load_motion(saved(tmp_path / "b.pkl", {"\x1b[31m": {"poses": SMPL72, "fps": 30}, "b": {"poses": SMPL72[:1]}}))
    lines = [OneLine().format(r) for r in caplog.records]
    assert lines[0] == "a.npz: AMASS, 22 joints, y up, no translation, 5 frames, 30 per second"
    assert lines[1].startswith(r"b.pkl: AMASS, track \x1b[31m of \x1b[31m, b, 22 joints")


# --- positions are not rotations ------------------------------------------------------------------------------------

REST = {
    "pelvis": (0, 0, 0), "hip": (0.09, -0.08, 0), "knee": (0, -0.38, 0), "ankle": (0, -0.4, 0),
    "foot": (0, -0.05, 0.12), "spine1": (0, 0.11, 0), "spine2": (0, 0.13, 0), "spine3": (0, 0.06, 0),
    "neck": (0, 0.21, 0), "head": (0, 0.1, 0), "collar": (0.07, 0.12, 0), "shoulder": (0.1, 0.04, 0),
    "elbow": (0.26, 0, 0), "wrist": (0.25, 0, 0),
}  # fmt: skip


def positions(rotations: np.ndarray) -> np.ndarray:
    """Joints [T, 22, 3] of local rotations [T, >= 22, 3, 3], in metres."""
    G, at = {}, {}
    for j, n in enumerate(BODY):
        p, side = PARENT[n], -1.0 if n.startswith("right") else 1.0
        offset = np.array(REST[n.removeprefix("left_").removeprefix("right_")]) * [side, 1, 1]
        G[n] = G[p] @ rotations[:, j] if p else rotations[:, j]
        at[n] = at[p] + G[p] @ offset if p else np.zeros((len(rotations), 3))
    return np.stack([at[n] for n in BODY], 1)


@pytest.mark.parametrize("joints", [22, 24, 52, 55])
@pytest.mark.parametrize("flat", [False, True])
def test_positions_are_refused(tmp_path: Path, joints: int, flat: bool) -> None:
    x = positions(MATRICES) + MOVED[:, None]
    x = np.concatenate([x, np.tile(x[:, 20:21], (1, joints - 22, 1))], 1)
    for scale, y_up in ((1.0, True), (1000.0, False)):
        y = (x if y_up else x[..., [0, 2, 1]]) * scale
        for frames in (T, 1):
            content = (y.reshape(T, -1) if flat else y)[:frames].astype(np.float32)
            for path in (saved(tmp_path / "j.npy", content), saved(tmp_path / "j.npz", {"poses": content, "fps": 20})):
                with pytest.raises(DinarError, match="got joint positions"):
                    load_motion(path)


def test_rotations_are_not_positions() -> None:
    sit = np.zeros((1, 22, 3))  # a mirrored, unmoving pose
    sit[:, [1, 2], 0], sit[:, [4, 5], 0] = -1.5, 1.5
    sit[:, 16, 2], sit[:, 17, 2] = -1.2, 1.2
    for x in (SMPL72, SMPL72[:1], np.zeros((T, 22, 3)), sit, np.repeat(sit, 9, 0), rng.normal(size=(T, 165))):
        assert not are_positions(x)


# --- files that lie -------------------------------------------------------------------------------------------------


def npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # pyright: ignore[reportArgumentType]
    return out.getvalue()


def declared(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    header = str({"descr": "<f8", "fortran_order": False, "shape": shape}).encode()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("poses.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    return out.getvalue()


MIXAMO = (
    "Hips; LeftUpLeg LeftLeg LeftFoot LeftToeBase; RightUpLeg RightLeg RightFoot RightToeBase; Spine Spine1 Spine2 "
    "Neck Head; LeftShoulder LeftArm LeftForeArm LeftHand; RightShoulder RightArm RightForeArm RightHand"
)
SIX = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def bvh(motion: str = "", root: str = SIX) -> bytes:
    """A person of Mixamo's names whose channels are those of the root only."""
    lines: list[str] = []
    chains = [chain.split() for chain in MIXAMO.split(";")]

    def joints(names: list[str], at: list[str]) -> None:
        offsets = {"Hips": "0 0 0", "LeftUpLeg": "9 -8 0", "RightUpLeg": "-9 -8 0", "LeftShoulder": "7 12 0",
                   "RightShoulder": "-7 12 0", "LeftArm": "10 0 0", "RightArm": "-10 0 0"}  # fmt: skip
        side = "40 0 0" if "LeftF" in names[0] or "LeftH" in names[0] else "-40 0 0"
        leg = any(w in names[0] for w in ("Leg", "Foot", "Toe"))
        lines.append(f"JOINT {names[0]}" if lines else f"ROOT {names[0]}")
        spine = "0 20 0" if "Left" not in names[0] and "Right" not in names[0] else "0 -40 0" if leg else side
        lines.extend(["{", f"OFFSET {offsets.get(names[0], spine)}", root if names[0] == "Hips" else "CHANNELS 0"])
        if names[1:]:
            joints(names[1:], at)
        for chain in chains[1:4] if names[0] == "Hips" else chains[4:] if names[0] == "Spine2" else []:
            joints(chain, at)
        lines.append("}")

    joints(chains[0], [])
    text = "\n".join(["HIERARCHY", *lines, "MOTION", motion or "Frames: 1\nFrame Time: 0.04\n0 95 0 0 0 0\n"])
    return text.encode()


FOUR = "Frames: 4\nFrame Time: {}\n" + "0 95 0 0 0 0\n" * 4
LIES = {
    "huge.npz": (declared((100_000_000, 165)), "at most 256 MiB"),
    "long.npz": (npz(poses=np.zeros((100_001, 66), np.int8)), "at most 100000 frames in poses"),
    "slow.npz": (npz(poses=SMPL72, fps=0.001), r"0.1 to 1000 frames per second \(fps\), got 0.001"),
    "rates.npz": (npz(poses=SMPL72, fps=[30, 30]), "one number in fps, got 2"),
    "rate.npz": (npz(poses=SMPL72, fps="fast"), "fps of numbers, got text"),
    "far.npz": (npz(poses=SMPL72, trans=np.full((T, 3), 1e22), fps=30), "numbers from -1e"),
    "away.npz": (npz(poses=SMPL72, trans=MOVED * 1e5, fps=30), "within 10000 m"),
    "large.npz": (npz(poses=SMPL72 * 1e300, fps=30), "finite numbers in poses"),
    "complex.npz": (npz(poses=SMPL72 * 1j), "poses, or global_orient"),
    "scalar.npz": (npz(poses=np.float64(1)), r"got \[\]|\[T, 72\]"),
    "encoded.npz": (npz(root_orient=ROOT, latent_pose=np.zeros((T, 32))), "the entries latent_pose, root_orient"),
    "degrees.npz": (npz(poses=np.degrees(SMPL72), fps=30), "look like degrees; multiply by"),
    "joints.npz": (npz(joints=np.zeros((T, 22, 3))), "joint positions"),
    "quaternions.npy": (np.ones((T, 24, 4)) / 2, "quaternions"),
    "flat.npz": (npz(poses=np.ones((T, 96)) / 2, fps=30), "quaternions"),
    "six.npz": (npz(poses=MATRICES[..., :2].reshape(T, -1), fps=30), "6D rotations"),
    "features.npy": (np.zeros((T, 263)), "HumanML3D features"),
    "nothing.pkl": (pickle.dumps({"a.jpg": {"time": 0, "tid": [], "smpl": []}}), "pose parameters"),
    "ragged.pkl": (pickle.dumps({"poses": [[0.0] * 72, [0.0] * 66]}), "no array"),
    "lacking.pkl": (
        pickle.dumps({"0": [{"pose": SMPL72[0], "trans": MOVED[0]}], "1": [{"pose": SMPL72[0]}]}), "lacks it"),
    "comma.bvh": (bvh().replace(b"9 -8 0", b"9,0 -8,0 0,0"), "decimal commas"),
    "scale.bvh": (bvh(root="CHANNELS 3 Xscale Yscale Zscale"), "Xscale, Yscale, Zscale at Hips; scale is not read"),
    "channel.bvh": (bvh(root="CHANNELS 1 Wrotation"), "Wrotation at Hips"),
    "none.bvh": (bvh("Frames: 0\nFrame Time: 0.04\n"), "at least one frame, got 0"),
    "long.bvh": (bvh("Frames: 999999999\nFrame Time: 0.04\n1 2 3\n"), "at most .* frames of 22 joints"),
    "word.bvh": (bvh("Frames: 1\nFrame Time: 0.04\n0 95 0 0 zero 0\n"), "numbers in the MOTION section, got zero"),
    "time.bvh": (bvh(FOUR.format("1e9")), "a Frame Time in seconds"),
    "times.bvh": (bvh(FOUR.format("1-e-")), "a Frame Time in seconds, got 1-e-"),
    "infinite.bvh": (bvh(FOUR.format(0.04).replace("95", "1e300")), "finite numbers"),
    "offset.bvh": (bvh().replace(b"9 -8 0", b"nan 0 0"), "offsets of at most"),
    "point.bvh": (bvh().replace(b"0 -40 0", b"0 0 0"), "bones of zero length"),
    "escape.bvh": (bvh().replace(b"Hips", b"\x1b]0;x\x07").replace(b"UpLeg", b"\x1b[31m"), r"\\x1b\]0;x\\x07"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, reason = LIES[name]
    if isinstance(data, bytes):
        (tmp_path / name).write_bytes(data)
    else:
        np.save(tmp_path / name, data)
    with pytest.raises(DinarError, match=reason) as e:
        load_motion(tmp_path / name)
    message = str(e.value)
    assert message.isprintable() and len(message) <= 300 and "Error" not in message


def test_bvh_text_of_every_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "a.bvh").write_bytes(bvh().decode().replace("\n", "\r\n").encode(encoding))
        assert len(load_motion(tmp_path / "a.bvh").joint_names) == 22


def test_joints_that_are_not_found_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_bytes(bvh().replace(b"Head", b"Kopf").replace(b"LeftForeArm", b"Unterarm"))
    with pytest.warns(UserWarning, match="no joint is named as head, left elbow; these do not move"):
        assert "head" not in load_motion(tmp_path / "a.bvh").joint_names


def test_frames_are_bounded_when_resampled() -> None:
    m = Motion("slow", ("pelvis",), torch.eye(3).expand(2000, 1, 3, 3), torch.zeros(2000, 3), 0.1, 0.9)
    with pytest.raises(DinarError, match="at most 100000 frames, but 19990 s at 30"):
        m.resampled(30)
    for fps in (0, -1, float("nan"), 1e9):
        with pytest.raises(DinarError, match="frames per second"):
            m.resampled(fps)


# --- what users brought ---------------------------------------------------------------------------------------------

READ = {
    "bvh/dots.bvh": 22, "bvh/space_names.bvh": 22, "bvh/mixamo6.bvh": 22, "bvh/rigify.bvh": 22, "bvh/crlf_bom.bvh": 22,
    "motion/pose_body_only.npz": 22, "motion/amass_120_no_rate.npz": 22, "motion/phalp.pkl": 22,
    "motion/motionx_322.npy": 23, "motion/romp_video.npz": 22,
}  # fmt: skip
REFUSED = {
    "bvh/scale_channels.bvh": "Xscale", "bvh/comma.bvh": "commas", "bvh/frames0.bvh": "0 frames",
    "motion/humanml3d_joints.npy": "joint positions", "motion/degrees.npz": "degrees",
    "hostile/bvh-escape.bvh": r"\\x1b", "hostile/motion-bomb-68kB-to-7.6GB.npz": "at most 100000 frames",
    "hostile/motion-fps-tiny.npz": "0.001", "hostile/npz-zlib.npz": "damaged", "hostile/fit-is-npy.npz": "poses",
    "hostile/pickle-laughs.pkl": "larger when unfolded", "hostile/pickle-tuple-hash.pkl": "a key",
}  # fmt: skip


@needs_cases
@pytest.mark.parametrize("name", [*READ, *REFUSED])
@pytest.mark.filterwarnings("ignore:.*no frame rate")
def test_cases_of_users(name: str) -> None:
    if name in READ:
        m = load_motion(CASES / name)
        assert len(m.joint_names) == READ[name] and {"neck", "head"} <= set(m.joint_names)
        return
    with pytest.raises(DinarError, match=REFUSED[name]) as e:
        load_motion(CASES / name)
    assert str(e.value).isprintable() and len(str(e.value)) <= 300
