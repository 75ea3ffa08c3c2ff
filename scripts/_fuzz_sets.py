"""Valid sets, videos, sounds, networks, records and checkpoints for scripts/fuzz.py, and how dinar reads them."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image

from _fuzz_inputs import Values, parameters, rng, smplx
from dinar.body import load_body
from dinar.body.smplx import load_smplx
from dinar.data.folder import start_set, write_views
from dinar.data.frames import _focal as focal_of
from dinar.data.frames import find_clips, import_people, read_frames
from dinar.data.parsing import ParsingSet
from dinar.data.pose import TABLE
from dinar.data.release import Released
from dinar.data.shards import open_set, write_shard
from dinar.data.textures import open_textures, sampled_textures
from dinar.errors import DinarError
from dinar.evaluate.people import read_record
from dinar.evaluate.protocol import Protocol
from dinar.evaluate.report import full_table, summarise, views_table
from dinar.manifest import finished, open_manifest, record
from dinar.nets.parser import Parser
from dinar.nets.pose import PoseNet
from dinar.nets.surface import SurfaceNet
from dinar.nets.visemes import VisemeNet
from dinar.photo.image import photos_of
from dinar.speech.sound import BANDS, RATE, mel, read_sound
from dinar.synthetic.base.makehuman import read_asset
from dinar.train.pose import read_set
from dinar.train.presets import VisemeOptions
from dinar.train.visemes import VisemeStage, said
from dinar.views import Params, Views
from dinar.web.jobs import Job, Jobs
from dinar.web.work import films

PROTOCOL = Protocol("views", "a set", size=64, metrics=("PSNR",), systems=(("dinar", "create"),))

# --- sets -----------------------------------------------------------------------------------------------------------


def _views(name: str) -> Views:
    betas, pose, transl, camera = parameters()
    small = camera.resized(32, 32)
    picture = torch.from_numpy(rng().integers(0, 255, (2, 32, 32, 3)).astype(np.uint8))
    params = Params(betas, pose.expand(2, -1, -1).clone(), transl.expand(2, -1).clone())
    alpha = torch.full((2, 32, 32), 255, dtype=torch.uint8)
    depth = torch.full((2, 32, 32), 3.0)
    return Views(picture, alpha, small.K.expand(2, 3, 3).clone(), small.T_cam_world.expand(2, 4, 4).clone(), params,
                 depth=depth, body="anny", name=name).check()  # fmt: skip


def folder_set(folder: Path) -> Path:
    start_set(folder / "set", "anny", (32, 32))
    write_views(folder / "set", _views("p"))
    return folder / "set"


def shards(folder: Path) -> Path:
    start_set(folder / "set", "anny", (32, 32), layout="shards", per_shard=2)
    write_shard(folder / "set", 0, [_views("p"), _views("q")])
    return folder / "set"


def people(path: Path) -> Values:
    source = open_set(path)
    for i in range(min(3, source.num_people)):
        v = source.views(i)
        yield from (v.rgb, v.alpha, v.K, v.T_cam_world, v.params.betas, v.params.pose, v.params.transl, v.depth)


def authors_set(folder: Path) -> Path:
    """The layout of the paper's authors, with its SMPL-X model."""
    out = folder / "released"
    for part in ("rgb", "segm", "smplx"):
        (out / part).mkdir(parents=True)
    smplx(out)
    Image.fromarray(rng().integers(0, 255, (160, 120, 3)).astype(np.uint8)).save(out / "rgb" / "p.png")
    parse = np.zeros((160, 120, 3), np.uint8)
    parse[20:140, 20:100] = (0, 85, 51)
    Image.fromarray(parse).save(out / "segm" / "p.png")
    small = lambda n: rng().normal(0, 0.2, (1, n)).astype(np.float32)  # noqa: E731
    fit = {"betas": small(10), "global_orient": small(3), "body_pose": small(63), "left_hand_pose": small(45),
           "camera_translation": np.array([[0, 0, 300.0]], np.float32), "ltrb": np.array([0, 0, 120, 160])}  # fmt: skip
    (out / "smplx" / "p.pkl").write_bytes(pickle.dumps({"result": {"smplx": fit}}, 2))
    return out


def released(path: Path) -> Values:
    model = next(path.glob("*.npz"), path / "none.npz")
    v = Released(path, load_smplx(model), 64).views(0)
    yield from (v.rgb, v.alpha, v.K, v.T_cam_world, v.params.betas, v.params.pose, v.params.transl)


def parsing_set(folder: Path) -> Path:
    out = folder / "parsing"
    for part in ("rgb", "labels"):
        (out / part).mkdir(parents=True)
    np.savez(
        out / "keypoints.npz", names=np.array(["a"]), keypoints=rng().uniform(0, 60, (1, 33, 4)).astype(np.float32)
    )
    Image.fromarray(rng().integers(0, 255, (64, 48, 3)).astype(np.uint8)).save(out / "rgb" / "a.png")
    Image.fromarray(rng().integers(0, 13, (64, 48)).astype(np.uint8)).save(out / "labels" / "a.png")
    return out


