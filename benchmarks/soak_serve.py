"""Many clients at ``segagent serve`` for minutes, some of whom behave badly: is every answer right, does memory stay?

    python benchmarks/soak_serve.py [--minutes 10] [--clients 32] [--policy embedded] [--tool embedded]

Each client asks, at random, for clicks, scores and annotations of pictures that all of them share; what the answers
must be is worked out in this process before. Beside them go clients that break off an upload, send a body byte by byte,
send nonsense, and hang up before the answer. A request that the server turns away as busy is sent again. Prints once a
minute and at the end what was answered and the server's memory; exit code 1 if an answer was wrong, or another error
came.

A mask is right where its IoU with the expected one is at least 0.98: requests are asked in batches, which may move the
last digits of a probability, and so a pixel. How many are equal to the pixel is printed too.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from bench_serve import clicks, picture, serving
from review_server import Server
from segagent.annotation.batch import make_models
from segagent.annotation.python_api import annotate, audit
from segagent.core import Click, Image, Rle, State, decode_rle, empty_mask, encode_rle, iou
from segagent.environment import step
from segagent.imaging import encode_png
from segagent.search import SearchConfig

ALIKE = 0.98
TEXTS = ("the red disc", "the largest thing", "thing on the left")


@dataclass(frozen=True)
class Question:
    """A request to ``what`` with ``body``, and what must come back: a mask, or a predicted IoU."""

    what: str
    body: dict[str, Any]
    mask: Rle | None = None
    predicted_iou: float | None = None


def questions(policy: str, tool: str, num_pictures: int, per_picture: int) -> tuple[list[bytes], list[Question]]:
    """The pictures as PNG, and what is asked about them with the answers of this process."""
    models = make_models(policy, tool, "none")
    draw, files, asked = random.Random(0), [], []
    for seed in range(num_pictures):
        pixels = picture(seed)
        image = Image.of(pixels)
        files.append(encode_png(pixels))
        (embedding,) = models.tool.embed([image])
        for number in range(per_picture):
            given = clicks(draw)[: draw.randrange(1, 6)]
            state = State(empty_mask(image.height, image.width))
            for click in given:
                state = step(embedding, state, click, models.tool)
            asked.append(
                Question("segment", {"picture": seed, "clicks": [_told(one) for one in given]}, state_rle(state))
            )
            text = TEXTS[number % len(TEXTS)]
            mask = state_rle(state)
            scored = audit(image, text, state.mask, models=models).given_iou
            body = {"picture": seed, "text": text, "mask": mask}
            asked.append(Question("score", body, predicted_iou=scored))
        record = annotate(image, TEXTS[seed % 3], models=models, search=SearchConfig(max_steps=2))
        asked.append(
            Question("annotate", {"picture": seed, "text": TEXTS[seed % 3], "steps": 2}, encode_rle(record.mask))
        )
    return files, asked


def state_rle(state: State) -> Rle:
    """The state's mask."""
    return encode_rle(state.mask)


def _told(click: Click) -> dict[str, Any]:
    return {"x": click.x, "y": click.y, "positive": click.positive}


