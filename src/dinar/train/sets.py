"""Texture sets of the training commands: sampled from sources of people, or opened."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..arrays import read_json
from ..body import Body, load_body
from ..data.textures import FILE, TextureSet, open_textures, read_style, sampled_textures
from ..errors import DinarError
from ..files import replacing
from ..neural.arrays import view_arrays
from ..neural.weights import weights_hash
from ..sources import open_source
from ..views import Source


def open_sets(
    data: Sequence[Path],  # sources of people (dinar.sources), or folders of sampled textures
    folder: Path,  # where those of sources are sampled into
    size: int,  # texels a side
    picture: int,  # pixels a side of the sources' pictures
    seed: int = 0,
    body_path: Path | None = None,
    encoder: nn.Module | None = None,  # for style vectors
) -> tuple[Body, list[TextureSet]]:
    """The texture sets of the training commands, and their body."""
    sources = [None if (d / FILE).is_file() else open_source(d, picture, seed=seed, body_path=body_path) for d in data]
    body = load_body(next((s.body for s in sources if s is not None), "anny"), body_path)  # type: ignore[arg-type]

    def told(name: Path, done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            print(f"textures of {name}: {done} of {total}", flush=True)

    sets = []
    for i, (d, source) in enumerate(zip(data, sources, strict=True)):
        if source is None:
            sets.append(open_textures(d, body, size))
            continue
        if source.body != body.name:
            raise DinarError(f"expected sets with the {body.name} body alone, got one with {source.body}")
        into = folder / f"{i}_{d.name}"
        made = sampled_textures(source, body, size, into, progress=lambda done, total, d=d: told(d, done, total))
        style = None if encoder is None else _styles(source, body, encoder, picture, made.front, into)
        sets.append(dataclasses.replace(made, style=style))
    return body, sets


@torch.no_grad()
def _styles(
    source: Source, body: Body, encoder: nn.Module, picture: int, front: np.ndarray, folder: Path
) -> np.ndarray:
    """[P, D] float16: the encoder's answer to everyone's most frontal view; kept in the set's folder."""
    about = {"encoder": weights_hash(encoder), "people": len(front)}
    note, path = folder / "style.json", folder / "style.npy"
    if note.is_file() and read_json(note) == about and (found := read_style(folder, len(front))) is not None:
        return found
    out = []
    for i in range(len(front)):
        k = int(front[i].argmax()) if source.num_views(i) > 1 else 0
        x = view_arrays(source.views(i, [k]).to("cpu"), body, picture, bags=False)
        out.append(encoder(torch.from_numpy(x["rgb"]), torch.from_numpy(x["mask"]))[0].half().numpy())
    style = np.stack(out)
    with replacing(path) as temp, temp.open("wb") as stream:
        np.save(stream, style)
    with replacing(note) as temp:
        temp.write_text(json.dumps(about))
    return style
