"""Speed of a run with the embedded models: objects per second and core, and what the run itself costs beside them.

    python benchmarks/bench_runs.py                    8 images, 28 objects
    python benchmarks/bench_runs.py --images 300 --objects 1000

Times are of processors, not of the clock, where they are compared: others may be using the machine. "Beside the models"
is everything that is not inside the policy's and the tool's methods: reading pictures and masks, the search, records,
the journal, sums.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cheap_models import cheap_models
from segagent.annotation.batch import Models, Progress, RunConfig, make_models, run_job
from segagent.core import Image, Observation, Proposal, Segmentation, SegmentRequest
from segagent.cpu import cpu_words
from segagent.datasets import Dataset, open_dataset
from segagent.datasets.scenes import SceneConfig
from segagent.datasets.scenes.export import write_scenes
from segagent.distributed import available_cores

JOBS = ("audit", "refine", "annotate")


@dataclass
class Clock:
    """Processor seconds inside models, and how often they were asked what."""

    seconds: float = 0.0
    embedded: int = 0
    proposed: int = 0
    segmented: int = 0
    _inside: list[float] = field(default_factory=list)

    def __enter__(self) -> None:
        self._inside.append(time.process_time())

    def __exit__(self, *error: object) -> None:
        self.seconds += time.process_time() - self._inside.pop()


class TimedPolicy:
    """A policy under a clock."""

    def __init__(self, policy: Any, clock: Clock) -> None:
        self._policy, self._clock = policy, clock
        self.name = policy.name

    def propose(self, observations: Sequence[Observation], *more: Any, **how: Any) -> list[list[Proposal]]:
        with self._clock:
            self._clock.proposed += len(observations)
            return self._policy.propose(observations, *more, **how)  # type: ignore[no-any-return]

    def doubts(self, image: Image, text: str) -> list[str]:
        with self._clock:
            return self._policy.doubts(image, text)  # type: ignore[no-any-return]

    def unknown_words(self, text: str) -> list[str]:
        with self._clock:
            return self._policy.unknown_words(text)  # type: ignore[no-any-return]


class TimedTool:
    """A tool under a clock."""

    def __init__(self, tool: Any, clock: Clock) -> None:
        self._tool, self._clock = tool, clock
        self.name, self.accepts_box = tool.name, tool.accepts_box

    def embed(self, images: Sequence[Image]) -> list[object]:
        with self._clock:
            self._clock.embedded += len(images)
            return self._tool.embed(images)  # type: ignore[no-any-return]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        with self._clock:
            self._clock.segmented += len(requests)
            return self._tool.segment(requests)  # type: ignore[no-any-return]


def scenes(folder: Path, images: int, objects: int, size: int) -> Dataset:
    """A data set on disk: ``objects`` sentences spread evenly over ``images`` pictures."""
    write_scenes(folder, num=images, seed=1, config=SceneConfig(height=size, width=size))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    by_image = defaultdict(list)
    for sample in manifest["samples"]:
        by_image[sample["image"]].append(sample)
    kept = []
    for number, samples in enumerate(by_image.values()):
        kept += samples[: (number + 1) * objects // images - number * objects // images]
    (folder / "manifest.json").write_text(json.dumps({**manifest, "samples": kept}), encoding="utf-8")
    return open_dataset(str(folder))


def one_process(job: str, dataset: Dataset, models: Models) -> None:
    clock = Clock()
    timed = Models(TimedPolicy(models.policy, clock), TimedTool(models.tool, clock), models.calibration)
    marks: list[tuple[float, float, float, int, int]] = []

    def watch(progress: Progress) -> None:
        # The first time is before the first image: what models answer to a fixed picture is behind it.
        marks.append((time.perf_counter(), time.process_time(), clock.seconds, clock.embedded, progress.num_samples))

    with tempfile.TemporaryDirectory() as out:
        run_job(dataset, lambda: timed, out, RunConfig(job), watch=watch)  # type: ignore[arg-type]
    wall, processor, inside, embedded, objects = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    print(
        f"{job:9} {objects:.0f} objects on {dataset.num_images} images: {objects / processor:6.2f} objects/s/core "
        f"({objects / wall:.2f} by the clock), images embedded {embedded:.0f}, "
        f"beside the models {1 - inside / processor:.1%}",
        flush=True,
    )


def beside(dataset: Dataset) -> None:
    """What a run costs with models that cost next to nothing."""
    marks = []
    with tempfile.TemporaryDirectory() as out:
        run_job(
            dataset, cheap_models, out, RunConfig("audit"),
            watch=lambda progress: marks.append((time.process_time(), progress.num_samples)),
        )  # fmt: skip
    spent, objects = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    print(f"an audit with models that cost next to nothing: {spent * 1e3 / objects:.2f} ms of processor per object")


def processor_seconds(dataset: Dataset, workers: int) -> tuple[float, float]:
    """Processor and clock seconds of an audit, this process and its workers together."""

    def spent() -> float:
        both = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(one.ru_utime + one.ru_stime for one in both)

    with tempfile.TemporaryDirectory() as out:
        before, began = spent(), time.perf_counter()
        run_job(dataset, embedded_models, out, RunConfig("audit"), workers=workers)
        return spent() - before, time.perf_counter() - began


def processes(few: Dataset, many: Dataset, repeats: int) -> None:
    """How much more two processes get done on many images than on few, so that starting does not count.

    By the clock that says something on a machine with two free cores only. By processor time it is what such a machine
    would come to: all that two workers and the writer spend on the same objects, over two cores.
    """
    by_clock, by_processor = [], []
    for _ in range(repeats):
        found = {}
        for workers in (1, 2):
            (processor, clock), (processor_few, clock_few) = (
                processor_seconds(dataset, workers) for dataset in (many, few)
            )
            found[workers] = processor - processor_few, clock - clock_few
        by_processor.append(2 * found[1][0] / found[2][0])
        by_clock.append(found[1][1] / found[2][1])
        print(
            f"two processes to one: {by_processor[-1]:.2f}x by processor time, {by_clock[-1]:.2f}x by the clock, "
            f"load {os.getloadavg()[0]:.1f} on {available_cores()} cores",
            flush=True,
        )
    print(f"medians: {statistics.median(by_processor):.2f}x and {statistics.median(by_clock):.2f}x")


def embedded_models() -> Models:
    return make_models("embedded", "embedded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--objects", type=int, default=28)
    parser.add_argument("--size", type=int, default=256, help="of the square pictures")
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison of one and two processes")
    parser.add_argument("--process-images", type=int, default=16, help="for that comparison")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = scenes(folder / "data", options.images, options.objects, options.size)
        models = embedded_models()
        # Once without a clock: what is imported or prepared on first use is no part of what an object costs.
        warm = scenes(folder / "warm", 1, 2, options.size)
        for job in JOBS:
            run_job(warm, lambda: models, folder / job, RunConfig(job))  # type: ignore[arg-type]
        print(cpu_words())
        print(f"load {os.getloadavg()[0]:.1f} on {available_cores()} cores")
        for job in options.jobs.split(",") if options.jobs else []:
            one_process(job, dataset, models)
        beside(dataset)
        if options.repeats:
            few, many = (scenes(folder / f"{num}", num, 4 * num, options.size) for num in (2, options.process_images))
            processes(few, many, options.repeats)


if __name__ == "__main__":
    main()
