"""How many requests a policy behind a server has in flight: a server of 0.25 s a reply and no limit, 48 pictures.

Runs ``evaluate``, ``annotate`` and ``audit`` of one data set with default options, and once more as they were before
images were worked on side by side (one image at a time, at most 8 requests; ``annotate`` and ``audit`` in two
processes).
Requests are counted where they arrive, from the first one to the last reply; the mean is weighted by time. All replies
state the same IoU, so that all episodes are of one length. Printed beside it is the processor time that this process
takes per request: where the machine is busy, that is the limit, and --delay makes the server slower in proportion.

    python benchmarks/bench_in_flight.py [--tool disc] [--size 480x640] [--former]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from segagent.annotation.batch import Models, RunConfig, make_models, run_job
from segagent.core import Observation, Proposal
from segagent.datasets import Dataset, open_dataset
from segagent.evaluation.run import evaluate
from segagent.imaging import encode_png
from segagent.policies import make_policy
from segagent.tools import make_tool


class Counter:
    """Requests in flight over time."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.now, self.most, self.total, self.area = 0, 0, 0, 0.0
        self.first = self.last = 0.0

    def change(self, by: int) -> None:
        moment = time.perf_counter()
        self.first = self.first or moment
        self.area += self.now * (moment - (self.last or moment))
        self.last = moment
        self.now += by
        self.most = max(self.most, self.now)
        self.total += by > 0

    def told(self) -> dict[str, float]:
        seconds = max(self.last - self.first, 1e-9)
        return {"mean": self.area / seconds, "most": self.most, "requests": self.total, "seconds": seconds}


def serve(pipe: Connection, delay: float) -> None:
    """Answer every question after ``delay`` seconds, however many there are."""
    counter = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    0,
                )
                await reader.readexactly(length)
                if not head.startswith(b"POST"):
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    continue
                counter.change(1)
                number = counter.total
                await asyncio.sleep(delay)
                point = [100 + 37 * number % 800, 100 + 61 * number % 800]
                said = json.dumps({"iou": 0.4, "action": "positive", "point": point})
                choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
                body = json.dumps({"choices": [choice]}).encode()
                counter.change(-1)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024, limit=1 << 24)
        pipe.send(server.sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv):
            pipe.send(counter.told())
            counter.reset()

    asyncio.run(run())


class OneAtATime:
    """The policy as it was asked before: by one thread."""

    def __init__(self, spec: str) -> None:
        self._policy = make_policy(spec)
        self.name = self._policy.name

    def propose(self, observations: list[Observation], *more: Any, **how: Any) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`."""
        return self._policy.propose(observations, *more, **how)


def former_models(spec: str, tool: str) -> Models:
    """The models of a worker process as it was."""
    return Models(OneAtATime(spec), make_tool(tool))


def write_pictures(folder: Path, count: int, height: int, width: int) -> Dataset:
    """``count`` generated pictures of one object each."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    samples = []
    rows, columns = np.mgrid[:height, :width]
    for number in range(count):
        y, x = rng.integers(height // 4, 3 * height // 4), rng.integers(width // 4, 3 * width // 4)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < (height // 5) ** 2
        ground = (rows * 200 // height)[..., None] + rng.integers(0, 40, (1, 1, 3))
        pixels = np.where(disc[..., None], rng.integers(150, 255, (1, 1, 3)), ground).astype(np.uint8)
        (folder / f"images/{number}.png").write_bytes(encode_png(pixels))
        (folder / f"masks/{number}.png").write_bytes(encode_png(disc.astype(np.uint8) * 255))
        samples.append(
            {"id": f"s{number}", "image": f"images/{number}.png", "mask": f"masks/{number}.png", "text": "the disc"}
        )
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}), encoding="utf-8")
    return open_dataset(str(folder))


def main() -> None:
    """Print a line per command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tool", default="disc", help="disc costs next to nothing; embedded is the default of commands"
    )
    parser.add_argument("--size", default="480x640", help="HEIGHTxWIDTH")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--delay", type=float, default=0.25)
    parser.add_argument("--former", action="store_true", help="the former defaults too")
    given = parser.parse_args()
    height, width = (int(part) for part in given.size.split("x"))
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, given.delay), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    with tempfile.TemporaryDirectory() as name:
        data = write_pictures(Path(name), given.pictures, height, width)
        for former in (False, True) if given.former else (False,):
            spec = f"openai:qwen3-vl@{url}?cache=off" + ("&concurrency=8" if former else "")
            for command in ("evaluate", "annotate", "audit"):
                out = Path(name) / f"{command}-{former}"
                spent = time.process_time()
                if command == "evaluate":
                    evaluate(data, OneAtATime(spec) if former else make_policy(spec), make_tool(given.tool), out)
                else:
                    models = partial(former_models if former else make_models, spec, given.tool)
                    run_job(data, models, out, RunConfig(command), workers=2 if former else None)
                ours.send(True)
                told = ours.recv()
                spent = 1000 * (time.process_time() - spent) / max(told["requests"], 1)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(
                    f"{command:9} {'former' if former else 'now':7} in flight: mean {told['mean']:5.1f}, "
                    f"most {told['most']:3.0f}; {told['requests']:4.0f} requests in {told['seconds']:6.2f} s, "
                    f"{spent:.1f} ms each; peak memory {peak:.0f} MiB",
                    flush=True,
                )
    ours.send(False)
    process.join(5)


if __name__ == "__main__":
    main()
