"""Replies that a model without training in clicking is asked about again: a finish, and a click that it had tried.

Each is asked about once. A finish that is said again is taken; a click that is said over again is no action, so that it
costs a step and nothing else. What was set aside is on record (:class:`segagent.core.Aside`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias, get_args

from segagent.core import Aside, Click, Finish, InvalidAction, Observation, Proposal, total_usage
from segagent.policies.chat.format import ChatFormat
from segagent.policies.chat.looking_back import is_repeated

Kind: TypeAlias = Literal["verify", "repeated"]

_ROUNDS = 2
"""A repeated click may become a finish, which is asked about too."""


class Again(NamedTuple):
    """A question to be asked anew: about ``observation``, with ``note`` in its prompt, for the reason ``kind``."""

    observation: Observation
    kind: Kind
    note: str


Asker: TypeAlias = Callable[[Sequence[Again]], Sequence[Proposal]]
"""Asks such questions, each for one greedy reply, and reads the replies."""


def settled(
    fmt: ChatFormat, observations: Sequence[Observation], rows: Sequence[Sequence[Proposal]], ask: Asker
) -> list[list[Proposal]]:
    """``rows``, the proposals for each observation, in which none is left that ``fmt`` says is asked about again.

    Of several proposals for one observation that are asked about for one reason, the first is, and all get the answer.
    """
    answers = [list(row) for row in rows]
    for _ in range(_ROUNDS):
        wanted: list[tuple[int, list[int], Again]] = []
        for number, (look, row) in enumerate(zip(observations, answers, strict=True)):
            found = [_why_again(fmt, look, one) for one in row]
            for kind in get_args(Kind):
                places = [place for place, again in enumerate(found) if again is not None and again.kind == kind]
                if places and (again := found[places[0]]) is not None:
                    wanted.append((number, places, again))
        replies = ask([again for _, _, again in wanted]) if wanted else []
        for (number, places, again), new in zip(wanted, replies, strict=True):
            row = answers[number]
            for place in places:
                # What it cost lies with the first.
                row[place] = _after(row[place], new if place == places[0] else replace(new, usage=None), again.kind)
    return [
        [_refused(look, one) if fmt.history else one for one in row]
        for look, row in zip(observations, answers, strict=True)
    ]


def scored_as_seen(observation: Observation, proposal: Proposal) -> Proposal:
    """``proposal`` with what its IoU must be where the mask is empty: 0 if there is something to click on, unknown if
    not. Models that were not taught to score call their work perfect before it has begun.
    """
    if observation.mask.any() or proposal.predicted_iou is None:
        return proposal
    return replace(proposal, predicted_iou=None if isinstance(proposal.action, Finish) else 0.0)


def _why_again(fmt: ChatFormat, look: Observation, one: Proposal) -> Again | None:
    asked = {aside.why.partition(":")[0] for aside in one.asides}
    if not fmt.takes_notes(look):
        return None
    if fmt.verify and isinstance(one.action, Finish) and "verify" not in asked:
        return Again(look, "verify", fmt.verifying_words(look))
    if fmt.history and isinstance(one.action, Click) and "repeated" not in asked:
        number = is_repeated(one.action, look.past, look.mask.shape)
        if number is not None:
            return Again(look, "repeated", fmt.repeated_words(one.action, number, look))
    return None


def _after(old: Proposal, new: Proposal, kind: Kind) -> Proposal:
    why = "verify: it wanted to finish" if kind == "verify" else "repeated: a click that it had tried"
    return replace(
        new,
        predicted_iou=old.predicted_iou if new.predicted_iou is None else new.predicted_iou,
        usage=total_usage([old.usage, new.usage]),
        asides=(*old.asides, Aside(old.text, why)),
    )


def _refused(look: Observation, one: Proposal) -> Proposal:
    """``one``, or no action where it is a click that was tried before."""
    if not isinstance(one.action, Click):
        return one
    number = is_repeated(one.action, look.past, look.mask.shape)
    if number is None:
        return one
    told = " and was told so" if any(aside.why.startswith("repeated") for aside in one.asides) else ""
    return replace(one, action=InvalidAction(one.text, f"repeated: the click of step {number} over again{told}"))
