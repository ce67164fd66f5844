"""What a training is told, what it tells, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from segagent.core import InputError
from segagent.core.texts import read_json

TRAINING_NOTE = "training.json"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a training left. ``spec`` is what ``--policy`` takes; ``losses`` are (step, mean loss since the last).

    ``left_out`` examples were not among the ``examples`` it learnt from: too long (``hf:``), or about objects that the
    detector does not find (``embedded``). ``best``: where it was measured on the way, the step that became the model
    and its mIoU after seven clicks.
    """

    spec: str
    steps: int
    examples: int
    losses: tuple[tuple[int, float], ...]
    seconds: float
    left_out: int = 0
    best: tuple[int, float] | None = None

    @classmethod
    def recorded(cls, spec: str, record: Mapping[str, Any]) -> TrainedModel:
        """The model of ``spec`` whose other values a folder has on record. Raises ``KeyError`` and the like."""
        losses = tuple((int(step), float(loss)) for step, loss in record["losses"])
        counts = int(record["steps"]), int(record["examples"])
        found = record.get("best")
        best = None if found is None else (int(found[0]), float(found[1]))
        return cls(spec, *counts, losses, float(record["seconds"]), int(record.get("left_out", 0)), best)


TrainingWatch = Callable[[str, int, int, float], None]
"""Told (what is being done, how many done, of how many, recent mean loss or nan)."""


Fresh: TypeAlias = bool | Literal["bare"]
"""Whether the embedded model's state head starts anew. True: untrained, but clicking by the annotator's rule already,
see :class:`segagent.policies.embedded.state_head.StateHead`. "bare": without that, so that it has never clicked."""


def write_training_note(out: str | Path, note: dict[str, Any]) -> None:
    """Put on record in a model's folder what it was trained from; StaR goes on from it."""
    (Path(out) / TRAINING_NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def read_training_note(folder: str | Path) -> dict[str, Any]:
    """The note of :func:`write_training_note`. Raises ``InputError`` where the folder holds none."""
    path = Path(folder) / TRAINING_NOTE
    note = read_json(path, "expected a model folder of 'segagent train sft'")
    if not isinstance(note, dict):
        raise InputError(f"{path}: damaged; expected a JSON object")
    return note
