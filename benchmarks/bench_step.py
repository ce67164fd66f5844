"""Cost of one step at 640 x 480 on one core: the embedded default, and the loop alone.

    taskset -c 0 python benchmarks/bench_step.py

Times are the processor's, so that other work on the machine counts little. The first line says which kind of CPU it is;
as one without bfloat16 units it behaves with ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 in the environment.

"Loop alone" is the same search with a policy and a tool that cost next to nothing, so what is left is ours: overlay,
reading the reply, bookkeeping, RLE. Its baseline, measured in the same run, is the same work done plainly: overlay by
floating point over the whole image, a Pillow picture of it, the reply, the mask's RLE.
"""

from __future__ import annotations

import statistics
import time

import cv2
import numpy as np
import torch
from PIL import Image as PillowImage
from pycocotools import mask as coco_mask

from segagent.core import Image, Proposal, Segmentation
from segagent.cpu import cpu_words
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.environment import Episode
from segagent.imaging import draw_overlay
from segagent.policies import make_policy
from segagent.policies.reply import parse_reply
from segagent.search import SearchConfig, run_search
from segagent.tools import make_tool

STEPS = 7


class InstantPolicy:
    """Draws the overlay, writes and reads a reply as any policy does, without a model."""

    name = "instant"

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        replies = []
        for observation, seed in zip(observations, seeds, strict=True):
            height, width = observation.mask.shape
            draw_overlay(observation.image.pixels, observation.mask)
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
    """Median milliseconds of the processor per step, over whole episodes, image and text already encoded."""
    embeddings = tool.embed([episode.image])
    run_search([episode], policy, tool, config, embeddings)
    times = []
    for _ in range(repeats):
        began = time.process_time()
        (trajectory,) = run_search([episode], policy, tool, config, embeddings)
        times.append((time.process_time() - began) * 1e3 / len(trajectory.steps))
    return statistics.median(times)


def plain_step(pixels, masks) -> float:
    """Milliseconds of the processor: a step without its models done plainly, the whole image in floating point."""
    times = []
    green = np.array([0, 255, 0], np.float64)
    for mask in masks:
        began = time.process_time()
        layer = np.where(mask[..., None], green, pixels)
        overlay = PillowImage.fromarray((0.5 * pixels + 0.5 * layer).astype(np.uint8))
        np.asarray(overlay)
        parse_reply("Current IoU: 50. Positive point: (10, 10)", *mask.shape)
        coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        times.append((time.process_time() - began) * 1e3)
    return statistics.median(times)


def main() -> None:
    cv2.setNumThreads(1)
    print(cpu_words())
    scene = generate_scene(scene_rng("test", 7, 0), SceneConfig(height=480, width=640))
    episode = Episode(Image.of(scene.image), scene.expressions[0].text)
    endless = {"max_steps": STEPS, "stop_iou": 2.0, "patience": 10**6}

    masks = blob_masks()
    loop = per_step(episode, InstantPolicy(), InstantTool(masks), SearchConfig(**endless), 50)
    plain = plain_step(scene.image, masks)
    print(f"loop alone, search with PRM      {loop:8.2f} ms/step")
    print(f"the same done plainly            {plain:8.2f} ms/step   ratio {plain / loop:.1f}x")

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
