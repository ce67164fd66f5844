"""Opening RefCOCO at its real size, beside plain ``pickle.load`` and ``json.load`` of the same files.

    python benchmarks/bench_refer.py [--refs 50000] [--annotations 197000]

Writes refs(unc).p (50,000 references, 142,000 sentences) and instances.json (19,994 images, 197,000 annotations with
polygons of 4 to 79 points) with made-up content to a temporary folder. Each way of reading has a process of its own.
Times are CPU seconds, memory is the growth of the process's peak (Linux).
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGES = 19_994
WORDS = "the man woman left right blue red shirt holding pizza closest to us second from in back".split()  # noqa: SIM905


def write(root: Path, num_refs: int, num_annotations: int) -> None:
    rng = random.Random(0)
    folder = root / "refcoco"
    folder.mkdir()
    images = [
        {"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "width": 640, "height": 480, "license": 1}
        for n in range(IMAGES)
    ]
    annotations = []
    for n in range(num_annotations):
        x, y, size = rng.randrange(500), rng.randrange(380), rng.randrange(10, 90)
        points = [round(start + rng.random() * size, 2) for _ in range(rng.randrange(4, 80)) for start in (x, y)]
        annotations.append(
            {
                "id": n,
                "image_id": n % IMAGES,
                "category_id": n % 80 + 1,
                "segmentation": [points],
                "area": size * size / 2,
                "bbox": [x, y, size, size],
                "iscrowd": 0,
            }
        )
    content = {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": n + 1, "name": f"thing {n}", "supercategory": "things"} for n in range(80)],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    references, sent_id = [], 0
    for n in range(num_refs):
        sentences = []
        for _ in range(2 if n % 25 < 4 else 3):
            tokens = [rng.choice(WORDS) for _ in range(rng.randrange(1, 8))]
            sent = " ".join(tokens)
            sentences.append({"tokens": tokens, "raw": sent.title(), "sent_id": sent_id, "sent": sent})
            sent_id += 1
        ann_id = n * (num_annotations // num_refs)
        references.append(
            {
                "sent_ids": [one["sent_id"] for one in sentences],
                "file_name": f"COCO_train2014_{ann_id % IMAGES:012d}_{n}.jpg",
                "ann_id": ann_id,
                "ref_id": n,
                "image_id": ann_id % IMAGES,
                "split": ("train", "val", "testA", "testB")[n % 4],
                "sentences": sentences,
                "category_id": ann_id % 80 + 1,
            }
        )
    (folder / "refs(unc).p").write_bytes(pickle.dumps(references, protocol=0))
    print(f"{num_refs} references, {sent_id} sentences, {num_annotations} annotations")
    for file in sorted(folder.iterdir()):
        print(f"  {file.name}: {file.stat().st_size / 1e6:.0f} MB")


def read(way: str, root: Path) -> int:
    """How many sentences were found."""
    if way == "plain":
        with (root / "refcoco" / "refs(unc).p").open("rb") as file:
            references = pickle.load(file)
        with (root / "refcoco" / "instances.json").open("rb") as file:
            instances = json.load(file)
        assert instances["annotations"]
        return sum(len(one["sentences"]) for one in references)
    from segagent.datasets import open_dataset

    return len(list(open_dataset(f"refcoco:{root}")))


def peak_megabytes() -> float:
    """Of this process since it was started; ``getrusage`` would tell that of its parent where it is larger."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refs", type=int, default=50_000)
    parser.add_argument("--annotations", type=int, default=197_000)
    parser.add_argument("--read", nargs=2, metavar=("WAY", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        import segagent.datasets  # noqa: F401 - what it takes to start is not measured

        before, began = peak_megabytes(), time.process_time()
        found = read(options.read[0], Path(options.read[1]))
        seconds = time.process_time() - began
        print(json.dumps({"found": found, "seconds": seconds, "megabytes": peak_megabytes() - before}))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.refs, options.annotations)
        rows = {}
        for way in ("plain", "segagent"):
            command = [sys.executable, __file__, "--read", way, folder]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rows[way] = row
            print(f"{way:10} {row['found']} sentences in {row['seconds']:.2f} s of CPU, {row['megabytes']:.0f} MB")
        assert rows["plain"]["found"] == rows["segagent"]["found"]
        for what in ("seconds", "megabytes"):
            print(f"segagent / plain, {what}: {rows['segagent'][what] / rows['plain'][what]:.2f}")
    from segagent.cpu import cpu_words  # Last: it loads torch, which no figure above is to hold.

    print(cpu_words())


if __name__ == "__main__":
    main()
