"""What the hf and openai adapters add to a step beyond the model's own time, at 640x480.

One step of a greedy episode as the search drives it: the overlay is drawn, the picture is resized and encoded, the
request is sent and its reply read; or, for hf, the picture and prompt become tensors and tokens become a reply. The
model is replaced: the server is a loopback socket that answers a fixed text at once, and ``hf`` is measured around a
model that is not called. The bar is 10 ms per step; where other programs use the machine, the CPU time of this process
(the server's in it) tells what an idle one would take. Run: python benchmarks/bench_adapter_overhead.py
"""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np

from segagent.core import Image, Observation, frozen_mask
from segagent.cpu import cpu_words
from segagent.policies.chat import FORMATS, ChatPolicy, Question, Reply, Usage, ask, read_answer
from segagent.policies.openai import PictureEncoding, ServedModel, ServedModelConfig

REPEATS = 30
BAR_MS = 10.0


def picture(seed: int) -> Image:
    """A picture with the statistics of a photograph: smooth shapes and some grain."""
    import cv2

    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (24, 32, 3), np.uint8)
    smooth = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return Image.of(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))


def looks(count: int) -> list[Observation]:
    """Steps of one episode: the same picture under growing masks, each new to every cache."""
    image = picture(0)
    rows, columns = np.ogrid[:480, :640]
    return [
        Observation(image, "the mug", frozen_mask((rows - 240) ** 2 + (columns - 320) ** 2 < (20 + 2 * n) ** 2))
        for n in range(count)
    ]


class InstantServer:
    """Answers every request on a kept-open connection with the same completion, without reading what it says."""

    def __init__(self, reply: str) -> None:
        body = json.dumps({"choices": [{"message": {"content": reply}, "finish_reason": "stop"}]}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self._answer = head + body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while line := stream.readline():
            length = 0
            while line.strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                line = stream.readline()
            stream.read(length)
            connection.sendall(self._answer)


class NoModel:
    """A chat model that answers at once: what is left is the policy's own work."""

    usage = Usage()

    def reply(
        self, questions: list[Question], num_replies: int, *, temperature: float, seeds: list[int] | None
    ) -> list[list[Reply]]:
        return [[Reply('{"action": "positive", "point": [500, 500], "iou": 0.5}')] * num_replies for _ in questions]


def cost_ms(step: Callable[[Observation], object]) -> tuple[float, float, float]:
    """(median wall, smallest wall, median CPU) milliseconds of a step; the first few, which warm up, are left out."""
    wall, cpu = [], []
    for number, look in enumerate(looks(REPEATS + 5)):
        began, used = time.perf_counter(), time.process_time()
        step(look)
        if number >= 5:
            wall.append(1e3 * (time.perf_counter() - began))
            cpu.append(1e3 * (time.process_time() - used))
    return statistics.median(wall), min(wall), statistics.median(cpu)


def main() -> None:
    """Print one line per adapter and encoding."""
    print(cpu_words())
    server = InstantServer('{"action": "positive", "point": [500, 500], "iou": 0.5}')
    print(f"{'adapter':44} {'median':>8} {'least':>8} {'CPU':>8}   (ms per step; bar {BAR_MS:g})")
    for name, fmt, encoding in (
        ("openai, JPEG, qwen3", "qwen3", PictureEncoding("jpeg")),
        ("openai, PNG, qwen3", "qwen3", PictureEncoding("png")),
        ("openai, PNG as to another machine, qwen3", "qwen3", PictureEncoding("png", compress=True)),
        ("openai, JPEG, qwen2.5 (resized)", "qwen2.5", PictureEncoding("jpeg")),
        ("openai, two exact PNGs, segagent", "segagent", PictureEncoding("png")),
        ("the same as to another machine", "segagent", PictureEncoding("png", compress=True)),
    ):
        model = ServedModel("m", server.url, ServedModelConfig(encoding=encoding))
        policy = ChatPolicy("bench", model, FORMATS[fmt])
        show(name, cost_ms(lambda look, policy=policy: policy.propose([look])))  # type: ignore[misc]
        model.close()
    bare = ChatPolicy("bench", NoModel(), FORMATS["qwen3"])  # type: ignore[arg-type]
    show("any chat policy without its model, qwen3", cost_ms(lambda look: bare.propose([look])))
    fmt = FORMATS["qwen2.5"]
    show(
        "hf: question and reply of qwen2.5",
        cost_ms(lambda look: read_answer(fmt, look, Reply(str(ask(fmt, look))[:9]))),
    )


def show(name: str, cost: tuple[float, float, float]) -> None:
    """One line of the table."""
    verdict = "" if min(cost[0], cost[2]) < BAR_MS else "  OVER THE BAR"
    print(f"{name:44} {cost[0]:8.2f} {cost[1]:8.2f} {cost[2]:8.2f}{verdict}", flush=True)


if __name__ == "__main__":
    main()
