"""A few mutated files for every reader; `python scripts/fuzz.py` runs thousands, in processes with limits."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from _fuzz_mutations import mutate
from _fuzz_readers import READERS
from fuzz import FAILURES, finite, run_case

CASES = 4  # of each reader


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(READERS))
def test_mutated_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    (tmp_path / "seed").mkdir()
    source = reader.make(tmp_path / "seed")
    values = list(reader.read(source))
    assert values and all(finite(v) for v in values), "the unchanged file is read"
    for k in range(CASES):
        scratch = tmp_path / f"case-{k}"
        scratch.mkdir()
        rng = np.random.default_rng([1, zlib.crc32(name.encode()), k])
        outcome, detail = run_case(reader, source, scratch, rng)
        assert outcome not in FAILURES, f"case {k}: {outcome}: {detail}"


def test_mutations_change_files() -> None:
    rng = np.random.default_rng(0)
    data = bytes(range(48, 58)) * 30
    assert sum(mutate(data, ".txt", rng) != data for _ in range(50)) > 45


def test_impossible_values_are_noticed() -> None:
    assert finite(np.zeros(3)) and finite("text") and finite(None)
    assert not finite(np.array([np.nan])) and not finite(np.array([1e30])) and not finite(float("inf"))
