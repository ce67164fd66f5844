"""Everything a card needs, played into journals; a run that was stopped goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from segagent.core import InputError, Outliner, Policy, SegmentationTool
from segagent.core.failures import Failure
from segagent.evaluation.card.protocol import Benchmark, DataSet
from segagent.evaluation.run import Progress, evaluate
from segagent.policies import CentrePolicy

Watch: TypeAlias = Callable[[str, int, int, str], None]
"""Told what is played, images done, images in all, and a note."""


def play_benchmark(
    sets: Sequence[DataSet],
    policy: Policy,
    tool: SegmentationTool,
    out: str | Path,
    config: Benchmark = Benchmark(),  # noqa: B008 - frozen
    *,
    watch: Watch = lambda what, done, total, note: None,
) -> list[Failure]:
    """Play every data set into ``out``/DATA/PLAY/trajectories.jsonl, and give the failed samples, each once.

    Raises ``InputError`` for journals that cannot be gone on with (other settings, policy or tool), and
    ``SegAgentError`` where the policy's server fails for good; what was written stays.
    """
    failures: dict[tuple[str, str], Failure] = {}
    for one in sets:
        for play, settings in config.plays().items():
            if play == "outline" and not isinstance(policy, Outliner):
                continue
            player = {"centre": CentrePolicy(), "annotator": None}.get(play, policy)
            what = f"{one.label}, {play}"

            def told(progress: Progress, what: str = what, total: int = one.dataset.num_images) -> None:
                failed = f", {len(progress.failures)} failed" if progress.failures else ""
                watch(what, progress.num_images, total, f"{progress.num_samples} samples{failed}")

            folder = Path(out) / one.folder / play
            try:
                progress = evaluate(one.dataset, player, tool, folder, settings, watch=told)
            except InputError as error:
                raise InputError(f"{what}: {error}") from error
            for failure in progress.failures:
                failures.setdefault((one.folder, failure.sample_id), failure)
    return list(failures.values())
