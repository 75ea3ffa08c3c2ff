"""The loop all stages share: exact resume, several processes, clean stops."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

from dinar.errors import DinarError
from dinar.train.checkpoint import FORMAT, restore
from dinar.train.state import schedule
from toy_stage import LOOP, Toy, run_toy

SCRIPT = Path(__file__).parent / "toy_stage.py"


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """accelerate keeps its state for a whole process."""
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    PartialState._reset_state()


def weights(run):
    """Everything a checkpoint would go on with."""
    return torch.load(run / "checkpoint.pt", weights_only=True)


def assert_same(a, b, tolerance=0.0):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for k in a:
            assert_same(a[k], b[k], tolerance)
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y, tolerance)
    elif isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    else:
        assert a == b


def test_killed_and_resumed_is_bit_identical(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    p = subprocess.Popen([sys.executable, str(SCRIPT), str(killed), "0.1"], env=os.environ | {"OMP_NUM_THREADS": "1"})
    end = time.time() + 60
    while not (killed / "checkpoint.pt").exists() and p.poll() is None and time.time() < end:
        time.sleep(0.02)
    time.sleep(0.25)  # some steps beyond the checkpoint
    p.send_signal(signal.SIGKILL)
    p.wait()
    assert weights(killed)["step"] < LOOP.steps
    assert run_toy(killed)
    assert run_toy(whole)
    assert_same(weights(killed), weights(whole))
    assert_same(torch.load(killed / "weights/net.pt", weights_only=True),
                torch.load(whole / "weights/net.pt", weights_only=True))  # fmt: skip


def test_sigterm_leaves_a_checkpoint_of_that_step(tmp_path):
    assert not run_toy(tmp_path / "a", Toy(stop_at=6))
    assert weights(tmp_path / "a")["step"] == 7  # the step at hand is finished
    stage = Toy()
    assert run_toy(tmp_path / "a", stage)
    assert stage.seen[0] == 7 * LOOP.batch  # and no sample is seen twice
    assert run_toy(tmp_path / "b")
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_workers_start_where_opencv_had_threads(tmp_path):
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (0, 0), 3)  # by two threads, which a forked worker has not
    assert run_toy(tmp_path, Toy(), workers=1, steps=2)
    cv2.setNumThreads(threads)


def test_a_signal_to_all_processes_of_a_run_leaves_a_checkpoint(tmp_path):
    assert not run_toy(tmp_path, Toy(stop_at=2, group=True), workers=1)
    assert weights(tmp_path)["step"] == 3


def test_accumulated_micro_batches_equal_the_batch(tmp_path):
    run_toy(tmp_path / "a", Toy(dropout=0.0), steps=4)
    run_toy(tmp_path / "b", Toy(dropout=0.0), steps=4, micro_batch=2)
    assert_same(weights(tmp_path / "a")["modules"], weights(tmp_path / "b")["modules"], 1e-6)


def test_two_processes_go_on_with_the_run_of_one(tmp_path):
    """Launched as docs/training.md says. Each has half of the batch; together they take the steps of one process."""
    assert not run_toy(tmp_path / "two", Toy(dropout=0.0, stop_at=1), steps=4)
    assert weights(tmp_path / "two")["step"] == 2 and len(weights(tmp_path / "two")["rng"]) == 1
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launch, str(SCRIPT), str(tmp_path / "two"), "0", "many"], timeout=300, check=True,
                   env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"})  # fmt: skip
    run_toy(tmp_path / "one", Toy(dropout=0.0), steps=4)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert len(two["rng"]) == 2
    for k in ("modules", "averaged", "optimizers"):  # the optimisers' moments are the gradients
        assert_same(one[k], two[k], 1e-6)


def test_run_folder(tmp_path):
    run_toy(tmp_path / "run")
    assert json.loads((tmp_path / "run/config.json").read_text())["steps"] == LOOP.steps
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert {"loss", "critic", "images_per_s"} <= lines[0].keys()
    assert any("valid/error" in line for line in lines)
    assert [p.name for p in sorted((tmp_path / "run/pictures").iterdir())] == ["grey_0000012.png", "grey_0000024.png"]
    assert list((tmp_path / "run").glob("events.*"))


def test_batch_arithmetic_is_checked_first(tmp_path):
    with pytest.raises(DinarError, match="multiple of --micro-batch x processes = 3 x 1, got 8"):
        run_toy(tmp_path / "run", micro_batch=3)


def test_checkpoint_of_other_networks(tmp_path):
    run_toy(tmp_path / "run", steps=1)
    other = Toy()
    other.modules["critic"] = torch.nn.Linear(2, 1)
    with pytest.raises(DinarError, match="other networks"):
        run_toy(tmp_path / "run", other)


@pytest.mark.parametrize("has", [False, True])
def test_a_cpu_without_bf16_trains_in_float32(tmp_path, monkeypatch, capsys, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has}, raising=False)
    assert run_toy(tmp_path, precision="bf16", steps=1)
    assert AcceleratorState().mixed_precision == ("bf16" if has else "no")
    assert ("training in float32" in capsys.readouterr().out) != has


def test_schedule():
    assert schedule(900, dataclasses.replace(LOOP, schedule="constant")) == 1
    factors = [schedule(s, LOOP) for s in range(LOOP.steps)]
    assert factors[0] == 0.25 and max(factors) == factors[LOOP.warmup] == 1
    assert all(a > b for a, b in zip(factors[LOOP.warmup :], factors[LOOP.warmup + 1 :], strict=False))
    assert schedule(LOOP.steps, LOOP) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e10])
def test_impossible_weights_of_a_checkpoint(tmp_path, value):
    run_toy(tmp_path / "run", steps=1)
    file = tmp_path / "run" / "checkpoint.pt"
    content = torch.load(file, weights_only=True)
    next(iter(next(iter(content["averaged"].values())).values())).fill_(value)
    torch.save(content, file)
    with pytest.raises(DinarError, match="the run diverged"):
        run_toy(tmp_path / "run", steps=2)


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path):
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(DinarError, match="delete it"):
        restore(None, file)  # type: ignore[arg-type]
    for other, what in ([torch.zeros(2)], "list"), ({"format": 0}, "0"):  # something else that torch has saved
        torch.save(other, file)
        with pytest.raises(DinarError, match=f"expected a checkpoint of format .*, got {what}"):
            restore(None, file)  # type: ignore[arg-type]


def test_a_checkpoint_that_unfolds_without_end_is_refused(tmp_path):
    nested: tuple = ()
    for _ in range(45):  # 2^45 values of a few hundred bytes
        nested = (nested, nested)
    torch.save({"format": FORMAT, "step": 1, "rng": [], "modules": nested}, tmp_path / "checkpoint.pt")
    with pytest.raises(DinarError, match="expected at most 1,000,000 values"):
        restore(None, tmp_path / "checkpoint.pt")  # type: ignore[arg-type]
