"""The command line: parse, call, report. Errors are one line on stderr and exit status 1; `--debug` shows where."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .errors import DinarError

Path1 = Annotated[Path, tyro.conf.Positional]
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


@dataclass
class Common:
    """Options that every command has."""

    body: Literal["anny", "smplx"] = "anny"
    """Body model; `smplx` needs --body-path with your licensed file."""
    body_path: Path | None = None
    """SMPLX_*.npz."""
    threads: int = 0
    """CPU threads; 0: one for each two logical cores."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclass
class Create(Common):
    """Make an avatar from a photo, or from several photos of one person (front first)."""

    photos: Annotated[list[Path], tyro.conf.Positional] = field(default_factory=list)
    """Photos of the same person: jpg, png, webp, tiff, ..."""
    out: Output = Path("me.avatar")
    """Where the avatar goes; a preview picture is written beside it."""
    person: int | None = None
    """Which person, counted from the left, when there are several; default: the largest, most central."""
    mask: list[Path] = field(default_factory=list)
    """Your own cut-out, one for each photo."""
    keypoints: list[Path] = field(default_factory=list)
    """Your own keypoints, one file for each photo: OpenPose json, or npz with 33 or 17 points."""
    fit: list[Path] = field(default_factory=list)
    """A body fit saved by --save-fit, one for each photo."""
    save_fit: Path | None = None
    """Also write the body fit of the (first) photo, as npz."""
    offsets: bool = True
    """Widen the mesh to clothes and hair."""
    occlusion: bool = True
    """Do not sample along the outlines of limbs in front of the body."""
    blend: Literal["softmax", "poisson"] = "softmax"
    """How several photos are merged."""
    preview: bool = True
    """Write a sheet with the fit and the avatar from all sides."""


@dataclass
class Batch(Common):
    """Make an avatar of each of many photos; goes on where it was stopped."""

    photos: Annotated[list[Path], tyro.conf.Positional] = field(default_factory=list)
    """Photos, folders of photos, or .txt lists of paths."""
    out: Output = Path("avatars")
    """Folder for NAME.avatar and NAME.preview.png; failed.json says what could not be made and why."""
    jobs: int = 1
    """Processes at once."""


@dataclass
class Fit(Common):
    """Fit the body to many photos (a photo set to learn from), or to videos of people; goes on where it was stopped."""

    photos: Annotated[list[Path], tyro.conf.Positional] = field(default_factory=list)
    """Photos, folders of photos or .txt lists; with --frames a video, or a folder of videos and folders of frames."""
    out: Output = Path("fits")
    """Folder: fits.npz and report.txt (what was left out, and why); with --frames a multi-view folder."""
    jobs: int = 1
    """Processes at once."""
    masks: bool = False
    """Also keep the person masks, which are made again otherwise."""
    each: bool = False
    """Also write each/NAME.npz for every photo, which `dinar create --fit` takes."""
    frames: int = 0
    """Videos or frame folders of one person each: fit so many frames with one shape."""
    size: int = 512
    """Pixels a side of the pictures that --frames writes."""


@dataclass
class Synthesize:
    """Make random clothed people to learn from: pictures of many views with bodies, masks, classes, normals, depth."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("people")
    """Folder to write; goes on where it was stopped. With --sheet a picture."""
    people: int = 100
    """How many."""
    views: int = 8
    """Pictures of each."""
    size: int = 512
    """Pixels a side."""
    seed: int = 0
    """The same seed, the same people."""
    assets: Path | None = None
    """MakeHuman's asset folder (the one that holds base/clothes, base/hair, base/skins): richer people."""
    motions: Path | None = None
    """A folder of motion clips for the poses (AMASS npz, BVH, DeepMimic txt, ...)."""
    backgrounds: Path | None = None
    """A folder of pictures to stand in front of."""
    plain: bool = False
    """No background and no camera noise."""
    shards: int = 0
    """People in each tar file (webdataset); 0: a folder of folders."""
    sheet: bool = False
    """Only draw a contact sheet of all people, front and back."""
    jobs: int = 1
    """Processes at once."""
    device: str = "cpu"
    """cpu or cuda."""
    threads: int = 0
    """CPU threads of a process; 0: half the logical cores."""
    debug: bool = False
    """Show the whole traceback of an error."""


