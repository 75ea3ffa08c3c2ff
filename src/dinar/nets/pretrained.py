"""Weights on disk: a folder with ``model.safetensors`` (fp16) and ``config.json`` for each network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from safetensors.torch import save
from torch import nn

from ..arrays import read_json
from ..errors import DinarError
from ..files import replacing
from ..tensors import read_tensors

N = TypeVar("N", bound="Network")

RENAMED = {"most": "max_channels", "codes": "num_embeddings", "head": "head_dim"}  # keys of older config.json files
# Largest options of a network; those of the `paper` preset are at most 32768, with 2 blocks a level.
MAX_OPTION, MAX_BLOCKS, MAX_ITEMS, MAX_TEXT = 1 << 16, 16, 64, 64


def _cast(v: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``v`` in ``dtype``; unchanged if it overflows, as variances of batch norms may in fp16."""
    small = v.to(dtype) if v.is_floating_point() else v
    return small if not v.is_floating_point() or small.isfinite().all() else v


class Network(nn.Module):
    """A module with the arguments that it was built with in ``config``, as json types."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config: dict[str, Any] = config

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write both files, floating-point tensors in ``dtype``. The same weights give the same bytes.

        Raises:
            DinarError: weights are not finite.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        found = {k: v.detach().cpu() for k, v in self.state_dict().items() if not k.endswith("num_batches_tracked")}
        if any(not v.isfinite().all() for v in found.values() if v.is_floating_point()):
            raise DinarError(f"{folder}: expected finite weights of {type(self).__name__}, got NaN or infinity: the "
                             "training diverged; start it again with lower learning rates")  # fmt: skip
        tensors = {k: _cast(v, dtype).contiguous() for k, v in found.items()}
        with replacing(folder / "model.safetensors") as temp:
            temp.write_bytes(save(tensors))
        with replacing(folder / "config.json") as temp:
            temp.write_text(json.dumps({"network": type(self).__name__, **self.config}, indent=1, sort_keys=True))

    @classmethod
    def from_pretrained(cls: type[N], folder: str | Path) -> N:
        """The network of a folder: float32, eval mode, CPU.

        Raises:
            DinarError: files are missing, or are of another network or version.
        """
        folder = Path(folder)
        config = read_json(folder / "config.json", what=f"the options of a {cls.__name__}")
        if not isinstance(config, dict):
            raise DinarError(f"{folder / 'config.json'}: expected the options of a {cls.__name__} by name")
        kind = config.pop("network", cls.__name__)  # the shipped parser is older than this entry
        if kind != cls.__name__:
            raise DinarError(f"{folder}: expected weights of a {cls.__name__}, got those of a {kind}")
        weights, _ = read_tensors(folder / "model.safetensors", f"the weights of a {cls.__name__}")
        return cls.with_weights(config, weights, str(folder))

    @classmethod
    def with_weights(cls: type[N], config: dict[str, Any], weights: dict[str, torch.Tensor], where: str) -> N:
        """The network of these options with these weights, float32, in eval mode, on the CPU.

        The network is built without memory first, and its shapes are compared with those of the weights: options that
        do not belong to the weights cost nothing.
        """
        config = {RENAMED.get(k, k): v for k, v in config.items()}
        check_config(config, where)
        kinds = {k: kind for k, kind in get_type_hints(cls.__init__).items() if kind is not Any}
        if wrong := [k for k, v in config.items() if k in kinds and not _is_of(v, kinds[k])]:
            raise DinarError(f"{where}: expected another type for {wrong[0]} of a {cls.__name__}, got "
                             f"{config[wrong[0]]!r}; train it again")  # fmt: skip
        try:
            with torch.device("meta"):
                net = cls(**config)
            expected = net.state_dict()
        except Exception as e:  # options out of range fail in torch, in diffusers or here, each in its own way
            raise DinarError(f"{where}: options of another version of {cls.__name__}; train it again") from e
        counters = {k for k in expected if k.endswith("num_batches_tracked")}
        missing = [k for k in expected if k not in weights and k not in counters]
        unknown = [k for k in weights if k not in expected]
        if missing or unknown:
            raise DinarError(f"{where}: expected the weights of {cls.__name__} and nothing else, "
                             f"{len(missing)} are missing, {len(unknown)} unknown; train it again")  # fmt: skip
        for k, v in weights.items():
            if v.shape != expected[k].shape or v.is_floating_point() != expected[k].is_floating_point():
                raise DinarError(f"{where}: expected {k} of shape {list(expected[k].shape)} as its options say, got "
                                 f"{list(v.shape)}; train it again")  # fmt: skip
        given = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        given |= {k: torch.zeros((), dtype=torch.long) for k in counters - weights.keys()}
        net.load_state_dict(given, assign=True)  # the weights' own memory: nothing is drawn at random first
        if any(x.is_meta for x in (*net.parameters(), *net.buffers())):  # a buffer that no file holds
            net = cls(**config)
            net.load_state_dict(given)
        return net.eval()


def _is_of(value: Any, kind: Any) -> bool:
    """Whether an option has the type that an argument is annotated with."""
    if get_origin(kind) is Sequence:
        return isinstance(value, (list, tuple)) and all(_is_of(v, get_args(kind)[0]) for v in value)
    if get_origin(kind) is not None:  # a union
        return any(_is_of(value, k) for k in get_args(kind))
    return type(value) in ((int, float) if kind is float else (kind,))


def check_config(config: dict[str, Any], where: str) -> None:
    """Refuse options of a network that no network of ours has, before anything is built."""
    for key, value in config.items():
        items = value if isinstance(value, list) else [value]
        most = MAX_BLOCKS if key == "blocks" else MAX_OPTION
        good = len(items) <= MAX_ITEMS and all(
            len(x) <= MAX_TEXT if isinstance(x, str) else isinstance(x, (bool, int, float)) and 0 <= x <= most
            for x in items
        )
        if not good:
            raise DinarError(f"{where}: expected options of a network (numbers from 0 to {most}, words, short lists), "
                             f"got another value of {key}")  # fmt: skip
