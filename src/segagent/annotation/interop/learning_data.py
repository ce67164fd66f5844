"""Corrections as training data: what the run's mask needed to become the person's, click by click.

The simulated annotator starts from the run's mask and is told the person's, so its trajectory is that of a person who
mends the mask. Where the file holds the person's own clicks, they are played through the tool as well, up to the first
that no longer helps, which is the rule of trajectory generation too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segagent.core import BoolMask, Click, Image, SegmentationTool, ToolError, Trajectory, encode_rle
from segagent.core.failures import Failure
from segagent.core.trajectory import Start, Step
from segagent.core.versions import package_versions
from segagent.datasets import Dataset, Sample
from segagent.distributed import worker_processes
from segagent.environment import (
    Episode,
    GenerationConfig,
    StartSpec,
    Target,
    embed_images,
    generate_trajectories,
    reset,
    step_batch,
)
from segagent.environment.mdp import why_invalid
from segagent.environment.seeds import episode_seed
from segagent.runs.fingerprint import tool_answers
from segagent.runs.models import Models
from segagent.runs.playing import Asked, Playing
from segagent.runs.run import Plan, carry_out
from segagent.runs.session import Session


@dataclass(frozen=True, eq=False)
class Beginning:
    """The mask that was corrected, and the clicks of the person who did it."""

    mask: BoolMask
    clicks: tuple[Click, ...] = ()


def write_trajectories(
    dataset: Dataset,
    spec: str,
    beginnings: Mapping[str, Beginning],
    tool: SegmentationTool,
    config: GenerationConfig,
    path: Path,
) -> tuple[int, list[Failure]]:
    """Write the trajectories of the objects of ``dataset``, whose masks are the persons', to a journal.

    ``segagent train sft`` reads it. ``spec``: where the data set will be found. Gives the number of trajectories, and
    the objects that none could be made for.
    """
    settings = {
        "what": "corrections",
        "dataset": dataset.fingerprint,
        "tool": tool.name,
        "tool_answers": tool_answers(tool),
        **asdict(config),
    }
    notes = {"dataset": spec, "versions": package_versions()}
    plan = Plan(dataset, Playing(_Mended(beginnings, config)), path, settings, notes)
    with worker_processes(lambda: Models(None, tool), 1) as ask:
        made = carry_out(plan, ask, Session())
    return made.outcomes["trajectories"], made.failures


@dataclass(frozen=True, eq=False)
class _Mended:
    """A :class:`segagent.runs.playing.Kind`: from the run's mask to the person's, by the annotator's rule and by the
    person's own clicks.
    """

    beginnings: Mapping[str, Beginning]
    config: GenerationConfig
    embeds = True

    def asked(self, sample: Sample, image: Image, models: Models) -> list[Asked]:
        del models
        mask = self.beginnings[sample.sample_id].mask
        start = StartSpec("mask", mask=mask) if mask.any() else StartSpec()
        seed = episode_seed(0, sample.sample_id)
        episode = Episode(image, sample.text, sample.sample_id, sample.image_name, start, seed)
        return [Asked(episode, Target(*sample.load_target(image)))]

    def play(self, asked: Sequence[Asked], models: Models) -> list[list[Trajectory]]:
        given = [(one.episode, one.target) for one in asked if one.target is not None]
        made = generate_trajectories([one for one, _ in given], [one for _, one in given], models.tool, self.config)
        by_hand = [self._by_hand(episode, target, models.tool) for episode, target in given]
        return [[one, *more] for one, more in zip(made, by_hand, strict=True)]

    def _by_hand(self, episode: Episode, target: Target, tool: SegmentationTool) -> list[Trajectory]:
        clicks = self.beginnings[episode.sample_id].clicks
        played = [play_clicks(episode, target, clicks, tool, self.config)] if clicks else []
        return [one for one in played if one.steps]

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: Models, seconds: float
    ) -> list[dict[str, Any]]:
        del sample, asked, models, seconds
        return [one.to_dict() for one in made]


def play_clicks(
    episode: Episode, target: Target, clicks: Sequence[Click], tool: SegmentationTool, config: GenerationConfig
) -> Trajectory:
    """A person's ``clicks`` through ``tool``, up to the first that does not raise the reward.

    Raises ``ToolError`` for one that cannot be carried out.
    """
    embeddings = embed_images(tool, [episode.image])
    (state,) = reset([episode], embeddings, tool)
    reward = target.reward(state)
    start = Start(episode.start.kind, encode_rle(state.mask), reward, reward, state.prompts)
    steps: list[Step] = []
    stopped = "person"
    for click in clicks:
        if reward >= config.tau_stop:
            break
        if why_invalid(state, click, tool) is not None:
            raise ToolError(f"the person's click at {click.x}, {click.y} cannot be carried out")
        (state,) = step_batch([(embeddings[0], state, click)], tool)
        if config.discards(target.reward(state) - reward):
            stopped = "tau_diff"
            break
        reward = target.reward(state)
        steps.append(Step(click, "", encode_rle(state.mask), len(steps), predicted_iou=reward, reward=reward))
    return _trajectory(episode, start, steps, "tau_stop" if reward >= config.tau_stop else stopped, tool)


def _trajectory(episode: Episode, start: Start, steps: list[Step], stopped: str, tool: SegmentationTool) -> Trajectory:
    image: Image = episode.image
    return Trajectory(
        sample_id=episode.sample_id,
        image=episode.image_name,
        height=image.height,
        width=image.width,
        text=episode.text,
        policy="person",
        tool=tool.name,
        seed=episode.seed,
        start=start,
        steps=tuple(steps),
        returned=len(steps),
        stopped=stopped,
        num_tool_calls=len(steps),
    )
