"""Cost of one step at 640 x 480 on one core: the embedded default, and the loop alone.

    taskset -c 0 python benchmarks/bench_step.py

"Loop alone" is the same search with a policy and a tool that cost next to nothing, so what is left is ours:
observation, bookkeeping, RLE. Its baseline, measured in the same run, is what a plain loop does beside the models: draw
the overlay, encode it as PNG for the model, read the reply, take both full-image distance transforms of a click.
"""

from __future__ import annotations

import io
import statistics
import time
from itertools import pairwise

import cv2
import numpy as np
import torch
from PIL import Image as PillowImage

from segagent.core import Image, Proposal, Segmentation
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.environment import Episode
from segagent.imaging import draw_overlay
from segagent.policies import make_policy
from segagent.policies.reply import parse_reply
from segagent.search import SearchConfig, run_search
from segagent.tools import make_tool

STEPS = 7


class InstantPolicy:
    """Writes and reads a reply as any policy does, without a model."""

    name = "instant"

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        replies = []
        for observation, seed in zip(observations, seeds, strict=True):
            height, width = observation.mask.shape
            text = f"Current IoU: 50. Positive point: ({seed % width}, {seed % height})"
            action, predicted = parse_reply(text, height, width)
            replies.append([Proposal(action, predicted, None, text)] * num_proposals)
        return replies


class InstantTool:
    """Answers with masks prepared beforehand."""

    name, accepts_box = "instant", False

    def __init__(self, masks):
        self._masks = masks

    def embed(self, images):
        return [None for _ in images]

    def segment(self, requests):
        return [Segmentation(self._masks[len(r.prompts) % len(self._masks)], None) for r in requests]


def blob_masks():
    masks = []
    for radius in range(40, 140, 10):
        canvas = np.zeros((480, 640), np.uint8)
        cv2.circle(canvas, (320, 240), radius, 1, -1)
        mask = canvas > 0
        mask.setflags(write=False)
        masks.append(mask)
    return masks


def per_step(episode: Episode, policy, tool, config: SearchConfig, repeats: int) -> float:
    """Median milliseconds per step over whole episodes, image and text already encoded."""
    embeddings = tool.embed([episode.image])
    run_search([episode], policy, tool, config, embeddings)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        (trajectory,) = run_search([episode], policy, tool, config, embeddings)
        times.append((time.perf_counter() - began) * 1e3 / len(trajectory.steps))
    return statistics.median(times)


def published_style_step(pixels, masks) -> float:
    """Milliseconds beside the models of one step done the plain way."""
    times = []
    for mask, other in pairwise(masks):
        began = time.perf_counter()
        buffer = io.BytesIO()
        PillowImage.fromarray(draw_overlay(pixels, mask)).save(buffer, "PNG")
        parse_reply("Current IoU: 50. Positive point: (10, 10)", *mask.shape)
        for error in (other & ~mask, mask & ~other):
            cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def main() -> None:
    cv2.setNumThreads(1)
    scene = generate_scene(scene_rng("test", 7, 0), SceneConfig(height=480, width=640))
    episode = Episode(Image.of(scene.image), scene.expressions[0].text)
    endless = {"max_steps": STEPS, "stop_iou": 2.0, "patience": 10**6}

    masks = blob_masks()
    loop = per_step(episode, InstantPolicy(), InstantTool(masks), SearchConfig(**endless), 50)
    plain = published_style_step(scene.image, masks)
    print(f"loop alone, search with PRM      {loop:8.2f} ms/step")
    print(f"plain loop's work beside models  {plain:8.2f} ms/step   ratio {plain / loop:.1f}x")

    torch.set_num_threads(1)
    policy, tool = make_policy("embedded"), make_tool("embedded")
    one = per_step(episode, policy, tool, SearchConfig(**endless), 5)
    four = per_step(episode, policy, tool, SearchConfig(num_candidates=4, **endless), 3)
    print(f"embedded policy + tool, K=1      {one:8.1f} ms/step")
    print(f"embedded policy + tool, K=4      {four:8.1f} ms/step   ratio {four / one:.2f}x of K=1, for 4 candidates")
    grabcut = per_step(episode, policy, make_tool("grabcut"), SearchConfig(**endless), 3)
    print(f"embedded policy + grabcut, K=1   {grabcut:8.1f} ms/step   ratio {grabcut / one:.2f}x of the embedded tool")


if __name__ == "__main__":
    main()
