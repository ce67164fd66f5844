"""Kills the review server with -9 at random moments while people work, and looks for what they were told was kept.

    python benchmarks/crash_review.py --kills 100 [--by-command 5] [--people 4] [--seed 0]

Several clients send clicks, strokes, verdicts, notes and undos over HTTP without a pause. The server is killed, started
again, killed. A client that got no answer sends the same request again, as the page does. In the end the record must
hold every event that was acknowledged, once, under the number and with the mask that was told, and no request twice.
Exit code 1 if anything is lost, twice there, or different.

The first ``--by-command`` times it is the command itself that is killed; after those, to save the seconds that Python
takes to start, the same server in a process forked from one that has only imported the program.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from review_server import CHEAP, Server, cheap_run, serving
from segagent.annotation.batch import open_run
from segagent.annotation.people import read_events
from segagent.server.listening import LOOPBACK, listen
from segagent.server.review.app import create_review_app
from segagent.server.review.session import Plan, ReviewSession


@dataclass
class Tally:
    """What was done, and what came out."""

    kills: int = 0
    acknowledged: int = 0
    sent_again: int = 0
    recorded: int = 0
    lost: int = 0
    twice: int = 0
    different: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def sound(self) -> bool:
        """Whether all is as it must be."""
        return not (self.lost or self.twice or self.different or self.refused) and self.acknowledged > 0


class Person(threading.Thread):
    """Sends events, one after the other, until told to stop; keeps what was answered."""

    def __init__(self, name: str, seed: int, num_objects: int) -> None:
        super().__init__(name=name)
        self.random = random.Random(seed)
        self.num_objects = num_objects
        self.server: Server | None = None
        self.stopped = False
        self.answers: dict[str, dict[str, Any]] = {}
        self.sent_again = 0
        self.refused: Counter[str] = Counter()
        self._number = 0

    def run(self) -> None:
        waiting: tuple[int, dict[str, Any]] | None = None
        client, of = None, None
        while not self.stopped or waiting is not None:
            server = self.server
            if server is None:
                if self.stopped:
                    break
                time.sleep(0.005)
                continue
            if client is None or of is not server:
                if client is not None:
                    client.close()
                client, of = server.client(timeout=20), server
            if waiting is None:
                waiting = self._next()
            else:
                self.sent_again += 1
            index, body = waiting
            try:
                answer = client.post(f"/objects/{index}/events", json=body)
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            waiting = None
            if answer.status_code == 200:
                self.answers[body["request"]] = answer.json()
            elif answer.status_code != 409:  # Nothing to undo.
                self.refused[answer.text[:200]] += 1
        if client is not None:
            client.close()

    def _next(self) -> tuple[int, dict[str, Any]]:
        self._number += 1
        draw = self.random
        x, y, sign = draw.randrange(32), draw.randrange(24), draw.random() < 0.7
        told: dict[str, Any] = draw.choice(
            [
                {"kind": "click", "x": x, "y": y, "positive": sign},
                {"kind": "stroke", "points": [[x, y], [y, x]], "radius": 2, "positive": sign},
                {"kind": "verdict", "verdict": draw.choice(["ok", "wrong", "unsure"])},
                {"kind": "note", "text": f"note {self._number}"},
                {"kind": "undo"},
                {"kind": "removed"},
                {"kind": "restored"},
            ]
        )
        return draw.randrange(self.num_objects), {"request": f"{self.name}-{self._number}", "by": self.name, **told}


def _serve(run: Path, ready: Connection) -> None:
    session = ReviewSession(open_run(run), Plan(tool="disc", policy="centre"))
    listen(create_review_app(session), LOOPBACK, 0, ready.send)


@contextmanager
def forked(run: Path) -> Iterator[Server]:
    """The same server as the command's, in a process that need not import anything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["segagent.server.review.app", "segagent.tools.fake", "uvicorn", "httpx"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(run, there))
    process.start()
    there.close()
    try:
        yield Server(process, here.recv())
    finally:
        here.close()
        process.kill()
        process.join()
        process.close()


def crash(folder: Path, kills: int, by_command: int = 5, num_people: int = 4, seed: int = 0) -> Tally:
    """Kill the server ``kills`` times while ``num_people`` work; everything is below ``folder``."""
    draw = random.Random(seed)
    run = cheap_run(folder)
    people = [Person(f"p{number}", seed + number, 40) for number in range(num_people)]
    for person in people:
        person.start()
    tally = Tally()
    try:
        while tally.kills < kills:
            with serving(run, *CHEAP) if tally.kills < by_command else forked(run) as server:
                for person in people:
                    person.server = server
                time.sleep(draw.uniform(0.05, 2.0))
                for person in people:
                    person.server = None
                server.process.kill()
                tally.kills += 1
            print(f"\r{tally.kills} of {kills} kills", end="", file=sys.stderr)
        with serving(run, *CHEAP) as server:
            for person in people:
                person.server, person.stopped = server, True
            for person in people:
                person.join(60)
    finally:
        for person in people:
            person.stopped, person.server = True, None
    _compare(run, people, tally)
    return tally


def _compare(run: Path, people: list[Person], tally: Tally) -> None:
    events = list(read_events(open_run(run)))
    tally.recorded = len(events)
    by_request = {event.request: event for event in events}
    tally.twice = len(events) - len(by_request)
    tally.different = int([event.number for event in events] != list(range(1, len(events) + 1)))
    for person in people:
        tally.sent_again += person.sent_again
        tally.refused.update(person.refused)
        for request, answer in person.answers.items():
            tally.acknowledged += 1
            event = by_request.get(request)
            if event is None:
                tally.lost += 1
            elif event.number != answer["number"] or (event.mask is not None and event.mask != answer["mask"]):
                tally.different += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--by-command", type=int, default=5)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = crash(Path(folder), asked.kills, asked.by_command, asked.people, asked.seed)
    print(
        f"\n{tally.kills} kills; {tally.acknowledged} events acknowledged, {tally.recorded} recorded, "
        f"{tally.sent_again} requests sent again: lost {tally.lost}, twice {tally.twice}, different {tally.different}"
    )
    for words, count in tally.refused.items():
        print(f"refused {count} times: {words}")
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
