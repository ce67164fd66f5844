"""What every kind of run has: limits, shards, retries that append, any number of workers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from released_data import FLAKY, HALF_MENDED, NUM_IMAGES, WHOLE, Flaky

from cheap_models import CheapPolicy, TinySample, cheap_models
from segagent.annotation.batch import RunConfig, run_job
from segagent.core import Image, InputError
from segagent.core.budget import Budget
from segagent.datasets import SampleGroup
from segagent.datasets.sample import ListedGroup
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.results import measure_run, open_runs
from segagent.evaluation.run import evaluate_with
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset, read_trajectories
from segagent.runs.journal import Journal, last_unit, read_journal
from segagent.runs.models import Models
from segagent.runs.progress import Progress
from segagent.runs.session import Shard
from segagent.runs.stored import stored_images
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

MAKE = partial(Models, CheapPolicy(), DiscTool())


def evaluated(out: Path, data: Flaky = WHOLE, shard: Shard = Shard(), **how: Any) -> Progress:
    return evaluate_with(data, MAKE, out, EvaluationConfig("res", SearchConfig(2), shard=shard), **how)


def annotated(out: Path, data: Flaky = WHOLE, shard: Shard = Shard(), **how: Any) -> Progress:
    return generate_dataset(data, DiscTool, out, TrajectoryConfig(shard=shard), **how)


def test_a_limit_is_gone_on_from(tmp_path: Path) -> None:
    annotated(tmp_path / "whole")
    assert annotated(tmp_path / "t", limit=2).num_images == 2
    assert (tmp_path / "whole").read_bytes().startswith((tmp_path / "t").read_bytes())
    assert annotated(tmp_path / "t", limit=1).num_images == 2
    made = annotated(tmp_path / "t", limit=99)
    assert (made.num_kept_images, made.num_images, made.stopped) == (2, NUM_IMAGES, "")
    assert (tmp_path / "t").read_bytes() == (tmp_path / "whole").read_bytes()
    with pytest.raises(InputError, match="at least 1 image"):
        annotated(tmp_path / "t", limit=0)


def test_shards_are_parts_of_the_whole(tmp_path: Path) -> None:
    annotated(tmp_path / "whole")
    whole = list(read_trajectories(tmp_path / "whole"))
    parts = []
    for number in (1, 2):
        made = annotated(tmp_path / f"{number}", shard=Shard(number, 2))
        assert made.num_images == (3 if number == 1 else 2)
        parts.append(list(read_trajectories(tmp_path / f"{number}")))
    assert [t for t in whole if int(t.image[0]) % 2 == 0] == parts[0]
    assert [t for t in whole if int(t.image[0]) % 2 == 1] == parts[1]
    with pytest.raises(InputError, match=r"--shard"):
        annotated(tmp_path / "1", shard=Shard(2, 2))
    assert evaluated(tmp_path / "e", shard=Shard(2, 2), limit=1).num_images == 1
    assert evaluated(tmp_path / "e", shard=Shard(2, 2)).num_images == 2


def test_a_budget_stops_a_file_of_trajectories_too(tmp_path: Path) -> None:
    made = annotated(tmp_path / "t", budget=Budget(seconds=1e-6))
    assert "budget of 1e-06 seconds" in made.stopped
    assert made.num_images == 1
    done = annotated(tmp_path / "t")
    assert done.stopped == ""
    assert done.cost["objects"] == 3 * NUM_IMAGES  # Two objects of an image with one mask share what is played.
    # Begun anew, of something else: what the first one cost is forgotten.
    (tmp_path / "t").unlink()
    assert annotated(tmp_path / "t", FLAKY).cost["objects"] < done.cost["objects"]


def test_retries_append_and_are_read_in_place(tmp_path: Path) -> None:
    evaluated(tmp_path / "whole")
    first = evaluated(tmp_path / "e", FLAKY)
    assert [one.sample_id for one in first.failures] == ["1-0", "1-1", "3-0", "3-1"]
    second = evaluated(tmp_path / "e", HALF_MENDED, retry_failed=True)
    assert ([one.sample_id for one in second.failures], second.num_retried) == (["3-0", "3-1"], 2)
    third = evaluated(tmp_path / "e", WHOLE, retry_failed=True)
    assert (third.failures, third.num_retried, third.num_samples) == ([], 3, 2 * NUM_IMAGES)
    file = tmp_path / "e" / "trajectories.jsonl"
    assert last_unit(file) == 2 * NUM_IMAGES + 3
    ids = [record["sample_id"] for _, records in stored_images(file) for record in records]
    assert ids == [sample.sample_id for sample in WHOLE]
    results = [measure_run(open_runs([tmp_path / name])[0])[0] for name in ("whole", "e")]
    assert results[0]["metrics"]["gIoU"] == results[1]["metrics"]["gIoU"]
    assert json.loads((tmp_path / "e" / "results.json").read_text())["counts"]["failed"] == 0


def test_records_from_a_unit_on(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, {}, {"num_images": 3}) as journal:
        assert last_unit(path) == -1
        for unit in (0, 1, 1 + 3):
            journal.append(unit, [{"sample_id": f"{unit}a"}, {"sample_id": f"{unit}b"}])
    path.write_bytes(path.read_bytes() + b'{"unit": [5, 0, 1], "torn')
    assert last_unit(path) == 4
    assert [record["sample_id"] for record in read_journal(path, 1)[1]] == ["1a", "1b", "4a", "4b"]
    assert [record["sample_id"] for record in read_journal(path, 4)[1]] == ["4a", "4b"]
    assert list(read_journal(path, 9)[1]) == []


@dataclass(frozen=True, eq=False, slots=True)
class Crashing(TinySample):
    """A sample whose picture meets a programming error."""

    def load_image(self) -> Image:
        raise KeyError("a bug")


@dataclass(frozen=True)
class WithABug(Flaky):
    def groups(self) -> Iterator[SampleGroup]:
        for place, group in enumerate(super().groups()):
            sample = next(iter(group.samples()))
            crashing = Crashing(sample.sample_id, sample.image_name, "", place)
            yield ListedGroup(group.image_name, (crashing,)) if place == 3 else group


def test_an_error_in_what_is_loaded_ahead_costs_nothing_that_came_before(tmp_path: Path) -> None:
    annotated(tmp_path / "whole")
    with pytest.raises(KeyError, match="a bug"):
        annotated(tmp_path / "t", WithABug())
    assert last_unit(tmp_path / "t") == 2
    annotated(tmp_path / "t")
    # All but the header, which names whose code the data set is.
    made, whole = ((tmp_path / name).read_bytes().split(b"\n", 1)[1] for name in ("t", "whole"))
    assert made == whole


def test_every_run_sums_up_what_came_of_it(tmp_path: Path) -> None:
    annotated(tmp_path / "t.jsonl", FLAKY, limit=4)
    summary = json.loads((tmp_path / "t.summary.json").read_text())
    assert {name: summary[name] for name in ("job", "samples", "images", "images_left", "stopped")} == {
        "job": "trajectories",
        "samples": 8,
        "images": NUM_IMAGES,
        "images_left": 1,
        "stopped": "",
    }
    assert summary["outcomes"] == {"trajectories": 4 * 3}
    assert summary["failed"][0] == {"sample_id": "1-0", "image": "1.png", "reason": "1.png: no such file"}
    assert len(summary["failed"]) == 4
    assert summary["cost"]["objects"] == 2 * 3
    annotated(tmp_path / "t.jsonl", FLAKY, budget=Budget(seconds=1e-6))
    summary = json.loads((tmp_path / "t.summary.json").read_text())
    assert (summary["images_left"], summary["stopped"][:14]) == (1, "the run's budg")
    evaluated(tmp_path / "e", WHOLE, shard=Shard(2, 2))
    summary = json.loads((tmp_path / "e" / "summary.json").read_text())
    assert (summary["job"], summary["images"], summary["images_left"]) == ("evaluation", 2, 0)
    assert (summary["cost"]["policy_calls"], summary["failed"]) == (2 * 2 * 3, [])


@pytest.mark.slow
def test_an_evaluation_is_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        evaluated(tmp_path / f"{workers}", workers=workers)
    apart = ("seconds", "elapsed", "crc")
    one, two = (
        [{k: v for k, v in record.items() if k not in apart} for record in read_journal(file)[1]]
        for file in (tmp_path / "1" / "trajectories.jsonl", tmp_path / "2" / "trajectories.jsonl")
    )
    assert one == two


@settings(max_examples=8)
@given(st.sampled_from(["audit", "refine", "annotate"]), st.integers(1, 6), st.integers(1, 7), st.integers(1, 3))
def test_no_byte_depends_on_batches(job: str, images: int, episodes: int, candidates: int) -> None:
    search = SearchConfig(4, num_candidates=candidates, patience=2)
    journals = []
    for batches in ({}, {"batch_images": images, "batch_episodes": episodes}):
        with tempfile.TemporaryDirectory() as out:
            run_job(WHOLE, cheap_models, out, RunConfig(job, search, **batches))  # type: ignore[arg-type]
            journals.append((Path(out) / "journal.jsonl").read_bytes())
    assert journals[0] == journals[1]
