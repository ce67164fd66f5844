"""Many episodes, streamed: batched, and each image embedded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from segagent.core import Policy, SegmentationTool, Trajectory, iou
from segagent.core.recent import Recent
from segagent.environment import Episode, Target
from segagent.search.config import SearchConfig
from segagent.search.guided import search_stream


def rollout(
    episodes: Iterable[Episode],
    policy: Policy,
    tool: SegmentationTool,
    config: SearchConfig = SearchConfig(),
    *,
    batch_size: int = 16,
    max_embeddings: int = 64,
) -> Iterator[Trajectory]:
    """Trajectories of ``episodes``, in order, ``batch_size`` of them in step; one that ends makes room for the next.

    Images are embedded for as many episodes at once. An image's embedding is kept while episodes about it follow one
    another closely (the ``max_embeddings`` most recent images), so a data set whose samples are grouped by image has
    each image embedded exactly once, whatever the batches. No trajectory depends on ``batch_size``.
    """
    asked = _embedded(episodes, tool, batch_size, max_embeddings)
    return search_stream(asked, policy, tool, config, at_once=batch_size)


def _embedded(
    episodes: Iterable[Episode], tool: SegmentationTool, batch_size: int, max_embeddings: int
) -> Iterator[tuple[Episode, object]]:
    """Each episode with the embedding of its image."""
    iterator = iter(episodes)
    recent: Recent[str, tuple[object]] = Recent(max_embeddings)
    while batch := list(islice(iterator, batch_size)):
        here = {one.image.key: recent.get(one.image.key) for one in batch}
        missing = {one.image.key: one.image for one in batch if here[one.image.key] is None}
        made = tool.embed(list(missing.values())) if missing else []
        here.update(zip(missing, zip(made), strict=True))
        for one in batch:
            kept = here[one.image.key]
            assert kept is not None
            recent.put(one.image.key, kept)
            yield one, kept[0]


def with_rewards(trajectory: Trajectory, target: Target) -> Trajectory:
    """The same trajectory with the true IoU of each state filled in, after the fact."""

    def reward(index: int) -> float:
        return iou(trajectory.mask_at(index), target.mask, target.ignore)

    return replace(
        trajectory,
        start=replace(trajectory.start, reward=reward(0)),
        steps=tuple(replace(step, reward=reward(index)) for index, step in enumerate(trajectory.steps, 1)),
    )
