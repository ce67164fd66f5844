"""How quick the review server is, how it bears ten people, and what clicks are worth beside a brush.

    python benchmarks/bench_review.py bars --data DATA     500 objects on pictures of 640 x 480: waiting times over HTTP
    python benchmarks/bench_review.py people --data DATA   ten people, 30 minutes of work without the pauses
    python benchmarks/bench_review.py person --data DATA   a simulated person puts 100 spoiled masks right

DATA: a data set with masks, photographs rather than scenes. The server runs with the embedded tool in a process of its
own, as a person starts it, and everything is measured by a client, over HTTP. Waiting times are worth only what else
the machine is doing allows: the load is printed beside them.

``person``: all masks are spoiled (``segagent corrupt --share 1``). The simulated person (the simulated annotator's
rule) clicks until the IoU is at least 0.85, then says ok: from the spoiled mask, and from an empty one (a new object).
With the brush alone they take the largest connected error, missed or covered, and paint along it: with a brush of half
of its greatest depth, over those of its pixels that are at least that deep, always on to the nearest one not painted
yet, and lifted where that is farther than the brush is wide. A mask that 20 clicks or 60 strokes do not bring there is
not accepted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from cheap_models import CheapPolicy
from review_server import Server, serving
from segagent.annotation.batch import Models, RunConfig, open_run, run_job
from segagent.annotation.people import read_events
from segagent.core import BoolMask, decode_rle, encode_rle, iou
from segagent.datasets import open_dataset
from segagent.datasets.corrupted import Spoiling, write_corrupted
from segagent.environment.annotator import next_click
from segagent.imaging import save_png
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

GOOD = 0.85
MOST_CLICKS, MOST_STROKES = 20, 60
OPTIONS = ("--tool", "embedded", "--policy", "centre")


def audited(dataset: str, out: Path) -> Path:
    """An audit whose scores mean nothing: what matters here is what comes after."""
    models = Models(CheapPolicy(), DiscTool())
    run_job(open_dataset(dataset), lambda: models, out, RunConfig("audit", SearchConfig()), notes={"tool": "embedded"})
    return out


def large_pictures(data: str, folder: Path, num_objects: int, per_image: int = 5) -> Path:
    """Objects of ``data`` on pictures of 640 x 480, as COCO."""
    images, annotations = [], []
    (folder / "images").mkdir(parents=True)
    for group in open_dataset(data).groups():
        samples = [sample for sample in group.samples() if hasattr(sample, "load_target")][:per_image]
        if len(samples) < per_image or len(annotations) >= num_objects:
            continue
        picture = samples[0].load_image()
        number = len(images) + 1
        save_png(folder / "images" / f"{number}.png", cv2.resize(picture.pixels, (640, 480)))
        images.append({"id": number, "file_name": f"{number}.png", "width": 640, "height": 480})
        for sample in samples:
            mask = cv2.resize(sample.load_target(picture)[0].astype(np.uint8), (640, 480)).astype(np.bool_)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "segmentation": encode_rle(mask)}
            )
    path = folder / "coco.json"
    categories = [{"id": 1, "name": "thing"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def bars(data: str, folder: Path, num: int) -> None:
    """Waiting times with 500 objects."""
    run = audited(str(large_pictures(data, folder / "data", 500)), folder / "run")
    draw = random.Random(0)
    first, cold, again, clicks, at_once = (Waited() for _ in range(5))
    for _ in range(5):
        with serving(run, *OPTIONS) as server, server.client() as client, first.of(server):
            client.get(f"{server.url}/")
            client.get("/session")
            rows = client.get("/objects").json()["rows"]
            _show(client, rows[0][0])
    order = [row[0] for row in rows]
    with serving(run, *OPTIONS) as server, server.client() as client:
        _click(client, order[-1], 5, 5)  # The tool is loaded by the first one who needs it.
        for number, index in enumerate(order[:num]):
            with cold.of(server):
                told = _show(client, index)
            if number % 5:  # A person looks first; the page has asked for the object long before they come to it.
                time.sleep(1.0)
            with (clicks if number % 5 else at_once).of(server):
                _click(client, index, draw.randrange(told["width"]), draw.randrange(told["height"]))
            with again.of(server):
                _show(client, index)
    first.tell("first card (the page, the list of 500, one object, its picture)", 1.0)
    cold.tell("next object and its picture, not asked for before", 0.15)
    again.tell("the same object once more", 0.15)
    clicks.tell("a click to its mask, its picture looked at for a second", 0.5)
    at_once.tell("a click to its mask, at once", 0.5)


@dataclass
class Waited:
    """How long a client waited for something, each time, and what the server computed meanwhile."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @contextmanager
    def of(self, server: Server) -> Iterator[None]:
        """Measure what is done inside."""
        cpu, began = server.cpu, time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - began)
        self.cpu += server.cpu - cpu

    def tell(self, what: str, bar: float) -> None:
        """Print it beside the bar."""
        half, most = np.quantile(self.seconds, [0.5, 0.95]) * 1000
        computed = f"; computing {self.cpu / len(self.seconds) * 1000:.0f} ms" if self.cpu else ""
        print(
            f"{what}: median {half:.0f} ms, 95% within {most:.0f} ms, of {len(self.seconds)}; bar {bar * 1000:.0f} ms"
            f"{computed}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )


def people(data: str, folder: Path, minutes: float, num: int, tool: str) -> None:
    """``num`` people at once; each does what they would do in so many minutes with 6 s for each thing."""
    run = audited(str(large_pictures(data, folder / "data", 500)), folder / "run")
    each = round(minutes * 60 / 6)
    with serving(run, "--tool", tool, "--policy", "centre") as server:
        answers: list[list[int]] = [[] for _ in range(num)]
        waited: list[float] = []
        wrong: Counter[str] = Counter()
        work = [partial(_work, server, seed, each, answers[seed], waited, wrong) for seed in range(num)]
        threads = [threading.Thread(target=one) for one in work]
        began, memory = time.perf_counter(), []
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            done = sum(map(len, answers))
            if done >= len(memory) * num * each // 10:
                memory.append((done, server.memory))
            time.sleep(0.2)
        memory.append((sum(map(len, answers)), server.memory))
        seconds = time.perf_counter() - began
    numbers = [event.number for event in read_events(open_run(run))]
    told = sorted(number for one in answers for number in one)
    print(f"{num} people, {each} things each, {sum(map(len, answers))} done in {seconds:.0f} s; errors: {dict(wrong)}")
    print(
        f"numbers in the record 1 to {len(numbers)}, each once and in order: {numbers == list(range(1, len(told) + 1))}"
    )
    print(f"each person's in the order they were asked: {all(one == sorted(one) for one in answers)}; "
          f"all that was told is there, once: {told == numbers}")  # fmt: skip
    print("memory by things done, MB: " + ", ".join(f"{done}: {size:.0f}" for done, size in memory))
    Waited(waited).tell("any of these things", 1.0)


def person(data: str, folder: Path, num: int) -> None:
    """What a simulated person needs until masks are right."""
    spoiled = folder / "spoiled"
    spoiled.mkdir()
    write_corrupted(spoiled, open_dataset(data), Spoiling(1.0, per_image=1, max_images=num, seed=1))
    truth = {}
    for line in (spoiled / "truth.jsonl").read_text().splitlines():
        told = json.loads(line)
        ignore = told.get("ignore")
        truth[told["sample_id"]] = decode_rle(told["mask"]), None if ignore is None else decode_rle(ignore)
    run = audited(str(spoiled), folder / "run")
    ways: dict[str, Callable[..., tuple[int, float, float]]] = {
        "clicks from the spoiled mask": partial(_put_right, ask=_ask_click, most=MOST_CLICKS),
        "clicks from an empty mask": partial(_put_right, ask=_ask_click, most=MOST_CLICKS, empty=True),
        "brush on the spoiled mask": partial(_put_right, ask=_ask_stroke, most=MOST_STROKES),
    }
    with serving(run, *OPTIONS) as server, server.client() as client:
        columns, rows = (client.get("/objects").json()[name] for name in ("columns", "rows"))
        objects = [dict(zip(columns, row, strict=True)) for row in rows]
        print(f"{len(objects)} masks, all spoiled; accepted from IoU {GOOD} on; load {os.getloadavg()[0]:.1f}")
        for name, way in ways.items():
            done, seconds, reached = zip(*(way(client, one, truth[one["object_id"]]) for one in objects), strict=True)
            good = [value >= GOOD for value in reached]
            accepted = [count for count, ok in zip(done, good, strict=True) if ok]
            print(
                f"{name}: {sum(good)} accepted; {np.mean(accepted):.2f} each (median {np.median(accepted):.0f}), all "
                f"{sum(done)} of them {sum(done) / max(sum(good), 1):.2f} per accepted mask; "
                f"waiting {sum(seconds) / max(sum(good), 1):.2f} s per accepted mask; mean IoU {np.mean(reached):.3f}"
            )


def _put_right(
    client: httpx.Client,
    row: dict[str, Any],
    truth: tuple[BoolMask, BoolMask | None],
    *,
    ask: Callable[..., dict[str, Any] | None],
    most: int,
    empty: bool = False,
) -> tuple[int, float, float]:
    """How many clicks or strokes, the seconds waited for answers, and the IoU in the end."""
    seconds = 0.0

    def post(path: str, **told: Any) -> dict[str, Any]:
        nonlocal seconds
        began = time.perf_counter()
        answer = client.post(path, json={"request": os.urandom(8).hex(), "by": "simulated", **told})
        seconds += time.perf_counter() - began
        answer.raise_for_status()
        return dict(answer.json())

    index = row["index"]
    if empty:
        index = post(f"/images/{row['image']}/objects", label=row["text"])["index"]
    path = f"/objects/{index}/events"
    while client.get(f"/objects/{index}").json()["standing"]["can_undo"]:
        post(path, kind="undo")  # What was done the way before.
    mask = decode_rle(client.get(f"/objects/{index}").json()["mask"])
    seconds = 0.0
    done: list[Any] = []
    while (reached := iou(mask, *truth)) < GOOD and len(done) < most:
        asked = ask(mask, truth, done)
        if asked is None:
            break
        done.append(asked)
        mask = decode_rle(post(path, **asked)["mask"])
    post(path, kind="verdict", verdict="ok")
    return len(done), seconds, reached


def _ask_click(mask: BoolMask, truth: tuple[BoolMask, BoolMask | None], done: Sequence[Any]) -> dict[str, Any] | None:
    click = next_click(mask, truth[0], [(one["x"], one["y"]) for one in done], truth[1])
    return None if click is None else {"kind": "click", "x": click.x, "y": click.y, "positive": click.positive}


def _ask_stroke(mask: BoolMask, truth: tuple[BoolMask, BoolMask | None], done: Sequence[Any]) -> dict[str, Any] | None:
    """See the module."""
    target, ignore = truth
    best: tuple[int, BoolMask, bool] | None = None
    counted = np.ones_like(target) if ignore is None else ~ignore
    for error, positive in ((target & ~mask & counted, True), (mask & ~target & counted, False)):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(error.astype(np.uint8), connectivity=4)
        if len(stats) > 1:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            area = int(stats[largest, cv2.CC_STAT_AREA])
            if best is None or area > best[0]:
                best = area, labels == largest, positive
    if best is None:
        return None
    _, region, positive = best
    padded = np.pad(region.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    radius = max(int(depth.max() / 2), 0)
    left = np.argwhere(depth >= max(radius, 1))[:, ::-1].astype(np.int64)
    at = left[int(depth[left[:, 1], left[:, 0]].argmax())]
    points = [at]
    while True:
        left = left[((left - at) ** 2).sum(axis=1) > max(radius, 1) ** 2]
        if not len(left):
            break
        far = ((left - at) ** 2).sum(axis=1)
        if far.min() > (2 * radius + 1) ** 2:
            break
        at = left[int(far.argmin())]
        points.append(at)
    told = [[int(x), int(y)] for x, y in points[:20_000]]
    return {"kind": "stroke", "points": told, "radius": radius, "positive": positive}


def _work(server: Server, seed: int, each: int, answers: list[int], waited: list[float], wrong: Counter[str]) -> None:
    draw = random.Random(seed)
    with server.client() as client:
        order = [row[0] for row in client.get("/objects").json()["rows"]]
        last = 0
        for number, told in enumerate(islice(_things(draw), each)):
            index = draw.choice(order)
            began = time.perf_counter()
            shown = client.get(f"/objects/{index}")
            body = {"request": f"{seed}-{number}", "by": f"person {seed}", "seen": shown.json()["standing"]["number"]}
            answer = client.post(f"/objects/{index}/events", json={**body, **told})
            waited.append(time.perf_counter() - began)
            since = client.get("/events", params={"after": last}).json()
            if [event["number"] for event in since["events"]] != list(range(last + 1, since["number"] + 1)):
                wrong["events out of order"] += 1
            last = since["number"]
            if answer.status_code == 200:
                answers.append(answer.json()["number"])
            else:
                wrong[f"{answer.status_code} {answer.text[:100]}"] += 1


def _things(draw: random.Random) -> Iterator[dict[str, Any]]:
    while True:
        x, y = draw.randrange(640), draw.randrange(480)
        yield draw.choices(
            [
                {"kind": "click", "x": x, "y": y, "positive": draw.random() < 0.6},
                {"kind": "stroke", "points": [[x, y], [y, x]], "radius": 9, "positive": draw.random() < 0.6},
                {"kind": "verdict", "verdict": draw.choice(["ok", "wrong"])},
                {"kind": "note", "text": "a note"},
            ],
            [4, 2, 3, 1],
        )[0]


def _show(client: httpx.Client, index: int) -> dict[str, Any]:
    told = client.get(f"/objects/{index}").json()
    client.get(f"/images/{told['image']}/picture").raise_for_status()
    return dict(told)


def _click(client: httpx.Client, index: int, x: int, y: int) -> None:
    body = {"request": os.urandom(8).hex(), "kind": "click", "x": x, "y": y, "positive": True}
    client.post(f"/objects/{index}/events", json=body).raise_for_status()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["bars", "people", "person"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--num", type=int, help="Objects looked at (200), people (10), or masks put right (100).")
    parser.add_argument("--minutes", type=float, default=30, help="Of work for each of the people.")
    parser.add_argument("--tool", default="embedded", help="That answers the people's clicks.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.what == "bars":
            bars(asked.data, folder, asked.num or 200)
        elif asked.what == "people":
            people(asked.data, folder, asked.minutes, asked.num or 10, asked.tool)
        else:
            person(asked.data, folder, asked.num or 100)


if __name__ == "__main__":
    main()
