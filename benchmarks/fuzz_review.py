"""Sends the review server thousands of requests that nobody would send, and looks whether it minds.

    python benchmarks/fuzz_review.py [--requests 2000] [--seed 0]

Half of them schemathesis makes from the server's own OpenAPI document, fitting and not fitting it, and each answer is
held against that document. The others are made here: strokes and polygons of odd points, bodies that are damaged, paths
and headers that lead elsewhere. Among the run's pictures are some that are damaged or gone. No answer may be a server's
error, and the process must open nothing but the run, its data set and its own program, and write nothing but
``people.jsonl``. Exit code 1 if anything of that happens.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

import segagent
from review_server import cheap_run
from segagent.annotation.batch import open_run
from segagent.annotation.people import PEOPLE_FILE, read_events
from segagent.server.review.app import create_review_app
from segagent.server.review.session import Plan, ReviewSession

_HOST = {"host": "127.0.0.1"}
_JSON = {**_HOST, "content-type": "application/json"}
_CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@dataclass
class Tally:
    """What was sent, and what came out."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    events: int = 0

    @property
    def sound(self) -> bool:
        """Whether all is as it must be."""
        return not (self.errors or self.foreign)

    def take(self, status: int, told: str) -> None:
        """Count an answer."""
        self.requests += 1
        self.statuses[status] += 1
        if status >= 500:
            self.errors.append(f"{status} to {told[:300]}")


