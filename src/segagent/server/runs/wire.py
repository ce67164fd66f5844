"""Requests and answers of ``/v1/runs``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import Field, StringConstraints

from segagent.server.api.wire import MAX_CANDIDATES, MAX_STEPS
from segagent.server.wire import Asked, RleTold, Told, Writable

MAX_WORKERS = 64
MAX_RESULTS = 1000

RunName = Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
RunPath = Annotated[RunName, Path(description="The run's name.")]
State = Literal["waiting", "running", "done", "stopped", "failed"]


class _Session(Asked):
    limit: int | None = Field(None, ge=1, le=2**31, description="Only so many first images; a larger one goes on.")
    retry_failed: bool = Field(False, description="Once all images are done, try again what failed before.")
    workers: int | None = Field(
        None,
        ge=1,
        le=MAX_WORKERS,
        description="Processes of its own, each with the models; left out, it shares the server's models.",
    )


class RunAsked(_Session):
    """A run over a data set below the server's root, or ``scenes:NUM``."""

    job: Literal["annotate", "refine", "audit"]
    dataset: Writable = Field(min_length=1, max_length=2000, description="As commands take it, paths below the root.")
    name: RunName | None = Field(None, description="Left out, one is made.")
    steps: int = Field(7, ge=1, le=MAX_STEPS)
    candidates: int = Field(1, ge=1, le=MAX_CANDIDATES)
    seed: int = Field(0, ge=0, le=2**53 - 1)
    found: float = Field(0.3, ge=0, le=1, description="Of annotate: below this calibrated IoU nothing was found.")


class ResumeAsked(_Session):
    """How to go on with a run that has ended or was stopped."""


class Nothing(Asked):
    """``{}``."""


class RunTold(Told):
    """A run. ``images``: how many the data set has; ``images_done`` of them are. ``outcomes``: objects by what came of
    them. ``error``: why it has failed, or which budget stopped it.
    """

    run: str
    job: str
    dataset: str
    state: State
    images: int
    images_done: int
    objects: int
    failed: int
    outcomes: dict[str, int]
    error: str | None


class RunsTold(Told):
    """All runs, the latest first."""

    runs: list[RunTold]


class ResultTold(Told):
    """What came of an object; ``reason`` why it failed, and then it has no mask."""

    object_id: str
    image: str
    text: str | None
    outcome: str
    mask: RleTold | None
    predicted_iou: float | None
    calibrated_iou: float | None
    given_iou: float | None
    doubts: list[str]
    reason: str | None


class ResultsTold(Told):
    """Results in the data set's order. ``next``: the ``after`` of the next ones, null where these are all so far."""

    results: list[ResultTold]
    next: int | None


class SummaryTold(Told):
    """What ``summary.json`` of the run holds."""

    summary: dict[str, Any]
