"""The policy's own episodes on training samples, with their true rewards, into a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from segagent.core import Observation, Policy, Proposal, SegAgentError, SegmentationTool
from segagent.core.versions import package_versions
from segagent.datasets import Dataset, SampleGroup
from segagent.datasets.loading import load_samples
from segagent.environment import Episode, Target
from segagent.learning.star.config import StarConfig
from segagent.learning.trajectories import Failure, episode_seed
from segagent.learning.trajectories.images import start_for
from segagent.runs.journal import Journal
from segagent.search import SearchConfig, rollout, with_rewards

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
    """Write one episode per sample of ``dataset`` and start to the journal ``out``, or go on where it stopped.

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
            for records in _records(together, walker, tool, search, config):
                journal.append(journal.next_unit, records)
            progress(journal.next_unit, dataset.num_images)


def _records(
    groups: Sequence[SampleGroup], policy: Policy, tool: SegmentationTool, search: SearchConfig, config: StarConfig
) -> list[list[dict[str, Any]]]:
    """The records of each group, its failures first."""
    records: list[list[dict[str, Any]]] = [[] for _ in groups]
    episodes: list[tuple[int, Episode, Target]] = []
    for number, group in enumerate(groups):
        for sample_id, loaded in _episodes(group, tool, config):
            if isinstance(loaded, str):
                records[number].append(Failure(sample_id, group.image_name, loaded).to_dict())
            else:
                episodes.append((number, *loaded))
    try:
        done = list(rollout([episode for _, episode, _ in episodes], policy, tool, search))
    except SegAgentError as error:
        if len(groups) > 1:  # One picture must not take the others with it.
            return [one for group in groups for one in _records([group], policy, tool, search, config)]
        return [records[0] + [Failure(e.sample_id, e.image_name, str(error)).to_dict() for _, e, _ in episodes]]
    for (number, _, target), trajectory in zip(episodes, done, strict=True):
        records[number].append(with_rewards(trajectory, target).to_dict())
    return records


def _episodes(
    group: SampleGroup, tool: SegmentationTool, config: StarConfig
) -> Iterator[tuple[str, tuple[Episode, Target] | str]]:
    """Each sample's id with an episode and its target, one for each start, or with why it has none."""
    for one in load_samples(group.samples()):
        if isinstance(one, Failure):
            yield one.sample_id, one.reason
            continue
        sample = one.sample
        seed = episode_seed(config.seed, sample.sample_id)
        for name in config.starts or ("empty",):
            start = start_for(name, one.mask, seed, tool)
            if start is not None:
                episode = Episode(one.image, sample.text, sample.sample_id, sample.image_name, start, seed)
                yield sample.sample_id, (episode, Target(one.mask, one.ignore))


def _chunks(groups: Iterable[SampleGroup], size: int) -> Iterator[list[SampleGroup]]:
    iterator = iter(groups)
    while chunk := list(islice(iterator, size)):
        yield chunk
