"""Valid photos, keypoints, motions, bodies, fits and avatars for scripts/fuzz.py, and how dinar reads them."""

from __future__ import annotations

import dataclasses
import json
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import safetensors.numpy
import torch
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from dinar.avatar import Avatar
from dinar.body import load_body
from dinar.body.readers import load_motion
from dinar.body.shells import Shell, wear
from dinar.body.skeleton import PARENT, SMPLX
from dinar.body.smplx import load_smplx
from dinar.data.photos import PhotoFits, load_fits
from dinar.export.profiles import Program
from dinar.fit.fit_file import Fit, load_fit
from dinar.fit.view import View, photo_camera
from dinar.labels import CONVENTIONS
from dinar.nets.regressor import TextureRegressor
from dinar.neural.regression import open_regressor, predictor
from dinar.neural.weights import open_networks
from dinar.photo.image import read_photo
from dinar.scene import Camera, orbit
from dinar.web.neural import neural_file
from dinar.web.page import photo_view

EXPORTS: tuple[tuple[str, Program | None], ...] = (
    (".glb", "three"), (".fbx", "unity"), (".usdz", None), (".vrm", "vrm"), (".glb", "blender"),
    (".fbx", "unreal"),
)  # fmt: skip
Values = Iterator[Any]  # arrays and tensors that a reader returned, to be checked


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# --- pictures -------------------------------------------------------------------------------------------------------


