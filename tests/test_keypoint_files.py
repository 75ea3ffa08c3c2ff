"""Keypoint files of other programs: read into one layout, the right person of several, refused in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from dinar.errors import DinarError
from dinar.photo.blazepose import KEYPOINTS
from dinar.photo.keypoint_files import fitting_pose, load_keypoints

CASES = Path(__file__).parents[2] / "shared/cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the inputs of real users (../shared/cases) are not here")
N = {name: i for i, name in enumerate(KEYPOINTS)}
H, W = 500, 300

OPENPOSE_25 = ["nose", None, "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
               "left_wrist", None, "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
               "right_eye", "left_eye", "right_ear", "left_ear", "left_foot_index", None, "left_heel",
               "right_foot_index", None, "right_heel"]  # fmt: skip
OPENPOSE_18 = [*OPENPOSE_25[:8], *OPENPOSE_25[9:19]]
COCO = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle"]  # fmt: skip
HALPE = [*COCO, "head", "neck", "hip", "left_foot_index", "right_foot_index", None, None, "left_heel", "right_heel"]
WHOLE_BODY = [*COCO, "left_foot_index", None, "left_heel", "right_foot_index", None, "right_heel", *[None] * 110]


def standing(x: float = 150) -> np.ndarray:
    """[33, 2] a stick figure 400 px high in a 300 x 500 image."""
    height = dict(eye=60, ear=65, mouth=75, shoulder=120, elbow=190, wrist=250, pinky=270, index=272, thumb=262,
                  hip=260, knee=350, ankle=440, heel=448, foot=450)  # fmt: skip
    rows = []
    for name in KEYPOINTS:
        side = 1 if "left" in name else -1 if "right" in name else 0
        rows.append((x + 30 * side, next((h for part, h in height.items() if part in name), 70)))
    return np.array(rows, float)


def rows(layout: list, x: float = 150, score: float = 0.5) -> list[list[float]]:
    """x, y, score of every point of a layout; points that we do not have lie elsewhere."""
    k = standing(x)
    return [[*k[N[n]].tolist(), score] if n in N else [1.0, 2.0, 0.9] for n in layout]


def flat(points: list[list[float]]) -> list[float]:
    return np.ravel(points).tolist()


def named(points: list[list[float]], layout: list, style: str) -> list[dict]:
    out = []
    for (x, y, c), n in zip(points, layout, strict=True):
        camel = n.split("_")[0] + "".join(w.capitalize() for w in n.split("_")[1:])
        out.append({"media": {"x": x / W, "y": y / H, "z": 0.1, "visibility": c},
                    "posenet": {"position": {"x": x, "y": y}, "part": camel, "score": c},
                    "movenet": {"x": x, "y": y, "name": n, "score": c}}[style])  # fmt: skip
    return out


def openpose(points: list[list[float]], factor: tuple[float, ...] = (1, 1, 1)) -> dict:
    return {"people": [{"pose_keypoints_2d": np.ravel(np.array(points) * factor).tolist(), "face_keypoints_2d": None}]}


BLAZE = list(KEYPOINTS)
ALL = (OPENPOSE_25, OPENPOSE_18, COCO, BLAZE, HALPE, WHOLE_BODY)
SHUFFLED = COCO[::-1]
OPENPOSE = openpose(rows(OPENPOSE_18))
MMPOSE = [{"keypoints": [p[:2] for p in rows(COCO)], "keypoint_scores": [0.5] * 17, "bbox": [[0, 0, 1, 1]]}]
COLUMNS = dict(zip(("x", "y", "visible"), np.transpose(rows(COCO)).tolist(), strict=True))
FILES = {
    **{f"{len(n)} points": (n, {"keypoints": rows(n)}) for n in ALL},
    **{f"{len(n)} points, flat": (n, {"keypoints": flat(rows(n))}) for n in (OPENPOSE_25, COCO, BLAZE, HALPE)},
    "a bare list": (COCO, rows(COCO)),
    "a bare flat list": (COCO, flat(rows(COCO))),
    "OpenPose": (OPENPOSE_25, {"version": 1.3, **openpose(rows(OPENPOSE_25))}),
    "DWPose of ComfyUI": (OPENPOSE_18, [{**OPENPOSE, "canvas_height": H, "canvas_width": W}]),
    "a smaller canvas": (
        OPENPOSE_18, openpose(rows(OPENPOSE_18), (0.5, 0.5, 1)) | {"canvas_height": H / 2, "canvas_width": W / 2}),
    "an editor's shares": (
        OPENPOSE_18, openpose(rows(OPENPOSE_18), (1 / W, 1 / H, 1)) | {"canvas_height": 640, "canvas_width": 384}),
    "nobody beside": (OPENPOSE_18, {"people": [*OPENPOSE["people"], {"pose_keypoints_2d": [0] * 54},
                                               {"pose_keypoints_2d": None}, {"pose_keypoints_2d": []}]}),
    "COCO": (COCO, {"images": [{"id": 4}], "annotations": [{"image_id": 4, "keypoints": flat(rows(COCO))}]}),
    "COCO results": (COCO, [{"image_id": 4, "category_id": 1, "keypoints": flat(rows(COCO)), "score": 0.9}]),
    "AlphaPose": (HALPE, [{"image_id": "a.jpg", "keypoints": flat(rows(HALPE)), "score": 2.9}]),
    "mmpose": (COCO, {"meta_info": {}, "instance_info": MMPOSE}),
    "mmpose's predictions": (COCO, MMPOSE),
    "mmpose's picture": (COCO, [{"frame_id": 0, "instances": MMPOSE}]),
    "mmpose's instances": (COCO, {"instances": MMPOSE}),
    "ultralytics": (COCO, [{"name": "person", "box": {"x1": 0}, "keypoints": COLUMNS}]),
    "MediaPipe": (BLAZE, {"pose_landmarks": named(rows(BLAZE), BLAZE, "media")}),
    "MediaPipe's tasks": (BLAZE, {"pose_landmarks": [named(rows(BLAZE), BLAZE, "media")]}),
    "MediaPipe's message": (BLAZE, {"pose_landmarks": {"landmark": named(rows(BLAZE), BLAZE, "media")}}),
    "MediaPipe in JavaScript": (BLAZE, {"poseLandmarks": named(rows(BLAZE), BLAZE, "media")}),
    "MediaPipe's list": (BLAZE, named(rows(BLAZE), BLAZE, "media")),
    "PoseNet": (COCO, {"score": 0.9, "keypoints": named(rows(SHUFFLED), SHUFFLED, "posenet")}),
    "MoveNet": (COCO, [{"keypoints": named(rows(SHUFFLED), SHUFFLED, "movenet")}]),
    "points by name": (COCO, {"keypoints": dict(zip(COCO, rows(COCO), strict=True))}),
    "AlphaPose by picture": (OPENPOSE_18, {"a.jpg": {"version": "AlphaPose v0.3", **OPENPOSE}}),
    "AlphaPose's bodies": (COCO, {"a.jpg": {"bodies": [{"joints": flat(rows(COCO))}]}}),
    "mmpose's lists of lists": (COCO, [MMPOSE]),
    "people by number": (COCO, {"0": {"keypoints": rows(COCO)}}),
    "Detectron2": (COCO, {"instances": {"pred_keypoints": [rows(COCO)]}}),
    "OpenPose BODY_135": (
        [*COCO, None, None, *OPENPOSE_25[19:], *[None] * 110],
        openpose(rows([*COCO, None, None, *OPENPOSE_25[19:], *[None] * 110]))),
    "DWPose's subsets": (OPENPOSE_18, {"bodies": {
        "candidate": [p[:2] for p in rows(OPENPOSE_18)], "subset": [list(range(18)), [-1] * 18]}, "hands": []}),
    "null for a missing point": ([*COCO[:16], None], {"keypoints": [*rows(COCO)[:16], [None, None, None]]}),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_files_of_other_programs(tmp_path: Path, kind: str, encoding: str) -> None:
    layout, content = FILES[kind]
    path = tmp_path / "k.json"
    path.write_bytes(json.dumps(content).encode(encoding))
    (pose,) = load_keypoints(path, 2.0, (2 * H, 2 * W))
    for i, name in enumerate(KEYPOINTS):
        if name in layout:
            assert np.allclose(pose.keypoints[i, :2], 2 * standing()[i], atol=1e-3)
            assert pose.keypoints[i, 3] == (1 if "subsets" in kind else 0.5)  # of which the file says none
        else:
            assert pose.keypoints[i, 3] == 0
    assert pose.world is None and pose.region.size > 2 * 380


def test_arrays(tmp_path: Path) -> None:
    k = np.array(rows(COCO))
    for content in ({"keypoints": k}, {"keypoints": k[None], "names": np.array(["x"])},
                    {"keypoints": k[:, :2], "scores": k[:, 2]}):  # fmt: skip
        np.savez(tmp_path / "k.npz", **content)
        (pose,) = load_keypoints(tmp_path / "k.npz")
        assert np.allclose(pose.keypoints[N["left_hip"]], [*standing()[N["left_hip"]], 0, 0.5])


def test_flags_of_coco_are_no_scores(tmp_path: Path) -> None:
    points = [[*p[:2], 2 if i else 1] for i, p in enumerate(rows(COCO))]
    (tmp_path / "k.json").write_text(json.dumps({"keypoints": points}))
    (pose,) = load_keypoints(tmp_path / "k.json")
    assert pose.keypoints[N["nose"], 3] == 0.5 and pose.keypoints[N["left_hip"], 3] == 1


def test_the_person_who_fits_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": flat(rows(OPENPOSE_18, x))} for x in (60, 150, 240)]}))
    poses = load_keypoints(path, 1.0, (H, W))
    assert len(poses) == 3
    for x in (60, 150, 240):
        found = load_keypoints(path)[0]
        found = next(p for p in poses if p.keypoints[0, 0] == x)
        mask = np.zeros((H, W), np.float32)
        mask[:, x - 35 : x + 35] = 1
        assert fitting_pose(path, poses, found) is found
        assert fitting_pose(path, poses, poses[0], mask) is found  # the user's own cut-out says it
    with pytest.raises(DinarError, match="none of its 3 people fits"):
        fitting_pose(path, poses, None, np.zeros((H, W), np.float32))


# --- refused --------------------------------------------------------------------------------------------------------


def npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # pyright: ignore[reportArgumentType]
    return out.getvalue()


def text(content: object) -> bytes:
    return json.dumps(content).encode()


BAD = {
    "text.json": (b"not json", "line 1, column 1 is not json"),
    "empty.json": (b"", "empty file"),
    "empty.npz": (b"", "empty file"),
    "fake.npz": (b"zip?", "another kind of file"),
    "cut.npz": (npz(keypoints=rows(COCO))[:-30], "damaged or cut short"),
    "deep.json": (b"[" * 6000, "nested more than 64 deep"),
    "nested.json": (b"[" * 60 + b"]" * 60, "misshapen|keypoints"),
    "number.json": (b"7", "another structure"),
    "none.json": (text({"people": []}), "no people"),
    "nobody.json": (text({"people": [{"pose_keypoints_2d": None}]}), "no people"),
    "two.json": (text({"people": [{}, {}]}), "an empty entry"),
    "other.json": (text({"points": []}), "got the entries points"),
    "world.json": (text({"pose_world_landmarks": []}), "got the entries pose_world_landmarks"),
    "shape.json": (text([[1, 2, 3]] * 12), r"33 \(BlazePose\), 17 \(COCO\).*got 12 points"),
    "length.json": (text([1.0] * 50), r"all of them at one point|keypoints"),
    "absent.json": (text([[5, 5, 0]] * 17), "confidence above 0, got 0"),
    "point.json": (text([[5, 5, 1]] * 17), "at one point"),
    "ragged.json": (b"[[1, 2], [1, 2, 3]]", "no array"),
    "mixed.json": (text({"pose_landmarks": [[{"x": 1}], {"x": 1}, 3]}), "another structure|the entries x"),
    "words.json": (text([["a", "b"]] * 17), "got text"),
    "huge.json": (text([[1e9, 5, 1]] * 17), "from -1e"),
    "endless.json": (b"[" + b"9" * 5000 + b"]", "not json"),
    "infinite.json": (b'{"keypoints": [[1e999, 1, 1]]}', "keypoints"),
    "scores.json": (text({"keypoints": [p[:2] for p in rows(COCO)], "scores": [1]}), "a score for each of 17"),
    "frames.json": (text([{"image_id": i, "keypoints": flat(rows(COCO))} for i in range(2)]), "of one picture"),
    "pictures.json": (text([OPENPOSE, OPENPOSE]), "of one picture, got those of 2"),
    "canvas.json": (text({**OPENPOSE, "canvas_width": 512, "canvas_height": 512}), "300 x 500 pixels, .* 512 x 512"),
    "canvas0.json": (text({**OPENPOSE, "canvas_width": 0, "canvas_height": None}), None),
    "canvas1.json": (text({**OPENPOSE, "canvas_width": 0, "canvas_height": "x"}), "canvas"),
    "outside.json": (text({"keypoints": [[x + 5000, y, c] for x, y, c in rows(COCO)]}), "outside of the photo"),
    "other.npz": (npz(image=np.zeros(3)), "got the entries image"),
    "bomb.npz": (npz(keypoints=np.zeros((1 << 22, 3))), "at most 16 MiB"),
    "objects.npz": (npz(keypoints=np.array([None])), "keypoints"),
    "escape.json": (text({"\x1b]0;x\x07": 1}), r"\\x1b"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    if message is None:
        assert len(load_keypoints(tmp_path / name, 1.0, (H, W))) == 1
        return
    with pytest.raises(DinarError, match=message) as e:
        load_keypoints(tmp_path / name, 1.0, (H, W))
    assert str(e.value).isprintable() and len(str(e.value)) <= 300 and "Error" not in str(e.value)


def test_shares_need_the_size_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_bytes(text([[0.5, i / 17, 1] for i in range(17)]))
    with pytest.raises(DinarError, match="normalised"):
        load_keypoints(tmp_path / "k.json")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DinarError, match="no such file"):
        load_keypoints(tmp_path / "none.json")


# --- what users brought ---------------------------------------------------------------------------------------------


@needs_cases
@pytest.mark.parametrize("file", sorted((CASES / "keypoints").glob("*.json")), ids=lambda p: p.stem)
def test_cases_of_users(file: Path) -> None:
    (pose,) = load_keypoints(file, 1.0, (944, 564))
    k = pose.keypoints[[N["nose"], N["right_shoulder"], N["left_ankle"]]]
    assert (k[:, 3] > 0).all() and np.allclose(k[:, :2], [[237, 121], [169, 187], [295, 860]], atol=20)


@needs_cases
@pytest.mark.parametrize("name", ["keypoints-deep.json", "keypoints-empty.npz"])
def test_hostile_cases(name: str) -> None:
    with pytest.raises(DinarError, match=r"nested more than 64 deep|empty file"):
        load_keypoints(CASES / "hostile" / name)
