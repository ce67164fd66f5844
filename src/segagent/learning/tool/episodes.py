"""Persistent episodes: a batch of views, each advanced by one simulated click per training step."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, Click, Pixels, iou
from segagent.datasets.faults import faulty_probabilities
from segagent.environment.annotator import next_click
from segagent.learning.tool.sources import Source
from segagent.learning.tool.views import random_view
from segagent.vision.click_evidence import (
    ClickEvidence,
    Floats,
    GridClick,
    ViewEvidence,
    add_clicks,
    evidence_channels,
    no_clicks,
    view_evidence,
)
from segagent.vision.click_network import NUM_FINE
from segagent.vision.click_views import box_fill, click_disks, resized

_ENOUGH = 0.97
_BOX_SHARE = 0.2
"""Of the episodes that start from nothing, so many start with a box instead of a click."""
FractionBox = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of the view's width and height."""


@dataclass
class Episode:
    """One object in one view: pixels uint8 (side, side, 3), target bool (side, side), float32 ``previous``."""

    pixels: Pixels
    target: BoolMask
    previous: npt.NDArray[np.float32]
    steps_left: int
    box: FractionBox | None = None
    answered: bool = False
    clicks: list[Click] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Batch:
    """Network inputs and targets of one step.

    ``pixels`` uint8 (n, side, side, 3); ``fine`` float32 (n, NUM_FINE, side, side); ``evidence`` float32 (n, channels,
    side/2, side/2); ``targets`` float32 (n, side, side). ``fresh``: which pictures are others than in the step before.
    """

    pixels: Pixels
    fine: Floats
    evidence: Floats
    targets: Floats
    fresh: list[int]