@dataclass
class Segment(Common):
    """Cut the person out of a photo: a soft mask without bags and other people, and what every pixel is."""

    photo: Path1 = Path()
    out: Output = Path("mask.png")
    """Grey png of the photo's size, white = the person."""
    labels: Path | None = None
    """Also write the classes: a png of label numbers with a palette (dinar.fit.labels.CLASSES)."""
    keep_accessories: bool = False
    """Count bags and held things as the person."""
    person: int | None = None
    """Which person, counted from the left; default: the largest, most central."""
    keypoints: Path | None = None
    """Your own keypoints: OpenPose json, or npz with 33 or 17 points."""
    label_map: Path | None = None
    """A label map of Graphonomy, SCHP, ... in the parser's place."""
    convention: Literal["graphonomy", "cihp", "lip", "atr", "ccp", "dinar"] = "graphonomy"
    """Whose labels --label-map has."""


@dataclass
class Train:
    """Train a network from scratch; goes on where it was stopped. Several devices: accelerate launch -m dinar.cli."""

    stage: Annotated[Literal["parser", "avatar", "compression", "finetune", "inpainting"], tyro.conf.Positional]
    data: list[Path]
    """Folders to learn from; the first one is also validated on. For all stages but the parser also PHOTOS:FITS (a
    folder of photos and its set from `dinar fit`) and the word `synthetic` (people made on the way)."""
    run: Path
    """Folder of the run: checkpoint, log, TensorBoard events, pictures, and weights at the end."""
    weights: list[float] = field(default_factory=list)
    """How often each folder is drawn from; default: equally."""
    preset: Literal["nano", "base", "paper"] = "base"
    init: Path | None = None
    """Start from these weights; compression, finetune and inpainting need RUN/weights of the stage before."""
    steps: int | None = None
    batch: int | None = None
    """Samples a step, over all devices."""
    micro_batch: int | None = None
    """Samples at once on a device; the rest of the batch is accumulated."""
    precision: Literal["no", "bf16", "fp16"] | None = None
    workers: int | None = None
    """Data processes of each training process."""
    seed: int | None = None
    device: Literal["auto", "cpu"] = "auto"
    dry_run: bool = False
    """Say what would be done, and fetch one batch."""
    threads: int = 0
    """CPU threads; 0: one for each two logical cores."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclass
class Render(Common):
    """Draw an avatar as png or jpg."""

    avatar: Path1 = Path()
    out: Output = Path("render.png")
    source: bool = False
    """From the photo's camera, at the photo's size."""
    azimuth: float = 0
    """Degrees around the person: 0 front, 90 their left, 180 back."""
    elevation: float = 0
    """Degrees; positive looks down."""
    pose: str | None = None
    """A static pose or the first frame of a motion: a name or a file."""
    size: int = 1024
    """Pixels a side."""
    background: Literal["white", "grey", "transparent"] = "transparent"


@dataclass
class Turntable(Common):
    """A video of the avatar turning once."""

    avatar: Path1 = Path()
    out: Output = Path("turntable.mp4")
    seconds: float = 4
    fps: int = 30
    size: int = 720
    pose: str | None = None


@dataclass
class Animate(Common):
    """A video of the avatar in motion."""

    avatar: Path1 = Path()
    out: Output = Path("animation.mp4")
    motion: str = "walk"
    """A shipped motion (walk, wave, turn, look_around, dance, idle) or a file: AMASS npz, SMPLify-X pkl, BVH, ..."""
    fps: int = 30
    size: int = 720
    azimuth: float = 25
    turn: float = 0
    """Degrees the camera goes round."""
    repeat: int = 2
    """How often a looping motion is shown."""


@dataclass
class Export(Common):
    """Write a rigged GLB (or .vrm) for Blender, Unity, Unreal, the web."""

    avatar: Path1 = Path()
    out: Output = Path("avatar.glb")
    motion: list[str] = field(default_factory=lambda: ["idle", "walk", "wave"])
    """Motions to include as clips; names or files."""
    expressions: bool = True
    """Include facial expressions as morph targets."""
    unlit: bool = True
    """Show the texture as photographed; the photo's light is in it already."""


@dataclass
class Demo(Common):
    """Everything at once: avatar, preview, turntable, walk and GLB, from a photo (default: a rendered person)."""

    photo: Annotated[Path | None, tyro.conf.Positional] = None
    out: Output = Path("out/demo")


