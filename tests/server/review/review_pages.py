"""A small run served to a real browser: what tests of the review page share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from quiet_server import app_served
from segagent.annotation.batch import open_run
from segagent.annotation.batch.sampling import sample_to_check
from segagent.annotation.people import Event, Standing, read_events, standings_of
from segagent.core import decode_rle, encode_rle
from segagent.imaging import save_png
from segagent.server.review.app import create_review_app
from segagent.server.review.session import Plan, ReviewSession

HEIGHT, WIDTH = 64, 96
NUM_IMAGES = 8
"""Of the run that tests of the page begin with, with three objects each."""
POLICY, TOOL = "python:cheap_models:CheapPolicy", "disc"
_ROOT = Path(__file__).parents[3]


def segagent(*arguments: str | Path) -> str:
    """What a command prints. A failing one fails the test with what it says."""
    done = subprocess.run([sys.executable, "-m", "segagent", *map(str, arguments)], **_how(), timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def _how() -> dict[str, Any]:
    paths = [str(_ROOT / "src"), str(_ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return {"env": environment, "capture_output": True, "text": True}


def small_coco(folder: Path, num_images: int, per_image: int = 3) -> Path:
    """Pictures with a few bright squares beside each other, and a COCO file of them."""
    images, annotations = [], []
    for image in range(num_images):
        pixels = np.full((HEIGHT, WIDTH, 3), (40 + image, 60, 80), np.uint8)
        for place in range(per_image):
            mask = np.zeros((HEIGHT, WIDTH), np.bool_)
            left = 6 + 30 * place
            mask[20:36, left : left + 16] = True
            pixels[mask] = (200, 90 + 50 * place, 60)
            number = len(annotations) + 1
            annotations.append(
                {"id": number, "image_id": image + 1, "category_id": 1 + place % 2, "segmentation": encode_rle(mask),
                 "area": 256, "bbox": [left, 20, 16, 16], "iscrowd": 0, "caption": f"the square number {number}"}
            )  # fmt: skip
        (folder / "images").mkdir(parents=True, exist_ok=True)
        save_png(folder / "images" / f"{image}.png", pixels)
        images.append({"id": image + 1, "file_name": f"{image}.png", "height": HEIGHT, "width": WIDTH})
    categories = [{"id": 1, "name": "tile"}, {"id": 2, "name": "plate"}]
    path = folder / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def audited(folder: Path, num_images: int, per_image: int = 3) -> tuple[Path, Path]:
    """A COCO file and an audit of it, by models that cost nothing."""
    data = small_coco(folder / "data", num_images, per_image)
    segagent("audit", data, "-o", folder / "run", "--policy", POLICY, "--tool", TOOL, "--workers", "1")
    return data, folder / "run"


@contextmanager
def served(run: Path, *, num: int = 0, port: int = 0, **plan: Any) -> Iterator[str]:
    """The address at which ``run`` is served by a thread of this process; with ``num``, so many of it to check.

    ``plan``: more of :class:`Plan`.
    """
    opened = open_run(run)
    sample = sample_to_check(opened, num) if num else None
    session = ReviewSession(opened, Plan(tool=TOOL, policy=POLICY, sample=sample, **plan))
    try:
        with app_served(create_review_app(session), port=port) as url:
            yield url
    finally:
        session.close()


@contextmanager
def serving_command(*arguments: str | Path) -> Iterator[str]:
    """The address that ``segagent ARGUMENTS --serve`` says."""
    how = {**_how(), "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    del how["capture_output"]
    command = [sys.executable, "-m", "segagent", *map(str, arguments), "--serve", "--port", "0"]
    with subprocess.Popen([*command, "--policy", POLICY, "--tool", TOOL], **how) as server:
        assert server.stdout is not None
        try:
            said = server.stdout.readline()
            assert "http://" in said, said + server.stdout.read()
            yield said.split("open ")[1].strip().rstrip("/")
        finally:
            server.send_signal(signal.SIGINT)
            server.stdout.read()


class Browser:
    """A page of the review, driven as a person would. Any error of its scripts fails :meth:`check`."""

    def __init__(self, page: Any) -> None:
        self.page, self.errors = page, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def open(self, url: str) -> None:
        """Go there and wait until the page has started."""
        self.page.goto(url)
        self.started()

    def started(self) -> None:
        """Wait until the page has its list."""
        self.until("document.querySelector('#progress').textContent !== ''")

    def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def object(self, object_id: str) -> None:
        """Go to an object of the run."""
        index = self.ask(f"[...app.rows.all.values()].find(row => row.object_id === {object_id!r}).index")
        self.page.evaluate(f"location.hash = '#/object/{index}'")
        self.settled()
        self.page.evaluate("document.activeElement.blur()")

    def settled(self) -> None:
        """Wait until the object shown is there and everything sent is answered."""
        self.until(
            "!app.sender.waiting.length && (app.view !== 'object' || app.object.detail?.index === app.object.index)"
        )

    def until(self, expression: str, seconds: float = 20.0) -> None:
        """Wait until ``expression`` holds; the page's policy lets no script be made of text, so not in the page."""
        end = time.monotonic() + seconds
        while not self.ask(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never: {expression}; errors: {self.errors}"
            self.page.wait_for_timeout(15)

    def ask(self, expression: str) -> Any:
        """What ``expression`` of the page's ``app`` is."""
        return self.page.evaluate(
            f"async () => {{ const {{app}} = await import('/static/main.js'); return {expression}; }}"
        )

    def where(self, x: float, y: float) -> tuple[float, float]:
        """Where on the screen the middle of a pixel of the picture is."""
        box = self.page.locator("#object canvas").bounding_box()
        scale, left, top = self.ask("[app.object.stage.scale, app.object.stage.left, app.object.stage.top]")
        return box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale

    def click(self, x: int, y: int, **more: Any) -> None:
        """A click on a pixel of the picture, answered."""
        self.page.mouse.click(*self.where(x, y), **more)
        self.settled()

    def drag(self, *points: tuple[int, int]) -> None:
        """The mouse pressed along pixels of the picture, answered."""
        mouse = self.page.mouse
        mouse.move(*self.where(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.where(*point), steps=4)
        mouse.up()
        self.settled()

    def check(self) -> None:
        """Fail where the page's scripts did."""
        assert self.errors == []


def events(run: Path) -> list[Event]:
    return list(read_events(open_run(run)))


def kinds(run: Path) -> list[str]:
    return [event.kind for event in events(run)]


def standing(run: Path, object_id: str) -> Standing:
    return standings_of(open_run(run))[object_id]


def mask(run: Path, object_id: str) -> Any:
    rle = standing(run, object_id).now.mask
    assert rle is not None
    return decode_rle(rle)
