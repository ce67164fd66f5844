"""Writes ``released/``: what version 0.1.0 (commit f031c1d) left behind, whole, stopped and tried again.

    PYTHONPATH=PATH_TO_0.1.0/src:benchmarks:tests/runs python tests/runs/make_released.py tests/runs/released

It runs with that version only and is kept to tell what the folders are made of.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from released_data import FLAKY, HALF_MENDED, SCENES, WAYS, WHOLE

from cheap_models import CheapPolicy, cheap_models
from segagent.annotation.batch import Budget, RunConfig, run_job
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.results import measure_run, open_runs, write_results
from segagent.evaluation.run import evaluate
from segagent.learning.star import StarConfig
from segagent.learning.star.rollouts import roll_out
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset
from segagent.reproduce.masks import clicks_needed
from segagent.reproduce.work import Workers, watch_nothing
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

SEARCH = SearchConfig(2, num_candidates=2)


def stopped(path: Path) -> None:
    """Keep what a run leaves that is killed while it writes its last but one line."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:40])


def main(out: Path) -> None:
    """Everything."""
    for job in ("audit", "refine", "annotate"):
        config = RunConfig(job, SEARCH)  # type: ignore[arg-type]
        run_job(WHOLE, cheap_models, out / f"{job}-whole", config)
        run_job(WHOLE, cheap_models, out / f"{job}-stopped", config, budget=Budget(policy_calls=4))
        run_job(FLAKY, cheap_models, out / f"{job}-retried", config)
        run_job(HALF_MENDED, cheap_models, out / f"{job}-retried", config, retry_failed=True)
    for way in WAYS:
        settings = EvaluationConfig(way, SEARCH, max_clicks=3)  # type: ignore[arg-type]
        play = partial(evaluate, policy=CheapPolicy() if way == "res" else None, tool=DiscTool(), config=settings)
        play(WHOLE, out=out / f"{way}-whole")
        play(WHOLE, out=out / f"{way}-stopped")
        stopped(out / f"{way}-stopped" / "trajectories.jsonl")
        play(FLAKY, out=out / f"{way}-retried")
        play(HALF_MENDED, out=out / f"{way}-retried", retry=True)
        for folder in ("whole", "retried"):
            at = out / f"{way}-{folder}"
            write_results(measure_run(open_runs([at])[0])[0], at)
    (out / "files").mkdir()
    for name, data in (("whole", WHOLE), ("flaky", FLAKY), ("stopped", WHOLE)):
        generate_dataset(data, DiscTool, out / "files" / f"trajectories-{name}.jsonl", TrajectoryConfig())
        config = StarConfig(max_steps=2, tool="disc", starts=("empty", "random"))
        rollouts = out / "files" / f"rollouts-{name}.jsonl"
        roll_out(CheapPolicy(), DiscTool(), data, rollouts, config, {"model": "cheap"}, lambda done, total: None)
    with Workers(1) as pool:
        for name in ("whole", "stopped"):
            path = out / "files" / f"scenes-{name}.jsonl"
            clicks_needed("clicks", SCENES, "disc", 3, path, pool.of("disc"), watch_nothing)
    for name in ("trajectories", "rollouts", "scenes"):
        stopped(out / "files" / f"{name}-stopped.jsonl")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
