"""Trajectories of the simulated annotator for the interactive-segmentation protocol.

Unlike in training trajectories no click is discarded: clicks that make the mask worse count, as in the benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segagent.core import SegmentationTool, Trajectory
from segagent.core.versions import package_versions
from segagent.environment import Episode, GenerationConfig, Target, generate_trajectories


def click_trajectories(
    episodes: Sequence[Episode],
    targets: Sequence[Target],
    tool: SegmentationTool,
    *,
    max_clicks: int = 20,
    enough: float = 1.0,
) -> list[Trajectory]:
    """One trajectory with rewards per episode and its target, in step with one another.

    An episode ends after ``max_clicks``, once the IoU reaches ``enough``, or when no error is left. The annotator's
    knowledge is not noted as a predicted IoU: it predicts nothing. Raises ``ValueError`` for a target without a pixel.
    """
    if any(not target.mask.any() for target in targets):
        raise ValueError("a target without a single pixel cannot be clicked")
    made = generate_trajectories(episodes, targets, tool, GenerationConfig(max_clicks, enough, None))
    return [
        replace(
            one,
            start=replace(one.start, predicted_iou=None),
            steps=tuple(replace(step, predicted_iou=None) for step in one.steps),
            stopped="enough" if one.stopped == "tau_stop" else one.stopped,
            versions=package_versions(tool),
        )
        for one in made
    ]
