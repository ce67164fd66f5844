"""Run-length encodings beside pycocotools, boundary IoU beside its published definition, on many masks.

    python benchmarks/parity_masks.py CHECKOUT --coco DATA/coco_small/instances.json --pairs 3000

CHECKOUT is a copy of github.com/bowenc0221/boundary-iou-api, whose mask_to_boundary is run; none of it is kept here.
Random masks: noise, blocks, discs, empty and full ones, 1 to 300 pixels wide and high. COCO masks: every instance,
against the same one moved by a few pixels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

from segagent.core import BoolMask, Rle, decode_rle, encode_rle, iou
from segagent.core.rle import rle_areas, rle_iou
from segagent.datasets.coco import CocoDataset
from segagent.evaluation.boundary import boundary_distance, boundary_iou, boundary_region


def random_pairs(number: int) -> Iterator[tuple[BoolMask, BoolMask]]:
    rng = np.random.default_rng(0)
    for _ in range(number):
        height, width = (int(n) for n in rng.integers(1, 301, 2))
        yield random_mask(rng, height, width), random_mask(rng, height, width)


def random_mask(rng: np.random.Generator, height: int, width: int) -> BoolMask:
    kind = rng.choice(["noise", "blocks", "discs", "disc", "empty", "full"], p=[0.2, 0.2, 0.25, 0.25, 0.05, 0.05])
    mask = np.zeros((height, width), np.bool_)
    if kind == "noise":
        return np.asarray(rng.random((height, width)) < rng.random())
    if kind == "full":
        return ~mask
    for _ in range(0 if kind == "empty" else 1 if kind == "disc" else int(rng.integers(1, 6))):
        if kind == "blocks":
            (top, bottom), (left, right) = (
                np.sort(rng.integers(0, height + 1, 2)),
                np.sort(rng.integers(0, width + 1, 2)),
            )
            mask[top:bottom, left:right] ^= True
        else:
            canvas = mask.astype(np.uint8)
            middle = int(rng.integers(width)), int(rng.integers(height))
            cv2.circle(canvas, middle, int(rng.integers(1, 1 + max(height, width) // 2)), int(rng.random() < 0.8), -1)
            mask = canvas.astype(np.bool_)
    return mask


def coco_pairs(path: Path) -> Iterator[tuple[BoolMask, BoolMask]]:
    rng = np.random.default_rng(0)
    for sample in CocoDataset(path):
        mask, _ = sample.load_target()
        moved = np.roll(mask, tuple(int(n) for n in rng.integers(-8, 9, 2)), axis=(0, 1))
        yield np.asarray(mask), moved


def theirs_of(mask: BoolMask) -> dict[str, object]:
    return dict(coco.encode(np.asfortranarray(mask.astype(np.uint8))))


def compare(name: str, pairs: Iterator[tuple[BoolMask, BoolMask]], published: object) -> None:
    counts = dict.fromkeys(("pairs", "encodings differ", "decodings differ", "areas differ", "boundaries differ"), 0)
    worst_iou = worst_boundary = 0.0
    for pair in pairs:
        counts["pairs"] += 1
        height, width = pair[0].shape
        distance = boundary_distance(height, width)
        bands = []
        rles: list[Rle] = [encode_rle(mask) for mask in pair]
        theirs = [theirs_of(mask) for mask in pair]
        for mask, ours, other in zip(pair, rles, theirs, strict=True):
            counts["encodings differ"] += ours["counts"].encode() != other["counts"]
            counts["decodings differ"] += not np.array_equal(decode_rle(ours), coco.decode(other) > 0)
            counts["areas differ"] += int(rle_areas([ours])[0]) != int(coco.area(other))
            band = published(mask.astype(np.uint8)) > 0  # type: ignore[operator]
            counts["boundaries differ"] += not np.array_equal(boundary_region(mask, distance), band)
            bands.append(band)
        if pair[0].any() or pair[1].any():  # pycocotools has 0 for two empty masks, we have 1.
            both = (float(rle_iou(rles[:1], rles[1:])[0]), iou(*pair))
            their_iou = float(coco.iou(theirs[:1], theirs[1:], [0])[0, 0])
            their_boundary = np.logical_and(*bands).sum() / np.logical_or(*bands).sum()
            worst_iou = max(worst_iou, *(abs(one - their_iou) for one in both))
            worst_boundary = max(worst_boundary, abs(boundary_iou(*pair) - float(their_boundary)))
    print(f"{name}: {counts}; largest difference of IoU {worst_iou:.1e}, of boundary IoU {worst_boundary:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--coco", type=Path)
    parser.add_argument("--pairs", type=int, default=3000)
    args = parser.parse_args()
    sys.path.insert(0, str(args.checkout))
    from boundary_iou.utils.boundary_utils import mask_to_boundary  # type: ignore[import-not-found]

    compare("random", random_pairs(args.pairs), mask_to_boundary)
    if args.coco is not None:
        compare("coco", coco_pairs(args.coco), mask_to_boundary)


if __name__ == "__main__":
    main()
