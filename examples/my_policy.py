"""A policy of one's own: it looks for the colour that the words name, and clicks like the simulated annotator."""

from collections.abc import Sequence

import numpy as np

from segagent.core import Action, Finish, Observation, Proposal, iou
from segagent.environment import next_click
from segagent.policies import format_reply

COLOURS = {"red": 0, "green": 1, "blue": 2}


class ColourPolicy:
    """Takes for the object what is more of the named colour, by ``margin`` of 255, than of the two others."""

    def __init__(self, margin: str = "60") -> None:
        self.name = f"python:my_policy:ColourPolicy:margin={margin}"  # Records go by it: settings belong in there.
        self._margin = float(margin)

    def propose(
        self, observations: Sequence[Observation], num_proposals: int = 1, *,
        temperature: float = 0.0, seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:  # fmt: skip
        return [[self._look(observation)] * num_proposals for observation in observations]  # Nothing is drawn by lot.

    def _look(self, observation: Observation) -> Proposal:
        pixels, wanted = observation.image.pixels.astype(np.float32), np.zeros_like(observation.mask)
        for channel in (COLOURS[word] for word in observation.text.lower().split() if word in COLOURS):
            wanted |= pixels[..., channel] - np.delete(pixels, channel, axis=2).max(axis=2) > self._margin
        predicted = iou(observation.mask, wanted)
        click = next_click(observation.mask, wanted)
        action: Action = Finish() if click is None or predicted > 0.95 else click
        return Proposal(action, predicted, 0.0, format_reply(action, predicted))
