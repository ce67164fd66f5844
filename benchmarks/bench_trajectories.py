"""Objects per minute of ``segagent trajectories``, beside a straightforward loop with the same tool.

    python benchmarks/bench_trajectories.py [--tool embedded] [--workers 2] [--coco FOLDER]
    python benchmarks/bench_trajectories.py --tool costly-sam --images 4

The loop does what a plain script does, one sample after another: load image and mask, embed the image, take both
full-image distance transforms for each click, ask the tool, write. It makes the same clicks, which is checked.
Two data sets of generated scenes at 640 x 480 with several objects per image: ``objects`` has one sample per object
(as COCO), ``sentences`` several sentences per object (as RefCOCO). ``--coco`` adds a COCO folder (coco_small).

``--tool costly-sam`` is what the sharing is for: a SAM with random weights (``costly_sam.py``) whose encoder costs many
decodes. The plain loop encodes the image for every sample, as the published one does; how often each side ran the
encoder is printed. Its masks mean nothing, only time is measured.

Rates count samples. Both sides compute on one thread per process, and starting up (loading the tool) is left out on
both. CPU seconds tell what an idle machine would give where others use this one too.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from bench_annotator import plain_rule
from segagent.core import SegmentRequest, encode_rle, iou
from segagent.cpu import cpu_words
from segagent.datasets import CocoDataset, FolderDataset
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.datasets.scenes.export import write_scenes
from segagent.imaging import save_png
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset, read_trajectories
from segagent.tools import make_tool

MAX_STEPS, TAU_STOP = 11, 0.95
CONFIG = SceneConfig(height=480, width=640, min_objects=4, max_objects=10)


class Clock:
    """CPU seconds by what they were spent on."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.spent[name] += now - self._last
        self._last = now


def plain_loop(samples, tool, out: Path, clock: Clock):
    """The clicks of each sample."""
    made = {}
    with out.open("w") as file:
        for sample in samples:
            image = sample.load_image()
            target, _ = sample.load_target(image)
            clock.lap("loading")
            (embedding,) = tool.embed([image])
            clock.lap("embedding")
            mask, memory, clicks, reward, masks = np.zeros_like(target), None, [], 0.0, []
            while reward < TAU_STOP and len(clicks) < MAX_STEPS:
                click = plain_rule(mask, target, [(c.x, c.y) for c in clicks])
                clock.lap("click rule")
                request = SegmentRequest(embedding, mask, memory, (*clicks, click))
                (answer,) = tool.segment([request])
                clock.lap("tool's steps")
                new = iou(answer.mask, target)
                if new <= reward:
                    break
                clicks.append(click)
                mask, memory, reward = answer.mask, answer.memory, new
                masks.append(encode_rle(mask))
                clock.lap("IoU and RLE")
            record = {"id": sample.sample_id, "clicks": [(c.x, c.y, c.positive) for c in clicks], "masks": masks}
            file.write(json.dumps(record) + "\n")
            made[sample.sample_id] = clicks
            clock.lap("writing")
    return made


