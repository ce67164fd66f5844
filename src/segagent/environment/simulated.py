"""The simulated annotator as a policy, for upper bounds, and the states that refinement starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segagent.core import BoolMask, Box, Click, Finish, Image, Observation, Proposal, iou
from segagent.environment.annotator import next_click
from segagent.environment.mdp import StartSpec, Target


class SimulatedAnnotator:
    """Clicks as the rule says, knowing the targets: an upper bound, never a result.

    It is built with the targets (by image key and text) because an observation does not hold them. Its predicted IoU is
    the true one. It finishes when nothing is left to click. Unlike the benchmark rule it does not know which pixels
    were clicked before, since an observation holds no history.
    """

    def __init__(self, targets: Mapping[tuple[str, str], Target]) -> None:
        self._targets = targets

    @staticmethod
    def key(image: Image, text: str) -> tuple[str, str]:
        """The key under which the target of ``text`` in ``image`` is looked up."""
        return image.key, text

    @property
    def name(self) -> str:
        """For records."""
        return "simulated"

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """The rule's click, ``num_proposals`` times the same."""
        replies = []
        for observation in observations:
            target = self._targets[self.key(observation.image, observation.text)]
            click = next_click(observation.mask, target.mask, ignore=target.ignore)
            reward = iou(observation.mask, target.mask, target.ignore)
            replies.append([Proposal(click or Finish(), reward, 0.0, "")] * num_proposals)
        return replies


def box_around(mask: BoolMask) -> Box | None:
    """The tight box of a mask, None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def random_clicks_start(target: BoolMask, rng: np.random.Generator, max_clicks: int = 3) -> StartSpec:
    """A start by 1..``max_clicks`` clicks placed at random in the target's box (paper sections 4.1 and Table 3).

    Each click's sign is right for its place; the first one is on the object, so that the tool has something to
    start from.
    """
    box = box_around(target)
    if box is None:
        return StartSpec()
    rows, columns = np.nonzero(target)
    first = int(rng.integers(rows.size))
    clicks = [Click(int(columns[first]), int(rows[first]), True)]
    for _ in range(int(rng.integers(0, max_clicks))):
        x, y = int(rng.integers(box.x0, box.x1)), int(rng.integers(box.y0, box.y1))
        clicks.append(Click(x, y, bool(target[y, x])))
    return StartSpec("random", clicks=tuple(clicks))