class Soak:
    """Clients that go on until the end."""

    def __init__(self, server: Server, files: list[bytes], asked: list[Question]) -> None:
        self._server, self._asked = server, asked
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        with self._client() as client:
            headers = {"content-type": "image/png"}
            self._names = [client.post("/pictures", content=file, headers=headers).json()["picture"] for file in files]
        self._files = files

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=f"{self._server.url}/v1", trust_env=False, timeout=180)

    def _count(self, *names: str) -> None:
        with self._lock:
            self.told.update(names)

    def run(self, minutes: float, num: int) -> None:
        """Ask until the time is over; every minute a line."""
        people = [threading.Thread(target=self._asks, args=(seed,)) for seed in range(num)]
        people += [
            threading.Thread(target=one) for one in (self._breaks_off, self._dawdles, self._babbles, self._hangs_up)
        ]
        for one in people:
            one.start()
        began = time.monotonic()
        while (passed := time.monotonic() - began) < 60 * minutes:
            time.sleep(min(60, 60 * minutes - passed))
            self.print(time.monotonic() - began)
        self._stop.set()
        for one in people:
            one.join(240)

    def print(self, seconds: float) -> None:
        """What there is to say now."""
        load = os.getloadavg()[0]
        print(f"{seconds:4.0f} s: {dict(self.told)}, server {self._server.memory:.0f} MB, load {load:.1f}", flush=True)

    def _asks(self, seed: int) -> None:
        draw = random.Random(seed)
        with self._client() as client:
            while not self._stop.is_set():
                question = draw.choice(self._asked)
                body = {**question.body, "picture": self._names[question.body["picture"]]}
                try:
                    answer = client.post(f"/{question.what}", json=body)
                except httpx.HTTPError as error:
                    self._count("no answer")
                    self.wrong.append(f"{question.what}: {error!r}")
                    continue
                if answer.status_code == 503:
                    self._count("busy")
                    time.sleep(float(answer.headers.get("retry-after", 1)) * draw.random())
                elif answer.status_code != 200:
                    self._count("error")
                    self.wrong.append(f"{question.what}: {answer.status_code} {answer.text:.200}")
                else:
                    self._check(question, answer.json(), str(body["picture"]))

    def _check(self, question: Question, told: dict[str, Any], name: str) -> None:
        right = told["picture"] == name
        if question.mask is not None:
            found = Rle(**told["mask"])
            self._count(*(["to the pixel"] if found == question.mask else []))
            right = right and iou(decode_rle(found), decode_rle(question.mask)) >= ALIKE
        elif question.predicted_iou is not None:
            right = right and abs(told["predicted_iou"] - question.predicted_iou) <= 1 - ALIKE
        self._count(question.what)
        if not right:
            self._count("wrong")
            self.wrong.append(f"{question.what} {question.body}: {str(told)[:200]}")

    def _breaks_off(self) -> None:
        while not self._stop.wait(1):
            with self._socket() as plain:
                file = self._files[0]
                plain.sendall(self._head("pictures", len(file)) + file[: len(file) // 2])
            self._count("broken off")

    def _dawdles(self) -> None:
        while not self._stop.wait(1):
            with self._socket() as plain:
                plain.sendall(self._head("segment", 1000))
                for _ in range(20):
                    plain.sendall(b" ")
                    if self._stop.wait(0.5):
                        break
            self._count("dawdled")

    def _babbles(self) -> None:
        with self._client() as client:
            while not self._stop.wait(0.5):
                answer = client.post(
                    "/annotate", content=b'{"picture": [', headers={"content-type": "application/json"}
                )
                self._count("nonsense")
                if not 400 <= answer.status_code < 500 and answer.status_code != 503:
                    self.wrong.append(f"nonsense was answered {answer.status_code}")

    def _hangs_up(self) -> None:
        while not self._stop.wait(1):
            body = f'{{"picture": "{self._names[0]}", "text": "the dog", "steps": 7}}'.encode()
            with self._socket() as plain:
                plain.sendall(self._head("annotate", len(body)) + body)
            self._count("hung up")

    def _socket(self) -> socket.socket:
        host, _, port = self._server.url.rpartition("/")[2].partition(":")
        return socket.create_connection((host, int(port)), timeout=60)

    def _head(self, what: str, length: int) -> bytes:
        host = self._server.url.rpartition("/")[2]
        kind = "image/png" if what == "pictures" else "application/json"
        lines = (f"POST /v1/{what} HTTP/1.1", f"Host: {host}", f"Content-Type: {kind}", f"Content-Length: {length}")
        return "\r\n".join((*lines, "", "")).encode()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--tool", default="embedded")
    given = parser.parse_args()
    files, asked = questions(given.policy, given.tool, given.pictures, 4)
    with serving(given.tool, given.policy) as server:
        soak = Soak(server, files, asked)
        soak.print(0)
        soak.run(given.minutes, given.clients)
        soak.print(60 * given.minutes)
    for line in soak.wrong[:20]:
        print("wrong:", line)
    answered = sum(soak.told[what] for what in ("segment", "score", "annotate"))
    print(f"{answered} answers, {len(soak.wrong)} wrong")
    sys.exit(bool(soak.wrong))


if __name__ == "__main__":
    main()
