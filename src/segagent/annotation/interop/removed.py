"""The side file of an export: what people have removed, and who it was, so that nothing vanishes without a trace."""

from __future__ import annotations

import json
from typing import Any

from segagent.annotation.interop.answers import Answers, Without
from segagent.annotation.people import PEOPLE_FILE

REMOVED_SCHEMA = "segagent.removed/1"
REMOVED_FILE = "removed.json"


class RemovedList:
    """``annotations``: the entries of the data set's own file that an export leaves out for it, by object id."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.annotations: dict[str, Any] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether anybody has done anything to the run."""
        return (self._answers.run.folder / PEOPLE_FILE).is_file()

    def content(self) -> bytes:
        """The file."""
        gone = [one for one in self._answers.every() if isinstance(one, Without) and one.gone]
        told = {"schema": REMOVED_SCHEMA, "removed": [self._told(one) for one in gone]}
        return json.dumps(told, indent=1).encode("ascii") + b"\n"

    def _told(self, one: Without) -> dict[str, Any]:
        who: dict[str, Any] = {key: one.facts[key] for key in ("by", "when", "source", "notes") if key in one.facts}
        told = {"object_id": one.object_id, "image": one.image, "label": one.label, "text": one.text}
        annotation = self.annotations.get(one.object_id)
        return {**told, "reason": one.reason, **who, **({} if annotation is None else {"annotation": annotation})}
