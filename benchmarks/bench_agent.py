"""The agent on generated test scenes beside blind baselines and the simulated annotator's upper bound.

    python benchmarks/bench_agent.py --scenes 200 --steps 7 --json agent.json

Baselines: one click at the image's centre; one at the centre of an object drawn at random (which is told where the
objects are); and, where the policy finds objects by itself, its own outline of what is meant, with no click and no
tool: what clicking has to beat. All other rows use the same tool on the same samples. The greedy episodes are made
once, without stopping: what fixed steps, the PRM and the PRM with its early stop would have returned is read off the
same episodes. Intervals are 95 % bootstrap by scene; margins are paired by scene.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from scene_samples import SceneSample, scene_samples
from segagent.core import Click, Finish, Outliner, Proposal, Trajectory, intersection_and_union, iou
from segagent.cpu import cpu_words
from segagent.environment import GenerationConfig, generate_trajectories, next_click
from segagent.evaluation.bootstrap import bootstrap_ratio
from segagent.evaluation.selection import state_after
from segagent.policies import make_policy
from segagent.search import SearchConfig, rollout, with_rewards
from segagent.tools import make_tool

AGENT = "greedy, PRM, early stop"
OUTLINE = "own outline, no click"
Choice = Callable[[Trajectory, int], int]


def last_state(trajectory: Trajectory, num_steps: int) -> int:
    return state_after(trajectory, num_steps, use_prm=False)


def best_scored(trajectory: Trajectory, num_steps: int) -> int:
    return state_after(trajectory, num_steps, use_prm=True)


def early_stop(trajectory: Trajectory, num_steps: int) -> int:
    """What the default search would have returned, which stops when confident or when nothing better comes."""
    config = SearchConfig()
    best = 0
    for index in range(1, min(num_steps, len(trajectory.steps)) + 1):
        if trajectory.predicted_iou_at(best) >= config.stop_iou or index - 1 - best >= config.patience:
            break
        if trajectory.predicted_iou_at(index) > trajectory.predicted_iou_at(best):
            best = index
    return best


class RandomObject:
    """Clicks once, at the deepest pixel of an object drawn at random."""

    name = "random object"

    def __init__(self, samples: list[SceneSample], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._masks = {s.episode.image.key: s.scene.objects[rng.integers(len(s.scene.objects))].mask for s in samples}

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        replies = []
        for observation in observations:
            click = next_click(np.zeros_like(observation.mask), self._masks[observation.image.key])
            action = Finish() if observation.mask.any() else click
            replies.append([Proposal(action, None, None, "")] * num_proposals)
        return replies


def run(samples: list[SceneSample], policy, tool, config: SearchConfig) -> list[Trajectory]:
    trajectories = rollout([s.episode for s in samples], policy, tool, config)
    return [with_rewards(t, s.target) for t, s in zip(trajectories, samples, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--complexity", default="mixed")
    parser.add_argument("--candidates", type=int, default=1, help="also search with so many candidates")
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--tool", default="embedded")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(cpu_words())
    samples = scene_samples(options.scenes, split=options.split, seed=options.seed, complexity=options.complexity)
    policy, tool = make_policy(options.policy), make_tool(options.tool)
    endless = {"stop_iou": 2.0, "patience": 10**6}
    blind = SearchConfig(max_steps=2, use_prm=False)
    runs = {
        "image centre": run(samples, make_policy("centre"), tool, blind),
        "random object": run(samples, RandomObject(samples, options.seed), tool, blind),
        "greedy": run(samples, policy, tool, SearchConfig(options.steps, **endless)),
    }
    greedy = runs["greedy"]
    rows: dict[str, tuple[list[Trajectory], Choice]] = {
        "image centre": (runs["image centre"], last_state),
        "random object": (runs["random object"], last_state),
        "greedy, fixed steps": (greedy, last_state),
        "greedy, PRM": (greedy, best_scored),
        AGENT: (greedy, early_stop),
    }
    if options.candidates > 1:
        search = run(samples, policy, tool, SearchConfig(options.steps, options.candidates, **endless))
        rows[f"search K={options.candidates}"] = (search, best_scored)
    marks = sorted({1, 3, 5, options.steps})
    report: dict[str, object] = {"options": {k: str(v) for k, v in vars(options).items()}}
    print(
        f"{'mIoU after':26}"
        + "".join(f"{f'@{m}':>8}" for m in marks)
        + "   returned [95 %]          cIoU   calls    s/ep"
    )
    returned: dict[str, np.ndarray] = {}
    for name, (done, choose) in rows.items():
        curve = [float(np.mean([t.reward_at(choose(t, m)) for t in done])) for m in marks]
        chosen = [choose(t, options.steps) for t in done]
        returned[name] = np.array([t.reward_at(index) for t, index in zip(done, chosen, strict=True)])
        overlaps = [
            intersection_and_union(t.mask_at(index), s.target.mask)
            for t, index, s in zip(done, chosen, samples, strict=True)
        ]
        overall = bootstrap_ratio(*zip(*overlaps, strict=True))
        interval = bootstrap_ratio(returned[name])
        calls = np.mean([t.num_policy_calls for t in done])
        seconds = np.mean([t.seconds for t in done])
        cells = "".join(f"{v:8.3f}" for v in curve)
        print(f"{name:26}{cells}   {interval}   {overall.value:.3f}  {calls:6.1f}  {seconds:6.2f}", flush=True)
        report[name] = {
            "by_step": dict(zip(map(str, marks), curve, strict=True)),
            "mIoU": interval.to_dict(),
            "cIoU": overall.to_dict(),
            "policy_calls": float(calls),
            "seconds_per_episode": float(seconds),
        }
    if isinstance(policy, Outliner):
        outlines = [policy.outline(s.episode.image, s.episode.text) for s in samples]
        returned[OUTLINE] = np.array([iou(m, s.target.mask) for m, s in zip(outlines, samples, strict=True)])
        overlaps = [intersection_and_union(m, s.target.mask) for m, s in zip(outlines, samples, strict=True)]
        interval, overall = bootstrap_ratio(returned[OUTLINE]), bootstrap_ratio(*zip(*overlaps, strict=True))
        print(f"{OUTLINE:26}" + " " * (8 * len(marks)) + f"   {interval}   {overall.value:.3f}", flush=True)
        report[OUTLINE] = {"mIoU": interval.to_dict(), "cIoU": overall.to_dict()}
    first = [(t.steps[0].action, s) for t, s in zip(greedy, samples, strict=True)]
    hits = [isinstance(a, Click) and a.positive and bool(s.target.mask[a.y, a.x]) for a, s in first]
    report["first_click_hit"] = bootstrap_ratio(hits).to_dict()
    report["predicted_iou"] = calibration(greedy)
    report["by_kind"] = {
        f"{what}={value}": [float(np.mean(returned[AGENT][which])), int(which.sum())]
        for what in ("kind", "size")
        for value in sorted({getattr(s, what) for s in samples})
        for which in [np.array([getattr(s, what) == value for s in samples])]
    }
    upper = generate_trajectories(
        [s.episode for s in samples], [s.target for s in samples], tool, GenerationConfig(options.steps, 2.0, -2.0)
    )
    best = [t.reward_at(len(t.steps)) for t in upper]
    report["simulated annotator"] = bootstrap_ratio(best).to_dict()
    print(f"{'simulated annotator':26}" + " " * (8 * len(marks)) + f"   {bootstrap_ratio(best)}")
    for base in [name for name in ("image centre", "random object", OUTLINE) if name in returned]:
        margin = bootstrap_ratio(returned[AGENT] - returned[base])
        report[f"margin over {base}"] = margin.to_dict()
        print(f"{AGENT} over {base}: {margin}")
    print("first click on the object:", report["first_click_hit"])
    print("predicted IoU over the agent's own states:", report["predicted_iou"])
    print("mIoU by kind and size (count):", report["by_kind"])
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


def calibration(trajectories: list[Trajectory]) -> dict[str, object]:
    """How well the predicted IoU agrees with the true one over all states after the start; intervals by episode."""
    pairs = [
        (t.predicted_iou_at(i), t.reward_at(i), n)
        for n, t in enumerate(trajectories)
        for i in range(1, len(t.steps) + 1)
    ]
    predicted, true, episode = (np.array(column, float) for column in zip(*pairs, strict=True))
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(episode == n) for n in np.unique(episode)]
    resampled = []
    for _ in range(500):
        drawn = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        resampled.append(np.corrcoef(predicted[drawn], true[drawn])[0, 1])
    ranks = [np.argsort(np.argsort(values)) for values in (predicted, true)]
    return {
        "pearson": float(np.corrcoef(predicted, true)[0, 1]),
        "pearson_interval": [float(q) for q in np.quantile(resampled, [0.025, 0.975])],
        "spearman": float(np.corrcoef(*ranks)[0, 1]),
        "mae": float(np.abs(predicted - true).mean()),
        "states": len(pairs),
    }


if __name__ == "__main__":
    main()
