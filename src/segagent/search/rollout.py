"""Many episodes, streamed: batched, and each image embedded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from segagent.core import Policy, SegmentationTool, Trajectory, iou
from segagent.environment import Episode, Target
from segagent.search.config import SearchConfig
from segagent.search.guided import run_search


def rollout(
    episodes: Iterable[Episode],
    policy: Policy,
    tool: SegmentationTool,
    config: SearchConfig = SearchConfig(),
    *,
    batch_size: int = 16,
    max_embeddings: int = 64,
) -> Iterator[Trajectory]:
    """Trajectories of ``episodes``, in order, ``batch_size`` at a time.

    An image's embedding is kept while episodes about it follow one another closely (the ``max_embeddings`` most recent
    images), so a data set whose samples are grouped by image has each image embedded exactly once, whatever the
    batches.
    """
    iterator = iter(episodes)
    recent: OrderedDict[str, object] = OrderedDict()
    while batch := list(islice(iterator, batch_size)):
        missing = {e.image.key: e.image for e in batch if e.image.key not in recent}
        recent.update(zip(missing, tool.embed(list(missing.values())) if missing else [], strict=True))
        embeddings = []
        for episode in batch:
            recent.move_to_end(episode.image.key)
            embeddings.append(recent[episode.image.key])
        yield from run_search(batch, policy, tool, config, embeddings)
        while len(recent) > max_embeddings:
            recent.popitem(last=False)


def with_rewards(trajectory: Trajectory, target: Target) -> Trajectory:
    """The same trajectory with the true IoU of each state filled in, after the fact."""

    def reward(index: int) -> float:
        return iou(trajectory.mask_at(index), target.mask, target.ignore)

    return replace(
        trajectory,
        start=replace(trajectory.start, reward=reward(0)),
        steps=tuple(replace(step, reward=reward(index)) for index, step in enumerate(trajectory.steps, 1)),
    )
