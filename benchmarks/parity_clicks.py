"""The published interactive-segmentation evaluation (RITM's, SimpleClick's) beside ours, with one and the same tool.

    segagent evaluate DATA/grabcut --protocol noc --tool grabcut -o OUT
    python benchmarks/parity_clicks.py CHECKOUT DATA/grabcut OUT --tool grabcut

CHECKOUT is a copy of github.com/SamsungLabs/ritm_interactive_segmentation or github.com/uncbiag/SimpleClick; its
reader, clicker, evaluation loop and NoC are run, none of it is kept here. OUT is our finished evaluation. Imports that
its evaluation does not reach (augmentation, models) are replaced by stand-ins, names that NumPy gave up are put back.

Printed: how many objects have equal targets, clicks and IoUs, both sides' NoC, and, whatever they led to, how many of
our states their clicker would have clicked otherwise. OpenCV's distances differ in the last bit from call to call, so
their clicker breaks ties by chance; ``--exact-distances`` gives it whole squared distances instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import torch

from segagent.core import BoolMask, Click, Image, SegmentationTool, SegmentRequest, Trajectory, decode_rle, empty_mask
from segagent.evaluation.measuring import click_metrics
from segagent.evaluation.results import open_runs, read_samples
from segagent.tools import make_tool

THRESHOLDS = (0.80, 0.85, 0.90, 0.95)


class Foreign:
    """What is used of a checkout."""

    def __init__(self, checkout: Path) -> None:
        sys.path.insert(0, str(checkout))
        np.int, np.bool = int, np.bool_  # type: ignore[attr-defined]  # noqa: NPY001 - gone since NumPy 1.24
        for name in ("", ".core", ".core.serialization", ".core.transforms_interface", ".augmentations"):
            sys.modules[f"albumentations{name}"] = MagicMock()
        for name in (
            "torchvision",
            "torch.utils.tensorboard",
            "isegm.data.transforms",
            "isegm.data.points_sampler",
            "isegm.utils.serialization",
        ):
            sys.modules[name] = MagicMock()
        package = ModuleType("isegm.data.datasets")
        package.__path__ = [str(checkout / "isegm/data/datasets")]
        package.__getattr__ = lambda name: MagicMock()  # type: ignore[method-assign]
        sys.modules["isegm.data.datasets"] = package
        from isegm.data.datasets.grabcut import GrabCutDataset  # type: ignore[import-not-found]
        from isegm.inference import utils  # type: ignore[import-not-found]
        from isegm.inference.clicker import Clicker  # type: ignore[import-not-found]
        from isegm.inference.evaluation import evaluate_sample  # type: ignore[import-not-found]

        self.dataset, self.clicker, self.evaluate_sample, self.utils = GrabCutDataset, Clicker, evaluate_sample, utils


class ExactDistances:
    """OpenCV as the published clicker uses it, but distances squared and rounded to whole numbers: equal ones tie."""

    def __getattr__(self, name: str) -> Any:
        return getattr(cv2, name)

    def distanceTransform(self, mask: np.ndarray, kind: int, size: int) -> np.ndarray:  # noqa: N802 - OpenCV's name
        """Squared distances, float64 of the mask's shape."""
        return np.rint(cv2.distanceTransform(mask, kind, size).astype(np.float64) ** 2)


class Predictor:
    """Our tool with the two methods that the published loop calls."""

    def __init__(self, tool: SegmentationTool) -> None:
        self.tool = tool

    def set_input_image(self, pixels: np.ndarray) -> None:
        """Begin with a picture (height, width, 3)."""
        self.embedding = self.tool.embed([Image.of(pixels)])[0]
        self.mask: BoolMask = empty_mask(*pixels.shape[:2])
        self.memory: object | None = None

    def get_prediction(self, clicker: Any) -> np.ndarray:
        """The mask after all clicks as 0 and 1, float32 (height, width)."""
        clicks = tuple(Click(int(c.coords[1]), int(c.coords[0]), bool(c.is_positive)) for c in clicker.get_clicks())
        answer = self.tool.segment([SegmentRequest(self.embedding, self.mask, self.memory, clicks)])[0]
        self.mask, self.memory = answer.mask, answer.memory
        return answer.mask.astype(np.float32)


def published_layout(folder: Path, into: Path) -> list[str]:
    """Links as the published reader wants them, a picture for each mask; mask files' stems in its order."""
    for name in ("images", "masks"):
        (into / name).mkdir()
    for sample in json.loads((folder / "manifest.json").read_text())["samples"]:
        image, mask = folder / sample["image"], folder / sample["mask"]
        (into / "images" / f"{mask.stem}{image.suffix}").symlink_to(image.resolve())
        (into / "masks" / mask.name).symlink_to(mask.resolve())
    return [path.stem for path in sorted((into / "images").iterdir())]


