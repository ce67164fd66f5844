"""Short rounds of the benchmarks of the review server: killed while people work, and fuzzed."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    from crash_review import crash

    tally = crash(tmp_path, kills=4, by_command=1, num_people=3, seed=5)
    assert tally.sound, tally
    assert tally.recorded >= tally.acknowledged


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Of schemathesis, about documents in general.
def test_fuzzed(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    from fuzz_review import fuzz

    tally = fuzz(tmp_path, 150, seed=7)
    assert tally.sound, [*tally.errors, *tally.foreign]
    assert tally.requests >= 150
