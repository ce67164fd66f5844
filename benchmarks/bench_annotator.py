"""Milliseconds per simulated click at 640 x 480, beside the plain full-image rule, on the same errors.

    python benchmarks/bench_annotator.py [--tool embedded]

The plain rule pads both error masks and takes both distance transforms over the whole image, as the benchmarks' code
does.
The errors are those of real annotations: generated scenes, the simulated annotator, 8 clicks with the given tool.
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np

from segagent.core import Click, Image
from segagent.cpu import cpu_words
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.environment import Episode, GenerationConfig, Target, generate_trajectories, next_click
from segagent.tools import make_tool


def plain_rule(mask, target, clicked=()):
    depths = []
    for error in (target & ~mask, mask & ~target):
        padded = np.pad(error, 1).astype(np.uint8)
        depths.append(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1])
        for x, y in clicked:
            depths[-1][y, x] = 0
    positive = depths[0].max() > depths[1].max()
    depth = depths[0] if positive else depths[1]
    y, x = np.argwhere(depth == depth.max())[0]
    return Click(int(x), int(y), bool(positive))


def errors(tool_name: str, num_scenes: int = 40):
    config = SceneConfig(height=480, width=640)
    scenes = [generate_scene(scene_rng("test", 5, i), config) for i in range(num_scenes)]
    targets = [scene.objects[scene.expressions[0].target].mask for scene in scenes]
    episodes = [Episode(Image.of(scene.image), scene.expressions[0].text) for scene in scenes]
    trajectories = generate_trajectories(
        episodes, [Target(target) for target in targets], make_tool(tool_name), GenerationConfig(8, 2.0, -2.0)
    )
    for trajectory, target in zip(trajectories, targets, strict=True):
        for index in range(len(trajectory.steps) + 1):
            yield trajectory.mask_at(index), target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default="embedded")
    cv2.setNumThreads(1)
    cases = [(mask, target) for mask, target in errors(parser.parse_args().tool) if (mask != target).any()]
    for mask, target in cases[:50]:
        assert next_click(mask, target) == plain_rule(mask, target)
    times: dict[str, list[float]] = {"plain rule": [], "next_click": []}
    for _ in range(3):
        for mask, target in cases:
            for name, rule in (("plain rule", plain_rule), ("next_click", next_click)):
                began = time.process_time()
                rule(mask, target)
                times[name].append((time.process_time() - began) * 1e3)
    print(cpu_words())
    print(f"{len(cases)} errors, CPU milliseconds per click")
    for name, values in times.items():
        print(f"{name:12} mean {statistics.mean(values):6.2f}   median {statistics.median(values):6.2f}")
    print(f"ratio of means {statistics.mean(times['plain rule']) / statistics.mean(times['next_click']):.1f}x")


if __name__ == "__main__":
    main()
