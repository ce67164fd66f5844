"""What a run holds so far, counted record by record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from segagent.core.failures import Failure
from segagent.runs.session import Shard
from segagent.runs.stored import EMPTY_SCHEMA, sample_of


@dataclass
class Progress:
    """What a run holds.

    ``num_images``: how many of its images are done; ``num_kept_images`` of them were when this session began.
    ``num_retried``: how many images were tried again, by this and earlier sessions. ``num_samples`` are done, failed
    ones included. ``outcomes``: how many records there are of each kind, failures aside. ``cost``: sums of seconds,
    policy_calls, tool_calls and the amounts of :class:`segagent.core.Usage`. ``stopped``: which budget ended the
    session, in words; empty where none did.
    """

    num_kept_images: int = 0
    num_samples: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    cost: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    stopped: str = ""
    num_images: int = 0
    num_retried: int = 0
    _failures: dict[str, Failure] = field(default_factory=dict)
    _last: tuple[int, str] = (-1, "")

    @property
    def failures(self) -> list[Failure]:
        """The samples that failed, and still do after all retries."""
        return list(self._failures.values())

    def fails(self, sample_id: str) -> bool:
        """Whether this sample failed, and still does."""
        return sample_id in self._failures

    def note(self) -> str:
        """How many records of each kind there are, in words."""
        told = [f"{count} {name.replace('_', ' ')}" for name, count in sorted(self.outcomes.items())]
        again = [f"{self.num_retried} images tried again"] if self.num_retried else []
        return ", ".join([*told, *([f"{len(self._failures)} failed"] if self._failures else []), *again])


Watch: TypeAlias = Callable[[Progress], None]


@dataclass
class Counting:
    """Counts the records of a run of ``num_images`` images, of which ``shard`` is played, into ``progress``.

    ``outcome_of``: what a record that is no failure is counted as.
    """

    num_images: int
    shard: Shard
    outcome_of: Callable[[Mapping[str, Any]], str]
    progress: Progress = field(default_factory=Progress)
    _unit: int = -1

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a record; a later one about the same sample, after a retry, takes the place of its failure."""
        unit, progress = int(record["unit"][0]), self.progress
        self.pass_image(unit)
        if record.get("schema") == EMPTY_SCHEMA:
            return
        name = sample_of(dict(record))
        if (unit, name) != progress._last and unit < self.num_images:
            progress.num_samples += 1
        progress._last = (unit, name)
        failure = Failure.from_dict(dict(record))
        if failure is not None:
            progress._failures[name] = failure
        else:
            progress._failures.pop(name, None)
            progress.outcomes[self.outcome_of(record)] += 1

    def pass_image(self, unit: int) -> None:
        """Note that images are done up to the one of this number, those without any sample included."""
        progress = self.progress
        progress.num_images = self.shard.count(min(max(unit + 1, self._unit + 1), self.num_images))
        progress.num_retried += unit >= self.num_images and unit > self._unit
        self._unit = max(unit, self._unit)

    def add_cost(self, cost: Mapping[str, float]) -> None:
        """Count what something has cost."""
        for name, value in cost.items():
            self.progress.cost[name] += value


def trajectory_cost(record: Mapping[str, Any]) -> dict[str, float]:
    """What a record itself tells of its cost, where it is a trajectory's.

    ``elapsed``, its share of all the time that was taken, goes before the time of the search alone.
    """
    used = record.get("usage")
    told = {name: value for name, value in used.items() if name != "seconds"} if isinstance(used, dict) else {}
    cost = {
        **told,
        "seconds": record.get("elapsed", record.get("seconds", 0)),
        "policy_calls": record.get("num_policy_calls", 0),
    }
    return {name: value for name, value in cost.items() if isinstance(value, int | float)}
