"""What an untrained state head does, with the annotator's rule built in (--fresh) and without (--fresh-bare).

    python benchmarks/bench_fresh.py --scenes 40 --seeds 5 --json fresh.json

Rows: the shipped model with an untrained state head of each seed. For each generated test scene its first click,
greedy: how many pixels it lies from where the simulated annotator would click if the model's own outline of the object
were the target, and the IoU with the true target after that click with the embedded tool. "positive": share of first
clicks that add to the mask, which an untrained head decides by chance.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from scene_samples import scene_samples
from segagent.core import Click, empty_mask
from segagent.environment import next_click
from segagent.policies import make_policy
from segagent.policies.embedded.network import load_network
from segagent.policies.embedded.policy import SHIPPED, EmbeddedPolicy
from segagent.policies.embedded.state_head import StateHead
from segagent.search import SearchConfig, rollout
from segagent.tools import make_tool


def untrained(seed: int, *, depth_prior: bool) -> EmbeddedPolicy:
    """What ``train sft --fresh`` begins from."""
    network = load_network(SHIPPED)
    torch.manual_seed(seed)
    network.state, network.prm = StateHead(depth_prior=depth_prior), None
    return EmbeddedPolicy(network)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--complexity", default="simple")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = scene_samples(options.scenes, complexity=options.complexity)
    episodes = [sample.episode for sample in samples]
    tool = make_tool("embedded")
    shipped = make_policy("embedded")
    assert isinstance(shipped, EmbeddedPolicy)
    rules = []
    for episode in episodes:
        outline = shipped.outline(episode.image, episode.text)
        rules.append(next_click(empty_mask(*outline.shape), outline))
    heads = [("shipped", shipped)]
    for name, prior in (("fresh", True), ("fresh, bare", False)):
        heads += [(f"{name}, seed {seed}", untrained(seed, depth_prior=prior)) for seed in range(options.seeds)]
    report: dict[str, object] = {"options": {k: str(v) for k, v in vars(options).items()}}
    print(f"{'head':22} {'px from the rule, median':>25} {'positive':>9} {'mIoU after it':>14}")
    for name, policy in heads:
        played = rollout(episodes, policy, tool, SearchConfig(1, use_prm=False))
        distances, signs, ious = [], [], []
        for trajectory, rule, sample in zip(played, rules, samples, strict=True):
            click = trajectory.steps[0].action
            assert isinstance(click, Click)
            if rule is not None:
                distances.append(float(np.hypot(click.x - rule.x, click.y - rule.y)))
            signs.append(click.positive)
            mask = trajectory.mask_at(1)
            ious.append((mask & sample.target.mask).sum() / (mask | sample.target.mask).sum())
        row = {"px": float(np.median(distances)), "positive": float(np.mean(signs)), "mIoU": float(np.mean(ious))}
        print(f"{name:22} {row['px']:25.1f} {row['positive']:9.2f} {row['mIoU']:14.3f}", flush=True)
        report[name] = row
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
