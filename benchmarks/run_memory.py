"""Memory of a run over very many objects, in the process that writes it: it must not grow with what is done.

    python benchmarks/run_memory.py                 10,000 objects
    python benchmarks/run_memory.py --objects 100000

With models that cost next to nothing and pictures made on the spot; workers 2, so that the process that is looked at
does what it does with any models: hand out images, write the journal, count. Then the run is opened again, as a resumed
one, and summed up.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from cheap_models import TinyDataset, cheap_models
from segagent.annotation.batch import Progress, RunConfig, open_run, run_job, summarise_run
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.search import SearchConfig


def resident() -> float:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    per_image = 10
    dataset = TinyDataset(options.objects // per_image, per_image)
    config = RunConfig("annotate", SearchConfig(max_steps=1))
    marks = [round(dataset.num_images * part) for part in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)]
    began = time.monotonic()

    def watch(progress: Progress) -> None:
        while marks and progress.num_images >= marks[0]:
            marks.pop(0)
            print(
                f"{progress.num_samples:8} objects done  {resident():7.1f} MiB  {time.monotonic() - began:6.0f} s",
                flush=True,
            )

    with tempfile.TemporaryDirectory() as out:
        run_job(dataset, cheap_models, out, config, workers=options.workers, watch=watch)
        size = (Path(out) / JOURNAL_FILE).stat().st_size
        print(f"journal {size / 2**20:.1f} MiB")
        began = time.monotonic()
        resumed = run_job(dataset, cheap_models, out, config, workers=1)
        print(f"resumed: {resumed.num_objects} objects, {resident():.1f} MiB, {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        told = summarise_run(open_run(out))
        print(f"summed up: {told['objects']} objects, {resident():.1f} MiB, {time.monotonic() - began:.0f} s")
    print(f"most at any time {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
