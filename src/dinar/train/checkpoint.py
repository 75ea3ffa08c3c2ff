"""Checkpoints of runs: what a training needs to go on, in one file that is written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from ..errors import DinarError
from ..files import replacing
from ..tensors import LARGEST, is_possible
from .state import State

FORMAT = 1  # version of the format
MOST_VALUES = 1_000_000  # of nested lists and dictionaries; few bytes of a pickle can unfold to any number


def save(state: State, path: Path, config: dict[str, Any]) -> None:
    """Write a checkpoint atomically. All processes call this; the main one writes."""
    rng = {"cpu": torch.get_rng_state()}
    if state.device.type == "cuda":
        rng["cuda"] = torch.cuda.get_rng_state(state.device)
    rngs = gather_object([rng])  # the only state that differs between processes
    if state.accelerator.is_main_process:
        content = {
            "format": FORMAT, "step": state.step, "config": json.dumps(config), "rng": rngs,
            "modules": {k: state.plain(k).state_dict() for k in state.stage.modules},
            "averaged": {k: m.state_dict() for k, m in state.averaged.items()},
            "optimizers": {k: o.state_dict() for k, o in state.stage.optimizers.items()},
        }  # fmt: skip
        with replacing(path) as temp:
            torch.save(content, temp)
    state.accelerator.wait_for_everyone()


def restore(state: State, path: Path) -> None:
    """Load a checkpoint into the state.

    Raises:
        DinarError: the file is damaged, or belongs to other networks.
    """
    try:
        # tensors and plain values: no code of the file runs
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise DinarError(f"{path}: out of memory while reading the checkpoint") from None
    except Exception as e:  # torch, pickle and zipfile raise a dozen kinds
        raise DinarError(f"{path} is damaged or no checkpoint of dinar: delete it, or give another --run") from e
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != FORMAT:
        raise DinarError(f"{path}: expected a checkpoint of format {FORMAT}, got {found}")
    step, rngs = content.get("step"), content.get("rng")
    if type(step) is not int or not 0 <= step <= 1 << 40 or not isinstance(rngs, list):
        raise DinarError(f"{path}: expected the step of the run and the states of its random numbers; delete it, or "
                         "give another --run")  # fmt: skip
    weights = _tensors(path, [content.get("modules"), content.get("averaged")])
    moments = _tensors(path, content.get("optimizers"))
    if not all(map(is_possible, weights)) or not all(bool(t.isfinite().all()) for t in moments):
        raise DinarError(f"{path}: expected finite weights, got NaN, infinity or more than {LARGEST:.0e}: the run "
                         "diverged; delete it, or give another --run")  # fmt: skip
    try:
        for k in state.stage.modules:
            state.plain(k).load_state_dict(content["modules"][k])
        for k, m in state.averaged.items():
            m.load_state_dict(content["averaged"][k])
        for k, o in state.stage.optimizers.items():
            o.load_state_dict(content["optimizers"][k])
    except Exception as e:  # of another network, or of another version of torch
        raise DinarError(f"{path} belongs to other networks: give another --run, or delete it") from e
    state.step = step
    if len(rngs) == state.accelerator.num_processes:  # with another number the run goes on, but not bit for bit
        rng = rngs[state.accelerator.process_index]
        try:
            torch.set_rng_state(rng["cpu"])
            if "cuda" in rng and state.device.type == "cuda":
                torch.cuda.set_rng_state(rng["cuda"], state.device)
        except (RuntimeError, KeyError, TypeError) as e:
            raise DinarError(f"{path}: the state of the random numbers is damaged: delete it, or give another "
                             "--run") from e  # fmt: skip


def _tensors(path: Path, content: Any) -> list[Tensor]:
    """All tensors in nested lists and dictionaries.

    Raises:
        DinarError: there are more than MOST_VALUES values.
    """
    found, left, visits = [], [content], 0
    while left:
        x, visits = left.pop(), visits + 1
        if visits + len(left) > MOST_VALUES:
            raise DinarError(f"{path}: expected at most {MOST_VALUES:,} values in a checkpoint: delete it, or give "
                             "another --run")  # fmt: skip
        if isinstance(x, Tensor):
            found.append(x)
        elif isinstance(x, dict):
            left += x.values()
        elif isinstance(x, (list, tuple)):
            left += x
    return found
