"""Who plays: a policy by its specification, as it is or changed for one of the paper's ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from segagent.core import Box, Diverse, InputError, Observation, Policy, Proposal, iou
from segagent.environment import SimulatedAnnotator, Target
from segagent.imaging import MASK_COLORS
from segagent.policies import format_reply, make_policy, with_known_format
from segagent.policies.chat.families import FORMATS
from segagent.policies.chat.format import ChatFormat
from segagent.policies.chat.space import Space
from segagent.policies.embedded.policy import EmbeddedPolicy
from segagent.policies.wrapping import WrappedPolicy

NOTATIONS: MappingProxyType[str, ChatFormat] = MappingProxyType(
    {
        "[0, 1), three decimals": FORMATS["paper-unit"],
        "[0, 1000)": FORMATS["paper"],
        "[0, 1), two decimals": FORMATS["paper-unit"].with_changes(space=Space(1, decimals=2)),
    }
)
"""The coordinate formats of Table 6, and a coarser one that shows what rounding does."""


@dataclass(frozen=True, slots=True)
class Player:
    """A policy and how it is changed.

    ``spec``: for ``make_policy``, or "simulated" for the simulated annotator. ``color``: of the mask it is shown, one
    of :data:`segagent.imaging.MASK_COLORS`. ``notation``: its replies are written and read again in this one of
    :data:`NOTATIONS`, "" for none. ``box``: "" or, for the first action, "box" (a box around its own best guess, for
    tools that take one), "filled" (episodes begin from that box as a mask) or "outline" (they begin from its outline).
    ``judge``: "" or "truth", where the true IoU takes the place of the predicted one: a bound, never a result.
    """

    spec: str
    color: str = "green"
    notation: str = ""
    box: str = ""
    judge: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON form; what came later is left out where it is not used."""
        return {name: value for name, value in asdict(self).items() if value or name != "judge"}


@lru_cache(maxsize=2)
def load_player(player: Player) -> Policy:
    """The policy. Raises ``InputError`` for changes that only the embedded policy takes."""
    policy = with_known_format(make_policy(player.spec))
    if player.color != "green" or player.box:
        if not isinstance(policy, EmbeddedPolicy):
            raise InputError(f"policy {player.spec!r}: mask colours and its own box are for embedded policies")
        policy = policy.shown_in(MASK_COLORS[player.color])
    if player.box == "box":
        assert isinstance(policy, Boxing)
        policy = BoxFirst(policy)
    return Notated(policy, NOTATIONS[player.notation]) if player.notation else policy


@runtime_checkable
class Boxing(Policy, Protocol):
    """A policy that can put a box around what it takes to be meant."""

    def best_box(self, observation: Observation) -> Box:
        """The box, in pixels of the image; the mask plays no part."""
        ...


class BoxFirst(WrappedPolicy[Boxing]):
    """Answers an empty mask with a box around the object that the policy takes to be meant (paper Table 5)."""

    def __init__(self, policy: Boxing) -> None:
        super().__init__(policy, f"{policy.name}, box first")

    def changed(
        self, observations: Sequence[Observation], replies: list[list[Proposal]], num_proposals: int
    ) -> list[list[Proposal]]:
        """The box instead of what is said to an empty mask."""
        for index, observation in enumerate(observations):
            if not observation.mask.any():
                box, predicted = self.policy.best_box(observation), replies[index][0].predicted_iou
                replies[index] = [Proposal(box, predicted, None, format_reply(box, predicted))] * num_proposals
        return replies


class Notated(WrappedPolicy[Policy]):
    """Another policy's replies, written in a chat format and read again: what its numbers cost (paper Table 6)."""

    def __init__(self, policy: Policy, chat_format: ChatFormat) -> None:
        super().__init__(policy, f"{policy.name} in {chat_format.name}")
        self._format = chat_format

    def changed(
        self, observations: Sequence[Observation], replies: list[list[Proposal]], num_proposals: int
    ) -> list[list[Proposal]]:
        """The same replies in other words."""
        return [
            [self._again(proposal, *observation.mask.shape) for proposal in proposals]
            for observation, proposals in zip(observations, replies, strict=True)
        ]

    def _again(self, proposal: Proposal, height: int, width: int) -> Proposal:
        text = self._format.render(proposal.action, height, width, proposal.predicted_iou)
        action, predicted = self._format.parse(text, height, width)
        return Proposal(action, predicted, proposal.log_prob, text)


class TrulyJudged(WrappedPolicy[Policy]):
    """Another policy's actions with the true IoU in the place of the predicted one: what a perfect process reward model
    would make of them. It is built with the targets, as :class:`segagent.environment.SimulatedAnnotator` is, and serves
    as a bound in evaluation alone.
    """

    def __init__(self, policy: Policy, targets: Mapping[tuple[str, str], Target]) -> None:
        super().__init__(policy, f"{policy.name}, judged by the truth")
        self._targets = targets

    def changed(
        self, observations: Sequence[Observation], replies: list[list[Proposal]], num_proposals: int
    ) -> list[list[Proposal]]:
        """The same actions."""
        return [
            [replace(proposal, predicted_iou=self._truth(observation)) for proposal in proposals]
            for observation, proposals in zip(observations, replies, strict=True)
        ]

    def propose_apart(
        self,
        observations: Sequence[Observation],
        num_proposals: int,
        apart: float,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Diverse`; only where the policy is."""
        assert isinstance(self.policy, Diverse)
        replies = self.policy.propose_apart(observations, num_proposals, apart, temperature=temperature, seeds=seeds)
        return self.changed(observations, replies, num_proposals)

    def _truth(self, observation: Observation) -> float:
        target = self._targets[SimulatedAnnotator.key(observation.image, observation.text)]
        return iou(observation.mask, target.mask, target.ignore)
