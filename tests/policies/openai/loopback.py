"""Servers on loopback for tests: a policy behind the protocol, a scripted foreign server, a proxy that does harm."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np

from quiet_server import QuietHandler, QuietServer, app_served
from segagent.core import Click, Finish, Observation, Policy, Proposal
from segagent.policies import format_reply, parse_reply
from segagent.server.app import create_app


class DicePolicy:
    """Clicks and scores that depend on everything observed and, when sampled, on the seed; and on nothing else."""

    name = "dice"

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        answers = []
        for number, look in enumerate(observations):
            digest = hashlib.sha256(look.image.key.encode() + look.text.encode() + look.mask.tobytes()).digest()
            state = int.from_bytes(digest[:8], "big")
            rng = np.random.default_rng([state, 0 if seeds is None else seeds[number]])
            greedy = self._draw(np.random.default_rng(state), look)
            sampled = [self._draw(rng, look) if temperature else greedy for _ in range(num_proposals - 1)]
            answers.append([greedy, *sampled])
        return answers

    def _draw(self, rng: np.random.Generator, look: Observation) -> Proposal:
        height, width = look.mask.shape
        click = Click(int(rng.integers(width)), int(rng.integers(height)), bool(rng.random() < 0.7))
        text = format_reply(Finish() if rng.random() < 0.05 else click, float(rng.integers(95)) / 100)
        action, predicted = parse_reply(text, height, width)
        return Proposal(action, predicted, -1.0, text)


@contextmanager
def serving(policy: Policy) -> Iterator[str]:
    """The base URL of a server around ``policy``."""
    with app_served(create_app(policy)) as url:
        yield f"{url}/v1"


class Scripted:
    """A foreign server in one function: from (path, headers, body) to (status, headers, body bytes)."""

    def __init__(self, answer: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.models: list[dict[str, Any]] = []
        self._answer = answer
        outer = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                self.answer(200, json.dumps({"object": "list", "data": outer.models}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.body())
                outer.requests.append(body)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, content = outer._answer(body)
                self.answer(status, content, headers)

        self._server = QuietServer(Handler)
        self.url = f"{self._server.url}/v1"

    def __enter__(self) -> Scripted:
        self._server.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.__exit__()


def completion(*texts: str, finish_reason: str = "stop", **extra: Any) -> tuple[int, dict[str, str], bytes]:
    """A chat completion with one choice per text."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
        for i, text in enumerate(texts)
    ]
    return 200, {}, json.dumps({"choices": choices, **extra}).encode()


FAULTS = ("429", "500", "503", "hang", "half", "garbage", "drip", "reset", "not a completion")
SLOW = ("hang", "drip")


class FaultProxy:
    """Stands before a server and fails ``rate`` of all calls in one of the ways of :data:`FAULTS`, by a fixed plan.

    Only the first ``slow`` of the :data:`SLOW` ones are, for each costs the client all its patience: later ones become
    a connection that is reset. ``upstream`` counts the calls that reached the server, by content of the request.
    """

    def __init__(self, upstream: str, *, rate: float, hang: float, seed: int = 0, slow: int = 8) -> None:
        self.upstream: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._client = httpx.Client(trust_env=False, timeout=30)
        lock = threading.Lock()
        rng = np.random.default_rng(seed)
        outer = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.body()
                with lock:
                    fault = str(rng.choice(FAULTS)) if rng.random() < rate else ""
                    if fault in SLOW and sum(outer.faults[one] for one in SLOW) >= slow:
                        fault = "reset"
                    outer.faults[fault or "none"] += 1
                    if not fault:
                        outer.upstream[hashlib.sha256(body).hexdigest()] += 1
                try:
                    if fault:
                        self._harm(fault)
                    else:
                        response = outer._client.post(f"{upstream}/chat/completions", content=body)
                        self.answer(response.status_code, response.content)
                except OSError:
                    self.close_connection = True

            def _harm(self, fault: str) -> None:
                whole = completion("Current IoU: 1. Positive point: (1, 1)")[2]
                if fault == "429":
                    self.answer(429, b'{"error": {"message": "slow down"}}', {"retry-after": "0.01"})
                elif fault in ("500", "503"):
                    self.answer(int(fault), b"<html>oops</html>")
                elif fault == "hang":
                    time.sleep(hang)
                    self.close_connection = True
                elif fault == "half":
                    self.answer(200, whole[: len(whole) // 2], length=len(whole))
                    self.close_connection = True
                elif fault == "garbage":
                    self.answer(200, b"\xff\x00{{{ Positive point: (1, 1)")
                elif fault == "drip":
                    self.answer(200, b"", length=len(whole))
                    for position in range(len(whole)):
                        self.wfile.write(whole[position : position + 1])
                        time.sleep(hang / 20)
                elif fault == "reset":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                else:
                    self.answer(200, b'{"choices": []}')

        self._server = QuietServer(Handler)
        self.url = f"{self._server.url}/v1"

    def __enter__(self) -> FaultProxy:
        self._server.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.__exit__()
        self._client.close()