def parsed(path: Path) -> Values:
    data = ParsingSet(path)
    for i in range(min(2, len(data))):
        s = data[i]
        yield from (s.rgb, s.labels, s.keypoints)


def video(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"clip{suffix}"
        frames = rng().integers(0, 255, (8, 64, 48, 3)).astype(np.uint8)
        iio.imwrite(path, frames, plugin="FFMPEG", fps=8, codec="libvpx" if suffix == ".webm" else "libx264")
        return path

    return make


def frames(path: Path) -> Values:
    with tempfile.TemporaryDirectory() as scratch:
        for _, file in read_frames(path, 3, Path(scratch)):
            yield np.asarray(Image.open(file))


def clips(folder: Path) -> Path:
    """A set of `dinar fit --frames` that is finished, its video, and a camera as people_snapshot has it."""
    home = folder / "set"
    (home / "clips").mkdir(parents=True)
    video(".mp4")(home / "clips")
    (home / "clips" / "camera.pkl").write_bytes(pickle.dumps({"camera_f": np.array([1900.0, 1900]), "width": 1080}))
    start_set(home / "out", "anny", (64, 64), made_from="frames", frames=2)
    people = {"clip": {"views": 2, "skipped": {"00003": "nobody is there"}}, "gone": {"left_out": "a", "skipped": {}}}
    (home / "out" / "report.json").write_text(json.dumps({"people": people}))
    return home


def imported(path: Path) -> Values:
    """What the same command says once more: nothing is fitted."""
    (clip,) = find_clips(path / "clips")
    yield focal_of(clip.camera, 48)
    report = import_people(path / "clips", path / "out", frames=2, size=64)
    yield report["fitted"]
    yield str(report["left_out"])


def sound(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        wav = folder / "said.wav"
        with wave.open(str(wav), "wb") as f:
            f.setparams((1, 2, RATE, 0, "NONE", ""))
            f.writeframes((rng().normal(0, 3000, RATE // 4)).astype("<i2").tobytes())
        if suffix == ".wav":
            return wav
        path = folder / f"said{suffix}"
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(wav), str(path)], check=True)
        wav.unlink()
        return path

    return make


def heard(path: Path) -> Values:
    samples = read_sound(path)
    yield samples
    yield mel(samples)


def asset(folder: Path) -> Path:
    out = folder / "asset"
    out.mkdir()
    (out / "tee.obj").write_text("vt 0 0\nvt 1 0\nvt 0 1\ng tee\nf 1/1 2/2 3/3\n")
    (out / "tee.mhclo").write_text("# tee\nx_scale 1 2 1.0\ny_scale 3 4 1.0\nz_scale 5 6 1.0\nverts 0\n7\n8\n9\n"
                                   "delete_verts\n3 - 5\n")  # fmt: skip
    return out


def one_asset(path: Path) -> Values:
    a = read_asset(path / "tee.mhclo")
    yield from (a.weight, a.offset, a.uv)


def evaluation(folder: Path) -> Path:
    """A folder of `dinar evaluate` with its protocol and the record of a person."""
    out = folder / "evaluation"
    (out / "people").mkdir(parents=True)
    PROTOCOL.begin(out)
    row = {"person": "a", "group": "back", "view": "b", "system": "dinar", "angle": 180.0, "values": {"PSNR": 20.0}}
    record = {"person": "a", "rows": [row], "skipped": {"03": "blurred"}, "made": {}}
    (out / "people" / "000000.json").write_text(json.dumps(record))
    return out


def evaluated(path: Path) -> Values:
    """The tables of a run that is finished."""
    PROTOCOL.begin(path)
    record = read_record(path / "people" / "000000.json")
    summary = summarise([record], PROTOCOL, path)
    yield full_table(summary) + views_table(summary)
    means = (e["mean"] for groups in summary.values() for g in groups.values() for e in g.values())
    yield from (m for m in means if math.isfinite(m))  # equal pictures have an infinite PSNR


def jobs(folder: Path) -> Path:
    """A folder of `dinar serve`."""
    job = Job("0123456789abcdef" * 2, "me", 1, 1.7e9, "choose", None, [{"person": 1, "box": [0.1, 0.2, 0.3, 0.9]}])
    (folder / "web" / job.id).mkdir(parents=True)
    (folder / "web" / job.id / "job.json").write_text(json.dumps(dataclasses.asdict(job)))
    return folder / "web"


def served(path: Path) -> Values:
    """What the server says about the jobs that it finds."""
    found = Jobs(path, dict, processes=0)
    for id in sorted(p.name for p in path.iterdir()):
        about = found.get(id)
        if about is not None:
            yield from (about["created"] / 1e3, about["photos"], about["share"])
            yield len(json.dumps(about, allow_nan=False))
            yield from (p["person"] for p in about["people"])
    yield len(list(path.iterdir()))


def film(folder: Path) -> Path:
    """A job of `dinar serve` with the motion of a clip."""
    (folder / "job").mkdir()
    np.savez(folder / "job" / "film-1.npz", pose=rng().normal(0, 0.1, (4, 20, 3)).astype(np.float32),
             transl=np.zeros((4, 3), np.float32), fps=12.0)  # fmt: skip
    return folder / "job"


def shown(path: Path) -> Values:
    for clip in films(path):
        yield from (clip.pose, clip.transl, clip.fps)


def manifest(folder: Path) -> Path:
    """Of `dinar batch`."""
    with open_manifest(folder / "manifest.sqlite") as db:
        record(db, "a", "photos/a.jpg", "", 4.5)
        record(db, "b", "photos/b.jpg", "nobody is there")
    return folder / "manifest.sqlite"


def batched(path: Path) -> Values:
    with open_manifest(path) as db:
        yield len(finished(db))
        record(db, "c", "photos/c.jpg")


def photo_list(folder: Path) -> Path:
    path = folder / "photos.txt"
    path.write_text("photos/a.jpg\nphotos/b.png\n/home/me/c d.jpg\n")
    return path


def listed(path: Path) -> Values:
    yield len(photos_of([path], lambda text: None))


# --- training -------------------------------------------------------------------------------------------------------


@cache
def _state() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from dinar.train.loop import _prepare
    from toy_stage import LOOP, Toy

    return _prepare(Toy(), LOOP, True)[1]


def checkpoint(folder: Path) -> Path:
    from dinar.train.checkpoint import save

    save(_state(), folder / "checkpoint.pt", {"steps": 1})
    return folder / "checkpoint.pt"


def restored(path: Path) -> Values:
    from dinar.train.checkpoint import restore

    state = _state()
    restore(state, path)
    yield np.array([state.step])
    for m in state.stage.modules.values():
        yield from m.state_dict().values()


def other_networks(folder: Path) -> Path:
    torch.manual_seed(0)
    nets = (
        VisemeNet(width=8), PoseNet(width=8, blocks=1, hypotheses=2), Parser(widths=(8, 8, 8, 8, 8), size=(64, 48)),
        SurfaceNet(widths=(8, 8, 8, 8, 8)),
    )  # fmt: skip
    for net in nets:
        net.save_pretrained(folder / "nets" / type(net).__name__)
    return folder / "nets"


def loaded(path: Path) -> Values:
    for kind in (VisemeNet, PoseNet, Parser, SurfaceNet):
        yield from kind.from_pretrained(path / kind.__name__).state_dict().values()


def spoken(folder: Path) -> Path:
    """Sentences of `dinar train visemes`."""
    r, n = rng(), 300
    np.savez(folder / "spoken.npz", mel=r.normal(-3, 1, (n, BANDS + 1)).astype(np.float16),
             viseme=r.integers(0, 15, n).astype(np.uint8), start=np.array([0, 100, 200]),
             held=np.array([0, 1, 0], np.uint8))  # fmt: skip
    return folder / "spoken.npz"


def sentences(path: Path) -> Values:
    stage = VisemeStage(VisemeOptions(width=8), said([], path, 3, 0))
    for i in range(3):
        sample = stage.sample(i, rng())
        yield from sample.values()
    yield len(stage.valid)


def textures(folder: Path) -> Path:
    sampled_textures(_Texels(new=True), load_body(), 8, folder / "textures")
    return folder / "textures"


def texels(path: Path) -> Values:
    t = sampled_textures(_Texels(), load_body(), 8, path)
    yield from (t.rgb, t.lam, t.worn, t.rules, np.maximum(t.front, -1))


def textures_alone(folder: Path) -> Path:
    """With the style vectors that a training adds."""
    path = textures(folder)
    np.save(path / "style.npy", rng().normal(0, 1, (1, 16)).astype(np.float16))
    return path


def texels_alone(path: Path) -> Values:
    t = open_textures(path, load_body(), 8)
    yield from (t.rgb, t.lam, t.worn, t.rules, np.maximum(t.front, -1), t.style)


def readings(folder: Path) -> Path:
    """What `dinar train pose` read of pictures."""
    shapes = {k: [2, *(n if isinstance(n, int) else 3 for n in (spec.shape or ())[1:])] for k, spec in TABLE.items()}
    np.savez(folder / "read.npz", **{k: rng().normal(0, 1, s).astype(np.float32) for k, s in shapes.items()})
    return folder / "read.npz"


def read_again(path: Path) -> Values:
    yield from read_set(_Texels(), range(1), path, path, None, 1, 1).values()  # type: ignore[arg-type]


@dataclasses.dataclass
class _Texels:
    """One person whose texture is sampled once."""

    new: bool = False
    num_people: int = 1
    body: str = "anny"

    def num_views(self, i: int) -> int:
        return 2

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        if not self.new:
            raise DinarError("the textures would be sampled again")
        return _views("p")
