"""Exported files in other people's readers: the Khronos validator; three.js, three-vrm and the talking-avatar player
TalkingHead in a headless Chromium.

Needs node and ``npm ci`` in tests/gltf, and for the pictures a Chromium; without them the tests are skipped. The
pictures stay in the folder that DINAR_TEST_OUT names.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from browser import CHROMIUM, HERE, NODE
from dinar.body import Body, load_body
from dinar.body.shells import Shell, wear
from dinar.body.skirt import ROWS, grid_of
from dinar.body.visemes import VISEMES
from dinar.export import Clip, build_model, write_glb
from dinar.texture.texels import texels

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(not (HERE / "node_modules/three").is_dir(), reason="run `npm ci` in tests/gltf first"),
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed; CHROMIUM can name one")
FRAME = 20  # of the clip, at 30 frames a second


def node(script: str, *args: Path) -> dict:
    run = subprocess.run([str(NODE), str(HERE / script), *map(str, args)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def position_texture(body: Body, size: int = 1024) -> np.ndarray:
    """Each texel in the colour of its place in the rest pose, islands dilated: seams and wrong binds stand out."""
    v = body.v_template.numpy()
    t = texels(body.atlas, size)
    image = np.zeros((size * size, 3), np.uint8)
    image[t.index] = 40 + 200 * t.sample((v - v.min(0)) / np.ptp(v, axis=0), body.faces)
    image = image.reshape(size, size, 3)
    return np.where(t.inside[..., None], image, cv2.dilate(image, np.ones((9, 9))))


def lift_arm(body: Body) -> Clip:
    s = np.linspace(0, 1, 31, dtype=np.float32)
    pose = np.zeros((31, body.num_joints, 3), np.float32)
    pose[:, body.joint("left_shoulder"), 2] = 1.6 * s
    pose[:, body.joint("right_hip"), 0] = -1.2 * s
    pose[:, body.joint("right_knee"), 0] = 1.4 * s
    pose[:, 0, 1] = 0.4 * s
    expression = np.zeros((31, body.num_expression), np.float32)
    expression[:, body.expression_names.index("jawOpen")] = s
    return Clip("lift", pose, np.stack([0.2 * s, 0 * s, 0 * s], 1), 30, expression)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    body = load_body()
    folder = Path(os.environ.get("DINAR_TEST_OUT") or tmp_path_factory.mktemp("gltf"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in {"lit.glb": "three", "flat.glb": "three", "person.vrm": "vrm",
                          "talker.glb": "talkinghead"}.items():  # fmt: skip
        model = build_model(body, torch.zeros(1), None, position_texture(body), [lift_arm(body)],
                            program=program, unlit=name == "flat.glb",
                            expressions=name != "flat.glb")  # fmt: skip
        write_glb(folder / name, model)
    dressed = wear(body, (Shell("skirt", -0.45), Shell("hat", 0.77)))
    model = build_model(dressed, torch.zeros(1), None, position_texture(dressed), [lift_arm(dressed)], program="vrm",
                        expressions=False)  # fmt: skip
    write_glb(folder / "skirt.vrm", model)
    return folder


@pytest.mark.parametrize("name", ["lit.glb", "flat.glb", "person.vrm", "skirt.vrm", "talker.glb"])
def test_khronos_validator(models: Path, name: str) -> None:
    report = node("validate.mjs", models / name)
    messages = [m for m in report["issues"]["messages"] if "VRMC_" not in m["message"]  # it knows no VRM
                and (name != "talker.glb" or m["code"] != "NODE_SKINNED_MESH_NON_ROOT")]  # fmt: skip
    assert not messages
    assert not report["issues"]["truncated"]


def view(models: Path, name: str, shots: list[dict], **more: Any) -> tuple[dict, list[np.ndarray]]:
    for shot in shots:
        shot["file"] = str(models / f"{Path(name).stem}-{shot.pop('name')}.png")
    request = models / f"{name}.json"
    request.write_text(json.dumps({"model": str(models / name), "chromium": CHROMIUM, "shots": shots, **more}))
    found = node("view.mjs", request)
    assert not [m for m in found["messages"] if m.startswith("error") or "GLTFLoader" in m]
    return found, [cv2.imread(s["file"]) for s in shots]


def differ(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the pixels that are not alike."""
    return float((np.abs(a.astype(int) - b).max(2) > 12).mean())