class Watch:
    """What this process opens, writes and removes while it watches: an audit hook, which cannot be taken off again."""

    def __init__(self, folder: Path) -> None:
        self.active = False
        self.foreign: set[str] = set()
        own = [folder, Path(segagent.__file__).parent, Path(sys.prefix), Path(sys.base_prefix)]
        own += [Path(path) for path in sysconfig.get_paths().values()]
        self._readable = tuple(str(path.resolve()) for path in own)
        self._writable = str((folder / "run" / PEOPLE_FILE).resolve())
        sys.addaudithook(self._heard)

    def __enter__(self) -> None:
        self.active = True

    def __exit__(self, *raised: object) -> None:
        self.active = False

    def _heard(self, event: str, about: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open" and isinstance(about[0], str | bytes):
            path = os.path.realpath(os.fsdecode(about[0]))
            writes = bool(about[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(about[2], int) else False
            if writes and path != self._writable:
                self.foreign.add(f"writes {path}")
            elif not path.startswith(self._readable):
                self.foreign.add(f"opens {path}")
        elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "subprocess.Popen", "socket.connect"):
            self.foreign.add(f"{event} {about!r:.200}")


def fuzz(folder: Path, num: int, seed: int = 0) -> Tally:
    """Send ``num`` requests, about half of each kind, to a server of a run that is made in ``folder``."""
    tally = Tally()
    run = cheap_run(folder)
    _spoil(sorted((folder / "data" / "images").iterdir()))
    session = ReviewSession(open_run(run), Plan(tool="disc", policy="centre", guidelines="<script>alert(1)</script>"))
    watch = Watch(folder)
    try:
        app = create_review_app(session)
        fuzz_by_schema(app, "/api/v1/openapi.json", num // 2, seed, tally, watch)
        draw = random.Random(seed)
        keys = list(session.pictures.names)
        client = TestClient(app, raise_server_exceptions=False)
        while tally.requests < num:
            method, path, more = _odd(draw, keys)
            with watch:
                answer = client.request(method, path, **more)
            tally.take(answer.status_code, f"{method} {path} {more!r:.200}")
    finally:
        session.close()
    tally.foreign = watch.foreign
    tally.events = sum(1 for _ in read_events(open_run(run)))  # Whole and readable.
    return tally


def fuzz_by_schema(
    app: FastAPI, document: str, num: int, seed: int, tally: Tally, watch: AbstractContextManager[None]
) -> None:
    """Send about ``num`` requests that the interface's own ``document`` suggests, and hold the answers against it."""
    schema = schemathesis.openapi.from_asgi(document, app, headers=_HOST)
    operations = [found.ok() for found in schema.get_all_operations()]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    pairs = [(operation, mode) for operation in operations for mode in modes]
    for number, (operation, mode) in enumerate(pairs):

        @seeded(seed + number)
        @settings(
            max_examples=-(-num // len(pairs)),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            with watch:
                as_json = case.method == "POST" and case.media_type in (None, "application/json")
                answer = case.call(headers=_JSON if as_json else _HOST)
            told = f"{case.method} {case.path} {case.path_parameters} {case.query} {case.body!r:.200}"
            tally.take(answer.status_code, told)
            try:
                case.validate_response(answer, checks=_CHECKS)
            except BaseExceptionGroup as failures:
                tally.errors += [f"{told}: {failure}"[:500] for failure in failures.exceptions]

        try:
            ask()
        except Unsatisfiable:
            continue  # There is no wrong way to ask for what takes nothing.


def _spoil(pictures: list[Path]) -> None:
    """Damage a few pictures of a data set."""
    whole = pictures[0].read_bytes()
    pictures[0].write_bytes(whole[: len(whole) // 2])
    pictures[1].write_bytes(b"")
    pictures[2].write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    pictures[3].unlink()
    pictures[4].write_bytes(whole[:16] + (60_000).to_bytes(4, "big") * 2 + whole[24:])
    pictures[5].unlink()
    pictures[5].symlink_to("/etc/passwd")


def _odd(draw: random.Random, keys: list[str]) -> tuple[str, str, dict[str, Any]]:
    """A request that no page of ours sends."""
    index = draw.choice([*range(40), -1, 40, 10**30, "a", "%00", "..%2f.."])
    events = f"/api/v1/objects/{index}/events"
    match draw.randrange(7):
        case 0 | 1:
            body = {"request": f"odd-{draw.random()}", "kind": draw.choice(["stroke", "polygon"]), "positive": True}
            body |= {"points": _points(draw), "radius": draw.choice([0, 1, 7, 999, 1000, 1001, -1, 2.5, None, "3"])}
            if body["kind"] == "polygon":
                del body["radius"]
            return "POST", events, {"content": json.dumps(body), "headers": _JSON}
        case 2:
            whole = json.dumps({"request": f"odd-{draw.random()}", "kind": "click", "x": 3, "y": 4, "positive": True})
            broken = bytearray(whole.encode())
            for _ in range(draw.randrange(1, 6)):
                broken[draw.randrange(len(broken))] = draw.randrange(256)
            return "POST", events, {"content": bytes(broken), "headers": _JSON}
        case 3:
            body = {
                "request": f"odd-{draw.random()}",
                "kind": "note",
                "text": _text(draw),
                "by": _text(draw)[:80] or "x",
            }
            return "POST", events, {"content": json.dumps(body), "headers": _JSON}
        case 4:
            ways = [
                "..",
                "%2e%2e",
                "..%2f..%2fetc%2fpasswd",
                "//etc/passwd",
                "..\\..",
                "main.js%00.png",
                "%ff",
                "~",
                ".",
            ]
            start = draw.choice(["/static/", "/api/v1/images/", "/", "/api/v1/objects/"])
            path = start + "/".join(draw.choices(ways, k=draw.randrange(1, 5)))
            return draw.choice(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]), path, {"headers": _HOST}
        case 5:
            odd = draw.choice(["host", "origin", "cookie", "authorization", "content-type", "content-length", "range"])
            value = draw.choice([b"", b"\xff\xfe", b"null", b"[::1", b"a=b;;=;\x01", b"9" * 5000, b"bytes=5-1,0-0"])
            if odd == "content-length":
                value = b"9" * draw.randrange(1, 40)
            return "GET", draw.choice(["/", "/api/v1/session", "/static/main.js"]), {"headers": {**_HOST, odd: value}}
        case _:
            key = draw.choice(keys)
            path = draw.choice([f"/api/v1/images/{key}/picture", f"/api/v1/images/{key}", f"/api/v1/objects/{index}"])
            return "GET", path, {"headers": _HOST}


def _points(draw: random.Random) -> Any:
    far = [0, -1, 31, 24, 5, 32_000, -32_000, 32_001, 2**31, 2**63, 2**80, 0.5, None, "1", True, [1]]
    count = draw.choice([0, 1, 2, 3, 10, 1000, 20_000, 20_001])
    sane = draw.random() < 0.6
    return [
        [draw.choice(far[:7] if sane else far) for _ in range(2 if sane else draw.randrange(4))] for _ in range(count)
    ]


def _text(draw: random.Random) -> str:
    letters = ["<b>", "\0", "\n", "\ud800", "\udfff", "\u202e", "=cmd|'x'!A1", "é", "😀", "]]>", "'", '"', "\\", " "]
    return "".join(draw.choices(letters, k=draw.choice([0, 1, 5, 900])))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tally = fuzz(Path(folder), asked.requests, asked.seed)
    statuses = ", ".join(f"{count} of {status}" for status, count in sorted(tally.statuses.items()))
    print(
        f"{tally.requests} requests in {time.perf_counter() - began:.0f} s: {statuses}; {tally.events} events recorded"
    )
    for line in [*tally.errors, *sorted(tally.foreign)]:
        print(line)
    print("sound" if tally.sound else f"{len(tally.errors)} errors, {len(tally.foreign)} foreign files")
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
