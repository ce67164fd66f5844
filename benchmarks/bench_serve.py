"""How quick ``segagent serve`` is beside the same clicks in one process.

    python benchmarks/bench_serve.py [--clicks 100] [--clients 8] [--tool embedded]

Objects of a few clicks each on generated pictures of 640 x 480, which the server knows. The baseline of the same run,
"in Python", is the same clicks given to the same tool in this process, one after the other; server and baseline take
turns, object by object, so that both meet the same load. Told are waiting times of one client, clicks a second of
several clients at once as a ratio to the baseline's, and, with the tool that only draws discs, what a request costs
beside the models. The machine's load is printed with every figure.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

import cv2
import httpx
import numpy as np

from review_server import Server
from segagent.core import Click, Image, Pixels, Rle, SegmentationTool, State, empty_mask, encode_rle
from segagent.environment import step
from segagent.imaging import encode_png
from segagent.tools import make_tool

HEIGHT, WIDTH = 480, 640
PER_OBJECT = 5


@contextmanager
def serving(tool: str, policy: str = "centre") -> Iterator[Server]:
    """``segagent serve`` on a free port, until the block ends."""
    command = [sys.executable, "-m", "segagent.cli.main", "serve", "--policy", policy, "--tool", tool, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if " at http://" not in line:
            raise RuntimeError(f"the server did not start: {line}")
        yield Server(process, line.split(" at ")[1].strip().removesuffix("/v1"))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def picture(seed: int) -> Pixels:
    """Uneven ground with a few ellipses on it."""
    draw = np.random.default_rng(seed)
    ground = cv2.resize(draw.integers(60, 200, (6, 8, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        at = int(draw.integers(WIDTH)), int(draw.integers(HEIGHT))
        axes = int(draw.integers(20, 140)), int(draw.integers(20, 140))
        colour = [int(value) for value in draw.integers(0, 255, 3)]
        cv2.ellipse(ground, at, axes, float(draw.integers(180)), 0, 360, colour, -1)
    return np.clip(ground + draw.normal(0, 6, ground.shape), 0, 255).astype(np.uint8)


def clicks(draw: random.Random) -> list[Click]:
    """Those of one object: all positive ones lie near one another."""
    x, y = draw.randrange(100, WIDTH - 100), draw.randrange(100, HEIGHT - 100)
    return [
        Click(x + draw.randrange(-90, 90), y + draw.randrange(-90, 90), positive=number == 0 or draw.random() < 0.6)
        for number in range(PER_OBJECT)
    ]


class InPython:
    """The baseline: the tool in this process."""

    def __init__(self, tool: SegmentationTool, pictures: Sequence[Pixels]) -> None:
        self._tool = tool
        self._embeddings = tool.embed([Image.of(pixels) for pixels in pictures])

    def clicked(self, index: int, given: Sequence[Click]) -> tuple[list[float], Rle]:
        """Seconds of each click, with its mask encoded, and the last mask."""
        state, seconds, mask = State(empty_mask(HEIGHT, WIDTH)), [], None
        for click in given:
            began = time.perf_counter()
            state = step(self._embeddings[index], state, click, self._tool)
            mask = encode_rle(state.mask)
            seconds.append(time.perf_counter() - began)
        assert mask is not None
        return seconds, mask


class OverHttp:
    """One client of the server."""

    def __init__(self, server: Server) -> None:
        self._client = httpx.Client(base_url=f"{server.url}/v1", trust_env=False, timeout=120)

    def send(self, pixels: Pixels) -> str:
        """The picture's name; once this is back the server knows it, and a click has made sure."""
        sent = self._client.post("/pictures", content=encode_png(pixels), headers={"content-type": "image/png"})
        name = str(sent.json()["picture"])
        self.clicked(name, [Click(1, 1, positive=True)])
        return name

    def clicked(self, name: str, given: Sequence[Click]) -> tuple[list[float], Rle]:
        """As :meth:`InPython.clicked`, over HTTP; each request brings all clicks so far, as a page's would."""
        told = [{"x": one.x, "y": one.y, "positive": one.positive} for one in given]
        seconds, mask = [], None
        for count in range(1, len(given) + 1):
            began = time.perf_counter()
            answer = self._client.post("/segment", json={"picture": name, "clicks": told[:count]})
            mask = answer.raise_for_status().json()["mask"]
            seconds.append(time.perf_counter() - began)
        assert mask is not None
        return seconds, Rle(**mask)