@needs_chromium
def test_three_js(models: Path) -> None:
    body = load_body()
    v = body.v_template.numpy()
    height = float(np.ptp(v[:, 1]))
    whole = {"size": [360, 480], "to": [0, height / 2, 0], "from": [0, height / 2, 4]}
    face = {"size": [360, 360], "to": [0, height - 0.13, 0.05], "from": [0.1, height - 0.12, 0.75]}
    some = np.linspace(0, len(body.atlas.vertex) - 1, 200).astype(int)
    found, shots = view(models, "lit.glb", [
        {"name": "front", **whole},
        {"name": "back", **whole, "from": [0, height / 2, -4]},
        {"name": "side", **whole, "from": [4, height / 2, 0]},
        {"name": "lift", **whole, "from": [0, height / 2, 5], "clip": "lift", "time": FRAME / 30,
         "vertices": some.tolist()},
        {"name": "face", **face},
        {"name": "smile", **face, "morphs": {"mouthSmileLeft": 1, "mouthSmileRight": 1}},
        {"name": "jaw", **face, "morphs": {"jawOpen": 0.7}},
        {"name": "blink", **face, "morphs": {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}},
        {"name": "again", **whole},
    ])  # fmt: skip
    front, back, side, lift, neutral, smile, jaw, blink, again = shots
    assert [c["name"] for c in found["clips"]] == ["lift"] and abs(found["clips"][0]["duration"] - 1) < 1e-5
    assert found["bones"][0] == "hips" and len(found["bones"]) == body.num_joints
    assert found["morphs"] == [*body.expression_names, *(f"viseme_{name}" for name in VISEMES)]
    assert np.array_equal(front, again)  # a clip and morphs leave nothing behind
    for a, b, least in ((front, lift, 0.03), (front, back, 0.03), (front, side, 0.05),
                        (neutral, smile, 0.005), (neutral, jaw, 0.01), (neutral, blink, 0.003)):  # fmt: skip
        assert differ(a, b) > least
    # The person is there, in the texture's colours and lit: the left side (image right) is redder than the right.
    person = differ(front, np.broadcast_to(front[0, 0], front.shape))
    assert 0.08 < person < 0.4
    rows = front[100:300]
    red = lambda x: x[..., 2].astype(int) - x[..., 0]  # noqa: E731
    assert red(rows[:, 200:])[red(rows[:, 200:]) != red(front[0, 0])].mean() > red(rows[:, :160]).mean() + 10
    # three.js puts the vertices where the body does.
    clip = lift_arm(body)
    at = lambda x: torch.as_tensor(x[FRAME])[None]  # noqa: E731
    posed = body(torch.zeros(1, 1), at(clip.pose), at(clip.transl), at(clip.expression)).vertices[0].numpy()
    error = np.array(found["positions"][3]) - posed[body.atlas.vertex[some]]
    error -= np.median(error, axis=0) * [0, 1, 0]  # the height of the ground
    assert np.linalg.norm(error, axis=1).mean() < 3e-4 and np.abs(error).max() < 1e-2


