"""What ``segagent serve`` answers is what the package's own functions give for the same input."""

from __future__ import annotations

import base64
import hashlib
import io
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from PIL import Image as PillowImage

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models, make_models
from segagent.annotation.batch.likely_error import likely_error
from segagent.annotation.python_api import annotate, audit, refine
from segagent.core import Box, Click, Image, State, decode_rle, empty_mask, encode_rle
from segagent.environment import step
from segagent.imaging import encode_png, load_image
from segagent.search import SearchConfig
from segagent.server.api.app import create_api
from segagent.server.api.limits import Limits
from segagent.tools.fake import DiscTool

BASE = "http://127.0.0.1:8321"
HAS_WEIGHTS = Path(str(files("segagent") / "weights" / "policy.safetensors")).is_file()


def served(models: Models, **limits: Any) -> TestClient:
    return TestClient(create_api(models, limits=Limits(**limits)), base_url=BASE)


@pytest.fixture(scope="module")
def client() -> TestClient:
    return served(Models(CheapPolicy(), DiscTool()))


def noise(seed: int, height: int = 48, width: int = 64) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def send(client: TestClient, pixels: np.ndarray[Any, Any]) -> str:
    answer = client.post("/v1/pictures", content=encode_png(pixels), headers={"content-type": "image/png"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["height"], answer.json()["width"]) == pixels.shape[:2]
    return str(answer.json()["picture"])


def post(client: TestClient, what: str, **body: Any) -> Any:
    answer = client.post(f"/v1/{what}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def stepped(pixels: np.ndarray[Any, Any], *prompts: Click | Box, began: Any = None) -> Any:
    tool, image = DiscTool(), Image.of(pixels)
    state = State(empty_mask(*pixels.shape[:2]) if began is None else began)
    for prompt in prompts:
        state = step(tool.embed([image])[0], state, prompt, tool)
    return state.mask


def timeless(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "seconds"}


def test_a_picture_is_named_by_its_bytes(client: TestClient) -> None:
    name = send(client, noise(0))
    assert name == hashlib.sha256(encode_png(noise(0))).hexdigest()
    assert send(client, noise(0)) == name
    assert client.get(f"/v1/pictures/{name}").json() == {"picture": name, "height": 48, "width": 64}


@pytest.mark.parametrize(("kind", "content_type"), [("JPEG", "image/jpeg"), ("WEBP", "application/octet-stream")])
def test_other_kinds_of_pictures_are_read_as_from_the_disk(
    client: TestClient, kind: str, content_type: str, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # Turned, so that height and width change places.
    PillowImage.fromarray(noise(1)).save(buffer, kind, exif=exif)
    (tmp_path / "picture").write_bytes(buffer.getvalue())
    answer = client.post("/v1/pictures", content=buffer.getvalue(), headers={"content-type": content_type})
    image = load_image(tmp_path / "picture")
    assert (answer.json()["height"], answer.json()["width"]) == (image.height, image.width) == (64, 48)


def test_clicks_box_and_mask(client: TestClient) -> None:
    pixels = noise(2)
    name = send(client, pixels)
    clicks = [{"x": 20, "y": 20}, {"x": 24, "y": 20, "positive": False}, {"x": 63, "y": 47, "positive": True}]
    prompts = [Click(20, 20, True), Click(24, 20, False), Click(63, 47, True)]
    for count in (1, 2, 3, 2):
        told = post(client, "segment", picture=name, clicks=clicks[:count])
        expected = stepped(pixels, *prompts[:count])
        assert told["mask"] == encode_rle(expected)
        assert told["area"] == expected.sum()
        assert told["png"] is None
    boxed = post(client, "segment", picture=name, box=[3, 4, 30, 20], clicks=clicks[1:2])
    assert boxed["mask"] == encode_rle(stepped(pixels, Box(3, 4, 30, 20), prompts[1]))
    began = np.random.default_rng(5).random((48, 64)) < 0.3
    given = post(client, "segment", picture=name, mask=encode_rle(began), clicks=clicks[:1])
    assert given["mask"] == encode_rle(stepped(pixels, prompts[0], began=began))
    assert post(client, "segment", picture=name)["area"] == 0


def test_the_picture_may_come_along(client: TestClient) -> None:
    pixels = noise(3)
    inline = base64.b64encode(encode_png(pixels)).decode()
    told = post(client, "segment", image=inline, clicks=[{"x": 5, "y": 6}], png=True)
    mask = decode_rle(told["mask"])
    np.testing.assert_array_equal(mask, stepped(pixels, Click(5, 6, True)))
    shown = np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(told["png"]))))
    np.testing.assert_array_equal(shown, mask * np.uint8(255))
    assert post(client, "segment", picture=told["picture"], clicks=[{"x": 5, "y": 6}])["mask"] == told["mask"]


