"""Folders that version 0.1.0 left behind are read, gone on with and tried again; what is new has the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from released_data import FLAKY, NUM_IMAGES, SCENES, WAYS, WHOLE, Flaky

from cheap_models import CheapPolicy, cheap_models
from segagent.annotation.batch import RunConfig, open_run, run_job
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.results import measure_run, open_runs
from segagent.evaluation.run import evaluate
from segagent.learning.star import StarConfig
from segagent.learning.star.rollouts import roll_out
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset, read_trajectories
from segagent.reproduce.masks import clicks_needed
from segagent.reproduce.work import Workers, watch_nothing
from segagent.runs.journal import read_journal
from segagent.runs.models import Models
from segagent.runs.progress import Progress
from segagent.runs.session import Session
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

RELEASED = Path(__file__).parent / "released"
SEARCH = SearchConfig(2, num_candidates=2)
JOBS = ("audit", "refine", "annotate")
TIMES = ("seconds", "seconds per accepted mask")


def lines(journal: Path) -> list[bytes]:
    """All but the header, which tells versions of packages."""
    return journal.read_bytes().splitlines()[1:]


def timeless(journal: Path) -> list[dict[str, Any]]:
    """The records without what differs from run to run."""
    apart = ("seconds", "elapsed", "crc", "versions")
    return [{k: v for k, v in record.items() if k not in apart} for record in read_journal(journal)[1]]


def job(name: str, out: Path, data: Flaky = WHOLE, **how: Any) -> Progress:
    return run_job(data, cheap_models, out, RunConfig(name, SEARCH), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", JOBS)
def test_annotation_runs(name: str, tmp_path: Path) -> None:
    whole = lines(RELEASED / f"{name}-whole" / JOURNAL_FILE)
    job(name, tmp_path / "new")
    assert lines(tmp_path / "new" / JOURNAL_FILE) == whole
    shutil.copytree(RELEASED / f"{name}-stopped", tmp_path / "stopped")
    assert 0 < job(name, tmp_path / "stopped").num_kept_images < NUM_IMAGES
    assert lines(tmp_path / "stopped" / JOURNAL_FILE) == whole
    # Tried again once already, when one of the two broken images was mended.
    out = tmp_path / "retried"
    shutil.copytree(RELEASED / f"{name}-retried", out)
    assert {failure.sample_id for failure in open_run(out).failures()} == {"3-0", "3-1"}
    before = lines(out / JOURNAL_FILE)
    assert not job(name, out, retry_failed=True).failures
    assert lines(out / JOURNAL_FILE)[: len(before)] == before
    records = [{one.object_id: one.to_dict() for one in open_run(at).objects()} for at in (out, tmp_path / "new")]
    assert records[0] == records[1]


def results(out: Path, *, stored: bool = False) -> dict[str, Any]:
    """All but times and versions, to 14 digits: version 0.1.0 added rounded numbers, which costs the last one."""
    text = (out / "results.json").read_text() if stored else json.dumps(measure_run(open_runs([out])[0])[0])
    found = json.loads(text, parse_float=lambda number: float(f"{float(number):.14g}"))
    metrics = {name: one for name, one in found["metrics"].items() if name not in TIMES}
    return {**found, "metrics": metrics, "versions": None}


@pytest.mark.parametrize("way", WAYS)
def test_evaluations(way: str, tmp_path: Path) -> None:
    settings = EvaluationConfig(way, SEARCH, max_clicks=3)  # type: ignore[arg-type]
    play = partial(evaluate, policy=CheapPolicy() if way == "res" else None, tool=DiscTool(), config=settings)
    for name in ("whole", "retried"):
        assert results(RELEASED / f"{way}-{name}") == results(RELEASED / f"{way}-{name}", stored=True)
    whole = RELEASED / f"{way}-whole"
    play(WHOLE, out=tmp_path / "new")
    assert timeless(tmp_path / "new" / "trajectories.jsonl") == timeless(whole / "trajectories.jsonl")
    assert results(tmp_path / "new", stored=True) == results(whole)
    shutil.copytree(RELEASED / f"{way}-stopped", tmp_path / "stopped")
    assert 0 < play(WHOLE, out=tmp_path / "stopped").num_kept_images < NUM_IMAGES
    assert timeless(tmp_path / "stopped" / "trajectories.jsonl") == timeless(whole / "trajectories.jsonl")
    # A round of retries of version 0.1.0 lies beside the journal; the next one is appended, as all rounds are now.
    out = tmp_path / "retried"
    shutil.copytree(RELEASED / f"{way}-retried", out)
    round_1 = (out / "retried-1.jsonl").read_bytes()
    assert {one.sample_id for one in play(FLAKY, out=out).failures} == {"3-0", "3-1"}
    assert not play(WHOLE, out=out, retry_failed=True).failures
    assert results(out, stored=True) == results(whole)
    assert (out / "retried-1.jsonl").read_bytes() == round_1


def rollouts(out: Path, data: Flaky = WHOLE, **how: Any) -> Progress:
    config = StarConfig(max_steps=2, tool="disc", starts=("empty", "random"))
    with Session().asking(partial(Models, CheapPolicy(), DiscTool())) as ask:
        return roll_out(ask, data, out, config, {"model": "cheap"}, Session(**how))


def annotated(out: Path, data: Flaky = WHOLE, **how: Any) -> Progress:
    return generate_dataset(data, DiscTool, out, TrajectoryConfig(), **how)


@pytest.mark.parametrize(("name", "make"), [("trajectories", annotated), ("rollouts", rollouts)])
def test_files_of_trajectories(name: str, make: Callable[..., Progress], tmp_path: Path) -> None:
    released = {part: RELEASED / "files" / f"{name}-{part}.jsonl" for part in ("whole", "flaky", "stopped")}
    exact = lines if name == "trajectories" else timeless
    make(tmp_path / "new.jsonl")
    assert exact(tmp_path / "new.jsonl") == exact(released["whole"])
    make(tmp_path / "flaky.jsonl", FLAKY)
    assert exact(tmp_path / "flaky.jsonl") == exact(released["flaky"])
    for part in ("stopped", "flaky"):
        shutil.copy(released[part], tmp_path / part)
    assert 0 < make(tmp_path / "stopped").num_kept_images < NUM_IMAGES
    assert exact(tmp_path / "stopped") == exact(released["whole"])
    assert not make(tmp_path / "flaky", retry_failed=True).failures
    made, whole = (
        sorted((t.sample_id, t.start.kind, t.start.mask["counts"], len(t.steps)) for t in read_trajectories(path))
        for path in (tmp_path / "flaky", released["whole"])
    )
    assert made == whole


def test_records_of_scenes(tmp_path: Path) -> None:
    whole = RELEASED / "files" / "scenes-whole.jsonl"
    shutil.copy(RELEASED / "files" / "scenes-stopped.jsonl", tmp_path / "stopped.jsonl")
    with Workers(1) as pool:
        for name in ("new", "stopped"):
            path = tmp_path / f"{name}.jsonl"
            made = clicks_needed("clicks", SCENES, "disc", 3, path, pool.of("disc"), watch_nothing)
            assert lines(path) == lines(whole)
            assert made == [record["ious"] for record in read_journal(whole)[1] if record["ious"]]
