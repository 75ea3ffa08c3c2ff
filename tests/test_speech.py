"""Sounds, visemes, and faces that say them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.body import Body, load_body
from dinar.body.motion import expression_of
from dinar.body.readers import load_motion
from dinar.body.shells import Shell, wear
from dinar.body.teeth import offsets_with_teeth, with_teeth
from dinar.body.visemes import ACTIONS, VISEMES, viseme_weights
from dinar.data.spoken import labels, sentences, viseme_of
from dinar.errors import DinarError
from dinar.export.video import write_video
from dinar.scene import orbit, rasterize_mesh
from dinar.speech.sound import BANDS, FPS, RATE, mel, read_sound
from dinar.speech.talk import heard, mouth, talking
from dinar.texture.mouth import with_teeth_colours
from dinar.texture.texels import texels
from dinar.train.presets import PRESETS
from dinar.train.visemes import VisemeStage

SAID = Path(__file__).parent / "said.flac"  # "My mother bought five big paper boats", by Flite's voice slt
CLOSED = ((0.224, 0.26), (0.392, 0.503), (0.74, 0.828), (1.376, 1.426), (1.633, 1.705), (1.824, 1.917), (1.968, 2.057))


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def test_every_viseme_is_made_of_actions_of_the_body(body: Body) -> None:
    w = viseme_weights(body)
    assert w is not None and w.shape == (len(VISEMES), 52) and set(ACTIONS) == set(VISEMES)
    jaw = body.expression_names.index("jawOpen")
    assert w[VISEMES.index("PP"), jaw] == 0 and w[VISEMES.index("aa"), jaw] == w[:, jaw].max()


def test_sound_of_silence_and_of_noise_is_finite() -> None:
    for x in (np.zeros(RATE, np.float32), np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)):
        m = mel(x)
        assert m.shape == (FPS, BANDS + 1) and np.isfinite(m).all()


def test_hearing_does_not_depend_on_loudness() -> None:
    x = read_sound(SAID)
    assert np.abs(mel(x) - mel(x / 4)).max() < 0.02


def test_sounds_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no sound")
    for path in (tmp_path / "x.wav", tmp_path / "none.wav"):
        with pytest.raises(DinarError, match="expected a sound"):
            read_sound(path)


def test_lips_close_where_they_close_in_what_is_said() -> None:
    p, level = heard(read_sound(SAID))
    weights = mouth(p, level, FPS)[:, VISEMES.index("PP")]
    closed = [weights[int(a * FPS) : int(b * FPS) + 1].max() > 0.6 for a, b in CLOSED]
    assert np.mean(closed) > 0.6
    apart = np.ones(len(weights), bool)
    for a, b in CLOSED:
        apart[int(a * FPS) - 4 : int(b * FPS) + 5] = False
    assert weights[apart].mean() < 0.2


def test_a_mouth_with_closed_lips_is_not_open_at_all() -> None:
    p = np.zeros((100, len(VISEMES)))
    p[:, VISEMES.index("aa")] = 1
    p[48:54] = np.eye(len(VISEMES))[VISEMES.index("PP")]
    w = mouth(p, np.zeros(100), FPS)
    assert w[51, VISEMES.index("aa")] < 0.05 < 0.9 < w[51, VISEMES.index("PP")]
    assert w[20, VISEMES.index("aa")] > 0.9


def test_talking_lasts_as_long_as_the_sound_and_blinks(body: Body) -> None:
    x = read_sound(SAID)
    for name in ("idle", "walk"):
        m = talking(np.tile(x, 3), body, load_motion(name).resampled(12))
        assert abs(len(m) / 12 - 3 * len(x) / RATE) < 0.2
        face = expression_of(m, body)
        assert face is not None and float(face[:, body.expression_names.index("eyeBlinkLeft")].max()) > 0.3
        assert float(face[:, body.expression_names.index("jawOpen")].max()) > 0.15
    same = talking(x, body, load_motion("idle").resampled(12))
    again = talking(x, body, load_motion("idle").resampled(12))
    assert same.expression is not None and again.expression is not None
    assert torch.equal(same.expression, again.expression)


def test_animation_shows_the_face(avatar: Avatar) -> None:
    m = load_motion("idle").resampled(2).sliced(0, 0.5)
    opened = torch.zeros(len(m), 52)
    opened[:, avatar.body.expression_names.index("jawOpen")] = 1
    open_ = dataclasses.replace(m, expression=opened, expression_names=avatar.body.expression_names)
    a, b = (next(iter(avatar.animate(x, 96, close=True))) for x in (m, open_))
    assert (np.abs(a - b).max(2) > 0.1).sum() > 20


def test_video_contains_the_sound(tmp_path: Path) -> None:
    for suffix in (".mp4", ".webm"):
        out = tmp_path / f"x{suffix}"
        write_video(out, [np.full((16, 16, 3), k, np.uint8) for k in range(24)], 10, sound=SAID)
        assert abs(len(read_sound(out)) / RATE - 2.4) < 0.2


def test_recorded_faces(tmp_path: Path, body: Body) -> None:
    names = [n[:1].upper() + n[1:] for n in body.expression_names if n != "tongueOut"]
    head = ",".join(["Timecode", "BlendShapeCount", *names, "HeadYaw", "HeadPitch", "HeadRoll"])
    rows = [f"10:00:{k // 30:02d}:{k % 30:02d}.0,61," + ",".join(["0.5" if n == "JawOpen" else "0" for n in names])
            + ",0.3,0,0" for k in range(90)]  # fmt: skip
    (tmp_path / "live.csv").write_text("\n".join([head, *rows]))
    m = load_motion(tmp_path / "live.csv")
    face = expression_of(m, body)
    assert face is not None and len(m) == 90 and m.fps == pytest.approx(30)
    assert torch.allclose(face[:, body.expression_names.index("jawOpen")], torch.tensor(0.5))
    turned = m.rotations[0, m.joint_names.index("head")]
    idle = load_motion("idle")
    assert not torch.allclose(turned, idle.rotations[0, idle.joint_names.index("head")])
    audio2face = {"exportFps": 24, "facsNames": list(body.expression_names), "weightMat": [[0.25] * 52] * 5}
    frames = [{"time": k, "blendShapes": dict.fromkeys(body.expression_names, 0.25)} for k in range(5)]
    for name, content, fps in (("a.json", audio2face, 24), ("b.json", frames, 60)):
        (tmp_path / name).write_text(json.dumps(content))
        with pytest.warns(UserWarning) if name == "b.json" else _nothing():
            m = load_motion(tmp_path / name)
        face = expression_of(m, body)
        assert m.fps == fps and face is not None and face.unique().tolist() == [0.25]
    (tmp_path / "long.csv").write_text(head + '\n"' + "1" * 200_000)
    with pytest.raises(DinarError, match="damaged"):
        load_motion(tmp_path / "long.csv", fps=30)
    (tmp_path / "bad.csv").write_text("\n".join([head, rows[0].replace("0.5", "50")]))
    with pytest.raises(DinarError, match="between 0 and 1"):
        load_motion(tmp_path / "bad.csv", fps=30)
    (tmp_path / "rate.json").write_text(json.dumps(audio2face | {"exportFps": 10**400}))
    with pytest.raises(DinarError, match="got another json"):
        load_motion(tmp_path / "rate.json")


def _nothing() -> contextlib.nullcontext[None]:
    return contextlib.nullcontext()


def test_phonemes_and_their_times() -> None:
    assert [VISEMES[viseme_of(p)] for p in ("m", "ˈɑː", "tʃ", "t", "θ", "oʊ", "_:")] == \
        ["PP", "aa", "CH", "DD", "TH", "O", "sil"]  # fmt: skip
    assert labels([(0.0, 3), (0.02, 5)], 4).tolist() == [3, 3, 5, 5]


def test_sentences_of_texts(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("Short. This sentence is long enough to be said. " + "x" * 200)
    assert sentences([tmp_path / "t.txt"]) == ["This sentence is long enough to be said"]
    (tmp_path / "t.png").write_bytes(b"\x89PNG\0 a sentence that is long enough to be said.")
    with pytest.raises(DinarError, match="a binary file"):
        sentences([tmp_path / "t.png"])


def test_viseme_network_learns() -> None:
    rng = np.random.default_rng(0)
    viseme = np.repeat(rng.integers(0, len(VISEMES), 40), 10).astype(np.uint8)
    bands = np.eye(BANDS + 1)[viseme] * 3 - 2
    said = {"mel": bands.astype(np.float16), "viseme": viseme, "start": np.array([0, 200]), "held": np.array([0, 1])}
    stage = VisemeStage(PRESETS["visemes"]["nano"], said)
    net, losses = stage.modules["visemes"], []

    class State:
        def update(self, name: str, loss: torch.Tensor) -> None:
            stage.optimizers[name].zero_grad()
            loss.backward()
            stage.optimizers[name].step()

    for i in range(30):
        batch = [stage.sample(i, rng) for _ in range(2)]
        stacked = {k: torch.from_numpy(np.stack([b[k] for b in batch])) for k in batch[0]}
        losses.append(float(stage.step(stacked, State())["loss"].detach()))  # type: ignore[arg-type]
    assert np.mean(losses[-5:]) < 0.6 * losses[0] and isinstance(net, torch.nn.Module)


def test_a_wav_file_is_read_at_our_rate(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "x.wav"), "wb") as f:
        f.setnchannels(2)
        f.setsampwidth(2)
        f.setframerate(44100)
        f.writeframes((np.sin(np.arange(88200) * 0.05) * 20000).astype("<i2").repeat(2).tobytes())
    assert abs(len(read_sound(tmp_path / "x.wav")) - 2 * RATE) < 100


def test_teeth_show_in_open_mouths_only(body: Body) -> None:
    toothed = with_teeth(body)
    tooth = np.arange(len(toothed.faces)) >= len(body.faces)
    shown = {}
    for action, weight in (("jawOpen", 0.0), ("jawOpen", 0.8), ("mouthUpperUpLeft", 1.0)):
        e = torch.zeros(1, body.num_expression)
        e[0, body.expression_names.index(action)] = weight
        v = toothed.rest(torch.zeros(1, 1), e)[0][0]
        eyes = v[np.unique(body.faces[body.segment == body.segment_names.index("eye_front")])].mean(0)
        mouth = eyes + torch.tensor([[x, y, 0.0] for x in (-0.05, 0.05) for y in (-0.12, -0.02)])
        face = rasterize_mesh(v, toothed.faces, orbit(mouth, 0, height=128, width=128)).face[0].numpy()
        shown[action, weight] = int(tooth[face[face >= 0]].sum())
    assert shown["jawOpen", 0.0] < 5
    assert shown["jawOpen", 0.8] > 60 and shown["mouthUpperUpLeft", 1.0] > 10


def test_lower_teeth_move_with_the_jaw_and_all_with_the_offsets(body: Body) -> None:
    V = body.num_vertices
    moved = with_teeth(body).shapedirs[V:, :, body.num_betas + body.expression_names.index("jawOpen")]
    assert (moved[:, 1] < -0.005).sum() == (moved[:, 1] == 0).sum() == len(moved) / 2
    shift = torch.tensor([0.01, 0.02, 0.03]).expand(V, 3)
    assert torch.allclose(offsets_with_teeth(body, shift)[V:], shift[:1], atol=1e-4)


def test_colours_of_teeth_lie_where_nothing_else_is(body: Body) -> None:
    for b in (body, wear(body, (Shell("hair", 0.3), Shell("skirt", -0.45)))):
        plain = np.zeros((256, 256, 3), np.uint8)
        painted = with_teeth_colours(b, plain).any(2)
        assert painted.sum() > 50 and not (painted & texels(b.atlas, 256).inside).any()
