"""The models, loaded once, and views of them for each request: what many requests ask at once is asked together."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from segagent.annotation.batch import Models
from segagent.core import (
    Image,
    InputError,
    Segmentation,
    SegmentationTool,
    SegmentRequest,
    concurrency_of,
)
from segagent.core.extensions import keep_origin
from segagent.core.recent import Recent
from segagent.policies import with_first_box
from segagent.policies.first_box import FirstBoxPolicy
from segagent.server.clicking import Clicking
from segagent.server.shared_policy import MOST_THREADS, shared_policy
from segagent.server.worker import Patience, Worker

AHEAD = 1.0
"""Seconds by which what a person waits for goes before the rest."""
MOST_EMBEDDED = 512 << 20
"""Bytes that embeddings may take, about: each is taken to hold its picture and as much again as below."""
_EMBEDDING = 8 << 20
_MOST_PREFETCHED = 8


class Room:
    """The models and their threads: one; or several for a tool or a policy that says that it bears them."""

    def __init__(self, models: Models) -> None:
        """Raises ``InputError`` for a policy that begins with a box and a tool that takes none."""
        policy, tool = models.policy, models.tool
        if isinstance(policy, FirstBoxPolicy) and not tool.accepts_box:
            raise InputError(f"the tool {tool.name!r} takes no box, so the policy's first action cannot be one")
        self._models = models
        self.started = with_first_box(policy, "none")
        """Who clicks where a mask is given."""
        self.policy_worker = Worker("policy", min(concurrency_of(policy), MOST_THREADS))
        many = getattr(tool, "thread_safe", False)
        alone = many or concurrency_of(policy) > 1
        cores = min(os.cpu_count() or 1, MOST_THREADS) if many else 1
        self.tool_worker = Worker("tool", cores) if alone else self.policy_worker
        self.clicking = Clicking()
        self._embeddings: Recent[str, tuple[object, int]] = Recent(MOST_EMBEDDED, lambda kept: kept[1])

    @property
    def workers(self) -> dict[str, Worker]:
        """The workers by what they ask."""
        if self.tool_worker is self.policy_worker:
            return {"tool and policy": self.policy_worker}
        return {"tool": self.tool_worker, "policy": self.policy_worker}

    def models(self, patience: Patience, *, started: bool = False) -> Models:
        """The models for one request. ``started``: it brings a mask, so the policy is asked for no first box."""
        policy = self.started if started else self._models.policy
        return replace(
            self._models, policy=shared_policy(policy, self.policy_worker, patience), tool=self.tool(patience)
        )

    def tool(self, patience: Patience, head_start: float = 0.0) -> SegmentationTool:
        """The tool for one request."""
        return _SharedTool(self, patience, head_start)

    def prefetch(self, image: Image) -> None:
        """Embed a picture when nothing else is to be done, unless many wait for that already."""
        if self.tool_worker.waiting < _MOST_PREFETCHED:
            self.tool_worker.post(lambda: self.embed([image]))

    def embed(self, images: Sequence[Image]) -> list[object]:
        """Embeddings, each distinct picture's made once; only for a thread of the tool's."""
        found = {image.key: self._embeddings.get(image.key) for image in images}
        new = {image.key: image for image in images if found[image.key] is None}
        made = self._models.tool.embed(list(new.values())) if new else []
        for (key, image), embedding in zip(new.items(), made, strict=True):
            kept = found[key] = (embedding, image.pixels.nbytes + _EMBEDDING)
            self._embeddings.put(key, kept)
        return [kept[0] for kept in (found[image.key] for image in images) if kept is not None]

    def embedded(self, images: Sequence[Image]) -> list[object] | None:
        """The embeddings where all are known."""
        found = [self._embeddings.get(image.key) for image in images]
        known = [kept[0] for kept in found if kept is not None]
        return known if len(known) == len(found) else None

    def calibrated(self, predicted_iou: float, doubts: Collection[str] = ()) -> float:
        """The expected IoU of masks that are predicted ``predicted_iou`` under these ``doubts``."""
        return self._models.calibrated(predicted_iou, doubts)

    @property
    def given_tool(self) -> SegmentationTool:
        """The tool itself."""
        return self._models.tool


class _SharedTool:
    """See :class:`segagent.core.SegmentationTool`: the room's, asked together with other requests."""

    def __init__(self, room: Room, patience: Patience, head_start: float) -> None:
        tool = room.given_tool
        self._room, self._patience, self._head_start = room, patience, head_start
        self.name, self.accepts_box = tool.name, tool.accepts_box
        keep_origin(self, tool)

    def embed(self, images: Sequence[Image]) -> list[object]:
        known = self._room.embedded(images)
        return known if known is not None else self._ask("embed", self._room.embed, images)

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        return self._ask("segment", self._room.given_tool.segment, requests)

    def _ask(self, what: str, answer: Any, questions: Sequence[Any]) -> list[Any]:
        # A click is never put into one call with the work of others who are in no hurry.
        key = (what, self._head_start)
        return self._room.tool_worker.ask(key, answer, questions, self._patience, head_start=self._head_start)
