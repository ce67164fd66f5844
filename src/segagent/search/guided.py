"""Search over clicks: fixed steps, greedy with the PRM as stop signal, PRM-guided tree search (Alg. 2), best-first.

One loop does all of them, for many episodes in step with one another. A state's predicted IoU and the next actions come
from the same model reply, so each state costs one policy call: 1 for the start and at most K per step, where Alg. 2 as
written asks K + 1 times. Episodes share tool and policy batches and nothing else; each one's result is what it would be
alone.

The returned state is the best-scored one seen, the start included, so with everything else equal more steps never
return a mask that is scored worse, and a refinement never returns one that is scored below the mask it was given.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np

from segagent.core import (
    Action,
    Attempt,
    Candidate,
    Diverse,
    Finish,
    InputError,
    Policy,
    Proposal,
    SegmentationTool,
    Start,
    State,
    Step,
    Trajectory,
    Usage,
    encode_rle,
    predicts_iou,
    total_usage,
)
from segagent.environment import Episode, embed_images, observe, reset, step_batch, why_invalid
from segagent.search.config import SearchConfig
from segagent.search.stopping import why_satisfied
from segagent.search.versions import versions_with


@dataclass(frozen=True, eq=False)
class _Node:
    """A state with what the policy said of it in one reply, what that cost, and what led to the state."""

    state: State
    proposals: list[Proposal]
    predicted_iou: float | None
    usage: Usage | None = None
    past: tuple[Attempt, ...] = ()


@dataclass(frozen=True, eq=False)
class _Child:
    """A candidate: the action, the state it was taken in (by index in the record), and what came of it."""

    proposal: Proposal
    parent: int
    node: _Node
    invalid: str | None

    @property
    def score(self) -> float:
        return -1.0 if self.node.predicted_iou is None else self.node.predicted_iou


class _Question(NamedTuple):
    """A state to be scored; ``stuck`` if the last action changed nothing. ``past``: what led to it."""

    episode: Episode
    state: State
    step: int
    candidate: int
    stuck: bool
    past: tuple[Attempt, ...] = ()


@dataclass(eq=False)
class _Run:
    """Progress of one episode: ``node`` is state ``at`` of the record; ``frontier`` are candidates not taken."""

    episode: Episode
    embedding: object
    node: _Node
    start: Start
    at: int = 0
    steps: list[Step] = field(default_factory=list)
    frontier: list[_Child] = field(default_factory=list)
    best: int = 0
    best_iou: float | None = None
    stopped: str = ""
    policy_calls: int = 0
    tool_calls: int = 0
    seconds: float = 0.0
    usage: Usage | None = None


def run_search(
    episodes: Sequence[Episode],
    policy: Policy,
    tool: SegmentationTool,
    config: SearchConfig = SearchConfig(),
    embeddings: Sequence[object] | None = None,
) -> list[Trajectory]:
    """One trajectory per episode, in order.

    ``embeddings`` (one per episode) are computed where not given, once per distinct image. ``Trajectory.stopped`` is
    one of ``max_steps``, ``finish`` (the policy said so), ``confident`` (``stop_iou`` reached), ``kept``
    (``keep_iou``), ``converged`` (``patience``), ``max_seconds``, ``max_policy_calls`` and ``max_money``.

    A reply that states no IoU makes the lowest score there is. Raises ``InputError`` where several candidates are
    wanted of a policy that never states one, ``RefusedError`` where the policy has no answer to one of the episodes.
    """
    began = time.perf_counter()
    if embeddings is None:
        embeddings = embed_images(tool, [episode.image for episode in episodes])
    spent = (time.perf_counter() - began) / max(len(episodes), 1)
    asked = zip(episodes, embeddings, strict=True)
    return list(search_stream(asked, policy, tool, config, at_once=max(len(episodes), 1), spent=spent))


def search_stream(
    asked: Iterable[tuple[Episode, object]],
    policy: Policy,
    tool: SegmentationTool,
    config: SearchConfig,
    *,
    at_once: int,
    spent: float = 0.0,
) -> Iterator[Trajectory]:
    """The trajectories of episodes, each with its image's embedding, in order.

    ``at_once`` of them are searched in step with one another; one that ends makes room for the next. ``spent``: seconds
    that each has taken already. Raises as :func:`run_search` does.
    """
    if config.num_candidates > 1 and not predicts_iou(policy):
        raise InputError(f"policy {policy.name!r} predicts no IoU, so it cannot choose between candidates; use 1")
    if config.diversity is not None and not isinstance(policy, Diverse):
        raise InputError(f"policy {policy.name!r} cannot propose distinct objects first; leave the diversity out")
    coming = iter(asked)
    ordered: deque[_Run] = deque()
    active: list[_Run] = []
    while True:
        new = list(islice(coming, at_once - len(active)))
        if not active and not new:
            return
        began = time.perf_counter()
        states = reset([episode for episode, _ in new], [embedding for _, embedding in new], tool)
        first = [_Question(e, s, 0, 0, stuck=False) for (e, _), s in zip(new, states, strict=True)]
        nodes = _advance(active, first, policy, tool, config)
        begun = [_begun(e, embedding, node, spent) for (e, embedding), node in zip(new, nodes, strict=True)]
        active += begun
        ordered += begun
        for run in active:
            run.seconds += (time.perf_counter() - began) / len(active)
            run.stopped = run.stopped or _why_stop(run, config)
        active = [run for run in active if not run.stopped]
        while ordered and ordered[0].stopped:
            yield _trajectory(ordered.popleft(), policy, tool, config)


def _begun(episode: Episode, embedding: object, node: _Node, spent: float) -> _Run:
    prompts = node.state.prompts
    start = Start(episode.start.kind, encode_rle(node.state.mask), node.predicted_iou, prompts=prompts)
    return _Run(
        episode,
        embedding,
        node,
        start,
        best_iou=node.predicted_iou,
        policy_calls=1,
        tool_calls=len(prompts),
        seconds=spent,
        usage=node.usage,
    )


def _advance(
    runs: Sequence[_Run], first: Sequence[_Question], policy: Policy, tool: SegmentationTool, config: SearchConfig
) -> list[_Node]:
    """One step of every run: try the candidates, score the masks they lead to, keep the best.

    What is ``first`` asked about episodes that begin goes to the policy with the rest; its answers are given back.
    """
    tried: list[tuple[_Run, Proposal, int]] = []
    for run in runs:
        for index, proposal in enumerate(_candidates(run, tool, config)):
            tried.append((run, proposal, index))
    children = step_batch([(run.embedding, run.node.state, proposal.action) for run, proposal, _ in tried], tool)
    invalid = [why_invalid(run.node.state, proposal.action, tool) for run, proposal, _ in tried]
    pasts = [
        (*run.node.past, Attempt(proposal.action, run.node.state.mask, run.node.predicted_iou, why))
        for (run, proposal, _), why in zip(tried, invalid, strict=True)
    ]
    questions, asked = [], []
    for position, ((run, proposal, index), child) in enumerate(zip(tried, children, strict=True)):
        if child.mask is not run.node.state.mask:
            run.tool_calls += 1
        last = len(run.steps) + 1 >= config.max_steps
        if isinstance(proposal.action, Finish) or (last and not config.use_prm):
            continue
        stuck = config.num_candidates == 1 and np.array_equal(child.mask, run.node.state.mask)
        questions.append(_Question(run.episode, child, len(run.steps) + 1, index, stuck, pasts[position]))
        asked.append(position)
        run.policy_calls += 1
    answers = _ask(policy, [*first, *questions], config)
    replies = dict(zip(asked, answers[len(first) :], strict=True))
    families: dict[int, list[_Child]] = {}
    for position, ((run, proposal, _), state) in enumerate(zip(tried, children, strict=True)):
        node = replies.get(position)
        if node is None:  # not asked about: its score is not needed, or after Finish known already
            known = run.node.predicted_iou if isinstance(proposal.action, Finish) else None
            node = _Node(state, [], known, past=pasts[position])
        run.usage = total_usage([run.usage, node.usage])
        families.setdefault(id(run), []).append(_Child(proposal, run.at, node, invalid[position]))
    for run in runs:
        _take(run, families[id(run)], config)
    return answers[: len(first)]


def _candidates(run: _Run, tool: SegmentationTool, config: SearchConfig) -> list[Proposal]:
    """The distinct actions to try from the run's state.

    Beside others, an invalid reply or a sampled Finish is not worth a candidate; alone it is what the policy wants.
    """
    proposals = run.node.proposals
    if isinstance(proposals[0].action, Finish):
        return proposals[:1]
    distinct: dict[Action, Proposal] = {}
    for proposal in proposals:
        distinct.setdefault(proposal.action, proposal)
    usable = [
        proposal
        for action, proposal in distinct.items()
        if not isinstance(action, Finish) and why_invalid(run.node.state, action, tool) is None
    ]
    return usable[: config.num_candidates] or proposals[:1]


def _take(run: _Run, family: list[_Child], config: SearchConfig) -> None:
    """Go on to the best child (the first of equals) and put everything on record."""
    chosen = max(family, key=lambda child: child.score)
    if config.best_first and run.frontier:
        earlier = max(run.frontier, key=lambda child: child.score)
        if earlier.score > chosen.score:
            chosen = earlier
            run.frontier.remove(earlier)
    others = [child for child in family if child is not chosen]
    if config.best_first:
        run.frontier += others
    node, proposal = chosen.node, chosen.proposal
    run.steps.append(
        Step(
            action=proposal.action,
            text=proposal.text,
            mask=encode_rle(node.state.mask),
            parent=chosen.parent,
            predicted_iou=node.predicted_iou,
            log_prob=proposal.log_prob,
            invalid=chosen.invalid,
            candidates=tuple(
                Candidate(c.proposal.action, c.proposal.text, c.node.predicted_iou, c.proposal.asides) for c in others
            ),
            asides=proposal.asides,
            tokens=proposal.tokens,
        )
    )
    run.node, run.at = node, len(run.steps)
    if isinstance(proposal.action, Finish):
        run.stopped = "finish"
    if node.predicted_iou is not None and (run.best_iou is None or node.predicted_iou > run.best_iou):
        run.best, run.best_iou = len(run.steps), node.predicted_iou


def _why_stop(run: _Run, config: SearchConfig) -> str:
    """Why the run ends in its present state; empty if it goes on."""
    satisfied = why_satisfied(len(run.steps), run.best, run.best_iou, config)
    # A finish that the model was asked about twice goes on record as the step that it is.
    doubted = (
        bool(run.node.proposals) and isinstance(run.node.proposals[0].action, Finish) and run.node.proposals[0].asides
    )
    if satisfied and not (satisfied == "confident" and doubted):
        return satisfied
    if len(run.steps) >= config.max_steps:
        return "max_steps"
    if config.max_seconds is not None and run.seconds >= config.max_seconds:
        return "max_seconds"
    if config.max_policy_calls is not None and run.policy_calls >= config.max_policy_calls:
        return "max_policy_calls"
    if config.max_money is not None and run.usage is not None:
        used = run.usage
        spent = config.prices.money(used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.money)
        if spent >= config.max_money:
            return "max_money"
    return ""


def _ask(policy: Policy, questions: Sequence[_Question], config: SearchConfig) -> list[_Node]:
    """Score states and get their next actions, one model reply each.

    Most policies see no history, so where the last action changed nothing the greedy reply would be the same again:
    with a single candidate, such a state is asked for a sampled reply.
    """
    nodes: dict[int, _Node] = {}
    for stuck in (False, True):
        group = [i for i, question in enumerate(questions) if question.stuck == stuck]
        if not group:
            continue
        temperature = config.temperature if stuck or config.num_candidates > 1 else 0.0
        shown = [observe(questions[i].episode, questions[i].state, questions[i].past) for i in group]
        seeds = [_seed(questions[i]) for i in group]
        if config.diversity is not None and config.num_candidates > 1 and isinstance(policy, Diverse):
            replies = policy.propose_apart(
                shown, config.num_candidates, config.diversity, temperature=temperature, seeds=seeds
            )
        else:
            replies = policy.propose(shown, config.num_candidates + stuck, temperature=temperature, seeds=seeds)
        for i, proposals in zip(group, replies, strict=True):
            spent = total_usage([proposal.usage for proposal in proposals])
            node = _Node(questions[i].state, proposals[stuck:], proposals[0].predicted_iou, spent, questions[i].past)
            nodes[i] = node
    return [nodes[i] for i in range(len(questions))]


def _seed(question: _Question) -> int:
    """A seed of its own for each state of a search, the same whatever else is searched beside it."""
    sequence = np.random.SeedSequence([question.episode.seed, question.step, question.candidate])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _trajectory(run: _Run, policy: Policy, tool: SegmentationTool, config: SearchConfig) -> Trajectory:
    returned = run.best if config.use_prm and run.best_iou is not None else len(run.steps)
    return Trajectory(
        sample_id=run.episode.sample_id,
        image=run.episode.image_name,
        height=run.episode.image.height,
        width=run.episode.image.width,
        text=run.episode.text,
        policy=policy.name,
        tool=tool.name,
        seed=run.episode.seed,
        start=run.start,
        steps=tuple(run.steps),
        returned=returned,
        stopped=run.stopped,
        num_policy_calls=run.policy_calls,
        num_tool_calls=run.tool_calls,
        seconds=run.seconds,
        versions=versions_with(policy, tool),
        usage=run.usage,
    )