@pytest.mark.parametrize(("steps", "candidates"), [(1, 1), (7, 1), (4, 3)])
def test_annotate_and_refine(client: TestClient, steps: int, candidates: int) -> None:
    pixels, models = noise(4), Models(CheapPolicy(), DiscTool())
    name, image = send(client, pixels), Image.of(pixels)
    search = SearchConfig(max_steps=steps, num_candidates=candidates)
    asked: dict[str, Any] = {"picture": name, "text": "the mug", "steps": steps, "candidates": candidates, "seed": 3}
    record = annotate(image, "the mug", models=models, search=search, seed=3)
    told = post(client, "annotate", **asked, png=True)
    assert timeless(told["trajectory"]) == timeless(record.trajectory.to_dict())
    assert told["mask"] == encode_rle(record.mask)
    assert told["outcome"] == record.outcome
    assert told["predicted_iou"] == told["calibrated_iou"] == record.predicted_iou
    began = np.random.default_rng(6).random((48, 64)) < 0.5
    better = refine(image, "the mug", began, models=models, search=search, seed=3)
    told = post(client, "refine", **asked, mask=encode_rle(began))
    assert timeless(told["trajectory"]) == timeless(better.trajectory.to_dict())
    assert told["outcome"] == better.outcome
    assert told["png"] is None


def test_score(client: TestClient) -> None:
    pixels = noise(7)
    began = np.zeros((48, 64), np.bool_)
    began[5:30, 9:40] = True
    record = audit(Image.of(pixels), "the mug", began, models=Models(CheapPolicy(), DiscTool()))
    told = post(client, "score", picture=send(client, pixels), text="the mug", mask=encode_rle(began))
    error = likely_error(record, record.given_iou)
    assert told["predicted_iou"] == told["calibrated_iou"] == record.given_iou
    assert told["likely_error"] == {"label": error.label, "reason": error.reason}
    assert record.outline is None  # This policy cannot judge outlines.
    assert told["outline"] is None


@pytest.mark.skipif(not HAS_WEIGHTS, reason="no weights yet")
@pytest.mark.slow
def test_the_embedded_models_answer_as_in_python() -> None:
    models = make_models("embedded", "embedded")
    pixels = np.full((120, 160, 3), 180, np.uint8)
    pixels[30:80, 40:100] = (200, 30, 30)
    client, image = served(models), Image.of(pixels)
    name = send(client, pixels)
    for text in ("the red mug", "the zorblax"):
        record = annotate(image, text, models=models, search=SearchConfig(max_steps=3))
        told = post(client, "annotate", picture=name, text=text, steps=3)
        assert timeless(told["trajectory"]) == timeless(record.trajectory.to_dict())
        assert told["doubts"] == list(record.doubts)
        assert record.predicted_iou is not None
        assert told["calibrated_iou"] == models.calibrated(record.predicted_iou, record.doubts)
    assert any("zorblax" in doubt for doubt in told["doubts"])
    began = np.zeros((120, 160), np.bool_)
    began[25:60, 35:90] = True
    scored = audit(image, "the red mug", began, models=models)
    told = post(client, "score", picture=name, text="the red mug", mask=encode_rle(began))
    assert told["predicted_iou"] == scored.given_iou
    assert told["doubts"] == list(scored.doubts)
    assert scored.outline is not None
    assert (told["outline"]["iou"], told["outline"]["by"]) == (scored.outline.iou, scored.outline.by)
    state = State(empty_mask(120, 160))
    prompts = [Click(60, 50, True), Click(10, 10, False), Click(90, 70, True)]
    embedding = models.tool.embed([image])[0]
    for count, prompt in enumerate(prompts, 1):
        state = step(embedding, state, prompt, models.tool)
        clicks = [{"x": one.x, "y": one.y, "positive": one.positive} for one in prompts[:count]]
        assert post(client, "segment", picture=name, clicks=clicks)["mask"] == encode_rle(state.mask)
