"""What a run does, and how much it may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from segagent.annotation.batch.choosing import Only
from segagent.core import InputError
from segagent.search import SearchConfig

Job: TypeAlias = Literal["audit", "refine", "annotate"]

JOBS: tuple[Job, ...] = get_args(Job)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides a run's records, data set and models apart.

    ``job``: ``audit`` scores the given masks, ``refine`` clicks on those scored low, ``annotate`` makes new ones.
    ``search``: how is clicked; an audit looks at one step, to see what the policy would mend.
    ``below``: refine leaves masks alone whose calibrated predicted IoU, doubts left aside, is at least this.
    ``margin`` and ``sure``: refine replaces a mask where the predicted IoU rises by more than ``margin`` and is then,
    calibrated, at least ``sure``; see :func:`segagent.annotation.batch.replacing.replaces` for what else is asked. What
    the policy likes little better, is not sure of, or has doubts about, is left to people.
    ``found``: annotate answers "not found" where the calibrated predicted IoU of its mask, doubts left aside, is below
    this.
    ``seed``: each object's own seed comes of it and the object's id.
    ``tool_opinion``: of an audit, whether the tool draws each mask anew where the policy cannot judge outlines.
    ``only``: which objects. ``guidelines``: the project's rules, told to policies that read them.
    ``batch_images``: how many images are worked on at once; ``batch_episodes``: about how many of their objects the
    models are asked together. Neither changes a record.
    """

    job: Job
    search: SearchConfig = SearchConfig()
    below: float = 0.85
    margin: float = 0.2
    sure: float = 0.9
    found: float = 0.3
    seed: int = 0
    only: Only = Only()  # noqa: RUF009 - frozen
    guidelines: str = ""
    tool_opinion: bool = False
    batch_images: int = 1
    batch_episodes: int = 16

    def __post_init__(self) -> None:
        if self.job not in JOBS:
            raise InputError(f"job {self.job!r}: expected one of {', '.join(JOBS)}")
        if not all(0 <= value <= 1 for value in (self.below, self.margin, self.sure, self.found)):
            raise InputError("below, margin, sure and found are IoU values; they must lie in 0..1")
        if self.seed < 0 or min(self.batch_images, self.batch_episodes) < 1:
            raise InputError("the seed must be at least 0, batch_images and batch_episodes at least 1")
        if self.job != "annotate" and not self.search.use_prm:
            raise InputError(f"{self.job} needs the predicted IoU; use it in the search")

    def with_given(self, **settings: float | None) -> RunConfig:
        """The same with those of ``settings`` that are not None."""
        return replace(self, **{name: value for name, value in settings.items() if value is not None})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """What changes a record: settings of other jobs left out."""
        search = {name: value for name, value in asdict(self.search).items() if name != "keep_iou"}
        own = {"audit": (), "refine": ("below", "margin", "sure"), "annotate": ("found",)}[self.job]
        settings = {"job": self.job, "search": search, **{name: getattr(self, name) for name in own}, "seed": self.seed}
        # Left out where they say nothing, so that runs of earlier versions can be gone on with.
        more = {
            "only": self.only.to_dict(),
            "guidelines": self.guidelines,
            "tool_opinion": self.tool_opinion and self.job == "audit",
        }
        return settings | {name: value for name, value in more.items() if value}
