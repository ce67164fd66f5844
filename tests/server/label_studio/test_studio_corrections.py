"""What people submit in Label Studio: on record at once, and a data set to train on."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.annotation.interop.brush_rle import encode_brush
from segagent.core import BoolMask, InputError
from segagent.datasets import open_dataset
from segagent.imaging import encode_png
from segagent.server.api.app import create_api
from segagent.server.api.files import Files
from segagent.server.label_studio.corrections import Corrections
from segagent.server.worker import Patience
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 20, 30
CONFIG = (
    '<View><Image name="img" value="$photo"/><BrushLabels name="mask" toName="img">'
    '<Label value="Mug" segagent="the $colour mug"/></BrushLabels></View>'
)
FILE = encode_png(np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))


def disc(x: int) -> BoolMask:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    return (columns - x) ** 2 + (rows - 10) ** 2 <= 25


def region(mask: BoolMask, **more: Any) -> dict[str, Any]:
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": ["Mug"]}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": "r1", "type": "brushlabels", "from_name": "mask", "to_name": "img", "value": value, **size, **more}


def event(action: str, mask: BoolMask, *, annotation: int = 5, when: str = "2026-11-27T10:00:00Z", **more: Any) -> Any:
    """As Label Studio 1.23 tells it."""
    photo = "data:image/png;base64," + base64.b64encode(FILE).decode()
    told = {"id": annotation, "task": 9, "completed_by": 2, "updated_at": when, "was_cancelled": False}
    return {
        "action": action,
        "annotation": {**told, "result": [region(mask)], "project": 1, **more},
        "task": {"id": 9, "data": {"photo": photo, "colour": "red"}, "project": 1, "file_upload": None},
        "project": {"id": 1, "title": "mugs", "label_config": CONFIG, "is_published": True},
    }


@pytest.fixture
def client(tmp_path: Path) -> Any:
    app = create_api(Models(CheapPolicy(), DiscTool()), files=Files(corrections=tmp_path / "kept"))
    yield TestClient(app, base_url="http://127.0.0.1")
    for one in app.state.kept:
        one.close()


def settled(client: TestClient) -> list[tuple[str, BoolMask]]:
    """The data set's words and masks, once it has all."""
    (kept,) = client.app.state.kept  # type: ignore[attr-defined]
    kept.settle()
    samples = [sample for group in open_dataset(str(kept.folder)).groups() for sample in group.samples()]
    return [(sample.text, sample.load_target()[0]) for sample in samples]


def test_what_is_submitted_becomes_a_data_set(client: TestClient, tmp_path: Path) -> None:
    assert client.post("/webhook", json=event("ANNOTATION_CREATED", disc(8))).status_code == 201
    ((text, mask),) = settled(client)
    assert text == "the red mug"
    assert np.array_equal(mask, disc(8))
    (line,) = (tmp_path / "kept" / "manifest.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["category"], entry["by"], entry["task"]) == ("Mug", "2", "9")
    assert (tmp_path / "kept" / entry["image"]).read_bytes() == FILE

    later = event("ANNOTATION_UPDATED", disc(20), when="2026-11-27T11:00:00Z")
    assert client.post("/webhook", json=later).json() == {"status": "ok", "kept": 1}
    ((_, mask),) = settled(client)
    assert np.array_equal(mask, disc(20))

    # Of two people the one who was at it last counts; when that is gone, the other does again.
    other = event("ANNOTATION_CREATED", disc(12), annotation=6, when="2026-11-27T12:00:00Z")
    client.post("/webhook", json=other)
    assert np.array_equal(settled(client)[0][1], disc(12))
    gone = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 6}], "project": {"id": 1, "label_config": CONFIG}}
    assert client.post("/webhook", json=gone).status_code == 201
    assert np.array_equal(settled(client)[0][1], disc(20))
    client.post("/webhook", json=event("ANNOTATION_UPDATED", disc(20), when="2026-11-27T13:00:00Z", was_cancelled=True))
    assert settled_is_empty(client, tmp_path)


