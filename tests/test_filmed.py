"""A video of a person as a motion: frames without them, smoothing, feet that stay; the video's rate."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.body import load_body
from dinar.body.motion import retarget
from dinar.body.readers import load_motion
from dinar.body.regions import regions
from dinar.body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from dinar.data import filmed
from dinar.data.filmed import SOLES, filmed_motion, motion_of, on_its_feet
from dinar.data.filmed_face import filmed_face
from dinar.errors import DinarError
from dinar.export import write_video
from dinar.scene import orbit
from dinar.scene.textured import over, to_uint8


def test_missing_frames_are_between_their_neighbours() -> None:
    body = load_body()
    pose, _ = retarget(load_motion("walk").resampled(24), body)
    kept = [t for t in range(len(pose)) if t % 3]
    motion = motion_of(body, torch.zeros(body.num_betas), pose[kept], kept, len(pose), 24, "me")
    assert len(motion) == len(pose) and motion.fps == 24
    again, _ = retarget(motion, body)
    a, b = (axis_angle_to_matrix(x[3:-3, body.joint("left_knee")]) for x in (pose, again))
    angle = torch.rad2deg(torch.arccos((((a.mT @ b).diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))
    assert float(angle.mean()) < 8 and float(angle.max()) < 20  # the walk bends the knee by 60 degrees in .2 s


def test_the_foot_that_bears_stays() -> None:
    body = load_body()
    pose, _ = retarget(load_motion("walk").resampled(24), body)
    path = on_its_feet(body, torch.zeros(body.num_betas), pose)
    feet = body(torch.zeros(len(pose), body.num_betas), pose, path).joints[:, [body.joint(n) for n in SOLES]]
    lowest = feet[:-1, :, 1].argmin(1)
    slip = feet.diff(dim=0)[torch.arange(len(lowest)), lowest][:, [0, 2]].norm(dim=1)
    assert float(path[-1, 2]) > 0.5  # the walk in place goes somewhere
    assert float(slip.median()) < 0.01 and np.allclose(feet[..., 1].amin(1), 0, atol=1e-5)


def test_frames_of_a_video_are_fitted(tmp_path: Path, monkeypatch) -> None:
    body, seen = load_body(), []

    def read_subject(path, whole):
        seen.append(path)
        if len(seen) in bad:
            raise DinarError("no person")
        return SimpleNamespace(view=len(seen))

    def fit_body(_, views, betas):
        pose = torch.zeros(body.num_joints, 3)
        return [SimpleNamespace(pose=pose, betas=torch.zeros(body.num_betas)) for _ in views]

    monkeypatch.setattr(filmed, "read_subject", read_subject)
    monkeypatch.setattr(filmed, "fit_body", fit_body)
    write_video(tmp_path / "me.mp4", (np.full((64, 48, 3), 9 * k, np.uint8) for k in range(24)), 24)
    bad = {3, 4}
    motion = filmed_motion(tmp_path / "me.mp4")
    assert len(motion) == 12 and motion.fps == pytest.approx(12, rel=0.05) and motion.name == "me"
    bad = set(range(100))
    with pytest.raises(DinarError, match="in most frames, got them in 0 of 12; no person"):
        filmed_motion(tmp_path / "me.mp4")


def test_a_video_of_a_face_moves_the_face(avatar: Avatar, tmp_path: Path) -> None:
    body, T = avatar.body, 36
    names, t = list(body.expression_names), np.arange(T)
    true = np.zeros((T, len(names)), np.float32)
    true[:, names.index("jawOpen")] = 0.35 * np.clip(np.sin(t / 2.5), 0, 1)
    for side in ("Left", "Right"):
        true[:, names.index(f"eyeBlink{side}")] = np.abs(t - 14) < 2
        true[:, names.index(f"mouthSmile{side}")] = 0.7 * np.clip((t - 18) / 5, 0, 1) * (t < 30)
    still = torch.zeros_like(avatar.pose)
    v = avatar.vertices(still, torch.zeros(3))
    camera = orbit(v[torch.from_numpy(regions(body).skull)], 0, height=320, width=320)
    pose = still.repeat(T, 1, 1)
    pose[:, body.joint("head"), 1] = torch.from_numpy(0.2 * np.sin(t / 6)).float()
    picture = lambda k: avatar.render(pose[k], camera, transl=torch.zeros(3), expression=torch.from_numpy(true[k]))  # noqa: E731
    write_video(tmp_path / "face.mp4", (to_uint8(over(picture(k))) for k in t), 24)
    motion = filmed_face(tmp_path / "face.mp4")
    assert motion is not None and len(motion) == T and motion.expression is not None
    found = motion.expression.numpy()
    for name, least in (("jawOpen", 0.5), ("eyeBlinkLeft", 0.7), ("mouthSmileLeft", 0.8)):
        own = found[:, motion.expression_names.index(name)]
        assert np.corrcoef(true[:, names.index(name)], own)[0, 1] > least and own.max() > 0.1, name
    turns = matrix_to_axis_angle(motion.rotations[:, motion.joint_names.index("head")].float())[:, 1].numpy()
    assert np.corrcoef(turns, np.sin(t / 6))[0, 1] > 0.9


def test_a_video_of_a_whole_person_is_not_one_of_a_face(demo_photo: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "me.mp4", [cv2.imread(str(demo_photo))[..., ::-1]] * 2, 12)
    assert filmed_face(tmp_path / "me.mp4") is None
