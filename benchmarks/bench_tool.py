"""Click tools by the protocol of interactive segmentation: clicks needed and IoU reached, all tools in one run.

    python benchmarks/bench_tool.py --scenes 200 --data ../shared/data --json tool.json

Rows: generated test scenes (one object per scene, drawn with a fixed seed) and, where ``--data`` holds them, the
folders grabcut, berkeley and coco_mval_subset. NoC@85 is the mean number of clicks to IoU 0.85, failures counting as
the limit (their number beside it). Intervals are 95 % bootstrap by image. An object at IoU ``--enough`` is clicked no
further. ``--limit`` takes only the first objects of each set. ``--given``: every object begins with its true mask
spoiled to an IoU of 0.6 to 0.8 (too wide, too narrow, cut, shifted or of few corners; one fixed draw per object), as
from an existing annotation; NoC then counts the clicks from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from segagent.core import Click, Image, Segmentation, SegmentRequest, empty_mask, iou
from segagent.cpu import cpu_words
from segagent.datasets.corruption import spoil
from segagent.datasets.folder import FolderDataset
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.environment import Episode, StartSpec, Target
from segagent.evaluation.bootstrap import bootstrap_ratio
from segagent.evaluation.clicking import click_trajectories
from segagent.evaluation.measuring import click_metrics
from segagent.tools import make_tool

THRESHOLDS = (0.80, 0.85, 0.90)
CLICKS = (1, 3, 5, 10)
TOGETHER = 8
FOLDERS = ("grabcut", "berkeley", "coco_mval_subset")


class Task(NamedTuple):
    """One object to be found: the picture, its target and pixels to ignore, bool (height, width)."""

    image: Image
    mask: np.ndarray
    ignore: np.ndarray | None = None


def spoiled(number: int, task: Task) -> StartSpec:
    """The true mask spoiled to an IoU of 0.6 to 0.8."""
    rng = np.random.default_rng([8, number])
    for _ in range(100):
        kind = ("dilate", "erode", "cut", "shift", "coarse")[int(rng.integers(5))]
        mask = spoil(kind, task.mask, (), rng)
        if mask is not None and 0.6 <= iou(mask, task.mask, task.ignore) <= 0.8:
            return StartSpec("mask", mask)
    raise ValueError(f"object {number} could not be spoiled to an IoU of 0.6 to 0.8")


def scene_tasks(num: int) -> Iterator[tuple[str, Task]]:
    for index in range(num):
        scene = generate_scene(scene_rng("test", 0, index), SceneConfig(size=256))
        chosen = int(np.random.default_rng([7, index]).integers(len(scene.objects)))
        yield f"scene {index}", Task(Image.of(scene.image), scene.objects[chosen].mask)


def folder_tasks(folder: Path, limit: int | None) -> Iterator[tuple[str, Task]]:
    for number, sample in enumerate(FolderDataset(folder)):
        if limit is not None and number >= limit:
            return
        image = sample.load_image()
        target, ignore = sample.load_target(image)
        if target.any():
            yield sample.image_name, Task(image, target, ignore)


def measure(tool_name: str, tasks: list[tuple[str, Task]], max_clicks: int, enough: float, *, given: bool) -> dict:
    tool = make_tool(tool_name)
    began = time.process_time()
    curves = []
    for start in range(0, len(tasks), TOGETHER):
        some = [task for _, task in tasks[start : start + TOGETHER]]
        starts = [spoiled(start + n, task) if given else StartSpec() for n, task in enumerate(some)]
        episodes = [Episode(task.image, "", start=begin) for task, begin in zip(some, starts, strict=True)]
        targets = [Target(task.mask, task.ignore) for task in some]
        made = click_trajectories(episodes, targets, tool, max_clicks=max_clicks, enough=enough)
        curves += [[float(one.start.reward or 0), *(float(step.reward or 0) for step in one.steps)] for one in made]
    seconds = time.process_time() - began
    groups = [name for name, _ in tasks]
    row: dict = {"objects": len(curves), "cpu_ms_per_click": 1000 * seconds / sum(len(curve) - 1 for curve in curves)}
    measured = [{k: top for k, (top, _) in click_metrics(curve, max_clicks).items()} for curve in curves]
    for threshold in THRESHOLDS:
        percent = round(100 * threshold)
        row[f"NoC@{percent}"] = float(np.mean([one[f"NoC@{percent}"] for one in measured]))
        row[f"failures@{percent}"] = round(sum(one[f"failed@{percent}"] for one in measured))
    for clicks in CLICKS:
        row[f"mIoU@{clicks}"] = float(np.mean([one[f"IoU@{clicks}"] for one in measured]))
    interval = bootstrap_ratio([one["IoU@5"] for one in measured], groups=groups)
    row["mIoU@5 interval"] = [interval.low, interval.high]
    row["curves"] = [[round(v, 4) for v in curve] for curve in curves]
    row["start"] = float(np.mean([curve[0] for curve in curves]))
    return row


def step_milliseconds(tool_name: str, repeats: int = 5) -> float:
    """Median CPU milliseconds of one ``segment`` at 640 x 480, one thread, over the steps of an episode."""
    tool = make_tool(tool_name)
    scene = generate_scene(scene_rng("test", 0, 0), SceneConfig(height=480, width=640))
    target = scene.objects[0].mask
    rows, columns = np.nonzero(target)
    clicks = [Click(int(columns[i]), int(rows[i]), True) for i in np.linspace(0, len(rows) - 1, 5).astype(int)]
    image = Image.of(scene.image)
    embedding = tool.embed([image])[0]
    times = []
    for _ in range(repeats):
        state = Segmentation(empty_mask(480, 640), None)
        for number in range(1, len(clicks) + 1):
            began = time.process_time()
            request = SegmentRequest(embedding, state.mask, state.memory, tuple(clicks[:number]))
            state = tool.segment([request])[0]
            times.append(1000 * (time.process_time() - began))
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="+", default=["embedded", "grabcut"])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--data", type=Path, help="folder that holds grabcut, berkeley, coco_mval_subset")
    parser.add_argument("--sets", nargs="+", default=["scenes", *FOLDERS])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--max-clicks", type=int, default=20)
    parser.add_argument("--enough", type=float, default=0.97)
    parser.add_argument("--given", action="store_true", help="begin with spoiled true masks instead of nothing")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(cpu_words())
    cv2.setNumThreads(1)

    sets: dict[str, list[tuple[str, Task]]] = {}
    if "scenes" in args.sets:
        sets["scenes"] = list(scene_tasks(args.scenes if args.limit is None else min(args.limit, args.scenes)))
    for name in FOLDERS:
        if name in args.sets and args.data is not None and (args.data / name).is_dir():
            sets[name] = list(folder_tasks(args.data / name, args.limit))

    result: dict = {"max_clicks": args.max_clicks, "enough": args.enough, "sets": {}}
    print(
        f"| set (objects) | tool | {' | '.join(f'NoC@{round(100 * t)} (failures)' for t in THRESHOLDS)} | "
        f"{' | '.join(f'mIoU@{k}' for k in CLICKS)} | mIoU@5 95 % | CPU ms per click |"
    )
    print("|---" * (len(THRESHOLDS) + len(CLICKS) + 4) + "|")
    for name, tasks in sets.items():
        for tool in args.tools:
            row = measure(tool, tasks, args.max_clicks, args.enough, given=args.given)
            result["sets"].setdefault(name, {})[tool] = row
            nocs = " | ".join(
                f"{row[f'NoC@{round(100 * t)}']:.2f} ({row[f'failures@{round(100 * t)}']})" for t in THRESHOLDS
            )
            ious = " | ".join(f"{row[f'mIoU@{k}']:.3f}" for k in CLICKS)
            low, high = row["mIoU@5 interval"]
            print(
                f"| {name} ({row['objects']}) | {tool} | {nocs} | {ious} | {low:.3f} - {high:.3f} | "
                f"{row['cpu_ms_per_click']:.0f} |",
                flush=True,
            )
            if args.json is not None:
                args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    steps = {tool: step_milliseconds(tool) for tool in args.tools}
    result["step_cpu_ms"] = steps
    print("one step at 640 x 480, CPU ms:", ", ".join(f"{tool} {ms:.0f}" for tool, ms in steps.items()))
    if len(args.tools) > 1:
        first, second = args.tools[:2]
        result["step_ratio"] = steps[first] / steps[second]
        print(f"step time {first} / {second}: {result['step_ratio']:.2f}")
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
