"""Everything a card needs, played into journals; a run that was stopped goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, Unpack

from segagent.core import InputError, Outliner
from segagent.core.failures import Failure
from segagent.evaluation.card.protocol import Benchmark, DataSet
from segagent.evaluation.run import play_protocol
from segagent.policies import CentrePolicy
from segagent.runs.models import MakeModels, Models, unchanged, with_changes
from segagent.runs.progress import Progress
from segagent.runs.session import How, Session, StoppedError

PhaseWatch: TypeAlias = Callable[[str, int, int, str], None]
"""Told what is played, images done, images in all, and a note."""


def play_benchmark(
    sets: Sequence[DataSet],
    make_models: MakeModels,
    out: str | Path,
    config: Benchmark = Benchmark(),  # noqa: B008 - frozen
    *,
    watch: PhaseWatch = lambda what, done, total, note: None,
    **how: Unpack[How],
) -> list[Failure]:
    """Play every data set into ``out``/DATA/PLAY/trajectories.jsonl, and give the failed samples, each once.

    ``how``: see :class:`segagent.runs.session.Session`; the budget is that of all plays together.

    Raises ``InputError`` for journals that cannot be resumed (other settings, policy or tool), ``StoppedError``
    where the budget does not reach to the end, and ``SegAgentError`` where the policy's server fails for good. What was
    written stays.
    """
    failures: dict[tuple[str, str], Failure] = {}
    session, spent = Session(**how), Counter[str]()
    with session.asking(make_models) as ask:
        (outlines,) = ask(_outlines, [None])
        for one in sets:
            for play, settings in config.plays().items():
                if play == "outline" and not outlines:
                    continue
                what = f"{one.label}, {play}"

                def told(progress: Progress, what: str = what, total: int = one.dataset.num_images) -> None:
                    failed = f", {len(progress.failures)} failed" if progress.failures else ""
                    watch(what, progress.num_images, total, f"{progress.num_samples} samples{failed}")

                folder, player = Path(out) / one.folder / play, _PLAYERS.get(play, unchanged)
                # Calls are counted of the policy that is tested.
                budget = replace(session.budget, policy_calls=None) if play in _PLAYERS else session.budget
                now = replace(session, spent=spent, budget=budget)
                try:
                    progress = play_protocol(one.dataset, ask, folder, settings, now, told, player)
                except InputError as error:
                    raise InputError(f"{what}: {error}") from error
                calls = 0 if play in _PLAYERS else progress.cost["policy_calls"]
                spent.update({**progress.cost, "policy_calls": calls})
                if progress.stopped:
                    raise StoppedError(f"{what}: {progress.stopped}")
                for failure in progress.failures:
                    failures.setdefault((one.folder, failure.sample_id), failure)
    return list(failures.values())


def _outlines(models: Models, _: None) -> bool:
    return isinstance(models.policy, Outliner)


def _centre(models: Models) -> Models:
    return with_changes(models, policy=CentrePolicy())


def _annotator(models: Models) -> Models:
    return with_changes(models, policy=None)


_PLAYERS: dict[str, Callable[[Models], Models]] = {"centre": _centre, "annotator": _annotator}
"""Who plays, where it is not the policy that is tested."""
