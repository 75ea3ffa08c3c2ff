"""The command line: parse, call, report. Errors are one line on stderr and exit status 1; `--debug` shows where."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import tyro

from .cores import physical_cores
from .errors import DinarError
from .options import (
    Animate,
    Batch,
    Common,
    Create,
    Demo,
    Evaluate,
    Export,
    Fit,
    Render,
    Segment,
    Synthesize,
    Train,
    Turntable,
)


def main(argv: list[str] | None = None) -> None:
    """Entry point of `dinar`."""
    import typing

    if (argv if argv is not None else sys.argv[1:]) == ["--version"]:
        from . import __version__

        print(f"dinar {__version__}")
        return
    command = tyro.cli(
        typing.Union[  # type: ignore[arg-type]  # noqa: UP007
            Create, Batch, Fit, Segment, Synthesize, Train, Evaluate, Render, Turntable, Animate, Export, Demo
        ],
        prog="dinar",
        description=__import__("dinar").__doc__.splitlines()[0],
        args=argv,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )
    if argv is None:  # one line, like errors
        warnings.formatwarning = lambda message, *_, **__: f"dinar: {message}\n"
    try:
        import torch

        torch.set_num_threads(command.threads or physical_cores())
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
            Evaluate: _evaluate,
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
    if c.classical and (c.learned or c.weights):
        raise DinarError("expected --classical, or --learned with or without --weights, got both")
    start = time.perf_counter()
    avatar = create(c.photos, body=_body(c), person=c.person, masks=c.mask, mask_convention=c.mask_convention,
                    keypoints=c.keypoints, fits=c.fit, keep_accessories=c.keep_accessories,
                    offsets=c.offsets, occlusion=c.occlusion, blend=c.blend,
                    learned=False if c.classical else c.learned or None, weights=c.weights,
                    neural=c.neural, rgb=c.rgb, unseen=c.unseen, refine=c.refine, seed=c.seed,
                    progress=lambda s: _say(f"  {s}"))  # fmt: skip
    for s in avatar.work.subjects:
        if s.count > 1:
            _say(f"  {s.name}: took person {s.index} of {s.count}, counted from the left (--person N for another)")
    avatar.save(c.out)
    if c.save_fit:
        avatar.work.fits[0].save(c.save_fit)
    if c.preview:
        write_image(sheet, preview(avatar, avatar.work))
    kind = "classical"
    if avatar.neural is not None:
        kind = "learned: " + ", ".join(avatar.meta["learned"]["parts"])
    _say(f"{c.out} ({kind}) in {time.perf_counter() - start:.1f} s" + (f"; look at {sheet}" if c.preview else ""))


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
    photo, soft, classes = read_photo(c.photo), None, None
    if c.label_map:
        classes = read_label_map(c.label_map, photo.rgb.shape, c.convention)
    if c.keypoints:
        keypoints = load_keypoints(c.keypoints, photo.scale).keypoints
    else:
        found = find_person(photo.rgb, c.person, None if classes is None else classes > 0, str(c.photo))
        keypoints, soft = found.pose.keypoints, found.mask_soft
    if classes is not None:
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

    def given(*names: str) -> dict:
        return {k: getattr(c, k) for k in names if getattr(c, k) is not None}

    options = PRESETS[c.stage][c.preset]
    loop = given("steps", "batch", "micro_batch", "precision", "workers", "seed", "ema")
    loop = dataclasses.replace(options.loop, **loop)
    options = dataclasses.replace(options, loop=loop if c.steps is None else loop.fitting(), **given("lr"))
    if c.stage != "parser":
        more = given("size", "texture", "lpips", "augmented")
        losses = dataclasses.replace(options.losses, **given("adversarial"))
        scaled = {k: getattr(options, k) * more.get("size", options.size) // options.size for k in ("crop", "rgb_size")}
        cached = options.cached or 4000 * (more.get("augmented") is False)
        options = dataclasses.replace(options, losses=losses, cached=cached, **scaled, **more)
    elif given("size", "texture", "lpips", "adversarial", "augmented"):
        raise DinarError("the parser takes none of --size, --texture, --lpips, --adversarial, --augmented")
    done = train(c.data, c.run, options, weights=c.weights, init=c.init, cpu=c.device == "cpu", dry_run=c.dry_run)
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


def _evaluate(c: Evaluate) -> None:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from .evaluate.commands import evaluate

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("people", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if bar.disable:
                _say(f"{done}/{total}")

        evaluate(c.what, show)
    print((c.what.out / "table.md").read_text())
    _say(f"{c.what.out}: results.json, table.md, sheet.png; look at {c.what.out / 'sheet.png'}")


def _demo(c: Demo) -> None:
    from .demo import demo

    demo(c.photo, c.out, _say)


if __name__ == "__main__":
    main()
