"""The two interfaces everything is built from: who turns clicks into masks, and who clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from segagent.core.actions import Action, Prompt
from segagent.core.errors import InputError
from segagent.core.image import Image
from segagent.core.masks import BoolMask
from segagent.core.state import Observation
from segagent.core.tokens import ReplyTokens
from segagent.core.usage import Usage


@dataclass(frozen=True, eq=False)
class SegmentRequest:
    """One question to a tool: the mask after all ``prompts``, the newest last.

    ``embedding`` is what the tool's ``embed`` returned for the image; ``mask`` is the current mask (height, width) and
    ``memory`` the tool's own memory of having made it, or None when the mask came from elsewhere or is empty.
    """

    embedding: object
    mask: BoolMask
    memory: object | None
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A tool's answer: the new mask, bool (height, width) read-only, and the memory it wants back next time."""

    mask: BoolMask
    memory: object | None


class SegmentationTool(Protocol):
    """An interactive segmentation model. Pure: equal requests give equal answers, in any order and any batch.

    Nothing about an episode is kept in the tool, so branches of a search and different images may be interleaved
    freely.
    """

    @property
    def name(self) -> str:
        """The specification string that makes this tool, for records."""
        ...

    @property
    def accepts_box(self) -> bool:
        """Whether a ``Box`` is allowed as the first prompt."""
        ...

    def embed(self, images: Sequence[Image]) -> list[object]:
        """What is worth computing once per image, one value per image, immutable."""
        ...

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """One answer per request, in order; requests may be about different images and branches."""
        ...


@dataclass(frozen=True, slots=True)
class Aside:
    """A reply, ``text``, that was not taken as it stood: the model was asked again. ``why`` begins with one word for
    the reason: "verify" (it wanted to finish) or "repeated" (a click that had been tried).
    """

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """One reply of a policy.

    ``predicted_iou`` in [0, 1] speaks of the observed mask, before ``action``; None where the policy gives none.
    ``log_prob`` is the natural logarithm of the probability of the reply's action tokens, None where unknown.
    ``text`` is the raw reply. ``usage``: what it cost, None where the policy does not tell; a cost that several replies
    to one observation share lies with one of them. It is no part of what the reply says. ``asides``: earlier replies to
    the same observation, oldest first, after which the model was asked again. ``tokens``: the reply as it was written,
    None where the policy does not keep that; their log-probabilities add up to ``log_prob``.
    """

    action: Action
    predicted_iou: float | None
    log_prob: float | None
    text: str
    usage: Usage | None = field(default=None, compare=False)
    asides: tuple[Aside, ...] = ()
    tokens: ReplyTokens | None = None


class Policy(Protocol):
    """An annotator. It sees observations only, so it cannot know the target."""

    @property
    def name(self) -> str:
        """The specification string that makes this policy, for records."""
        ...

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """``num_proposals`` replies per observation, in order, from one call of the model.

        ``temperature`` 0 is greedy; above 0 the first reply is still the greedy one and the others are sampled.
        ``seeds`` (one per observation) make sampling repeatable and independent of how observations are batched.
        """
        ...


@runtime_checkable
class Outliner(Policy, Protocol):
    """A policy that outlines what is meant by itself; that outline is what its clicks have to be worth more than."""

    def outline(self, image: Image, text: str) -> BoolMask:
        """The object that is most likely meant, bool (height, width) of ``image``, before any click."""
        ...


@runtime_checkable
class Diverse(Policy, Protocol):
    """A policy that can propose actions which differ in what matters."""

    def propose_apart(
        self,
        observations: Sequence[Observation],
        num_proposals: int,
        apart: float,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """As :meth:`Policy.propose`, but after the greedy reply come clicks about other objects that might be meant,
        the likeliest first, and then sampled places; clicks of a sign lie at least ``apart`` from one another, as a
        share of the picture's sides. There may be fewer than ``num_proposals``.
        """
        ...


@dataclass(frozen=True, eq=False)
class JudgedOutline:
    """What is seen of a mask without any words. ``iou``: expected IoU of the mask with the thing that it fits best, in
    [0, 1]. ``outline``: that thing as it is outlined anew, bool (height, width) of the image.
    """

    iou: float
    outline: BoolMask


@runtime_checkable
class OutlineJudge(Protocol):
    """A policy that can judge how well a mask outlines the thing it lies on, whatever that is."""

    @property
    def judges_outlines(self) -> bool:
        """Whether its weights can; where not, :meth:`judge_outline` always gives None."""
        ...

    def judge_outline(self, image: Image, mask: BoolMask) -> JudgedOutline | None:
        """Judge ``mask``, bool (height, width) of ``image``. None where it is empty or the weights cannot."""
        ...


def check_asked(
    observations: Sequence[Observation], num_proposals: int, temperature: float, seeds: Sequence[int] | None
) -> None:
    """Raise ``InputError`` where :meth:`Policy.propose` cannot be asked for that."""
    if num_proposals < 1:
        raise InputError(f"at least one proposal must be asked for, not {num_proposals}")
    if not temperature >= 0:
        raise InputError(f"a temperature is 0 or more, not {temperature}")
    if seeds is not None and len(seeds) != len(observations):
        raise InputError(f"{len(seeds)} seeds for {len(observations)} observations")


def predicts_iou(policy: Policy) -> bool:
    """Whether the policy ever states an IoU; one that never does says so by an attribute of this name."""
    return bool(getattr(policy, "predicts_iou", True))


def concurrency_of(policy: Policy | None) -> int:
    """How many threads may ask the policy at once, and gain by it: 1 unless it has an attribute ``concurrency``."""
    return int(getattr(policy, "concurrency", 1))