class EpisodePool:
    """``size`` episodes at once; an episode that is over is replaced by a new one from ``source``."""

    def __init__(self, source: Source, rng: np.random.Generator, size: int, side: int, empty_share: float) -> None:
        self._source, self._rng, self._side, self._empty_share = source, rng, side, empty_share
        self._episodes = [self._new_episode() for _ in range(size)]
        fresh = view_evidence(np.stack([episode.pixels for episode in self._episodes]))
        down, up, right, left = (cost.copy() for cost in fresh.costs)
        self._views = ViewEvidence(fresh.lab.copy(), (down, up, right, left), fresh.border.copy(), fresh.bins.copy())
        self._clicks = no_clicks(size, side // 2)
        self._clicks = add_clicks(self._views, self._clicks, self._early_clicks(range(size)))
        self._fresh = list(range(size))

    def advance(self) -> Batch:
        """The next click of every episode, and what the network is to read and to answer."""
        over = [i for i, e in enumerate(self._episodes) if e.steps_left <= 0]
        self._replace(over)
        fresh, self._fresh = sorted({*over, *self._fresh}), []
        stuck, clicks = [], []
        for index, episode in enumerate(self._episodes):
            if episode.box is not None and not episode.answered:
                continue
            # Now and then the same question again: what the second, zoomed-in pass of the tool asks.
            if episode.clicks and self._rng.random() < 0.1:
                continue
            click = self._click(episode)
            if click is None:
                stuck.append(index)
                continue
            episode.clicks.append(click)
            clicks.append(self._on_grid(index, click))
        self._clicks = add_clicks(self._views, self._clicks, clicks)
        for index in stuck:
            self._episodes[index].steps_left = 0
        grid = self._side // 2
        coarse = np.stack([resized(e.previous, grid, grid) for e in self._episodes])
        fine = np.empty((len(self._episodes), NUM_FINE, self._side, self._side), np.float32)
        for place, episode in zip(fine, self._episodes, strict=True):
            place[0] = episode.previous
            place[1:3] = click_disks(self._fractions(episode), self._side)
            place[3] = box_fill(episode.box, self._side)
        return Batch(
            np.stack([e.pixels for e in self._episodes]),
            fine,
            evidence_channels(self._views, self._clicks, coarse),
            np.stack([e.target for e in self._episodes]).astype(np.float32),
            fresh,
        )

    def answer(self, probabilities: npt.NDArray[np.float32]) -> list[tuple[int, float]]:
        """Take the network's answers (n, side, side) as the new masks; (number of clicks, IoU) of each episode."""
        scores = []
        for episode, answer in zip(self._episodes, probabilities, strict=True):
            episode.previous, episode.answered = answer, True
            score = iou(answer >= 0.5, episode.target)
            scores.append((len(episode.clicks), score))
            episode.steps_left = 0 if score >= _ENOUGH else episode.steps_left - 1
        return scores

    def _new_episode(self) -> Episode:
        view = None
        while view is None:
            view = random_view(self._rng, *self._source.draw(self._rng), self._side)
        pixels, target = view
        steps = 1 if self._rng.random() < 0.3 else int(self._rng.integers(2, 10))
        if self._rng.random() < self._empty_share:
            box = _loose_box(self._rng, target) if self._rng.random() < _BOX_SHARE else None
            return Episode(pixels, target, np.zeros(target.shape, np.float32), steps, box)
        return Episode(pixels, target, faulty_probabilities(target, self._rng), steps)

    def _replace(self, over: list[int]) -> None:
        if not over:
            return
        for index in over:
            self._episodes[index] = self._new_episode()
        fresh = view_evidence(np.stack([self._episodes[index].pixels for index in over]))
        self._views.lab[over], self._views.border[over] = fresh.lab, fresh.border
        self._views.bins[over] = fresh.bins
        for mine, new in zip(self._views.costs, fresh.costs, strict=True):
            mine[:, :, over] = new
        distance, unlikeness = self._clicks.distance.copy(), self._clicks.unlikeness.copy()
        blank = no_clicks(len(over), self._side // 2)
        distance[over], unlikeness[over] = blank.distance, blank.unlikeness
        self._clicks = add_clicks(self._views, ClickEvidence(distance, unlikeness), self._early_clicks(over))

    def _early_clicks(self, indices: list[int] | range) -> list[GridClick]:
        """Half of the episodes that start from a mask also start with clicks that explain it."""
        early = []
        for index in indices:
            episode = self._episodes[index]
            if not episode.previous.any() or self._rng.random() < 0.5:
                continue
            for _ in range(int(self._rng.integers(1, 4))):
                positive = not episode.clicks or self._rng.random() < 0.6
                click = self._random_point(episode.target if positive else ~episode.target, positive)
                if click is not None:
                    episode.clicks.append(click)
                    early.append(self._on_grid(index, click))
        return early

    def _click(self, episode: Episode) -> Click | None:
        mask = episode.previous >= 0.5
        click = next_click(mask, episode.target, episode.clicks)
        if click is None or self._rng.random() < 0.6:
            return click
        # A person, or a language model, does not hit the deepest pixel; elsewhere in the same error will do.
        error = episode.target & ~mask if click.positive else mask & ~episode.target
        return self._random_point(error, click.positive) or click

    def _random_point(self, region: BoolMask, positive: bool) -> Click | None:
        depth = cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        if depth.max() <= 0:
            return None
        places = np.flatnonzero(depth >= 0.4 * depth.max())
        y, x = divmod(int(self._rng.choice(places)), self._side)
        return Click(x, y, positive)

    def _on_grid(self, index: int, click: Click) -> GridClick:
        return index, (click.x + 0.5) / self._side, (click.y + 0.5) / self._side, click.positive

    def _fractions(self, episode: Episode) -> list[tuple[float, float, bool]]:
        return [((c.x + 0.5) / self._side, (c.y + 0.5) / self._side, c.positive) for c in episode.clicks]


def _loose_box(rng: np.random.Generator, target: BoolMask) -> FractionBox:
    """The box of ``target`` (side, side) as a person or a detector would give it: each edge off by up to a tenth."""
    rows, columns = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
    x0, y0, x1, y1 = (int(n) for n in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    off = np.clip(rng.normal(0, 0.03, 4), -0.1, 0.1) if rng.random() < 0.7 else np.zeros(4)
    edges = np.array((x0, y0, x1, y1)) + off * np.array((x1 - x0, y1 - y0) * 2)
    left, top, right, bottom = (float(n) for n in np.clip(edges / target.shape[0], 0, 1))
    return left, top, right, bottom
