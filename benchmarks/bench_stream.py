"""A training on many examples: how long until its first batch, and how much memory, for files of growing length.

Makes files of trajectories, each line a real one with a number and a picture of its own, and opens each in a process of
its own as ``segagent train sft --policy hf:...`` does: index, lengths, order, first batch, encoded for a tiny random
LLaVA. Baseline: the same with all examples in memory, which is what versions before 0.2 did (only up to --in-memory).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

SCENES = "scenes:{}:seed=1,split=train,sentences=1,size=64"


def write_file(path: Path, examples: int) -> int:
    """About so many examples; gives how many."""
    from segagent.cli.main import main

    one = path.with_name("one.jsonl")
    made = ["trajectories", SCENES.format(1), "-o", str(one), "--tool", "disc", "--workers", "1", "--json"]
    if not one.exists() and main([*made, "--starts", "empty", "--tau-diff", "-1", "--max-steps", "4"]) != 0:
        raise SystemExit("no trajectory was made")
    header, line = one.read_text().splitlines()[:2]
    record = json.loads(line)
    per_line = len(record["steps"]) + 1
    lines = examples // per_line
    for step in record["steps"]:  # As long as masks of photographs are.
        step["text"] = "x" * 400
    for key in ("unit", "crc", "image", "sample_id"):
        record.pop(key)
    rest = json.dumps(record)[1:-1]
    rest = rest.replace('"schema": "segagent.trajectory/1", ', "", 1)
    about = json.loads(header)
    from segagent.datasets import open_dataset

    dataset = open_dataset(SCENES.format(lines))
    about["config"]["dataset"], about["notes"]["dataset"] = dataset.fingerprint, dataset.spec
    about.pop("crc", None)
    with path.open("wb") as file:
        body = json.dumps(about).encode()[:-1]
        file.write(body + b', "crc": "%08x"}\n' % zlib.crc32(body))
        for number in range(lines):
            name = f"train_1_{number:06d}"
            begin = f'{{"unit": [{number}, 0, 1], "schema": "segagent.trajectory/1", "sample_id": "{name}/0", '
            body = (begin + f'"image": "{name}", ' + rest).encode()
            file.write(body + b', "crc": "%08x"}\n' % zlib.crc32(body))
    return lines * per_line


def open_file(path: Path, model: Path, in_memory: bool) -> None:
    """In a process of its own: print what it took."""
    from segagent.learning.sft import load_annotator_set
    from segagent.learning.sft.hf.data import EncodedExamples, data_fingerprint, too_long
    from segagent.learning.sft.hf.encoding import Collator, Encoder
    from segagent.learning.sft.hf.order import training_order
    from segagent.learning.sft.sets import annotator_sets
    from segagent.policies.chat import FORMATS
    from segagent.policies.hf.loading import load_checkpoint

    checkpoint = load_checkpoint(str(model), device="cpu", dtype="float32")
    encoder = Encoder(checkpoint, FORMATS["paper"], 2048)
    before, began, cpu = _peak(), time.perf_counter(), time.process_time()
    sets = [load_annotator_set(path)] if in_memory else annotator_sets("hf:x", [path], path.parent / "out")
    data_fingerprint(sets)
    left_out = too_long(sets, encoder, 2048)
    num = sum(len(one.examples) for one in sets)
    data = EncodedExamples(sets, training_order(sets, 2 * num, 0), encoder, left_out)
    batch = Collator(checkpoint.tokenizer.pad_token_id)([data[position] for position in range(16)])
    assert batch["labels"].shape[0] == 16
    print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, before, _peak()]))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, nargs="+", default=[30_000, 300_000])
    parser.add_argument("--in-memory", type=int, default=30_000)
    parser.add_argument("--open", nargs=3, metavar=("FILE", "MODEL", "HOW"))
    given = parser.parse_args()
    if given.open:
        open_file(Path(given.open[0]), Path(given.open[1]), given.open[2] == "memory")
        return
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "policies" / "hf"))
    from tiny_checkpoints import make_llava

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_llava(folder / "llava")
        for wanted in given.examples:
            path = folder / "traj.jsonl"
            num = write_file(path, wanted)
            for how in ("disk", "memory")[: 1 + (wanted <= given.in_memory)]:
                command = [sys.executable, __file__, "--open", str(path), str(model), how]
                run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
                seconds, cpu, before, peak = json.loads(run.stdout.splitlines()[-1])
                size = path.stat().st_size / 2**30
                print(
                    f"{num} examples ({size:.2f} GiB), {how}: first batch after {seconds:.1f} s ({cpu:.1f} s of CPU), "
                    f"memory {before:.0f} MiB before, at most {peak:.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
