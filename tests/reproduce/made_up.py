"""Episodes and results made up for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from segagent.core import (
    BoolMask,
    Box,
    Candidate,
    Click,
    Image,
    Observation,
    Proposal,
    Start,
    Step,
    Trajectory,
    encode_rle,
)
from segagent.reproduce.config import SPLITS, MiniConfig
from segagent.reproduce.episodes import Played
from segagent.reproduce.filtering import filtering_row, fit_on
from segagent.reproduce.findings import findings
from segagent.reproduce.run import SCHEMA, finite
from segagent.reproduce.tables import (
    complexity_table,
    references_table,
    search_table,
    steps_table,
    undo_table,
    variants_table,
)
from segagent.reproduce.trainings import MODELS, SFT, STAR_PLUS

MASK = encode_rle(np.ones((2, 2), np.bool_))


def played(image: str, rewards: Sequence[float], predicted: Sequence[float], siblings: int = 0) -> Played:
    """An episode through states with these true and predicted IoUs, the start first."""
    steps = [
        Step(
            Click(i, 0, True),
            "",
            MASK,
            i,
            predicted_iou=predicted[i + 1],
            reward=rewards[i + 1],
            candidates=(Candidate(Click(0, 1, True), "", 0.0),) * siblings,
        )
        for i in range(len(rewards) - 1)
    ]
    start = Start("empty", MASK, predicted[0], rewards[0])
    calls = 1 + len(steps) * (1 + siblings)
    trajectory = Trajectory(
        image, image, 2, 2, "it", "p", "t", 0, start, tuple(steps), 0, "max_steps", num_policy_calls=calls
    )
    return Played(trajectory, tuple((round(1000 * r), 1000) for r in rewards), True)


def episodes(
    level: float, *, fall: float = 0.0, seed: int = 0, number: int = 30, steps: int = 11, siblings: int = 0
) -> list[Played]:
    """Episodes that rise to ``level`` after three steps and lose ``fall`` by the end; the predicted IoU is the true."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(number):
        top = float(np.clip(level + rng.normal(0, 0.02), 0, 1))
        rewards = [0.0, *np.linspace(top / 2, top, 3), *np.linspace(top, max(0, top - fall), steps - 3)]
        values = [float(r) for r in rewards]
        made.append(played(f"image {index}", values, values, siblings))
    return made


def made_up_results(levels: dict[str, float], *, fall: float = 0.2, search_gain: float = 0.1) -> dict[str, Any]:
    """Results in which each model reaches its level and the last steps spoil the mask by ``fall``."""
    config = MiniConfig()
    runs = {
        name: (
            [episodes(levels[name], fall=fall)],
            [episodes(levels[name] + search_gain, fall=fall, siblings=2)],
        )
        for name in MODELS
    }
    curves = {name: [[0.5, 0.9]] * 30 if name == "mini-RES" else [[0.2, 0.4, 0.6, 0.9]] * 30 for name in SPLITS}
    rng = np.random.default_rng(0)
    true = rng.random(200)
    pairs = [(float(np.clip(t + rng.normal(0, 0.02), 0, 1)), float(t), f"image {i % 30}") for i, t in enumerate(true)]
    two = {name: runs[name] for name in (SFT, STAR_PLUS)}
    tables = {
        "complexity": complexity_table(curves, 20),
        "steps": {s: {name: steps_table(runs[name][0], config.steps) for name in two} for s in SPLITS},
        "search": {"mini-RES": search_table(two, 7, 3), "mini-HRES": search_table(runs, 11, 3)},
        "references": {s: references_table(*[runs[SFT][0][0]] * 3, runs[SFT][0], {}, 7) for s in SPLITS},
        "undo": undo_table({SFT: {"Alg. 2": runs[SFT][1][0], "best first": runs[SFT][1][0]}}, [10, 34]),
        "filtering": {SFT: {"mini-RES, random clicks": filtering_row(pairs, fit_on(pairs)), "nothing": {}}},
        "color": {"mini-RES": variants_table({"green": runs[SFT][0][0], "red": runs[STAR_PLUS][0][0]}, 7)},
        "notation": {"mini-RES": variants_table({"a": runs[SFT][0][0], "b": runs[SFT][0][0]}, 7)},
        "first_action": {"box tool": variants_table({"none": runs[SFT][0][0], "own": runs[SFT][0][0]}, 7)},
    }
    model = {"steps": 10, "examples": 20, "seconds": 60.0, "losses": []}
    results = finite(
        {
            "schema": SCHEMA,
            "command": "segagent reproduce miniature -o OUT",
            "config": config.to_dict(),
            "versions": {"segagent": "0"},
            "seeds": [0],
            "counts": {
                "d_0": {"images": 5, "samples": 5, "trajectories": 15},
                "test": dict.fromkeys(SPLITS, 30),
            },
            "models": dict.fromkeys(MODELS, model),
            "tables": tables,
            "plots": [],
        }
    )
    results["findings"] = [one.to_dict() for one in findings(results)]
    return dict(results)


class Guessing:
    """A policy that clicks and scores by a digest of what it sees; counts how often it is asked."""

    name = "guessing"

    def __init__(self) -> None:
        self.asked = 0
        self.stop_at = 10**9

    def outline(self, image: Image, text: str) -> BoolMask:
        """The left half."""
        return np.tile(np.arange(image.width) < image.width // 2, (image.height, 1))

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        replies = []
        for number, seen in enumerate(observations):
            self.asked += 1
            if self.asked > self.stop_at:
                raise KeyboardInterrupt
            digest = hashlib.blake2b(seen.mask.tobytes() + seen.text.encode()).digest()
            greedy = np.random.default_rng(list(digest[:8]))
            drawn = np.random.default_rng(seeds[number] if seeds is not None else 0)
            predicted = round(float(greedy.random()), 2)
            height, width = seen.mask.shape
            replies.append(
                [
                    Proposal(
                        Click(int(rng.integers(width)), int(rng.integers(height)), bool(rng.random() < 0.7)),
                        predicted,
                        0.0,
                        "",
                    )
                    for rng in (greedy, *([drawn if temperature else greedy] * (num_proposals - 1)))
                ]
            )
        return replies

    def best_box(self, observation: Observation) -> Box:
        return Box(10, 20, 60, 80)
