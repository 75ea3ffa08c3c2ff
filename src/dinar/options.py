"""What the commands of `dinar` take: one dataclass each, read by tyro; the docstrings are the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

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
    """CPU threads; 0: one for each physical core."""
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
    """Your own cut-out, one for each photo; or a label map, with --mask-convention."""
    mask_convention: Literal["graphonomy", "cihp", "lip", "atr", "ccp", "dinar"] | None = None
    """--mask is a label map of Graphonomy, SCHP (lip, atr), ...: its classes are used as the parser's would be."""
    keep_accessories: bool = False
    """Count bags and held things as the person (a cut-out of your own stays as it is)."""
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
    learned: bool = False
    """Neural texture and renderer; without this, where trained weights say that they are better."""
    classical: bool = False
    """Never use networks for the texture. What is exported is the same with either."""
    weights: Path | None = None
    """Weights of the networks (RUN/weights of a training run); implies --learned."""
    neural: bool = True
    """Learned avatars: use the generated channels of the texture."""
    rgb: bool = True
    """Learned avatars: use the colours sampled from the photo."""
    unseen: Literal["diffusion", "classical", "nothing"] | None = None
    """Learned avatars: what fills the colours that no photo shows; default: what does better with the weights."""
    refine: bool | None = None
    """Learned avatars: refine and match colours; default: what does better with the weights."""
    seed: int = 0
    """Another seed, another back."""
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
    """CPU threads of a process; 0: one for each physical core."""
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
    lr: float | None = None
    """Peak learning rate."""
    ema: float | None = None
    """Decay of the averaged weights."""
    size: int | None = None
    """Pixels a side of the pictures (not of the parser): half of them, a quarter of the time."""
    texture: int | None = None
    """Texels a side of the texture."""
    lpips: Literal["vgg", "alex", "none"] | None = None
    """Backbone of the perceptual loss."""
    adversarial: float | None = None
    """Weight of the adversarial loss; 0: without a discriminator."""
    augmented: bool | None = None
    """Augment (camera angle, colour shift, mirror); without, only mirror, and keep what was read in memory."""
    device: Literal["auto", "cpu"] = "auto"
    dry_run: bool = False
    """Say what would be done, and fetch one batch."""
    threads: int = 0
    """CPU threads; 0: one for each physical core."""
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


@dataclass
class EvaluateCommon(Common):
    """How pictures are compared; all of it is written above the tables."""

    out: Output = Path("out/evaluation")
    """Folder for results.json, table.md, sheet.png and the pictures; goes on where it was stopped."""
    size: int = 512
    """Pixels: the side of the crop, or the longer side of the full picture."""
    background: Literal["white", "grey", "black"] = "white"
    """Behind both pictures."""
    crop: Literal["person", "full"] = "person"
    """The square around the true mask, or the whole picture."""
    erode: int = 0
    """Pixels by which both masks are eroded before they are put on the background."""
    metrics: list[str] = field(default_factory=list)
    """Which ones; default: all."""
    inception: str | None = None
    """InceptionV3 with FID's weights (TorchScript: file or address) for KID; without, a substitute by another name."""
    reid: str | None = None
    """FlipReID (TorchScript: file or address) for ReID; without, a substitute by another name."""
    device: str = "cpu"
    """Of the metrics: cpu or cuda."""


@dataclass
class EvaluateAvatars(EvaluateCommon):
    """How avatars are made."""

    input: str | None = None
    """Name or number of the view that the avatar is made from; default: the most frontal."""
    learned: bool = False
    """Learned avatars; with --classical both, side by side; default: what `dinar create` does by itself."""
    classical: bool = False
    """Classical avatars."""
    weights: Path | None = None
    """Weights of the networks (RUN/weights of a training run); implies --learned."""
    own_mask: bool = True
    """The input is cut out as any photo is; off: with the set's mask."""
    people: int | None = None
    """So many of the people; default: all (of `synthetic` 8)."""
    jobs: int = 1
    """Processes at once."""


@dataclass
class EvaluateSequence(EvaluateAvatars):
    """Turning people (videos or frames): avatar from one frame, drawn in the fitted poses of the others."""

    data: Path1 = field(kw_only=True)
    """A video, a folder of frames (masks in masks/ beside them), or a folder of these."""
    frames: int = 16
    """Of each person, evenly spread."""


@dataclass
class EvaluateViews(EvaluateAvatars):
    """Sets of many views with known bodies: avatar from one view, drawn in all others, by angle."""

    data: Annotated[str, tyro.conf.Positional] = field(kw_only=True)
    """A set of `dinar synthesize` or `dinar fit --frames`, PHOTOS:FITS, or the word `synthetic`."""
    refit: bool = False
    """Fit the body in all views as in photos, instead of taking the set's."""


@dataclass
class EvaluateAblation(EvaluateAvatars):
    """Table 2: what each part of `create` is worth, by its switches."""

    data: Annotated[str, tyro.conf.Positional] = field(kw_only=True)
    """As of `dinar evaluate views`."""


@dataclass
class EvaluateRenders(EvaluateCommon):
    """Pictures of another system against true ones, by file name."""

    pred: Path1 = field(kw_only=True)
    """Folder of their pictures; subfolders are groups (front, back, ...)."""
    truth: Path1 = field(kw_only=True)
    """Folder of the true pictures, of the same names; `pictures/truth` of another evaluation, say."""
    name: str = ""
    """What to call the system; default: the folder's name."""
    masks: Path | None = None
    """Masks of the true pictures, of the same names; default: their alpha channels."""
    pred_masks: Path | None = None
    """Masks of their pictures."""


@dataclass
class Evaluate:
    """Measure avatars or pictures; the protocol stands above every table."""

    what: (
        Annotated[EvaluateSequence, tyro.conf.subcommand("sequence")]
        | Annotated[EvaluateViews, tyro.conf.subcommand("views")]
        | Annotated[EvaluateRenders, tyro.conf.subcommand("renders")]
        | Annotated[EvaluateAblation, tyro.conf.subcommand("ablation")]
    )

    @property
    def threads(self) -> int:
        return self.what.threads

    @property
    def debug(self) -> bool:
        return self.what.debug
