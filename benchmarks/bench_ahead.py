"""What it gains to load and embed the next picture while one is played: the same evaluation with and without, in turns.

Two policies that are asked one question at a time: one behind a server on this machine that takes ``--delay`` seconds a
reply, and the embedded one. The journals are compared as well: times apart, they must be the same. Printed are medians
of the clock and of the processor time, and the ratio of clock times of each pair of runs (without by with).

    python benchmarks/bench_ahead.py [--size 1500x2000] [--pictures 24] [--repeats 5]
    taskset -c 0 python benchmarks/bench_ahead.py       # on one core
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench_in_flight import serve, write_pictures
from segagent.core.ahead import one_ahead
from segagent.datasets import Dataset
from segagent.distributed import lanes
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.run import evaluate
from segagent.policies import make_policy
from segagent.runs.journal import read_journal
from segagent.search import SearchConfig
from segagent.tools import make_tool

AHEAD = one_ahead


def in_its_turn(items: Iterable[Any]) -> Iterator[Any]:
    """Each item made when it is wanted, as it was before."""
    yield from items


def timeless(out: Path) -> list[dict[str, Any]]:
    """The records without times."""
    apart = ("seconds", "elapsed", "crc", "usage")
    records = read_journal(out / "trajectories.jsonl")[1]
    return [{name: value for name, value in one.items() if name not in apart} for one in records]


def run(data: Dataset, policy: Any, tool: Any, out: Path, ahead: bool) -> tuple[float, float]:
    """Seconds by the clock and of this process's processor time."""
    shutil.rmtree(out, ignore_errors=True)
    lanes.one_ahead = AHEAD if ahead else in_its_turn  # type: ignore[assignment]
    clock, processor = time.perf_counter(), time.process_time()
    evaluate(data, policy, tool, out, EvaluationConfig("res", SearchConfig(3, use_prm=False)))
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Print a line per policy and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default="embedded")
    parser.add_argument("--size", default="1500x2000", help="HEIGHTxWIDTH")
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--delay", type=float, default=0.1)
    given = parser.parse_args()
    height, width = (int(part) for part in given.size.split("x"))
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, given.delay), daemon=True)
    process.start()
    served = f"openai:qwen3-vl@http://127.0.0.1:{ours.recv()}/v1?cache=off&concurrency=1"
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{given.pictures} pictures of {width} x {height}, tool {given.tool}, cores {cores}, load {load:.1f}")
    tool = make_tool(given.tool)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "data").mkdir()
        data = write_pictures(Path(name) / "data", given.pictures, height, width)
        for spec in (served, "embedded"):
            policy = make_policy(spec)
            outs = {ahead: Path(name) / f"ahead-{ahead}" for ahead in (True, False)}
            run(data, policy, tool, outs[True], True)  # Warm: files and weights are read.
            taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
            for _ in range(given.repeats):
                for ahead, out in outs.items():
                    ours.send(True)
                    ours.recv()
                    taken[ahead].append(run(data, policy, tool, out, ahead))
            same = timeless(outs[True]) == timeless(outs[False])
            ratios = sorted(without[0] / with_it[0] for with_it, without in zip(taken[True], taken[False], strict=True))
            told = {
                "ahead s": round(median(one for one, _ in taken[True]), 2),
                "in turn s": round(median(one for one, _ in taken[False]), 2),
                "ahead cpu s": round(median(one for _, one in taken[True]), 2),
                "in turn cpu s": round(median(one for _, one in taken[False]), 2),
                "ratio": [round(ratios[0], 2), round(median(ratios), 2), round(ratios[-1], 2)],
                "same records": same,
            }
            print(f"{spec.partition(':')[0]:9} {json.dumps(told)}", flush=True)
    ours.send(False)
    process.join(5)


if __name__ == "__main__":
    main()
