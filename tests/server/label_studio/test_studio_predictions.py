"""Label Studio's backend: what it predicts for tasks, and after clicks."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.from_label_studio import mask_of
from segagent.annotation.python_api import annotate
from segagent.core import Image, SegAgentError, iou
from segagent.imaging import encode_png
from segagent.server.api.app import create_api
from segagent.server.label_studio.labelling import read_labelling
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 40, 60
PIXELS = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
PICTURE = "data:image/png;base64," + base64.b64encode(encode_png(PIXELS)).decode()
BRUSH = """<View>
  <Image name="img" value="$photo"/>
  <BrushLabels name="mask" toName="img">
    <Label value="Mug" segagent="the striped mug"/><Label value="Cup"/>
  </BrushLabels>
  <PolygonLabels name="outline" toName="img"><Label value="Any" segagent="$captions"/></PolygonLabels>
  <KeyPointLabels name="points" toName="img" smart="true"><Label value="Cup"/><Label value="Any"/></KeyPointLabels>
</View>"""


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(create_api(Models(CheapPolicy(), DiscTool())), base_url="http://127.0.0.1")


def asked(client: TestClient, tasks: list[dict[str, Any]], config: str = BRUSH, context: Any = None) -> Any:
    """As Label Studio 1.23 asks."""
    params = {"login": None, "password": None, "context": context}
    body = {"tasks": tasks, "project": "1.1790000000", "label_config": config, "params": params}
    return client.post("/predict", json=body)


def task(number: int = 1, **data: Any) -> dict[str, Any]:
    return {"id": number, "data": {"photo": PICTURE, "captions": [], **data}, "project": 1, "is_labeled": False}


def mask_in(region: dict[str, Any]) -> Any:
    assert (region["original_height"], region["original_width"], region["image_rotation"]) == (HEIGHT, WIDTH, 0)
    return mask_of([region], HEIGHT, WIDTH)


def test_it_is_found_and_set_up(client: TestClient) -> None:
    assert client.get("/").json() == {"status": "UP", "model_class": "segagent"}
    assert client.get("/health").status_code == 200
    told = {"project": "1.1790000000", "hostname": "http://localhost:8080", "access_token": "x", "extra_params": None}
    version = client.post("/setup", json={**told, "schema": BRUSH}).json()["model_version"]
    assert version.startswith("segagent ")
    assert version.endswith(" cheap disc")
    assert client.get("/versions").json() == {"versions": [version]}


@pytest.mark.parametrize(
    "config",
    [
        "<View/>",
        "<View",
        '<!DOCTYPE x [<!ENTITY a "b">]><View/>',
        '<View><Image name="a" value="$a"/><Rectangle name="b" toName="a"><Label value="c"/></Rectangle></View>',
        '<View><Image name="a" value="$a"/><BrushLabels name="b" toName="x"><Label value="c"/></BrushLabels></View>',
        '<View><Image name="a" value="$a"/><BrushLabels name="b" toName="a"/></View>',
    ],
)
def test_a_configuration_without_masks_is_refused(client: TestClient, config: str) -> None:
    refused = client.post("/setup", json={"project": "1.1", "schema": config})
    assert refused.status_code == 422
    assert "labelling configuration" in refused.json()["error"]["message"]


def test_words_of_labels_are_their_own_their_value_or_the_tasks() -> None:
    brush, outline = read_labelling(BRUSH).controls
    data = {"captions": ["the red cup", " ", "the blue cup"]}
    assert [label.sentences(data) for label in brush.labels] == [["the striped mug"], ["Cup"]]
    assert outline.labels[0].sentences(data) == ["the red cup", "the blue cup"]
    assert outline.labels[0].sentences({"captions": ""}) == []
    within = read_labelling(BRUSH.replace("$captions", "the $colour one")).controls[1].labels[0]
    assert within.sentences({"colour": "green"}) == ["the green one"]
    for label, wrong in ((within, {}), (within, {"colour": []}), (outline.labels[0], {"captions": 7})):
        with pytest.raises(SegAgentError):
            label.sentences(wrong)


def test_whole_tasks_are_predicted_as_in_python(client: TestClient) -> None:
    answer = asked(client, [task(7, captions=["the red cup", "the blue cup"])])
    assert answer.status_code == 200
    (prediction,) = answer.json()["results"]
    found = []
    models = Models(CheapPolicy(), DiscTool())
    for text in ("the striped mug", "Cup", "the red cup", "the blue cup"):
        record = annotate(Image.of(PIXELS), text, models=models, found=0.3)
        if record.outcome == "made":
            found.append((text, record))
    assert found
    assert len(found) == len(prediction["result"])
    for (text, record), region in zip(found, prediction["result"], strict=True):
        brush = text in ("the striped mug", "Cup")
        assert (region["type"], region["from_name"]) == (
            ("brushlabels", "mask") if brush else ("polygonlabels", "outline")
        )
        assert region["to_name"] == "img"
        assert region["value"][region["type"]] == [{"the striped mug": "Mug", "Cup": "Cup"}.get(text, "Any")]
        assert region["meta"]["text"][0].startswith(text)
        assert region["score"] == models.calibrated(record.predicted_iou or 0)
        if brush:
            assert np.array_equal(mask_in(region), record.mask)
        else:
            assert iou(mask_in(region), record.mask) > 0.8, "an outline is told to a pixel"
    assert prediction["score"] == min(region["score"] for region in prediction["result"])
    assert prediction["model_version"] == client.get("/versions").json()["versions"][0]


def test_a_task_that_fails_takes_no_other_with_it(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    bad = [task(2, photo="data:image/png;base64,AAAA"), {"id": 3, "data": {}}, task(4, photo="/data/upload/1/a.png")]
    answer = asked(client, [bad[0], task(1, captions="the red cup"), *bad[1:]])
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["results"]
    assert second["result"]
    # Label Studio stores a prediction for what has a 'result', and would not ask for these tasks again.
    assert (first, third, fourth) == ([], [], [])
    assert "--label-studio" in caplog.text
    alone = asked(client, bad[:1])
    assert alone.status_code == 415
    assert asked(client, []).status_code == 422


def point(x: float, y: float, label: str = "Cup", **more: Any) -> dict[str, Any]:
    value = {"x": x if x > 1e9 else 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.3, "keypointlabels": [label]}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"type": "keypointlabels", "to_name": "img", "from_name": "points", "value": value, **size, **more}


def test_clicks_and_boxes_give_the_tools_mask(client: TestClient) -> None:
    box = point(0, 0) | {"type": "rectanglelabels"}
    box["value"] = {"x": 100 * 10 / WIDTH, "y": 100 * 5 / HEIGHT, "width": 100 * 20 / WIDTH,
                    "height": 100 * 10 / HEIGHT, "rotation": 0, "rectanglelabels": ["Cup"]}  # fmt: skip
    regions = [box, point(40.5, 20.5, is_positive=True), point(12.0, 8.0, is_positive=False)]
    answer = asked(client, [task()], context={"result": regions})
    assert answer.status_code == 200
    (region,) = answer.json()["results"][0]["result"]
    assert (region["type"], region["value"]["brushlabels"]) == ("brushlabels", ["Cup"])
    clicks = [{"x": 40, "y": 20}, {"x": 12, "y": 8, "positive": False}]
    body = {"image": PICTURE.partition(",")[2], "box": [10, 5, 30, 15], "clicks": clicks}
    assert int(mask_in(region).sum()) == client.post("/v1/segment", json=body).json()["area"]

    began = mask_in(region)
    brush = {**point(0, 0), "type": "brushlabels", "value": {"rle": encode_brush(began), "brushlabels": ["Cup"]}}
    answer = asked(client, [task()], context={"result": [brush, point(50, 30, is_positive=True)]})
    more = mask_in(answer.json()["results"][0]["result"][0])
    assert (more & began).sum() == began.sum() < more.sum()

    # A label that only the polygons have is drawn as one.
    outlined = asked(client, [task()], context={"result": [point(30, 20, "Any", is_positive=True)]})
    assert outlined.json()["results"][0]["result"][0]["from_name"] == "outline"
    # Nothing is left after a click that takes away.
    empty = asked(client, [task()], context={"result": [point(30, 20, is_positive=False)]})
    assert empty.json()["results"][0]["result"] == []


def test_turned_boxes_hold_what_they_touch(client: TestClient) -> None:
    box = point(0, 0) | {"type": "rectanglelabels"}
    box["value"] = {"x": 100 * 30 / WIDTH, "y": 100 * 10 / HEIGHT, "width": 100 * 20 / WIDTH,
                    "height": 100 * 10 / HEIGHT, "rotation": 90, "rectanglelabels": ["Cup"]}  # fmt: skip
    mask = mask_in(asked(client, [task()], context={"result": [box]}).json()["results"][0]["result"][0])
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (20, 29, 10, 29)


def test_typed_words_are_looked_for(client: TestClient) -> None:
    typed = {"type": "textarea", "from_name": "prompt", "to_name": "img", "value": {"text": ["the red cup"]}}
    (prediction,) = asked(client, [task()], context={"result": [typed]}).json()["results"]
    record = annotate(Image.of(PIXELS), "the red cup", models=Models(CheapPolicy(), DiscTool()), found=0.3)
    assert record.outcome == "made"
    assert np.array_equal(mask_in(prediction["result"][0]), record.mask)


@pytest.mark.parametrize(
    "wrong",
    [
        point(1, 1, image_rotation=90),
        point(1, 1, original_width=61),
        point(70, 1),
        point(10**400, 1),
        {"type": "rectanglelabels", "value": {"x": 0, "y": 0}},
        {**point(0, 0), "type": "rectanglelabels", "value": {"x": 10**400, "y": 0, "width": 1, "height": 1}},
        {
            **point(0, 0),
            "type": "brushlabels",
            "original_width": 2**20,
            "original_height": 2**20,
            "value": {"rle": [0]},
        },
        {**point(0, 0), "type": "brushlabels", "value": {"rle": [0, 1, 2]}},
        {"type": "textarea", "value": {"text": 7}},
    ],
)
def test_what_cannot_be_used_is_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    refused = asked(client, [task()], context={"result": [wrong]})
    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["code"] == "bad_input"


def test_damaged_requests_never_break_it(client: TestClient) -> None:
    body = {"tasks": [task()], "label_config": BRUSH, "params": {"context": {"result": [point(3, 3)]}}}
    draw = np.random.default_rng(5)
    statuses = set()
    for number in range(60):
        content = bytearray(json.dumps(body).encode())
        # The picture is most of it; the rest is what matters here.
        places = [at for at in draw.integers(0, len(content), 40) if at < 80 or at > len(PICTURE)][: number and 3]
        for at in places:
            content[at] = draw.integers(32, 127)
        answer = client.post("/predict", content=bytes(content), headers={"content-type": "application/json"})
        statuses.add(answer.status_code)
    assert statuses <= {200, 400, 415, 422}
    assert {200, 422} <= statuses