def write_objects(folder: Path, num: int) -> CocoDataset:
    """All objects of generated scenes as a COCO folder."""
    (folder / "images").mkdir(parents=True)
    images, annotations, names = [], [], {}
    for index in range(num):
        scene = generate_scene(scene_rng("test", 5, index), CONFIG)
        save_png(folder / "images" / f"{index}.png", scene.image)
        images.append({"id": index, "file_name": f"{index}.png", "width": 640, "height": 480})
        for item in scene.objects:
            category = names.setdefault(item.category, len(names) + 1)
            annotations.append(
                {"id": len(annotations), "image_id": index, "category_id": category, "iscrowd": 0,
                 "segmentation": encode_rle(item.mask)}
            )  # fmt: skip
    categories = [{"id": number, "name": name} for name, number in names.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return CocoDataset(folder / "instances.json")


class First:
    """The first images of a data set."""

    def __init__(self, dataset, num_images: int) -> None:
        self.spec, self.fingerprint = dataset.spec, dataset.fingerprint
        self._groups = list(islice(dataset.groups(), num_images))
        self.num_images = len(self._groups)

    def groups(self):
        return iter(self._groups)

    def __iter__(self):
        return (sample for group in self._groups for sample in group.samples())


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def ours(dataset, make, out: Path, workers: int) -> tuple[float, float]:
    """Wall and CPU seconds from when the tool is loaded to the end; with workers the CPU time has their start in it."""
    began = []

    def progress(report) -> None:
        if not began:
            began.extend((time.perf_counter(), cpu_seconds()))

    generate_dataset(dataset, make, out, TrajectoryConfig(starts=("empty",)), workers=workers, progress=progress)
    return time.perf_counter() - began[0], cpu_seconds() - began[1]


def measure(name: str, dataset, make, workers: int, folder: Path, make_plain) -> None:
    tool, plain_tool = make(), make_plain()
    samples = list(dataset)
    per_image = len(samples) / dataset.num_images
    num_objects = len({(s.image_name, encode_rle(s.load_target()[0])["counts"]) for s in samples})
    counts = f"{dataset.num_images} images, {num_objects} objects, {len(samples)} samples, {per_image:.1f} per image"
    print(f"\n{name}: {counts}", flush=True)
    plain_tool.embed([samples[0].load_image()])
    encoded = getattr(plain_tool, "num_encoded", None)
    clock = Clock()
    began = time.perf_counter()
    clicks = plain_loop(samples, plain_tool, folder / f"{name}.plain", clock)
    wall, cpu = time.perf_counter() - began, sum(clock.spent.values())
    shares = ", ".join(f"{part} {100 * spent / cpu:.0f} %" for part, spent in clock.spent.most_common())
    each = 1e3 * cpu / len(samples)
    print(f"  plain loop       {60 * len(samples) / wall:7.1f} /min   {each:6.0f} CPU ms each ({shares})", flush=True)
    if encoded is not None:
        mean = sum(len(made) for made in clicks.values()) / len(samples)
        print(f"                   {plain_tool.num_encoded - encoded} encoder calls; {mean:.1f} clicks per sample")
    for number in sorted({1, workers}):
        out = folder / f"{name}.{number}.jsonl"
        our_wall, our_cpu = ours(dataset, make if number > 1 else lambda: tool, out, number)
        print(
            f"  {number} worker{'s' if number > 1 else ' '}        {60 * len(samples) / our_wall:7.1f} /min   "
            f"{1e3 * our_cpu / len(samples):6.0f} CPU ms each   ratio {wall / our_wall:.2f}x (CPU {cpu / our_cpu:.2f}x)"
        )
        if number == 1 and encoded is not None:
            # One picture more is the fixed question by whose answer a file knows its tool.
            print(f"                   {tool.num_encoded - 1} encoder calls for {dataset.num_images} images")
        made = {t.sample_id: t.clicks for t in read_trajectories(out)}
        same = sum(made[sample_id] == clicks[sample_id] for sample_id in clicks)
        print(f"                   {same} of {len(clicks)} samples have the plain loop's clicks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default="embedded")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--coco", type=Path)
    parser.add_argument("--sets", nargs="+", default=["objects", "sentences", "photographs"])
    parser.add_argument("--sam-layers", type=int, default=2, help="encoder layers of costly-sam; ViT-B has 12")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    make = partial(make_tool, options.tool)
    if options.tool.startswith(("embedded", "costly")):
        import torch

        torch.set_num_threads(1)
    print(cpu_words())
    print(f"tool {options.tool}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_plain = make
        if options.tool == "costly-sam":
            from costly_sam import make_costly_sam, save_costly_sam

            save_costly_sam(folder / "sam", side=320, layers=options.sam_layers)
            make = partial(make_costly_sam, folder / "sam")
            make_plain = partial(make_costly_sam, folder / "sam", remember=False)
        datasets = {"objects": write_objects(folder / "coco", options.images)}
        write_scenes(folder / "manifest", num=options.images, seed=5, split="test", config=CONFIG)
        datasets["sentences"] = FolderDataset(folder / "manifest")
        if options.coco is not None:
            datasets["photographs"] = CocoDataset(options.coco / "instances.json")
        for name, dataset in datasets.items():
            if name in options.sets:
                measure(name, First(dataset, options.images), make, options.workers, folder, make_plain)


if __name__ == "__main__":
    main()
