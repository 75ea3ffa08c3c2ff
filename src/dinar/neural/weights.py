"""A folder of trained networks: written by ``dinar train``, read by ``dinar create``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from ..arrays import read_json
from ..errors import DinarError
from ..files import replacing
from ..nets.presets import NAMES, PRESETS
from ..nets.pretrained import Network
from ..nets.renderer import load_renderer

Unseen = Literal["diffusion", "regression", "restoration", "nothing"]
"""What fills texels that no photo shows: §3.3; nets.regressor; texture.restore; or nothing but the renderer."""
Renderer = Literal["auto", "mesh", "neural"]
"""What draws an avatar; auto: the neural renderer where its weights say that it is better than the mesh."""

FILE = "avatar.json"  # beside the networks of a weights folder
INPAINTING = ("vqgan", "denoiser")  # networks of §3.3


@dataclass
class Networks:
    """The networks of a weights folder, and what they were trained for."""

    nets: dict[str, Network]
    size: int  # pixels a side of the pictures
    default: bool = False  # they are better than the textured mesh: `create` uses them by default
    unseen: Unseen | None = None  # what does better with them; None: the diffusion where they have one
    refine: bool = False  # likewise; with all weights so far it left stains (docs/training.md)
    atlas: str = ""  # hash of the atlas of the body they were trained with; empty: not said
    rgb_size: int | None = None  # texels a side of the sampled colours in training; None: not said, as the pictures
    complete: bool = False  # complete textures were in training: where texels are restored, both masks are 1
    offsets: bool = True  # the body was widened to the clothes in training
    largest: int = 0  # pixels a side of the largest pictures that training had windows of; 0: no windows
    bags: bool = True  # bags were painted on the body in training; `create` cuts them out in any case

    @property
    def texture(self) -> int:
        """Texels a side."""
        return int(self.nets["generator"].config["size"])

    @property
    def diffusion(self) -> bool:
        """The networks of §3.3 are there."""
        return {*INPAINTING} <= {*self.nets}

    def to(self, device: torch.device | str) -> Networks:
        for net in self.nets.values():
            net.to(device)
        return self


def save_networks(folder: Path, nets: dict[str, Network], size: int, **more: Any) -> None:
    """One folder that holds all that the next stage and ``create`` need."""
    for name, net in nets.items():
        net.save_pretrained(folder / name)
    with replacing(folder / FILE) as temp:
        temp.write_text(json.dumps({"size": size, **more}, indent=1, sort_keys=True))


def load_networks(folder: Path, only: Sequence[str] = NAMES) -> Networks:
    """What is there of ``only``, by name, in eval mode on the CPU."""
    out: dict[str, Network] = {}
    for name in NAMES:
        if name in only and (folder / name / "config.json").is_file():
            kind = PRESETS["paper"][name][0]
            out[name] = load_renderer(folder / name) if name == "renderer" else kind.from_pretrained(folder / name)
    if not out:
        raise DinarError(f"{folder}: expected the weights folder of a training run ({', '.join(NAMES)}), found none")
    about = _about(folder)
    size, unseen, atlas = about.get("size"), about.get("unseen"), about.get("atlas", "")
    rgb_size, largest = about.get("rgb_size"), about.get("largest", 0)
    if type(size) is not int or not 16 <= size <= 4096:
        raise DinarError(f"{folder / FILE}: expected a size of the pictures from 16 to 4096 pixels; train again")
    unseen = "restoration" if unseen == "classical" else unseen  # its name before
    if unseen not in (*get_args(Unseen), None) or not isinstance(atlas, str):
        raise DinarError(f"{folder / FILE}: expected unseen to be one of {', '.join(get_args(Unseen))}; train again")
    if rgb_size is not None and (type(rgb_size) is not int or not 0 <= rgb_size <= 8192):
        raise DinarError(f"{folder / FILE}: expected an rgb_size from 0 to 8192 texels; train again")
    if type(largest) is not int or not 0 <= largest <= 8192:
        raise DinarError(f"{folder / FILE}: expected a largest picture from 0 to 8192 pixels; train again")
    return Networks(out, size, bool(about.get("default", False)), unseen, bool(about.get("refine", False)), atlas,
                    rgb_size, bool(about.get("complete", False)), bool(about.get("offsets", True)), largest,
                    bool(about.get("bags", True)))  # fmt: skip


def _about(folder: Path) -> dict[str, Any]:
    about = read_json(folder / FILE, what="the description of trained networks")
    if not isinstance(about, dict):
        raise DinarError(f"{folder / FILE}: expected the size of the pictures and more by name; train again")
    return about


def shipped() -> Path | None:
    """Weights in the package: the largest preset that is there."""
    for name in ("paper", "base", "nano"):
        folder = Path(str(resources.files("dinar") / "weights" / name))
        if (folder / FILE).is_file():
            return folder
    return None


def open_networks(
    folder: Path | None, renderer: Renderer, atlas: str = "", unseen: Unseen | None = None
) -> Networks | None:
    """For ``create``: networks of a folder, or those in the package; None: the mesh is rendered.

    Args:
        renderer: "neural": they have to be there; "auto": only where they say that they are better; "mesh": none.
        atlas: hash of the body's; networks that were trained with another are of no use.
        unseen: what is asked for. Without the diffusion, its networks are not read: their library takes seconds.
    """
    if renderer == "mesh":
        return None
    wanted = renderer == "neural"
    if folder is None and (folder := shipped()) is None:
        if wanted:
            raise DinarError("this dinar ships no weights for the neural renderer: train them (make nano, "
                             "docs/training.md) and give the folder with --weights")  # fmt: skip
        return None
    if not wanted and not _about(folder).get("default"):
        return None
    own = _about(folder).get("unseen") if (folder / FILE).is_file() else None
    inpainted = (unseen or own or "diffusion") == "diffusion"
    found = load_networks(folder, [n for n in NAMES if inpainted or n not in INPAINTING])
    if missing := [n for n in ("encoder", "generator", "renderer") if n not in found.nets]:
        raise DinarError(f"{folder}: expected an encoder, a generator and a renderer; {', '.join(missing)} missing")
    if atlas and found.atlas not in ("", atlas):
        if wanted:
            raise DinarError(f"{folder}: these networks were trained with another body, whose texture is laid out in "
                             "another way: train them with this one, or take --renderer mesh")  # fmt: skip
        return None
    return found


def weights_hash(net: nn.Module) -> str:
    """16 hex digits of the sha256 of the fp16 weights, as they are on disk."""
    h = hashlib.sha256()
    for k, v in sorted(net.state_dict().items()):
        if not k.endswith("num_batches_tracked"):
            h.update(k.encode() + v.detach().half().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()[:16]
