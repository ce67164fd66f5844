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

from segagent.core import BoolMask, Click, Image, InputError, SegAgentError, SegmentationTool, Trajectory, encode_rle
from segagent.core.failures import Failure
from segagent.core.trajectory import Start, Step
from segagent.core.versions import package_versions
from segagent.datasets import Dataset
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
from segagent.runs.journal import Journal


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
    num, failures = 0, list[Failure]()
    with Journal(path, settings, {"dataset": spec, "versions": package_versions()}) as journal:
        for group in dataset.groups():
            samples = [sample for sample in group.samples() if sample.sample_id in beginnings]
            records: list[dict[str, Any]] = []
            image = samples[0].load_image() if samples else None
            for sample in samples:
                assert image is not None
                beginning = beginnings[sample.sample_id]
                target = Target(*sample.load_target(image))
                start = StartSpec("mask", mask=beginning.mask) if beginning.mask.any() else StartSpec()
                seed = episode_seed(0, sample.sample_id)
                episode = Episode(image, sample.text, sample.sample_id, sample.image_name, start, seed)
                try:
                    made = _trajectories(episode, target, beginning.clicks, tool, config)
                except (SegAgentError, ValueError) as error:
                    failures.append(Failure(sample.sample_id, sample.image_name, str(error)))
                    records.append(failures[-1].to_dict())
                    continue
                num += len(made)
                records += [one.to_dict() for one in made]
            journal.append(journal.next_unit, records)
    return num, failures


def _trajectories(
    episode: Episode, target: Target, clicks: Sequence[Click], tool: SegmentationTool, config: GenerationConfig
) -> list[Trajectory]:
    made = generate_trajectories([episode], [target], tool, config)
    if clicks:
        played = play_clicks(episode, target, clicks, tool, config)
        if played.steps:
            made.append(played)
    return made


def play_clicks(
    episode: Episode, target: Target, clicks: Sequence[Click], tool: SegmentationTool, config: GenerationConfig
) -> Trajectory:
    """A person's ``clicks`` through ``tool``, up to the first that does not raise the reward."""
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
            raise InputError(f"the person's click at {click.x}, {click.y} cannot be carried out")
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
