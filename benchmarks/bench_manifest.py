"""A manifest of 1,000,000 samples: seconds to the first sample, and what a pass over all entries takes in memory.

Baseline of the ratio: ``json.loads`` of every entry alone. Run: python benchmarks/bench_manifest.py [NUM]
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from segagent.datasets import open_dataset


def write(path: Path, num: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        if path.suffix == ".json":
            file.write('{"samples": [\n')
        for index in range(num):
            comma = "," if path.suffix == ".json" and index + 1 < num else ""
            image, mask = f"images/{index // 3:07d}.jpg", f"masks/{index:07d}.png"
            entry = {"image": image, "mask": mask, "text": f"thing {index}"}
            file.write(json.dumps(entry) + comma + "\n")
        if path.suffix == ".json":
            file.write("]}\n")


def measure(path: Path, num: int) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    dataset = open_dataset(str(path))
    first = next(iter(dataset))
    seconds = time.perf_counter() - start
    print(f"{path.name} ({path.stat().st_size / 1e6:.0f} MB): first sample {first.sample_id} after {seconds:.3f} s")
    start, cpu = time.perf_counter(), time.process_time()
    group = next(iter(dataset.groups()))
    spent = time.process_time() - cpu
    print(
        f"  first group ({len(group.samples())} samples) after {time.perf_counter() - start:.1f} s "
        f"({spent:.1f} s of CPU), {dataset.num_images} images"
    )
    start, cpu = time.perf_counter(), time.process_time()
    line = json.dumps({"image": "images/0000001.jpg", "mask": "masks/0000001.png", "text": "thing 1"})
    for _ in range(num):
        json.loads(line)
    print(f"  ratio of CPU to json.loads alone: {spent / (time.process_time() - cpu):.1f}")
    print(f"  largest memory so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> None:
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        for name in ("manifest.jsonl", "manifest.json"):
            path = Path(folder) / name
            write(path, num)
            measure(path, num)
            path.unlink()
    from segagent.cpu import cpu_words  # Last: it loads torch, which no figure above is to hold.

    print(cpu_words())


if __name__ == "__main__":
    main()
