"""A first action that is a box (paper, Table 5): the clicking model's own, or that of another, grounding model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segagent.core import Observation, Policy, Proposal, SpecError, concurrency_of
from segagent.policies.chat import ChatPolicy
from segagent.policies.wrapping import WrappedPolicy


class FirstBoxPolicy(WrappedPolicy[Policy]):
    """While the mask is empty ``grounder`` is asked for a box, afterwards ``clicker`` for its actions.

    Where several proposals are wanted for an empty mask, the box comes first and the clicker's own follow: a search
    then compares them, and an episode whose box came to nothing goes on with clicks. For tools that take boxes.
    """

    def __init__(self, name: str, clicker: Policy, grounder: ChatPolicy) -> None:
        super().__init__(clicker, name)
        self.grounder = ChatPolicy(
            grounder.name, grounder.model, replace(grounder.format, first_box=True), grounder.guidelines
        )

    @property
    def concurrency(self) -> int:
        """How many threads may ask at once, and gain by it."""
        return min(concurrency_of(self.policy), self.grounder.concurrency)

    def with_guidelines(self, text: str) -> FirstBoxPolicy:
        """The same, told labelling rules: the one that is asked for boxes, and the clicker where it reads them."""
        told = getattr(self.policy, "with_guidelines", lambda text: self.policy)
        return FirstBoxPolicy(self.name, told(text), self.grounder.with_guidelines(text))

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`.

        The IoU of an empty mask is what the clicker says of it where it is asked too, else None.
        """
        boxed = [index for index, look in enumerate(observations) if not look.mask.any()]
        sampling = temperature > 0 and num_proposals > 1
        asked = [index for index, look in enumerate(observations) if sampling or look.mask.any()]
        answers: dict[int, list[Proposal]] = {}
        if asked:
            replies = self.policy.propose(
                [observations[index] for index in asked],
                num_proposals,
                temperature=temperature,
                seeds=None if seeds is None else [seeds[index] for index in asked],
            )
            answers = dict(zip(asked, replies, strict=True))
        boxes = self.grounder.propose([observations[index] for index in boxed])
        for index, (box,) in zip(boxed, boxes, strict=True):
            others = answers.get(index)
            if others is None:
                answers[index] = [box] + [replace(box, usage=None)] * (num_proposals - 1)
            else:
                spent = [cost for cost in (box.usage, others[0].usage) if cost is not None]
                usage = sum(spent[1:], spent[0]) if spent else None
                answers[index] = [replace(box, predicted_iou=others[0].predicted_iou, usage=usage), *others[1:]]
        return [answers[index] for index in range(len(observations))]


def begin_with_own_box(policy: Policy) -> FirstBoxPolicy:
    """``policy`` with a first box of its own. Raises ``SpecError`` for one that cannot be asked for boxes."""
    asked = require_grounder(policy)
    mark = "&" if "?" in asked.name else "?"
    name = asked.name if "box=first" in asked.name else f"{asked.name}{mark}box=first"
    clicker = ChatPolicy(asked.name, asked.model, replace(asked.format, first_box=False))
    return FirstBoxPolicy(name, clicker, asked)


def begin_with_box_of(policy: Policy, grounder: Policy) -> FirstBoxPolicy:
    """``policy`` with a first box by another model. Raises ``SpecError`` for one that cannot be asked for boxes."""
    asked = require_grounder(grounder)
    return FirstBoxPolicy(f"{policy.name}, first box by {asked.name}", policy, asked)


def require_grounder(policy: Policy) -> ChatPolicy:
    """The chat policy that can be asked for a box. Raises ``SpecError`` if ``policy`` is none."""
    if isinstance(policy, FirstBoxPolicy):
        return policy.grounder
    if not isinstance(policy, ChatPolicy):
        raise SpecError(f"policy {policy.name!r} draws no boxes; a first box needs hf:DIR or openai:MODEL@URL")
    return policy
