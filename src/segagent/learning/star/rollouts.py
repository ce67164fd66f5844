"""The policy's own episodes on training samples, with their true rewards, into a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from segagent.core import SCHEMA, Observation, Policy, Proposal, SegAgentError, SegmentationTool, Trajectory
from segagent.core.journal import Journal, read_journal
from segagent.datasets import Dataset, SampleGroup
from segagent.datasets.loading import load_samples
from segagent.environment import Episode, Target
from segagent.learning.examples import Example
from segagent.learning.star.config import StarConfig
from segagent.learning.trajectories import Failure, episode_seed
from segagent.search import SearchConfig, rollout, with_rewards
from segagent.search.versions import package_versions

_PICTURES_TOGETHER = 8


class Sampling:
    """A policy whose first proposal is sampled too: with temperature 0 it is ``policy`` itself."""

    def __init__(self, policy: Policy, temperature: float) -> None:
        self._policy, self._temperature = policy, temperature

    @property
    def name(self) -> str:
        """The policy's own."""
        return self._policy.name

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`; the greedy proposal is asked for and left out."""
        if not self._temperature:
            return self._policy.propose(observations, num_proposals, temperature=temperature, seeds=seeds)
        heat = max(temperature, self._temperature)
        replies = self._policy.propose(observations, num_proposals + 1, temperature=heat, seeds=seeds)
        return [proposals[1:] for proposals in replies]


def roll_out(
    policy: Policy,
    tool: SegmentationTool,
    dataset: Dataset,
    out: Path,
    config: StarConfig,
    settings: dict[str, Any],
    progress: Callable[[int, int], None],
) -> None:
    """Write one episode per sample of ``dataset`` to the journal ``out``, or go on where an earlier run stopped.

    Episodes have ``config.max_steps`` steps without any stop: rewards need no PRM. Units are images; a sample that
    cannot be used is recorded as failed. ``settings`` decide the records besides ``config``; ``progress`` is told
    (images done, images in all).
    """
    search = SearchConfig(config.max_steps, use_prm=False)
    walker = Sampling(policy, config.temperature)
    with Journal(out, {"what": "rollouts", **settings}, {"versions": package_versions()}) as journal:
        groups = islice(dataset.groups(), journal.next_unit, None)
        progress(journal.next_unit, dataset.num_images)
        for together in _chunks(groups, _PICTURES_TOGETHER):
            for records in _records(together, walker, tool, search, config.seed):
                journal.append(journal.next_unit, records)
            progress(journal.next_unit, dataset.num_images)


def _records(
    groups: Sequence[SampleGroup], policy: Policy, tool: SegmentationTool, search: SearchConfig, seed: int
) -> list[list[dict[str, Any]]]:
    """The records of each group, its failures first."""
    records: list[list[dict[str, Any]]] = [[] for _ in groups]
    episodes: list[tuple[int, Episode, Target]] = []
    for number, group in enumerate(groups):
        for sample_id, loaded in _episodes(group, seed):
            if isinstance(loaded, str):
                records[number].append(Failure(sample_id, group.image_name, loaded).to_dict())
            else:
                episodes.append((number, *loaded))
    try:
        done = list(rollout([episode for _, episode, _ in episodes], policy, tool, search))
    except SegAgentError as error:
        if len(groups) > 1:  # One picture must not take the others with it.
            return [one for group in groups for one in _records([group], policy, tool, search, seed)]
        return [records[0] + [Failure(e.sample_id, e.image_name, str(error)).to_dict() for _, e, _ in episodes]]
    for (number, _, target), trajectory in zip(episodes, done, strict=True):
        records[number].append(with_rewards(trajectory, target).to_dict())
    return records


def _episodes(group: SampleGroup, seed: int) -> Iterator[tuple[str, tuple[Episode, Target] | str]]:
    """Each sample's id with its episode and target, or with why it has none."""
    for one in load_samples(group.samples()):
        if isinstance(one, Failure):
            yield one.sample_id, one.reason
            continue
        sample = one.sample
        own_seed = episode_seed(seed, sample.sample_id)
        episode = Episode(one.image, sample.text, sample.sample_id, sample.image_name, seed=own_seed)
        yield sample.sample_id, (episode, Target(one.mask, one.ignore))


def rollout_examples(
    dataset: Dataset, path: Path, convert: Callable[[Trajectory, Target], list[Example]]
) -> list[Example]:
    """What ``convert`` makes of every rollout in the journal ``path`` of ``dataset`` and its target."""
    _, records = read_journal(path)
    by_image: dict[str, list[Trajectory]] = {}
    for record in records:
        if record.get("schema") == SCHEMA:
            trajectory = Trajectory.from_dict(record)
            by_image.setdefault(trajectory.image, []).append(trajectory)
    examples: list[Example] = []
    for group in dataset.groups():
        trajectories = {t.sample_id: t for t in by_image.get(group.image_name, ())}
        if not trajectories:
            continue
        samples = group.samples()
        image = samples[0].load_image()
        for sample in samples:
            if sample.sample_id in trajectories:
                target = Target(*sample.load_target(image))
                examples += convert(trajectories[sample.sample_id], target)
    return examples


def _chunks(groups: Iterable[SampleGroup], size: int) -> Iterator[list[SampleGroup]]:
    iterator = iter(groups)
    while chunk := list(islice(iterator, size)):
        yield chunk