def main(argv: list[str] | None = None) -> None:
    """Entry point of `dinar`."""
    import typing

    if (argv if argv is not None else sys.argv[1:]) == ["--version"]:
        from . import __version__

        print(f"dinar {__version__}")
        return
    command = tyro.cli(
        typing.Union[Create, Batch, Fit, Segment, Synthesize, Train, Render, Turntable, Animate, Export, Demo],  # type: ignore[arg-type]  # noqa: UP007
        prog="dinar",
        description=__import__("dinar").__doc__.splitlines()[0],
        args=argv,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )
    try:
        import torch

        # Logical cores share their arithmetic units, and torch's threads spin while they wait: one a real core.
        torch.set_num_threads(command.threads or max(1, (os.cpu_count() or 2) // 2))
        {
            Create: _create,
            Batch: _batch,
            Fit: _fit,
            Segment: _segment,
            Synthesize: _synthesize,
            Train: _train,
            Render: _render,
            Turntable: _turntable,
            Animate: _animate,
            Export: _export,
            Demo: _demo,
        }[type(command)](command)
    except DinarError as e:
        _fail(str(e), command.debug)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    except MemoryError:
        _fail("out of memory: use a smaller photo", command.debug)
    except OSError as e:
        _fail(f"{e.filename or 'file'}: {e.strerror or e}", command.debug)


def _fail(message: str, debug: bool) -> None:
    if debug:
        raise
    print(f"dinar: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def _body(c: Common):
    from .body import load_body

    return load_body(c.body, c.body_path)


def _load(c: Common, path: Path):
    from .avatar import Avatar

    return Avatar.load(path, None if c.body == "anny" else _body(c))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _writable(path: Path) -> None:
    """Refuse an unusable output before minutes are spent."""
    from .files import check_writable

    check_writable(path)


def _create(c: Create) -> None:
    from .create import create
    from .preview import preview, write_image

    if not c.photos:
        raise DinarError("expected a photo: dinar create PHOTO [PHOTO ...] -o me.avatar")
    sheet = c.out.with_suffix(".preview.png")
    for p in (c.out, *([sheet] if c.preview else []), *([c.save_fit] if c.save_fit else [])):
        _writable(p)
    start = time.perf_counter()
    avatar = create(c.photos, body=_body(c), person=c.person, masks=c.mask, keypoints=c.keypoints, fits=c.fit,
                    offsets=c.offsets, occlusion=c.occlusion, blend=c.blend,
                    progress=lambda s: _say(f"  {s}"))  # fmt: skip
    for s in avatar.work.subjects:
        if s.count > 1:
            _say(f"  {s.name}: took person {s.index} of {s.count}, counted from the left (--person N for another)")
    avatar.save(c.out)
    if c.save_fit:
        avatar.work.fits[0].save(c.save_fit)
    if c.preview:
        write_image(sheet, preview(avatar, avatar.work))
    _say(f"{c.out} in {time.perf_counter() - start:.1f} s" + (f"; look at {sheet}" if c.preview else ""))


def _batch(c: Batch) -> None:
    from .batch import batch

    if c.body != "anny":
        raise DinarError("batch makes avatars with the default body only")
    if not c.photos:
        raise DinarError("expected photos: dinar batch FOLDER -o avatars")
    if failed := batch(c.photos, c.out, c.jobs, _say):
        raise DinarError(f"{len(failed)} photos failed; {c.out / 'failed.json'} says why")


def _fit(c: Fit) -> None:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from .data.frames import import_people
    from .data.prepare import describe, prepare

    if not c.photos or (c.frames and len(c.photos) > 1):
        raise DinarError("expected photos: dinar fit FOLDER -o fits" + (", or one folder of videos" * bool(c.frames)))
    if not 64 <= c.size <= 4096:
        raise DinarError(f"expected --size between 64 and 4096, got {c.size}")
    body = (c.body, c.body_path)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("fitting", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if bar.disable:
                _say(f"{done}/{total}")

        if c.frames:
            report = import_people(c.photos[0], c.out, frames=c.frames, size=c.size, jobs=c.jobs, body=body,
                                   progress=show)  # fmt: skip
        else:
            report = prepare(c.photos, c.out, jobs=c.jobs, masks=c.masks, each=c.each, body=body, progress=show)
    if c.frames:
        _say(f"{report['fitted']} people fitted" + "".join(f"\n  {n}: {w}" for n, w in report["left_out"].items()))
    else:
        _say(describe(report).rstrip())
    if not report["fitted"]:
        raise DinarError(f"nothing could be fitted; {c.out / 'report.json'} says why")


def _synthesize(c: Synthesize) -> None:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from .data.synthetic import Synthetic
    from .data.synthetic.export import contact_sheet, synthesize

    text = lambda p: None if p is None else str(p)  # noqa: E731
    source = Synthetic(c.seed, c.size, c.views, c.people, text(c.assets), text(c.motions), text(c.backgrounds),
                       not c.plain, c.device)  # fmt: skip
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("people", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if c.sheet:
            from .files import check_writable

            check_writable(c.out)
            contact_sheet(source, c.out, c.people, progress=show)
            _say(f"{c.out}: {c.people} people, front and back")
        else:
            made = synthesize(source, c.out, c.people, per_shard=c.shards, jobs=c.jobs, progress=show)
            _say(f"{c.out}: {made} people made, {c.people - made} were there")


def _segment(c: Segment) -> None:
    import cv2
    import numpy as np

    from .files import check_writable, replacing
    from .fit.keypoints import find_person, load_keypoints
    from .fit.labels import write_labels
    from .fit.parse import parse_from_labels, parse_person, read_label_map
    from .fit.photo import read_photo

    for path in (c.out, c.labels):
        if path is not None:
            check_writable(path)
            if path.suffix.lower() != ".png":
                raise DinarError(f"expected a .png to write, got {path}")
    photo, soft = read_photo(c.photo), None
    if c.keypoints:
        keypoints = load_keypoints(c.keypoints, photo.scale).keypoints
    else:
        found = find_person(photo.rgb, c.person, name=str(c.photo))
        keypoints, soft = found.pose.keypoints, found.mask_soft
    if c.label_map:
        classes = read_label_map(c.label_map, photo.rgb.shape, c.convention)
        parse = parse_from_labels(photo.rgb, keypoints, classes, c.keep_accessories)
    else:
        parse = parse_person(photo.rgb, keypoints, c.keep_accessories, coarse=soft)
    with replacing(c.out) as temp:
        alpha = cv2.resize(parse.alpha, photo.original_size, interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(temp), np.rint(alpha * 255).astype(np.uint8))
    if c.labels:
        write_labels(c.labels, cv2.resize(parse.labels, photo.original_size, interpolation=cv2.INTER_NEAREST))
    _say(f"wrote {c.out}" + (f" and {c.labels}" if c.labels else ""))


def _train(c: Train) -> None:
    import dataclasses

    from .train.presets import PRESETS

    if c.stage == "parser":
        from .train.parser import train
    else:
        from functools import partial

        from .train import stages

        train = partial(stages.train, c.stage)
    options = PRESETS[c.stage][c.preset]
    given = {k: getattr(c, k) for k in ("steps", "batch", "micro_batch", "precision", "workers", "seed")}
    loop = dataclasses.replace(options.loop, **{k: v for k, v in given.items() if v is not None})
    done = train(c.data, c.run, dataclasses.replace(options, loop=loop), weights=c.weights, init=c.init,
                 cpu=c.device == "cpu", dry_run=c.dry_run)  # fmt: skip
    if not done:
        sys.exit(130)  # stopped by a signal: the same command goes on


def _pose(c: Common, avatar, name: str | None):
    if name is None:
        return None
    from .body.motion import retarget
    from .body.readers import load_motion

    return retarget(load_motion(name), avatar.body, betas=avatar.betas)[0][0]


def _render(c: Render) -> None:
    from .preview import write_image
    from .scene import orbit
    from .scene.textured import over, to_uint8

    _writable(c.out)
    if not 16 <= c.size <= 8192:
        raise DinarError(f"expected --size between 16 and 8192, got {c.size}")
    avatar = _load(c, c.avatar)
    pose = _pose(c, avatar, c.pose)
    camera = avatar.camera if c.source else orbit(avatar.vertices(pose), c.azimuth, c.elevation, c.size, c.size)
    picture = avatar.render(pose, camera)
    if c.background != "transparent" or c.out.suffix.lower() in (".jpg", ".jpeg"):
        picture = over(picture, 0.5 if c.background == "grey" else 1.0)
    write_image(c.out, to_uint8(picture))


def _video(out: Path, frames: Iterable, fps: float, total: int) -> None:
    from .export import write_video
    from .scene.textured import over, to_uint8

    opaque = out.suffix.lower() == ".mp4"
    write_video(out, (to_uint8(over(f) if opaque else f) for f in frames), fps, total, progress=sys.stderr.isatty())


def _turntable(c: Turntable) -> None:
    _writable(c.out)
    avatar = _load(c, c.avatar)
    n = max(2, round(c.seconds * c.fps))
    _video(c.out, avatar.turntable(n, c.size, _pose(c, avatar, c.pose)), c.fps, n)


def _animate(c: Animate) -> None:
    from .body.readers import load_motion

    _writable(c.out)
    avatar = _load(c, c.avatar)
    motion = load_motion(c.motion).resampled(c.fps)
    repeat = c.repeat if motion.loop else 1
    frames = avatar.animate(motion, c.size, azimuth=c.azimuth, turn=c.turn, repeat=repeat)
    _video(c.out, frames, c.fps, repeat * len(motion))


def _export(c: Export) -> None:
    _writable(c.out)
    _load(c, c.avatar).export(c.out, c.motion, expressions=c.expressions, unlit=c.unlit)
    _say(f"{c.out}: {c.out.stat().st_size / 2**20:.1f} MiB")


def _demo(c: Demo) -> None:
    from .demo import demo

    demo(c.photo, c.out, _say)


if __name__ == "__main__":
    main()
