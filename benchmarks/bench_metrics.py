"""Mask overlaps straight from run-length encodings, beside decoding and counting, in the same run.

    python benchmarks/bench_metrics.py --pairs 10000

Pairs of 640 x 480 masks: objects of generated scenes with the outlines moved by a few pixels, so the run counts are
those of real masks; ``--ragged`` adds noise along the outlines. CPU seconds of one thread. "decode and count" decodes
both masks (pycocotools) and counts pixels with NumPy, on ``--baseline`` of the pairs and scaled up; pycocotools' own
``mask.iou`` on the same pairs is printed too, with the largest difference of the IoUs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from segagent.core import Rle, encode_rle
from segagent.core.rle import rle_overlaps, run_ends
from segagent.cpu import cpu_words
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng


def made_pairs(number: int, ragged: bool) -> tuple[list[Rle], list[Rle]]:
    """``number`` pairs of encoded masks of 480 x 640."""
    rng = np.random.default_rng(0)
    masks: list[np.ndarray] = []
    for index in range(12):
        scene = generate_scene(scene_rng("test", 0, index), SceneConfig(height=480, width=640))
        masks += [one.mask for one in scene.objects]
    first, second = [], []
    for _ in range(min(number, 500)):
        mask = masks[int(rng.integers(len(masks)))]
        moved = np.roll(mask, (int(rng.integers(-9, 10)), int(rng.integers(-9, 10))), axis=(0, 1))
        if ragged:
            edge = cv2.morphologyEx(moved.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
            moved = moved ^ (edge & (rng.random(mask.shape) < 0.3))
        first.append(encode_rle(mask))
        second.append(encode_rle(moved))
    repeats = -(-number // len(first))
    return (first * repeats)[:number], (second * repeats)[:number]


def decode_and_count(first: list[Rle], second: list[Rle]) -> list[tuple[int, int]]:
    counts = []
    for one, other in zip(first, second, strict=True):
        a, b = coco_mask.decode(one) > 0, coco_mask.decode(other) > 0
        counts.append((int(np.count_nonzero(a & b)), int(np.count_nonzero(a | b))))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--baseline", type=int, default=1000, help="pairs that are decoded and counted")
    parser.add_argument("--ragged", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(cpu_words())
    first, second = made_pairs(args.pairs, args.ragged)
    few = min(args.baseline, args.pairs)
    runs = float(np.mean([run_ends(rle).size for rle in (first + second)[:few]]))

    began = time.process_time()
    intersections, unions = rle_overlaps(first, second)
    ours = time.process_time() - began

    began = time.process_time()
    counted = decode_and_count(first[:few], second[:few])
    plain = (time.process_time() - began) * args.pairs / few
    assert counted == list(zip(intersections[:few].tolist(), unions[:few].tolist(), strict=True))

    began = time.process_time()
    theirs = np.array([coco_mask.iou([a], [b], [0])[0, 0] for a, b in zip(first, second, strict=True)])
    coco = time.process_time() - began
    difference = float(np.abs(theirs - intersections / np.maximum(unions, 1)).max())

    report = {
        "pairs": args.pairs,
        "runs_per_mask": runs,
        "from_rle_s": ours,
        "decode_and_count_s": plain,
        "ratio": plain / ours,
        "pycocotools_iou_s": coco,
        "largest_difference": difference,
    }
    print(f"{args.pairs} pairs of 640 x 480, {runs:.0f} runs per mask on average, CPU seconds of one thread")
    print(f"from the encodings: {ours:.2f} s")
    print(f"decode and count:   {plain:.2f} s (measured on {few} pairs), {plain / ours:.1f}x as long")
    print(f"pycocotools' iou:   {coco:.2f} s, largest difference of an IoU {difference:.1e}")
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
