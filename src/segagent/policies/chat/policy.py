"""A policy out of a chat model and a chat format."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Protocol

from segagent.core import InvalidAction, Observation, Proposal, ReplyTokens, Usage
from segagent.core.interfaces import check_asked
from segagent.policies.chat.asking_again import Again, scored_as_seen, settled
from segagent.policies.chat.format import ChatFormat, Picture
from segagent.policies.chat.guidelines import before_prompt
from segagent.policies.chat.templates import WIRE


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked in one turn: pictures first, then text. ``schema``: of the reply, where it is JSON."""

    pictures: tuple[Picture, ...]
    prompt: str
    schema: Mapping[str, object] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What it answered. ``cut``: it was stopped by a limit, so the end is missing. ``greedy``: False for a reply that
    was to be greedy and had to be sampled.

    ``usage``: what it cost; what several replies to one question share lies with one of them. ``tokens``: the text
    as it was written, where the model was told to keep that.
    """

    text: str
    log_prob: float | None = None
    cut: bool = False
    usage: Usage | None = field(default=None, compare=False)
    greedy: bool = True
    tokens: ReplyTokens | None = None


class ChatModel(Protocol):
    """A model that sees pictures and writes text, wherever it runs."""

    @property
    def usage(self) -> Usage:
        """What it has cost so far."""
        ...

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        """``num_replies`` per question, in order: the first greedy, the others sampled at a ``temperature`` above 0."""
        ...


class ChatPolicy:
    """See the module. ``name`` is the specification string; ``format`` and ``model`` are its two halves.

    ``guidelines``: the project's labelling rules, which go before every question, see :mod:`.guidelines`.
    ``format_is_told``: whether the model's server tells it. ``format_is_guessed``: what to do about one that nothing
    speaks for; empty where something does.
    """

    def __init__(self, name: str, model: ChatModel, fmt: ChatFormat, guidelines: str = "") -> None:
        self._name = name
        self.model = model
        self.format = fmt
        self.guidelines = guidelines
        self.format_is_told = False
        self.format_is_guessed = ""

    @property
    def name(self) -> str:
        """See :class:`segagent.core.Policy`."""
        return self._name

    @property
    def usage(self) -> Usage:
        """What the policy has cost so far; the difference of two readings is the cost of what lies between."""
        return self.model.usage

    @property
    def concurrency(self) -> int:
        """How many threads may ask at once, and gain by it."""
        return int(getattr(self.model, "concurrency", 1))

    @property
    def reads_guidelines(self) -> bool:
        """Whether they reach the model: ``segagent serve-policy`` hands on the object's words alone."""
        return self.format.template != WIRE

    def with_guidelines(self, text: str) -> ChatPolicy:
        """The same, which is told labelling rules with every question."""
        told = copy(self)
        told.guidelines = text
        return told

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`."""
        check_asked(observations, num_proposals, temperature, seeds)
        if not observations:
            return []
        if self.format_is_guessed:
            warnings.warn(f"{self.format_is_guessed}; read as format {self.format.name!r} for now", stacklevel=2)
        # Without sampling all replies to a question are one and the same.
        asked = num_proposals if temperature > 0 else 1
        questions = [ask(self.format, observation, self.guidelines) for observation in observations]
        answers = self.model.reply(questions, asked, temperature=temperature, seeds=seeds)
        proposals = []
        for observation, replies in zip(observations, answers, strict=True):
            read = [read_answer(self.format, observation, reply) for reply in replies]
            copies = num_proposals - len(read)
            # Copies of a reply cost nothing more.
            proposals.append(read + [replace(read[0], usage=None)] * copies)
        if not (self.format.history or self.format.verify):
            return proposals
        rows = settled(self.format, observations, proposals, self._asked_again)
        return [[scored_as_seen(look, one) for one in row] for look, row in zip(observations, rows, strict=True)]

    def _asked_again(self, asked: Sequence[Again]) -> list[Proposal]:
        questions = [
            ask(self.format, again.observation, self.guidelines, again.note, verifying=again.kind == "verify")
            for again in asked
        ]
        replies = self.model.reply(questions, 1, temperature=0.0, seeds=[0] * len(questions))
        return [
            read_answer(self.format, again.observation, reply) for again, (reply,) in zip(asked, replies, strict=True)
        ]


def ask(
    fmt: ChatFormat, observation: Observation, guidelines: str = "", note: str = "", *, verifying: bool = False
) -> Question:
    """What a model of that format is shown and told for ``observation``, after the ``guidelines`` where there are any.

    They are the same for all questions, so they go before the prompt: a server's prefix cache finds them behind the
    same picture. ``note``: see :meth:`ChatFormat.prompt`.
    """
    return Question(
        fmt.pictures(observation, verifying=verifying),
        before_prompt(guidelines) + fmt.prompt(observation, note, verifying=verifying),
        fmt.reply_schema(observation),
    )


def read_answer(fmt: ChatFormat, observation: Observation, reply: Reply) -> Proposal:
    """The proposal that a reply makes. A reply whose end is missing names no action, whatever stands in it."""
    boxed = fmt.asks_for_box(observation)
    action, predicted = fmt.parse(reply.text, observation.image.height, observation.image.width, boxed=boxed)
    if reply.cut:
        action = InvalidAction(reply.text, "truncated: the reply was stopped by a length limit")
    return Proposal(action, predicted, reply.log_prob, reply.text, reply.usage, tokens=reply.tokens)