def picture(suffix: str, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"photo{suffix}"
        smooth = cv2.resize(rng().integers(0, 255, (8, 6, 3), np.uint8), (144, 192))
        Image.fromarray(smooth).save(path, **options)
        return path

    return make


def telling_picture(folder: Path) -> Path:
    """A JPEG that says which way is up, how it was taken, and what its colours mean."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    taken = exif.get_ifd(ExifTags.IFD.Exif)
    taken[ExifTags.Base.FocalLength] = TiffImagePlugin.IFDRational(50, 10)
    taken[ExifTags.Base.FocalPlaneXResolution] = TiffImagePlugin.IFDRational(3000, 1)
    taken[ExifTags.Base.FocalPlaneResolutionUnit] = 2
    taken[ExifTags.Base.ExifImageWidth], taken[ExifTags.Base.ExifImageHeight] = 144, 192
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return picture(".jpg", exif=exif.tobytes(), icc_profile=profile)(folder)


def photo(path: Path) -> Values:
    p = read_photo(path)
    yield p.rgb
    yield p.alpha
    yield p.focal


def grey(folder: Path) -> Path:
    path = folder / "mask.png"
    mask = np.zeros((192, 144), np.uint8)
    mask[30:160, 40:100] = 255
    Image.fromarray(mask).save(path)
    return path


def label_map(folder: Path) -> Path:
    path = folder / "labels.png"
    Image.fromarray(rng().integers(0, 14, (192, 144)).astype(np.uint8)).save(path)
    return path


def ccp(folder: Path) -> Path:
    (folder / "ccp" / "labels").mkdir(parents=True)
    (folder / "ccp" / "label_names.txt").write_text("\n".join(theirs for theirs, _ in CONVENTIONS["ccp"]))
    Image.fromarray(rng().integers(0, 58, (96, 72)).astype(np.uint8)).save(folder / "ccp" / "labels" / "0001.png")
    return folder / "ccp"


# --- keypoints and motions ------------------------------------------------------------------------------------------


def keypoints_json(folder: Path) -> Path:
    points = np.c_[rng().uniform(20, 180, (25, 2)), np.ones(25)]
    path = folder / "keypoints.json"
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": points.ravel().round(2).tolist()}]}))
    return path


def keypoints_mmpose(folder: Path) -> Path:
    points = rng().uniform(20, 180, (2, 17, 2)).round(2).tolist()
    people = [{"keypoints": p, "keypoint_scores": [0.5] * 17, "bbox": [[0, 0, 99, 180]]} for p in points]
    path = folder / "keypoints.json"
    path.write_text(json.dumps({"meta_info": {}, "instance_info": people}))
    return path


def keypoints_mediapipe(folder: Path) -> Path:
    points = [dict(zip(("x", "y", "z", "visibility"), p, strict=True)) for p in rng().uniform(0, 1, (33, 4)).tolist()]
    path = folder / "keypoints.json"
    path.write_text(json.dumps({"pose_landmarks": [points], "canvas_width": 144, "canvas_height": 192}))
    return path


def keypoints_npz(folder: Path) -> Path:
    path = folder / "keypoints.npz"
    np.savez(path, keypoints=np.c_[rng().uniform(20, 180, (33, 3)), np.ones(33)])
    return path


def amass(folder: Path) -> Path:
    path = folder / "motion.npz"
    poses, trans = rng().normal(0, 0.2, (12, 156)), rng().normal(0, 0.1, (12, 3))
    np.savez(path, poses=poses, trans=trans, betas=np.zeros(16), mocap_framerate=np.array(60.0))
    return path


def motion_npy(folder: Path) -> Path:
    path = folder / "motion.npy"
    np.save(path, rng().normal(0, 0.2, (12, 72)).astype(np.float32))
    return path


def motion_pickle(folder: Path) -> Path:
    path = folder / "motion.pkl"
    content = {
        "global_orient": np.zeros((1, 3)),
        "body_pose": rng().normal(0, 0.2, (1, 63)),
        "betas": np.zeros((1, 10)),
    }
    path.write_bytes(pickle.dumps(content))
    return path


def tracks(folder: Path) -> Path:
    """Of PHALP: two people, frame by frame."""
    turn = lambda n: np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))  # noqa: E731
    smpl = {"global_orient": turn(1), "body_pose": turn(23), "betas": np.zeros(10, np.float32)}
    frames = {
        f"img/{t:06d}.jpg": {"time": t, "tid": [1, 2][: 1 + t % 2], "smpl": [smpl] * (1 + t % 2),
                             "camera": [np.array([0.0, 0, 20])] * (1 + t % 2)}
        for t in range(4)
    }  # fmt: skip
    (folder / "motion.pkl").write_bytes(pickle.dumps(frames))
    return folder / "motion.pkl"


def romp(folder: Path) -> Path:
    one = {"smpl_thetas": rng().normal(0, 0.2, (1, 72)), "cam_trans": np.zeros((1, 3)), "track_ids": np.array([1])}
    results = {f"{t:08d}.jpg": one for t in range(3)}
    np.savez(folder / "motion.npz", results=np.array(results, object), fps=np.array(25.0))
    return folder / "motion.npz"


TREE: dict[str, tuple[tuple[int, int, int], tuple[str, ...]]] = {
    "Hips": ((0, 0, 0), ("LeftUpLeg", "RightUpLeg", "Spine")), "LeftUpLeg": ((9, -5, 0), ("LeftLeg",)),
    "LeftLeg": ((0, -40, 0), ("LeftFoot",)), "LeftFoot": ((0, -40, 0), ()), "RightUpLeg": ((-9, -5, 0), ("RightLeg",)),
    "RightLeg": ((0, -40, 0), ("RightFoot",)), "RightFoot": ((0, -40, 0), ()),
    "Spine": ((0, 40, 0), ("Neck", "LeftArm", "RightArm")), "Neck": ((0, 12, 0), ("Head",)), "Head": ((0, 9, 0), ()),
    "LeftArm": ((18, 5, 0), ("LeftForeArm",)), "LeftForeArm": ((28, 0, 0), ("LeftHand",)), "LeftHand": ((25, 0, 0), ()),
    "RightArm": ((-18, 5, 0), ("RightForeArm",)), "RightForeArm": ((-28, 0, 0), ("RightHand",)),
    "RightHand": ((-25, 0, 0), ()),
}  # fmt: skip


def _joint(name: str, depth: int) -> str:
    pad, (offset, children) = "  " * depth, TREE[name]
    channels = "6 Xposition Yposition Zposition" if not depth else "3"
    text = f"{pad}{'JOINT' if depth else 'ROOT'} {name}\n{pad}{{\n{pad}  OFFSET {offset[0]} {offset[1]} {offset[2]}\n"
    text += f"{pad}  CHANNELS {channels} Zrotation Xrotation Yrotation\n"
    text += "".join(_joint(c, depth + 1) for c in children)
    text += "" if children else f"{pad}  End Site\n{pad}  {{\n{pad}    OFFSET 0 -9 0\n{pad}  }}\n"
    return text + f"{pad}}}\n"


def bvh(folder: Path) -> Path:
    path = folder / "motion.bvh"
    rows = rng().normal(0, 10, (3, 3 + 3 * len(TREE))).round(3)
    text = f"HIERARCHY\n{_joint('Hips', 0)}MOTION\nFrames: 3\nFrame Time: 0.0333333\n"
    path.write_text(text + "\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    return path


def deepmimic(folder: Path) -> Path:
    path = folder / "motion.txt"
    frames = rng().normal(0, 0.3, (5, 44))
    frames[:, 0] = 1 / 30
    for a in (4, 8, 12, 16, 21, 25, 30, 35, 39):  # unit quaternions
        frames[:, a] += 2
        frames[:, a : a + 4] /= np.linalg.norm(frames[:, a : a + 4], axis=1, keepdims=True)
    path.write_text(json.dumps({"Loop": "wrap", "Frames": frames.tolist()}))
    return path


def face_csv(folder: Path) -> Path:
    """Of Live Link Face."""
    path = folder / "face.csv"
    names = [n[:1].upper() + n[1:] for n in load_body().expression_names]
    rows = [f"00:00:0{i}:00.000,{len(names)}," + ",".join(f"{x:.3f}" for x in row) for i, row in enumerate(_face())]
    path.write_text(",".join(("Timecode", "BlendShapeCount", *names)) + "\n" + "\n".join(rows) + "\n")
    return path


def face_json(folder: Path) -> Path:
    """Of Audio2Face."""
    path = folder / "face.json"
    names = list(load_body().expression_names)
    path.write_text(json.dumps({"exportFps": 30.0, "facsNames": names, "weightMat": _face()}))
    return path


def _face() -> list[list[float]]:
    return rng().uniform(0, 1, (4, len(load_body().expression_names))).round(3).tolist()


def motion(path: Path) -> Values:
    m = load_motion(path)
    for f in dataclasses.fields(m):
        value = getattr(m, f.name)
        yield from value.values() if isinstance(value, dict) else [value]


# --- bodies, fits and avatars ---------------------------------------------------------------------------------------


def smplx(folder: Path) -> Path:
    r, V, F, J = rng(), 140, 60, len(SMPLX)
    weights, regressor = r.random((V, J)) ** 8, r.random((J, V)) ** 4
    parents = np.array([4294967295] + [SMPLX.index(PARENT[n]) for n in SMPLX[1:]], np.uint32)
    path = folder / "SMPLX_RANDOM.npz"
    np.savez(path, v_template=r.normal(size=(V, 3)), f=r.integers(0, V, (F, 3)).astype(np.uint32),
             shapedirs=r.normal(size=(V, 3, 20)) * 0.02, posedirs=r.normal(size=(V, 3, 9 * (J - 1))) * 0.01,
             J_regressor=regressor / regressor.sum(1, keepdims=True), weights=weights / weights.sum(1, keepdims=True),
             kintree_table=np.stack([parents, np.arange(J, dtype=np.uint32)]), vt=r.random((3 * F, 2)),
             ft=np.arange(3 * F).reshape(F, 3).astype(np.uint32), hands_meanl=np.zeros(45))  # fmt: skip
    return path


def smplx_atlas(folder: Path) -> Path:
    """A model file and its atlas beside it."""
    (folder / "model").mkdir()
    a = load_smplx(path := smplx(folder / "model")).atlas
    np.savez(path.with_suffix(".atlas.npz"), atlas_uv=a.uv, atlas_faces=a.faces, atlas_vertex=a.vertex,
             atlas_island=a.island, atlas_island_names=np.array(a.island_names))  # fmt: skip
    return folder / "model"


def smplx_uv(path: Path) -> Values:
    a = load_smplx(path / "SMPLX_RANDOM.npz").atlas
    yield from (a.uv, a.faces, a.vertex, a.island)


def smplx_body(path: Path) -> Values:
    body = load_smplx(path)
    yield body.v_template
    yield body(torch.zeros(1, body.num_betas), torch.zeros(1, body.num_joints, 3)).vertices


def parameters() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Camera]:
    body = load_body()
    pose = torch.from_numpy(rng().normal(0, 0.1, (body.num_joints, 3))).float()
    return torch.zeros(body.num_betas), pose, torch.tensor([0.0, 0, -3]), photo_camera(192, 144)


def fit(folder: Path) -> Path:
    betas, pose, transl, camera = parameters()
    Fit(betas, pose, transl, camera, 0.5).save(folder / "fit.npz")
    return folder / "fit.npz"


def one_fit(path: Path) -> Values:
    view = View(np.zeros((33, 4)), None, np.zeros((192, 144), bool), 192, 144)
    f = load_fit(path, load_body(), view)
    yield from (f.betas, f.pose, f.transl, f.camera.K, f.camera.T_cam_world)


def photo_set(folder: Path) -> Path:
    betas, pose, transl, _ = parameters()
    M = 3
    row = lambda x: np.stack([x.numpy()] * M)  # noqa: E731
    PhotoFits(np.array(["a.jpg", "b.jpg", "c.jpg"]), np.full((M, 2), 192, np.int32), row(betas), row(pose), row(transl),
              np.full(M, 200.0), rng().uniform(0, 190, (M, 33, 4)), np.zeros((M, 33, 3)),
              np.tile([9.0, 9, 99, 190], (M, 1)), np.ones(M),
              np.ones(M), np.ones(M), np.ones((M, 2), np.int32)).save(folder / "fits.npz")  # fmt: skip
    return folder / "fits.npz"


def many_fits(path: Path) -> Values:
    table = load_fits(path)
    for i in range(len(table)):
        f = table.fit(i)
        yield from (f.betas, f.pose, f.transl, f.camera.K)
    yield from (table.box, table.keypoints)


def _avatar() -> Avatar:
    body = load_body()
    betas, pose, transl, camera = parameters()
    texture = rng().integers(0, 255, (64, 64, 3)).astype(np.uint8)
    seen = np.full((64, 64), 200, np.uint8)
    return Avatar(
        body, betas, torch.zeros(body.num_vertices, 3), texture, seen, pose, transl, camera, {"photos": ["a"]}
    )


def avatar(folder: Path) -> Path:
    _avatar().save(folder / "me.avatar")
    return folder / "me.avatar"


def neural_avatar(folder: Path) -> Path:
    from dinar.nets.presets import PRESETS
    from dinar.neural.avatar import Neural

    torch.manual_seed(0)
    kind, config = PRESETS["nano"]["renderer"]
    neural = Neural(torch.rand(1, 21, 32, 32), None, kind(**config).eval(), 64)
    _avatar().replace(neural=neural).save(folder / "me.avatar")
    return folder / "me.avatar"


def dressed_avatar(folder: Path) -> Path:
    """Of one who wears a skirt."""
    plain = _avatar()
    body = wear(plain.body, (Shell("skirt", -0.5),))
    plain.replace(body=body, offsets=torch.zeros(body.num_vertices, 3)).save(folder / "me.avatar")
    return folder / "me.avatar"


def exported(path: Path) -> Values:
    """One of the exports, chosen by the file's length."""
    suffix, program = EXPORTS[path.stat().st_size % len(EXPORTS)]
    a = Avatar.load(path)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / f"me{suffix}"
        a.export(out, ["idle"], program=program)
        data = out.read_bytes()
    yield len(data)
    if suffix == ".glb":  # what its json says
        yield from _numbers(json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")]))


def _numbers(x: Any) -> Values:
    if isinstance(x, (dict, list)):
        for v in x.values() if isinstance(x, dict) else x:
            yield from _numbers(v)
    elif isinstance(x, (int, float)):
        yield x


def page(path: Path) -> Values:
    """The page of `dinar view`, with the photo of :func:`parameters`' camera."""
    a = Avatar.load(path)
    seen, picture = photo_view(a, np.zeros((192, 144, 3), np.uint8))
    yield from (np.array(seen["K"]), np.array(seen["T_cam_world"]), np.array(seen["hips"]), picture)
    yield json.dumps(a.meta, allow_nan=False)
    if (file := neural_file(a, graph=False)) is not None:
        yield from safetensors.numpy.load(file).values()


def any_avatar(path: Path) -> Values:
    a = Avatar.load(path)
    yield from (a.betas, a.offsets, a.pose, a.transl, a.camera.K, a.camera.T_cam_world)
    v = a.vertices()
    yield v
    yield a.render(camera=orbit(v, 0, height=48, width=48))
    yield np.array([a.camera.height, a.camera.width])


def weights(folder: Path) -> Path:
    from dinar.nets.presets import build
    from dinar.neural.weights import save_networks

    torch.manual_seed(0)
    names = ("encoder", "generator", "renderer")
    save_networks(folder / "weights", {n: build("nano", n) for n in names}, 64, atlas=load_body().atlas.hash)
    return folder / "weights"


def networks(path: Path) -> Values:
    found = open_networks(path, "neural", load_body().atlas.hash)
    assert found is not None
    yield np.array([found.size, found.texture])
    for net in found.nets.values():
        yield from net.state_dict().values()


def regressor(folder: Path) -> Path:
    torch.manual_seed(0)
    net = TextureRegressor(widths=(8, 16), groups=4, size=32, atlas=load_body().atlas.hash)
    net.save_pretrained(folder / "regressor")
    return folder / "regressor"


def one_regressor(path: Path) -> Values:
    net = open_regressor(path, load_body())
    yield net.config["size"]
    yield from net.state_dict().values()
    seen = np.zeros((128, 128, 1), np.float32)
    seen[:64] = 0.5
    yield predictor(net, load_body())(np.full((128, 128, 3), 0.5, np.float32), seen, None)
