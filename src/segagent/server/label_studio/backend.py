"""The backend's answers, without HTTP: predictions for tasks, masks after clicks, what people submitted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from segagent.annotation.interop.finding import find_one
from segagent.core import Image, InputError, SegAgentError
from segagent.core.versions import __version__
from segagent.server.api.work import Work
from segagent.server.label_studio.corrections import CREATED, DELETED, Corrections
from segagent.server.label_studio.labelling import Control, Label, Labelling, read_labelling
from segagent.server.label_studio.pictures import Source
from segagent.server.label_studio.regions import drawn, pointed_at, region, require_size
from segagent.server.worker import OverdueError, Patience

MOST_TASKS = 1000

_log = logging.getLogger(__name__)


class _Told(BaseModel):
    """Label Studio tells more with every version, so what is unknown is passed over."""

    model_config = ConfigDict(extra="ignore")


class SetupAsked(_Told):
    """A project, as it is connected or its configuration changed."""

    schema_: str = Field("", alias="schema", description="The labelling configuration.")


class TaskAsked(_Told):
    """A task to be predicted."""

    id: int | str | None = None
    data: dict[str, Any]


class ContextAsked(_Told):
    """What a person has pointed at so far."""

    result: list[dict[str, Any]] = Field(default_factory=list)


class ParamsAsked(_Told):
    """What goes with the tasks."""

    context: ContextAsked | None = None


class PredictAsked(_Told):
    """Tasks; with a context the first one alone is meant."""

    tasks: Annotated[list[TaskAsked], Field(min_length=1, max_length=MOST_TASKS)]
    label_config: str
    params: ParamsAsked = Field(default_factory=ParamsAsked)


class ProjectTold(_Told):
    """Of an event."""

    id: int | str
    label_config: str


class EventTold(_Told):
    """An event of a webhook. ``annotation`` and ``task``: one, or a list of them."""

    action: str
    project: ProjectTold | None = None
    annotation: dict[str, Any] | list[dict[str, Any]] | None = None
    annotations: list[dict[str, Any]] | None = None
    task: dict[str, Any] | list[dict[str, Any]] | None = None


class Backend:
    """Methods may be called by any thread.

    They raise ``InputError`` for what cannot be done, ``OverdueError``, and what models and pictures raise.
    """

    def __init__(self, work: Work, source: Source, corrections: Corrections | None) -> None:
        self._work, self._source, self._corrections = work, source, corrections
        models = work.room.models(Patience())
        self.version = f"segagent {__version__} {models.policy.name} {models.tool.name}"

    def setup(self, asked: SetupAsked) -> dict[str, Any]:
        """Who will answer; a configuration that asks for no masks is refused at once."""
        read_labelling(asked.schema_)
        return {"model_version": self.version}

    def predict(self, asked: PredictAsked, patience: Patience) -> dict[str, Any]:
        """Predictions: one for each task, none for one that failed, unless all did.

        Label Studio counts a task as predicted that has an empty prediction, and would never ask again.
        """
        labelling = read_labelling(asked.label_config)
        context = asked.params.context
        if context is not None and context.result:
            return {"results": [self._pointed(asked.tasks[0], labelling, context.result, patience)]}
        results: list[Any] = []
        failed: SegAgentError | None = None
        for task in asked.tasks:
            try:
                results.append(self._predicted(task, labelling, patience))
            except OverdueError:
                raise
            except SegAgentError as error:
                failed = error
                _log.warning("Label Studio, task %r: %s", task.id, error)
                results.append([])
        if failed is not None and not any(results):
            raise failed
        return {"results": results}

    def event(self, told: EventTold) -> dict[str, Any]:
        """Keep what people submitted or deleted. Everything else is passed over."""
        if told.action == "START_TRAINING":
            raise InputError("training is not started from here; see 'segagent train', and --corrections for its data")
        if told.action not in (*CREATED, *DELETED):
            return {"status": "Unknown event"}
        if self._corrections is None:
            return {"status": "ok", "kept": 0}
        annotations = _listed(told.annotations if told.annotations is not None else told.annotation)
        event: dict[str, Any] = {"action": told.action, "annotations": annotations}
        if not all(isinstance(one.get("id"), int | str) for one in annotations):
            raise InputError("an annotation has no id")
        if told.action in CREATED:
            tasks = [task for task in _listed(told.task) if isinstance(task.get("data"), dict) and "id" in task]
            ids = {str(task["id"]) for task in tasks}
            if told.project is None or not all("task" in one and str(one["task"]) in ids for one in annotations):
                raise InputError("an event about annotations needs 'project' and 'task'; send the payload along")
            event |= {"tasks": tasks, "project": told.project.model_dump()}
        self._corrections.submitted(event)
        return {"status": "ok", "kept": len(annotations)}

    def _predicted(self, task: TaskAsked, labelling: Labelling, patience: Patience) -> dict[str, Any]:
        """What the labels' words find in a task; the score is the lowest of its masks, so doubtful tasks sort first."""
        regions: list[dict[str, Any]] = []
        pictures: dict[str, Image] = {}
        for control in labelling.controls:
            address = labelling.address(control, task.data)
            for label in control.labels:
                for text in label.sentences(task.data):
                    if address not in pictures:
                        pictures[address] = self._picture(address, patience)
                    regions += self._found(pictures[address], text, control, label, patience)
        return self._prediction(regions)

    def _found(
        self, image: Image, text: str, control: Control, label: Label, patience: Patience
    ) -> list[dict[str, Any]]:
        """The mask of a sentence, or none."""
        found = find_one(image, text, self._work.room.models(patience))
        if found is None:
            return []
        notes = [] if found.expected_iou is None else [f"expected IoU {found.expected_iou:.2f}"]
        told = "; ".join([text, *notes, *found.doubts])
        return [region(control, label, found.mask, told, found.expected_iou)]

    def _pointed(
        self, task: TaskAsked, labelling: Labelling, results: list[dict[str, Any]], patience: Patience
    ) -> dict[str, Any]:
        """The mask after clicks, a box and masks; or of words that were typed where nothing was pointed at."""
        pointed = pointed_at(results)
        if not pointed.something:
            return self._prediction([])
        control, label = labelling.where(pointed.label, pointed.picture)
        image = self._picture(labelling.address(control, task.data), patience)
        require_size(results, image)
        if pointed.words is not None and not (pointed.clicks or pointed.box or pointed.masks):
            return self._prediction(self._found(image, pointed.words, control, label, patience))
        began = drawn(pointed.masks, image) if pointed.masks else None
        mask = self._work.clicked(image, began, pointed.box, pointed.clicks, patience)
        return self._prediction([region(control, label, mask)] if mask.any() else [])

    def _prediction(self, regions: Sequence[dict[str, Any]]) -> dict[str, Any]:
        scores = [one["score"] for one in regions if "score" in one]
        return {
            "result": list(regions),
            "model_version": self.version,
            **({"score": min(scores)} if scores else {}),
        }

    def _picture(self, address: str, patience: Patience) -> Image:
        return self._work.pictures.take(self._source.read(address, patience))[1]


def _listed(value: Any) -> list[dict[str, Any]]:
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in listed):
        raise InputError("an event about annotations needs them; send the payload along")
    return listed
