"""What does the work of a run: who clicks, and what turns clicks into masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeAlias, TypeVar

from segagent.core import Image, Policy, Segmentation, SegmentationTool, SegmentRequest, concurrency_of
from segagent.core.extensions import keep_origin
from segagent.distributed import Lanes
from segagent.runs.fingerprint import policy_answers, tool_answers
from segagent.search.versions import versions_with


@dataclass(frozen=True)
class Models:
    """``policy`` None is the simulated annotator, who knows the target."""

    policy: Policy | None
    tool: SegmentationTool

    @cached_property
    def lanes(self) -> Lanes:
        """How many images are worked on at once in one process: as many as the policy takes questions."""
        return Lanes(concurrency_of(self.policy))

    def names(self, known_answers: str = "") -> dict[str, str]:
        """What tells these models from others, as a run's settings have it; see :func:`policy_answers`."""
        return {
            "policy": "simulated" if self.policy is None else self.policy.name,
            "policy_answers": policy_answers(self.policy, known_answers),
            "tool": self.tool.name,
            "tool_answers": tool_answers(self.tool),
        }

    def versions(self) -> dict[str, str]:
        """The software that works here, for the record."""
        return versions_with(self.policy, self.tool)


MakeModels: TypeAlias = Callable[[], Models]
"""Makes them; it is sent to other processes, so it must be picklable (``partial(make_models, "embedded", ...)``)."""


def make_models(policy: str, tool: str) -> Models:
    """The models of two specifications."""
    from segagent.policies import make_policy, with_known_format  # Not above: most runs are given their models.
    from segagent.tools import make_tool

    return Models(with_known_format(make_policy(policy)), make_tool(tool))


def with_tool_alone(make: Callable[[], SegmentationTool]) -> MakeModels:
    """The models of a run in which the simulated annotator clicks."""
    return partial(_with_tool, make)


def _with_tool(make: Callable[[], SegmentationTool]) -> Models:
    return Models(None, make())


_M = TypeVar("_M", bound=Models)


def unchanged(models: _M) -> _M:
    """The same models."""
    return models


def with_changes(models: _M, **changes: Any) -> _M:
    """The same models, some of them changed, in the same lanes."""
    made = replace(models, **changes)
    made.__dict__["lanes"] = models.lanes
    return made


def in_turns(models: _M) -> _M:
    """The same models for one of several threads, which use the tool in turns."""
    tool = models.lanes.in_turns(models.tool)
    return models if tool is models.tool else with_changes(models, tool=tool)


def with_embeddings(models: _M, embeddings: Mapping[str, object]) -> _M:
    """The same models, with a tool that remembers the pictures that it looks at: the embeddings by ``Image.key``.

    For as many pictures as fit into memory: it forgets none.
    """
    return with_changes(models, tool=_HasLooked(models.tool, embeddings))


def num_requests(models: Models) -> int:
    """How many requests the tool that :func:`with_embeddings` gave these models has had; 0 for other tools."""
    return models.tool.num_requests if isinstance(models.tool, _HasLooked) else 0


class _HasLooked:
    """A tool that has embedded some pictures already, embeds none twice, and counts its requests."""

    def __init__(self, tool: SegmentationTool, embeddings: Mapping[str, object]) -> None:
        self._tool = tool
        self._embeddings = dict(embeddings)
        self.name = tool.name
        self.accepts_box = tool.accepts_box
        self.num_requests = 0
        keep_origin(self, tool)

    def embed(self, images: Sequence[Image]) -> list[object]:
        """See :class:`segagent.core.SegmentationTool`."""
        missing = {image.key: image for image in images if image.key not in self._embeddings}
        if missing:
            self._embeddings.update(zip(missing, self._tool.embed(list(missing.values())), strict=True))
        return [self._embeddings[image.key] for image in images]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """See :class:`segagent.core.SegmentationTool`."""
        self.num_requests += len(requests)
        return self._tool.segment(requests)
