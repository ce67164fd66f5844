"""Scenes per second on one core, beside a plain way of drawing the same number of objects.

Run: taskset -c 0 .venv/bin/python benchmarks/bench_scenes.py

Baseline, timed in the same run: the same backgrounds and camera, but every object is drawn on the whole supersampled
canvas and its shadow and pixels are blended over the whole picture, where the generator works within the object's
bounding box. The baseline has no patterns, no occlusion limits and no sentences, so it does less.
Times are CPU seconds of this process, so other work on the machine disturbs them little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from segagent.cpu import cpu_words
from segagent.datasets.scenes import CATEGORIES, Scene, SceneConfig, generate_leaf_scene, generate_scene, scene_rng
from segagent.datasets.scenes.appearance import camera
from segagent.datasets.scenes.backgrounds import background
from segagent.datasets.scenes.drawing import hull_area
from segagent.datasets.scenes.shapes import draw_category, random_pose

_TARGET = 20.0
_SIDE = 256


def cpu_seconds(work: Callable[[int], object], num: int) -> float:
    """CPU seconds per call of ``work(0) .. work(num - 1)``, after two calls that warm the caches."""
    for index in range(2):
        work(index)
    start = time.process_time()
    for index in range(num):
        work(index)
    return (time.process_time() - start) / num


def draw_on_whole_canvas(rng: np.random.Generator, num_objects: int) -> np.ndarray:
    """The baseline: ``num_objects`` random objects, each with operations over the whole picture."""
    canvas = background(rng, _SIDE, _SIDE, busy=0.7)
    for _ in range(num_objects):
        category = CATEGORIES[int(rng.integers(len(CATEGORIES)))]
        parts = draw_category(rng, category)
        pose = random_pose(rng, category) * np.sqrt(0.05 * _SIDE**2 / hull_area(parts)) * 2
        centre = rng.uniform(0.25, 0.75, 2) * _SIDE * 2
        cover = np.zeros((_SIDE * 2, _SIDE * 2), np.uint8)
        tone = np.full_like(cover, 128)
        for part in parts:
            pixels = np.rint((part.points @ pose.T + centre) * 16).astype(np.int32)[:, None]
            for plane, value in ((cover, 0 if part.hole else 255), (tone, int(min(part.tone * 128, 255)))):
                if part.width:
                    thickness = max(1, round(part.width * float(np.sqrt(abs(np.linalg.det(pose))))))
                    cv2.polylines(plane, [pixels], part.closed, value, thickness, cv2.LINE_AA, 4)
                else:
                    cv2.fillPoly(plane, [pixels], value, cv2.LINE_AA, 4)
        alpha = cv2.resize(cover, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        shade = cv2.resize(tone, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 128
        canvas *= 1 - 0.3 * cv2.GaussianBlur(alpha, (0, 0), 4)[..., None]
        surface = rng.uniform(30, 220, 3).astype(np.float32) * shade[..., None]
        canvas += alpha[..., None] * (surface - canvas)
    return camera(rng, canvas, 0.7)


def main() -> None:
    """Time each kind of scene and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=150, help="scenes per row")
    num = parser.parse_args().num
    counts: list[int] = []

    def scene(config: SceneConfig) -> Callable[[int], Scene]:
        def make(index: int) -> Scene:
            made = generate_scene(scene_rng("train", 0, index), config)
            counts.append(len(made.objects))
            return made

        return make

    print(cpu_words())
    print(f"{'scenes at 256 px':28} {'ms':>7} {'per s':>7} {'of 20/s':>8}  objects")
    mixed, objects = 0.0, 0
    for complexity in ("simple", "mixed", "hard"):
        counts.clear()
        seconds = cpu_seconds(scene(SceneConfig(size=_SIDE, complexity=complexity)), num)
        speed = 1 / seconds
        print(f"{complexity:28} {1e3 * seconds:7.1f} {speed:7.1f} {speed / _TARGET:7.1f}x  {np.mean(counts):.1f}")
        if complexity == "mixed":
            mixed, objects = seconds, round(float(np.mean(counts)))
    seconds = cpu_seconds(lambda index: generate_leaf_scene(scene_rng("train", 0, index), _SIDE), num)
    print(f"{'dead leaves':28} {1e3 * seconds:7.1f} {1 / seconds:7.1f} {1 / seconds / _TARGET:7.1f}x")
    baseline = cpu_seconds(lambda index: draw_on_whole_canvas(np.random.default_rng(index), objects), num)
    print(f"{'baseline: whole canvas':28} {1e3 * baseline:7.1f} {1 / baseline:7.1f} {'':8}  {objects}")
    print(f"mixed scenes take {mixed / baseline:.2f} of the baseline's time ({baseline / mixed:.1f}x its speed)")


if __name__ == "__main__":
    main()