@needs_chromium
def test_three_vrm(models: Path) -> None:
    height = float(np.ptp(load_body().v_template.numpy()[:, 1]))
    whole = {"size": [480, 480], "to": [0, height / 2, 0], "from": [0, height / 2, 4.2]}
    face = {"size": [360, 360], "to": [0, height - 0.13, 0.05], "from": [0.1, height - 0.12, 0.75]}
    shots = [{"name": "t-pose", **whole}, {"name": "neutral", **face}]
    shots += [{"name": e, **face, "expression": e} for e in ("happy", "angry", "surprised", "aa", "blink")]
    body = load_body()
    eyes = np.unique(body.faces[body.segment == body.segment_names.index("eye_front")])
    pupils = [
        max(eyes[side * body.v_template[eyes, 0].numpy() > 0], key=lambda i: body.v_template[i, 2]) for side in (1, -1)
    ]
    corners = [int(np.flatnonzero(body.atlas.vertex == i)[0]) for i in pupils]
    shots += [
        {"name": f"look{k}", **face, "look": [x, height - 0.1, 1], "vertices": corners} for k, x in enumerate((0, 1))
    ]
    found, (_, neutral, *faces) = view(models, "person.vrm", shots)
    ahead, aside = np.array(found["positions"][-2:])
    moved = aside - ahead
    assert (moved[:, 0] > 0.001).all() and np.abs(moved[:, 1]).max() < 0.003  # both pupils, to the left
    assert len(found["vrm"]["bones"]) == len(found["bones"])
    assert {"happy", "blink", "oh", "jawOpen"} <= set(found["vrm"]["expressions"])
    assert min(differ(neutral, f) for f in faces[:-2]) > 0.003


@needs_chromium
def test_spring_bones(models: Path) -> None:
    """A hem trails behind the leg that it covers, outside of it."""
    body = wear(load_body(), (Shell("skirt", -0.45),))
    grid = grid_of(body)
    corner = lambda vertices: [int(np.flatnonzero(body.atlas.vertex == i)[0]) for i in vertices]  # noqa: E731
    hem = corner(grid[ROWS, 1 : grid.shape[1] // 2])  # over the left leg, and over the right one, which is lifted
    lifted = corner(grid[ROWS, grid.shape[1] // 2 + 1 :])
    whole = {"size": [360, 480], "to": [0, 0.8, 0], "from": [2, 1, 4], "clip": "lift", "vertices": hem + lifted}
    found, _ = view(models, "skirt.vrm", [{"name": "stiff", **whole, "time": 0.5},
                                          {"name": "springs", **whole, "time": 0.5, "springs": True}])  # fmt: skip
    assert found["vrm"]["springs"] == 12
    stiff, swung = (np.array(p).reshape(2, -1, 3) for p in found["positions"])
    moved = np.linalg.norm(swung - stiff, axis=2).mean(1)
    assert 0.005 < moved[1] < 0.1 and moved[0] < moved[1]


@needs_chromium
@pytest.mark.skipif(not (HERE / "node_modules/@met4citizen").is_dir(), reason="run `npm ci` in tests/gltf first")
def test_a_talking_avatar_player(models: Path) -> None:
    """The player stands the avatar in a pose of its own, and its lip sync moves our visemes."""
    said = Path(__file__).parent / "said.flac"
    words = {"My": (180, 200), "mother": (390, 300), "bought": (700, 280), "five": (1000, 330), "big": (1370, 220),
             "paper": (1600, 340), "boats": (1960, 400)}  # fmt: skip
    times, durations = ([x[k] for x in words.values()] for k in (0, 1))
    shots = [{"name": "rest", "say": list(words), "times": times, "durations": durations}]
    shots += [{"name": v, "viseme": v} for v in ("PP", "aa", "FF", "I", "O")]
    found, pictures = view(models, "talker.glb", shots, page="talker.html", files={"sound": str(said)})
    assert set(found["visemes"]) == set(VISEMES)
    # the sentence is drawn in real time, and peaks lie between pictures on a slow machine
    assert all(found["weights"][0].get(v, 0) > 0.25 for v in ("PP", "aa", "FF", "I", "O"))
    assert all(arm[1] > 0.4 for arm in found["arms"])  # metres that hands are below the shoulders
    head = differ(pictures[1], np.broadcast_to(pictures[1][0, 0], pictures[1].shape))
    assert 0.2 < head < 0.8
