"""What is played for each sample, by protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from segagent.core import (
    InputError,
    Outliner,
    Policy,
    RefusedError,
    SegmentationTool,
    Start,
    State,
    Trajectory,
    Usage,
    encode_rle,
    predicts_iou,
    total_usage,
)
from segagent.datasets.faults import DEGRADING_VERSION, degraded
from segagent.environment import Episode, StartSpec, Target, embed_images, observe, random_clicks_start, reset
from segagent.evaluation.clicking import click_trajectories
from segagent.evaluation.measuring import Protocol
from segagent.runs.playing import Asked
from segagent.runs.session import Shard
from segagent.search import SearchConfig, rollout, with_rewards
from segagent.search.versions import versions_with

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """Everything that decides the trajectories, policy, tool and data set apart. ``outline`` has no settings of its
    own."""

    protocol: Protocol = "res"
    """What is done with each sample."""
    search: SearchConfig = SearchConfig()
    """How a policy plays (``res``, ``refine``, and ``noc`` with a policy)."""
    max_clicks: int = 20
    """Budget of ``noc``."""
    enough: float = 1.0
    """``noc``: the IoU at which an object is clicked no further."""
    draws: int = 1
    """``filter``: masks per sample."""
    seed: int = 0
    """Of all sampling."""
    shard: Shard = Shard()
    """Which images."""
    batch_images: int = 1
    """Images that are played at once; changes no result."""
    batch_episodes: int = 16
    """Samples of theirs that the models are asked about together; changes no result."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise InputError(f"protocol {self.protocol!r}: expected one of {', '.join(PROTOCOLS)}")
        if min(self.max_clicks, self.draws, self.batch_images, self.batch_episodes) < 1 or self.seed < 0:
            raise InputError("max_clicks, draws and batch sizes must be at least 1 and the seed at least 0")
        if not 0 < self.enough <= 1:
            raise InputError(f"the IoU that is enough must lie above 0 and be at most 1, got {self.enough}")

    def to_dict(self) -> dict[str, Any]:
        """What changes a record: settings of other protocols left out."""
        if self.protocol == "filter":
            return {"draws": self.draws, "seed": self.seed}
        if self.protocol == "outline":
            return {"seed": self.seed}
        if self.protocol == "noc":
            return {"max_clicks": self.max_clicks, "enough": self.enough, "seed": self.seed}
        names = ("max_steps", "num_candidates", "use_prm", "temperature", "stop_iou", "patience", "best_first")
        settings = {**{name: getattr(self.search, name) for name in names}, "seed": self.seed}
        return {**settings, "starts": DEGRADING_VERSION} if self.protocol == "refine" else settings


def play(
    asked: Sequence[Asked], policy: Policy | None, tool: SegmentationTool, config: EvaluationConfig
) -> list[list[Trajectory]]:
    """The trajectories of each, with rewards. ``policy`` None is the simulated annotator, for ``noc`` only.

    The policy is shown nothing of a target.
    """
    episodes = [one.episode for one in asked]
    targets = [one.target for one in asked if one.target is not None]
    if config.protocol == "filter":
        assert policy is not None
        return _judge(episodes, targets, policy, tool, config.draws)
    if config.protocol == "outline":
        return [[_outlined(episode, target, policy, tool)] for episode, target in zip(episodes, targets, strict=True)]
    if config.protocol == "refine":
        episodes = [_from_degraded(episode, target) for episode, target in zip(episodes, targets, strict=True)]
    if policy is None:
        made = click_trajectories(episodes, targets, tool, max_clicks=config.max_clicks, enough=config.enough)
    else:
        search = config.search
        if config.protocol == "noc":
            search = SearchConfig(config.max_clicks, use_prm=False)
        made = list(rollout(episodes, policy, tool, search, batch_size=config.batch_episodes))
        made = [with_rewards(trajectory, target) for trajectory, target in zip(made, targets, strict=True)]
    return [[trajectory] for trajectory in made]


def _from_degraded(episode: Episode, target: Target) -> Episode:
    """The episode begun with a faulty mask of its target, drawn by the episode's seed."""
    mask = degraded(target.mask, np.random.default_rng(episode.seed), target.ignore)
    return replace(episode, start=StartSpec("mask", mask))


def _judge(
    episodes: Sequence[Episode], targets: Sequence[Target], policy: Policy, tool: SegmentationTool, draws: int
) -> list[list[Trajectory]]:
    """Annotation filtering (paper Table 3): masks by random clicks in the target's box, each scored by the policy.

    One trajectory without steps per mask: its start is the mask.
    """
    if not predicts_iou(policy):
        raise InputError(f"policy {policy.name!r:.200} predicts no IoU, so it cannot filter annotations")
    starts = []
    for episode, target in zip(episodes, targets, strict=True):
        rng = np.random.default_rng(episode.seed)
        starts += [replace(episode, start=random_clicks_start(target.mask, rng)) for _ in range(draws)]
    states = reset(starts, embed_images(tool, [episode.image for episode in starts]), tool)
    replies = policy.propose([observe(e, s) for e, s in zip(starts, states, strict=True)])
    made: list[Trajectory] = []
    for number, (episode, state, proposals) in enumerate(zip(starts, states, replies, strict=True)):
        said = proposals[0].predicted_iou
        if said is None:
            reason = getattr(proposals[0].action, "reason", "it names an action only")
            raise RefusedError(f"the reply states no IoU of the mask ({reason:.200}): {proposals[0].text[:100]!r}")
        reward = targets[number // draws].reward(state)
        start = Start(episode.start.kind, encode_rle(state.mask), said, reward, state.prompts)
        usage = total_usage([proposal.usage for proposal in proposals])
        made.append(_without_steps(episode, start, policy, tool, usage))
    return [made[begin : begin + draws] for begin in range(0, len(made), draws)]


def _outlined(episode: Episode, target: Target, policy: Policy | None, tool: SegmentationTool) -> Trajectory:
    """The policy's own outline of what is meant as the mask: no click, and the tool has no part in it."""
    if not isinstance(policy, Outliner):
        name = "the simulated annotator" if policy is None else f"policy {policy.name!r:.200}"
        raise InputError(f"{name} outlines nothing by itself; the protocol 'outline' needs an embedded policy")
    mask = policy.outline(episode.image, episode.text)
    start = Start("mask", encode_rle(mask), reward=target.reward(State(mask)))
    return _without_steps(episode, start, policy, tool, None)


def _without_steps(
    episode: Episode, start: Start, policy: Policy, tool: SegmentationTool, usage: Usage | None
) -> Trajectory:
    """A mask that is looked at and not changed."""
    return Trajectory(
        sample_id=episode.sample_id,
        image=episode.image_name,
        height=episode.image.height,
        width=episode.image.width,
        text=episode.text,
        policy=policy.name,
        tool=tool.name,
        seed=episode.seed,
        start=start,
        steps=(),
        returned=0,
        stopped="scored",
        num_policy_calls=1,
        num_tool_calls=len(start.prompts),
        versions=versions_with(policy, tool),
        usage=usage,
    )