def clicked_otherwise(foreign: Foreign, truth: np.ndarray, masks: list[BoolMask], clicks: list[Any]) -> list[str]:
    """Our states in which their clicker clicks elsewhere; ``masks[n]`` is what click ``n`` was made on."""
    clicker, found = foreign.clicker(gt_mask=truth), []
    for mask, ours in zip(masks, clicks, strict=True):
        theirs = clicker._get_next_click(mask)
        there = (int(theirs.coords[1]), int(theirs.coords[0]), bool(theirs.is_positive))
        if there != (ours.x, ours.y, ours.positive):
            found.append(f"ours {(ours.x, ours.y, ours.positive)} theirs {there}, {told(mask, truth, ours, there)}")
        theirs.coords, theirs.is_positive = (ours.y, ours.x), ours.positive
        clicker.add_click(theirs)
    return found


def told(mask: BoolMask, truth: np.ndarray, ours: Any, theirs: tuple[int, int, bool]) -> str:
    """Distances of two clicks as OpenCV has them, and their squares, which are whole numbers."""
    depths = []
    for x, y, positive in ((ours.x, ours.y, ours.positive), theirs):
        error = (truth == 1) & ~mask if positive else (truth == 0) & mask
        distances = cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, 0)[1:-1, 1:-1]
        depths.append(float(distances[y, x]))
    return f"depths {depths[0]!r} and {depths[1]!r}, squared {depths[0] ** 2:.4f} and {depths[1] ** 2:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tool", default="grabcut")
    parser.add_argument("--max-clicks", type=int, default=20)
    parser.add_argument("--states-only", action="store_true", help="compare clicks on our states, run no tool")
    parser.add_argument("--exact-distances", action="store_true", help="their clicker without rounding errors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    foreign, predictor = Foreign(args.checkout), Predictor(make_tool(args.tool))
    if args.exact_distances:
        sys.modules["isegm.inference.clicker"].cv2 = ExactDistances()  # type: ignore[attr-defined]
    (run,) = open_runs([args.out])
    ours = {}
    manifest = json.loads((args.folder / "manifest.json").read_text())["samples"]
    for (_, record), sample in zip(read_samples(run), by_image(manifest), strict=True):
        assert record["image"] == sample["image"], (record["image"], sample["image"])
        ours[Path(sample["mask"]).stem] = record
    counts = dict.fromkeys(("objects", "targets", "clicks", "ious", "states"), 0)
    otherwise: list[str] = []
    their_curves, our_curves = [], []
    with tempfile.TemporaryDirectory() as made:
        stems = published_layout(args.folder, Path(made))
        dataset = foreign.dataset(made, images_dir_name="images", masks_dir_name="masks")
        for index, stem in enumerate(stems):
            sample, record = dataset.get_sample(index), ours[stem]
            truth = sample.get_object_mask(0) if not callable(sample.gt_mask) else sample.gt_mask(0)
            trajectory = Trajectory.from_dict(record)
            target = decode_rle(record["target"])
            ignore = np.zeros_like(target) if record["ignore"] is None else decode_rle(record["ignore"])
            counts["objects"] += 1
            counts["targets"] += bool(
                np.array_equal(truth == 1, target & ~ignore) and np.array_equal(truth == -1, ignore)
            )
            clicks: list[Any] = [step.action for step in trajectory.steps]
            masks = [trajectory.mask_at(n) for n in range(len(clicks))]
            counts["states"] += len(clicks)
            otherwise += [f"{stem}: {line}" for line in clicked_otherwise(foreign, truth, masks, clicks)]
            our_ious = [float(step.reward or 0.0) for step in trajectory.steps]
            our_curves.append(click_metrics([0.0, *our_ious], args.max_clicks))
            if args.states_only:
                continue
            made_clicks, ious, _ = foreign.evaluate_sample(
                sample.image, truth, predictor, max_iou_thr=1.0, max_clicks=args.max_clicks
            )
            there = [(int(c.coords[1]), int(c.coords[0]), bool(c.is_positive)) for c in made_clicks]
            here = [(c.x, c.y, c.positive) for c in clicks]
            same = there == here
            counts["clicks"] += same
            counts["ious"] += bool(np.array_equal(np.float32(our_ious), ious))
            their_curves.append(ious)
            if not same:
                first = next((n for n, (a, b) in enumerate(zip(there, here, strict=False)) if a != b), None)
                where = f"from click {first + 1} on" if first is not None else f"{len(here)} and {len(there)} clicks"
                print(f"  {stem}: clicks differ, {where}; last IoU {our_ious[-1]:.4f} and {ious[-1]:.4f}", flush=True)
    print(f"{args.folder.name}, {args.tool}: {counts}; states clicked otherwise: {len(otherwise)}")
    for line in otherwise:
        print(f"  {line}")
    for threshold in THRESHOLDS:
        percent = round(100 * threshold)
        mean_clicks = np.mean([one[f"NoC@{percent}"][0] for one in our_curves])
        failures = sum(one[f"failed@{percent}"][0] for one in our_curves)
        line = f"NoC@{percent} ours {mean_clicks:.4f}, failures {failures:.0f}"
        if their_curves:
            mean, *_, over = foreign.utils.compute_noc_metric(their_curves, [threshold], args.max_clicks)
            line += f"; theirs {mean[0]:.4f}, counted as failed {over[0]}"
        print(line)


def by_image(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Samples in the order in which an evaluation stores them: image after image."""
    first = {sample["image"]: place for place, sample in reversed(list(enumerate(samples)))}
    return sorted(samples, key=lambda sample: first[sample["image"]])


if __name__ == "__main__":
    main()
