"""Rollouts made apart from the training that learns from them: by any policy, in parts, on as many machines.

A folder of them holds, for each data set by number, ``rollouts_N.jsonl`` and, unless left out, ``corrections_N.jsonl``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from segagent.core import InputError
from segagent.core.failures import Failure
from segagent.datasets import Dataset
from segagent.imaging.writing import made_folder
from segagent.learning.examples import Example, star_examples, star_plus_examples
from segagent.learning.sft.data import dataset_of
from segagent.learning.star.config import StarConfig
from segagent.learning.star.corrections import correct_rollouts, read_corrected
from segagent.learning.star.rollouts import roll_out
from segagent.learning.trajectories import read_trajectories
from segagent.runs.journal import read_journal
from segagent.runs.models import MakeModels, Models
from segagent.runs.progress import Progress
from segagent.runs.session import How, Session, Shard

_NAME = "rollouts_"

RolloutsWatch = Callable[[str, Progress], None]
"""Told what is being done ("rollouts 2, ...") and what its file holds."""


@dataclass
class MadeRollouts:
    """What :func:`make_rollouts` wrote: what each file holds, by path, and which budget ended it ("" for none)."""

    files: dict[Path, Progress]
    stopped: str = ""

    @property
    def failures(self) -> list[tuple[Path, Failure]]:
        """The samples that failed, with the file that says so."""
        return [(path, failure) for path, made in self.files.items() for failure in made.failures]


def make_rollouts(
    make: MakeModels,
    datasets: Sequence[Dataset],
    out: str | Path,
    config: StarConfig = StarConfig(),  # noqa: B008 - frozen
    *,
    shard: Shard = Shard(),
    batch_images: int = 1,
    corrections: bool = True,
    watch: RolloutsWatch = lambda what, made: None,
    **how: Unpack[How],
) -> MadeRollouts:
    """Have a policy play every sample of ``datasets`` into the folder ``out``, or go on where that was stopped.

    One episode per sample and start of ``config.max_steps`` steps, with its true rewards. With ``corrections`` the
    simulated annotator's click is tried where an action did no good: what StaR+ replaces that action by. The budget of
    ``how`` is of all rollouts together; corrections ask no policy. Raises as
    :func:`segagent.runs.run.carry_out` does.
    """
    folder, session = made_folder(out), Session(**how)
    found = MadeRollouts({})
    spent: Counter[str] = Counter()
    with session.asking(make) as ask:
        (names,) = ask(_names, [None])
        for number, dataset in enumerate(datasets, 1):
            path = folder / f"{_NAME}{number}.jsonl"
            settings = {"dataset": dataset.fingerprint, **names, **config.rollout_settings()}
            settings |= {} if shard == Shard() else {"shard": str(shard)}
            seen: list[int] = []

            def told(made: Progress, number: int = number, seen: list[int] = seen) -> None:
                seen.append(made.num_retried)
                watch(f"rollouts {number}", made)

            budgeted = replace(session, spent=spent)
            made = roll_out(
                ask, dataset, path, config, settings, budgeted, told, shard=shard, batch_images=batch_images
            )
            spent.update(made.cost)
            found.files[path] = made
            if made.stopped:
                found.stopped = f"{path}: {made.stopped}"
                return found
            if not corrections:
                continue
            beside = corrections_beside(path)
            if made.num_retried > seen[0]:
                beside.unlink(missing_ok=True)  # It knows nothing of the episodes that there are now.
            told_of = partial(watch, f"corrections {number}")
            found.files[beside] = correct_rollouts(ask, dataset, path, beside, settings, session, told_of, shard)
    return found


def _names(models: Models, _: None) -> dict[str, str]:
    return models.names()


def corrections_beside(rollouts: Path) -> Path:
    """Where the corrections of a file of rollouts are kept."""
    return rollouts.with_name(rollouts.name.replace("rollouts", "corrections", 1))


def rollout_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files of rollouts that ``paths`` name: such files, and folders of them.

    Raises ``InputError`` for a path that is neither.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        inside = [path] if path.is_file() else sorted(path.glob(f"{_NAME}*.jsonl"))
        if not inside:
            raise InputError(f"{path}: no rollouts; expected a file or folder of 'segagent rollouts'")
        files += inside
    return files


@dataclass(frozen=True, eq=False)
class Rollouts:
    """A file of rollouts, the data set that was played, and the journal's settings."""

    path: Path
    dataset: Dataset
    settings: dict[str, Any]

    def judged(self, config: StarConfig) -> Iterator[list[Example]]:
        """The examples of each episode: D_n, by the rules of ``config``. Raises ``InputError`` naming the file."""
        if config.variant == "star":
            for trajectory in read_trajectories(self.path):
                yield star_examples(trajectory, min_reward=config.min_reward)
            return
        corrections = corrections_beside(self.path)
        if not corrections.is_file():
            raise InputError(
                f"{corrections}: no such file; star+ learns from corrections, which 'segagent rollouts' makes beside "
                f"{self.path.name}: give its command again, without --no-corrections"
            )
        for one in read_corrected(self.path, corrections):
            yield star_plus_examples(*one, config.rules)


def open_rollouts(path: str | Path) -> Rollouts:
    """A file of 'segagent rollouts'.

    Raises ``InputError`` where it is none, is not finished, or its data set has moved or changed since.
    """
    header, _ = read_journal(path)
    config = header.get("config")
    if not isinstance(config, dict) or config.get("what") != "rollouts":
        raise InputError(f"{path}: holds no rollouts; expected a file of 'segagent rollouts'")
    return Rollouts(Path(path), dataset_of(header, path), config)