def settled_is_empty(client: TestClient, tmp_path: Path) -> bool:
    client.app.state.kept[0].settle()  # type: ignore[attr-defined]
    return (tmp_path / "kept" / "manifest.jsonl").read_bytes() == b""


def test_several_at_once_and_other_events(client: TestClient) -> None:
    one, two = event("x", disc(8)), event("x", disc(20), annotation=6)
    two["task"]["id"] = two["annotation"]["task"] = 10
    many = {
        "action": "ANNOTATIONS_CREATED", "annotation": [one["annotation"], two["annotation"]],
        "task": [one["task"], two["task"]], "project": one["project"],
    }  # fmt: skip
    assert client.post("/webhook", json=many).json()["kept"] == 2
    assert len(settled(client)) == 2
    other = {"action": "TASKS_CREATED", "tasks": [], "project": one["project"]}
    assert client.post("/webhook", json=other).json() == {"status": "Unknown event"}
    assert client.post("/webhook", json={**other, "action": "START_TRAINING"}).status_code == 422


@pytest.mark.parametrize(
    "without",
    [
        {"annotation": None},
        {"task": None},
        {"project": None},
        {"annotation": {"id": 1, "task": 3}},
        {"annotation": {"task": 9}},
        {"annotation": {"id": 1}, "task": {"data": {}}},
    ],
)
def test_events_without_what_they_are_about_are_refused(client: TestClient, without: dict[str, Any]) -> None:
    told = {**event("ANNOTATION_CREATED", disc(8)), **without}
    assert client.post("/webhook", json=told).status_code == 422


def test_what_cannot_be_used_is_told_and_the_rest_is_kept(client: TestClient, tmp_path: Path) -> None:
    told = event("ANNOTATION_CREATED", disc(8))
    told["annotation"]["result"] += [
        region(disc(8), id="r2", original_width=2**19, original_height=2**19),
        region(np.zeros((HEIGHT, WIDTH), np.bool_), id="r3"),
        {**region(disc(8), id="r4"), "type": "ellipselabels", "value": {"x": 1}},
    ]
    client.post("/webhook", json=told)
    assert len(settled(client)) == 1
    problems = (tmp_path / "kept" / "problems.jsonl").read_text()
    assert all(name in problems for name in ("r2", "r3", "r4"))


def test_a_server_that_starts_again_knows_what_there_was(tmp_path: Path) -> None:
    asked: list[str] = []
    there = False

    def read(address: str, patience: Patience) -> bytes:
        asked.append(address)
        if not there:
            raise InputError("not there now")
        return FILE

    told = event("ANNOTATION_CREATED", disc(8))
    told["task"]["data"]["photo"] = "/data/upload/1/a.png"
    submitted = {
        "action": told["action"], "annotations": [told["annotation"]], "tasks": [told["task"]],
        "project": told["project"],
    }  # fmt: skip
    first = Corrections(tmp_path / "kept", read, 10_000)
    with pytest.raises(InputError, match="another process"):
        Corrections(tmp_path / "kept", read, 10_000)
    first.submitted(submitted)
    first.settle()
    assert "not there now" in (tmp_path / "kept" / "problems.jsonl").read_text()
    first.close()
    there = True
    second = Corrections(tmp_path / "kept", read, 10_000)
    second.settle()
    assert len(list(open_dataset(str(tmp_path / "kept")).groups())) == 1
    assert (tmp_path / "kept" / "problems.jsonl").read_bytes() == b""
    second.close()
    (tmp_path / "kept" / "manifest.jsonl").unlink()
    there = False  # What was made is on record: no picture is asked for again.
    third = Corrections(tmp_path / "kept", read, 10_000)
    third.settle()
    assert len(list(open_dataset(str(tmp_path / "kept")).groups())) == 1
    third.close()
    assert len(asked) == 2