def compare(tool: str, num: int, num_clients: int) -> None:
    """Measure and print."""
    pictures = [picture(seed) for seed in range(num_clients)]
    here = InPython(make_tool(tool), pictures)
    with serving(tool) as server:
        people = [OverHttp(server) for _ in range(num_clients)]
        names = [person.send(pixels) for person, pixels in zip(people, pictures, strict=True)]
        draw = random.Random(0)
        own: list[float] = []
        served: list[float] = []
        for number in range(-(-num // PER_OBJECT)):
            index, given = number % num_clients, clicks(draw)
            seconds, expected = here.clicked(index, given)
            own += seconds
            seconds, found = people[0].clicked(names[index], given)
            served += seconds
            assert found == expected, "the server's mask differs"
        tell(f"{tool}: a click in Python (baseline)", own)
        tell(f"{tool}: a click over HTTP, one client", served)
        over = (np.median(served) - np.median(own)) * 1000
        print(f"{tool}: beside the tool a request costs {over:.1f} ms (medians; mask as RLE encoded in both)")

        def all_of(index: int, turn: int) -> int:
            own_draw = random.Random(f"{index} {turn}")  # Never the same again: the server would remember it.
            count = max(num // num_clients // PER_OBJECT, 2)
            for _ in range(count):
                people[index].clicked(names[index], clicks(own_draw))
            return count * PER_OBJECT

        def many(turn: int) -> tuple[float, float]:
            cpu, began = server.cpu, time.perf_counter()
            with ThreadPoolExecutor(num_clients) as pool:
                done = sum(pool.map(partial(all_of, turn=turn), range(num_clients)))
            return done / (time.perf_counter() - began), (server.cpu - cpu) / done

        def alone(turn: int) -> tuple[float, float]:
            own_draw, count = random.Random(f"alone {turn}"), max(num // PER_OBJECT, 2)
            cpu, began = time.process_time(), time.perf_counter()
            for number in range(count):
                here.clicked(number % num_clients, clicks(own_draw))
            done = count * PER_OBJECT
            return done / (time.perf_counter() - began), (time.process_time() - cpu) / done

        rates = [(*alone(turn), *many(turn), cores_left()) for turn in range(3)]
        before, alone_cpu, after, cpu, left = (float(np.median(one)) for one in zip(*rates, strict=True))
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(
            f"{tool}: {num_clients} clients {after:.1f} clicks/s, in Python, one after the other (baseline) "
            f"{before:.1f}: ratio {after / before:.2f} (median of 3 turns each; {load}). Two processes of "
            f"plain computing get {left:.2f} x what one gets here, which is as much as two threads can gain"
        )
        print(
            f"{tool}: a click takes the server {cpu * 1000:.1f} ms of computing, {alone_cpu * 1000:.1f} ms in Python "
            f"(baseline): ratio {cpu / alone_cpu:.2f}"
        )
        counted = metrics(server)
        calls, questions = (
            sum(value for name, value in counted.items() if name.startswith(f"segagent_model_{what}_total"))
            for what in ("calls", "questions")
        )
        print(f"{tool}: {questions:.0f} questions in {calls:.0f} calls of the models; memory {server.memory:.0f} MB")


def cores_left(seconds: float = 2.0) -> float:
    """How much more two processes compute than one at this moment: 2 where two cores have nothing else to do."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_count, [0.1, 0.1]))  # Both are there.
        one = pool.submit(_count, seconds).result()
        return sum(pool.map(_count, [seconds] * 2)) / one


def _count(seconds: float) -> int:
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        number += 1
    return number


def metrics(server: Server) -> dict[str, float]:
    """What the server counts."""
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    lines: list[Any] = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def tell(what: str, seconds: Sequence[float]) -> None:
    """Median and 95th percentile."""
    half, most = np.quantile(seconds, [0.5, 0.95]) * 1000
    print(f"{what}: median {half:.1f} ms, 95% within {most:.1f} ms, of {len(seconds)}; load {os.getloadavg()[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--tool", default="embedded")
    asked = parser.parse_args()
    compare("disc", asked.clicks, asked.clients)
    compare(asked.tool, asked.clicks, asked.clients)


if __name__ == "__main__":
    main()
