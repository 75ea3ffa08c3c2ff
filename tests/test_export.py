"""GLB read back by a second reader and skinner (pygltflib, numpy, scipy), videos by ffmpeg."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pygltflib
import pytest
import torch
from PIL import Image

from dinar.body import Body, load_body
from dinar.body.visemes import VISEMES
from dinar.errors import DinarError
from dinar.export import Clip, build_model, write_glb, write_video
from dinar.export.model import top_weights
from dinar.export.normals import vertex_normals
from dinar.export.profiles import HUMANOID, PROFILES
from read_glb import Read

T, FPS = 9, 30.0


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)


def wild_clip(body: Body, name: str = "wild") -> Clip:
    """Every joint moves, the root more than half a turn."""
    g = np.random.default_rng(3)
    axes, s = g.normal(size=(body.num_joints, 3)) * 0.25, np.linspace(0, 1, T)
    pose = s[:, None, None] * axes
    pose[:, 0] = s[:, None] * np.array([0, 5.0, 0])
    expression = np.zeros((T, body.num_expression))
    expression[:, body.expression_names.index("jawOpen")] = s
    return Clip(name, pose, np.stack([s, 3 + 0 * s, 0.3 * s], 1), FPS, expression)


@pytest.fixture(scope="module")
def written(body: Body, texture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    g = torch.Generator().manual_seed(1)
    betas = 0.7 * torch.randn(10, generator=g)
    offsets = 0.003 * torch.randn(body.num_vertices, 3, generator=g)
    still = Clip("still", np.full((T, body.num_joints, 3), 0.05), np.zeros((T, 3)), FPS)
    args = (body, betas, offsets, texture, [wild_clip(body), still])
    write_glb(path, build_model(*args, notes={"source": "test"}))
    return {"path": path, "args": args, "read": Read(path), "betas": betas, "offsets": offsets}


def test_skinning_agrees_with_the_body(body: Body, written: dict) -> None:
    read, clip = written["read"], written["args"][4][0]
    shifts, own = [], [j for j, n in enumerate(body.joint_names) if "eye" not in n]  # a file's are where the balls are
    for k in (0, 4, T - 1):
        v, joints = read.skinned(0, k / FPS)
        f = lambda x: torch.as_tensor(x[k], dtype=torch.float32)[None]  # noqa: B023, E731
        posed = body(written["betas"][None], f(clip.pose), f(clip.transl), f(clip.expression), written["offsets"])
        shift = joints[0] - posed.joints[0, 0].numpy()
        shifts.append(shift)
        assert np.abs(joints - posed.joints[0].numpy() - shift)[own].max() < 1e-5
        error = np.linalg.norm(v - posed.vertices[0].numpy()[body.atlas.vertex] - shift, axis=1)
        assert error.mean() < 1e-4 and error.max() < 2e-2  # metres: four weights of the body's eight
    assert np.abs(np.array(shifts) - shifts[0]).max() < 1e-5 and np.abs(shifts[0][[0, 2]]).max() < 1e-5


def test_stands_on_the_ground(written: dict) -> None:
    read = written["read"]
    assert abs(read.skinned()[0][:, 1].min()) < 1e-5
    assert abs(min(read.skinned(0, k / FPS)[0][:, 1].min() for k in range(T))) < 2e-3
    assert abs(read.skinned(1, 0)[0][:, 1].min()) < 2e-3


def test_structure(body: Body, written: dict) -> None:
    read, g = written["read"], written["read"].gltf
    names = [g.nodes[j].name for j in read.skin.joints]
    assert set(names) <= HUMANOID and len(set(names)) == body.num_joints
    assert {"hips", "upperChest", "leftThumbMetacarpal", "rightLittleDistal", "leftToes", "rightEye"} <= set(names)
    assert read.mesh.extras["targetNames"] == [*body.expression_names, *(f"viseme_{n}" for n in VISEMES)]
    assert [a.name for a in g.animations] == ["wild", "still"]
    weights = read.attribute("WEIGHTS_0")
    assert np.abs(weights.astype(float).sum(1) - 1).max() < 1e-7 and (weights >= 0).all()
    faces = read.array(read.prim.indices).reshape(-1, 3)
    assert g.accessors[read.prim.indices].componentType == 5123
    assert np.array_equal(body.atlas.vertex[faces], body.faces)
    assert np.array_equal(read.attribute("TEXCOORD_0"), body.atlas.uv)
    n = read.attribute("NORMAL")
    assert np.allclose(np.linalg.norm(n, axis=1), 1, atol=1e-5)
    for v in np.unique(body.atlas.vertex, return_counts=True)[1].argsort()[-5:]:
        assert np.ptp(n[body.atlas.vertex == v], axis=0).max() == 0  # one normal on all sides of a seam
    assert g.asset.extras["source"] == "test" and "CC0" in g.asset.extras["license"] and "dinar" in g.asset.generator
    still = g.animations[1]  # a joint that keeps its rotation has two keys, and turns that do not flip their sign
    assert {g.accessors[s.output].count for s in still.samplers} == {2}
    for s in g.animations[0].samplers:
        q = read.array(s.output)
        if q.shape[1] == 4:
            assert ((q[1:] * q[:-1]).sum(1) > 0).all() and np.allclose(np.linalg.norm(q, axis=1), 1, atol=1e-6)


def test_normals_point_outward(body: Body) -> None:
    v = body.v_template.numpy()
    n = vertex_normals(v, body.faces)
    grown = v + 1e-3 * n
    volume = [np.linalg.det(x[body.faces[body.segment == 0]]).sum() for x in (v, grown)]
    assert 0 < volume[0] < volume[1]


def test_same_input_same_bytes_and_old_file_survives(body: Body, written: dict, tmp_path: Path) -> None:
    path = tmp_path / "b.glb"
    write_glb(path, build_model(*written["args"], notes={"source": "test"}))
    assert path.read_bytes() == written["path"].read_bytes()
    with pytest.raises(DinarError, match="finite"):
        write_glb(path, build_model(body, torch.tensor([np.nan]), None, written["args"][3]))
    assert path.read_bytes() == written["path"].read_bytes() and list(tmp_path.iterdir()) == [path]


def test_options(body: Body, texture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "plain.glb"
    model = build_model(body, np.zeros(3), None, texture, expressions=False, unlit=True)
    write_glb(path, model, image_format="png")
    g = pygltflib.GLTF2().load(str(path))
    assert not g.meshes[0].primitives[0].targets and not g.animations
    assert g.extensionsUsed == ["KHR_materials_unlit"]
    view = g.bufferViews[g.images[0].bufferView]
    png = tmp_path / "t.png"
    png.write_bytes(g.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength])
    assert np.array_equal(np.asarray(Image.open(png)), texture)


def test_vrm(body: Body, texture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.vrm"
    write_glb(path, build_model(body, np.zeros(1), None, texture, program="vrm"), vrm_meta={"authors": ["me"]})
    read = Read(path)
    vrm = read.gltf.extensions["VRMC_vrm"]
    assert vrm["meta"]["authors"] == ["me"] and {"blink", "aa", "happy"} <= set(vrm["expressions"]["preset"])
    assert all(read.gltf.nodes[b["node"]].name == n for n, b in vrm["humanoid"]["humanBones"].items())
    v, joints = read.skinned()
    arm = joints[body.joint("left_wrist")] - joints[body.joint("left_shoulder")]
    assert arm[0] / np.linalg.norm(arm) > 0.99  # a T-pose, on the ground
    assert abs(v[:, 1].min()) < 2e-3


def test_bone_names() -> None:
    names = {p: [how.bone(j) for j in ("pelvis", "left_pinky2", "right_collar", "tail")] for p, how in PROFILES.items()}
    assert names == {
        "blender": ["hips", "f_pinky.02.L", "shoulder.R", "tail"],
        "unity": ["Hips", "LeftLittleIntermediate", "RightShoulder", "tail"],
        "unreal": ["pelvis", "pinky_02_l", "clavicle_r", "tail"],
        "mixamo": ["mixamorig:Hips", "mixamorig:LeftHandPinky2", "mixamorig:RightShoulder", "tail"],
        "talkinghead": ["Hips", "LeftHandPinky2", "RightShoulder", "tail"],
        "three": ["hips", "leftLittleIntermediate", "rightShoulder", "tail"],
        "vrm": ["hips", "leftLittleIntermediate", "rightShoulder", "tail"],
    }


def test_top_weights_are_exact() -> None:
    w = np.random.default_rng(0).dirichlet(np.full(9, 0.1), 500).astype(np.float32)
    index, top = top_weights(w)
    assert index.dtype == np.uint8 and (index[top == 0] == 0).all()
    assert np.abs(top.astype(np.float64).sum(1) - 1).max() < 1e-7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texture": np.zeros((4, 4, 3))}, "uint8"),
        ({"betas": np.zeros(999)}, "betas"),
        ({"offsets": np.zeros((5, 3))}, "offsets"),
        ({"clips": [Clip("c", np.zeros((2, 3, 3)), np.zeros((2, 3)), 30)]}, "pose of clip 'c'"),
        ({"clips": [Clip("c", np.zeros((2, 54, 3)), np.zeros((2, 3)), 0)]}, "frame rate"),
        ({"clips": [Clip("c", np.zeros((0, 54, 3)), np.zeros((0, 3)), 30)]}, "one frame"),
        ({"clips": [Clip("c", np.zeros((1, 54, 3)), np.zeros((1, 3)), 30)] * 2}, "different names"),
        ({"path": "no/such/folder/a.glb"}, "no folder"),
        ({"path": "."}, "is a folder"),
        ({"image_format": "bmp"}, "image_format"),
    ],
)
def test_bad_input_is_one_line(body: Body, texture: np.ndarray, tmp_path: Path, change: dict, message: str) -> None:
    args = {"path": "a.glb", "betas": np.zeros(1), "offsets": None, "texture": texture, "image_format": "png"} | change
    path, image_format = tmp_path / args.pop("path"), args.pop("image_format")
    with pytest.raises(DinarError, match=message) as e:
        write_glb(path, build_model(body, **args), image_format=image_format)
    assert "\n" not in str(e.value) and not list(tmp_path.iterdir())


# ---- video


def frames(n: int, shape: tuple[int, int, int] = (37, 51, 3)) -> list[np.ndarray]:
    return [np.full(shape, 20 * i, np.uint8) for i in range(n)]


def test_mp4(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    red = np.zeros((37, 51, 4), np.uint8)
    red[:, :25] = (200, 30, 40, 255)  # the right half is transparent
    assert write_video(path, iter([red] * 10), 24, total=10, progress=True) == 10
    reader = imageio_ffmpeg.read_frames(path)
    meta = next(reader)
    assert meta["size"] == (52, 38) and meta["fps"] == 24 and meta["codec"] == "h264" and "yuv420p" in meta["pix_fmt"]
    got = [np.frombuffer(f, np.uint8).reshape(38, 52, 3) for f in reader]
    assert len(got) == 10
    assert np.abs(got[5][10, 10].astype(int) - (200, 30, 40)).max() < 8 and got[5][10, 45].min() > 247
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded
    assert list(tmp_path.iterdir()) == [path]


def test_gif(tmp_path: Path) -> None:
    write_video(tmp_path / "a.gif", frames(5), 10)
    gif = Image.open(tmp_path / "a.gif")
    assert gif.n_frames == 5 and gif.info["duration"] == 100


def test_png(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (9, 7, 4), np.uint8)
    assert write_video(tmp_path / "shots", [rgba, rgba], 30) == 2
    assert sorted(p.name for p in (tmp_path / "shots").iterdir()) == ["0000.png", "0001.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "shots" / "0001.png")), rgba)
    (tmp_path / "other.txt").write_text("stays")
    write_video(tmp_path / "x_%03d.png", [rgba], 30)
    assert {p.name for p in tmp_path.iterdir()} == {"shots", "other.txt", "x_000.png"}


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a_%d.png", "folder"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_stopped_half_way_leaves_nothing(tmp_path: Path, name: str, error: type[BaseException]) -> None:
    def broken():
        yield from frames(3)
        raise error

    with pytest.raises(error):
        write_video(tmp_path / name, broken(), 30)
    assert not list(tmp_path.iterdir())


def test_ffmpeg_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text('#!/bin/sh\nfor last; do :; done\necho part > "$last"\nhead -c 1000 > /dev/null\n'
                    'echo "av_interleaved_write_frame(): No space left on device" >&2\nexit 1\n')  # fmt: skip
    fake.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(fake))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DinarError, match="No space left"):
        write_video(out / "a.mp4", frames(12, (400, 400, 3)), 30)
    assert not list(out.iterdir())


def test_real_ffmpeg_out_of_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = tmp_path / "ffmpeg"  # a limit on file sizes does to one process what a full disk does
    limited.write_text(f'#!/bin/sh\ntrap "" XFSZ\nulimit -f 100\nexec "{imageio_ffmpeg.get_ffmpeg_exe()}" "$@"\n')
    limited.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(limited))
    out = tmp_path / "out"
    out.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (20, 256, 256, 3), np.uint8)
    with pytest.raises(DinarError, match="ffmpeg could not write the video"):
        write_video(out / "a.mp4", noise, 30)
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("name", "given", "fps", "message"),
    [
        ("a.mp4", [], 30, "at least one frame"),
        ("a_%d.png", [], 30, "at least one frame"),
        ("a.mp4", [np.zeros((4, 4, 3))], 30, "uint8"),
        ("a.mp4", [np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], 30, "one size"),
        ("a.mp4", frames(1), 0, "fps between"),
        ("a.avi", frames(1), 30, "x.mp4"),
        ("a.png", frames(1), 30, "x.mp4"),
        ("none/a.mp4", frames(1), 30, "no folder"),
    ],
)
def test_bad_video_input(tmp_path: Path, name: str, given: list, fps: float, message: str) -> None:
    with pytest.raises(DinarError, match=message):
        write_video(tmp_path / name, given, fps)
    assert not list(tmp_path.iterdir())
