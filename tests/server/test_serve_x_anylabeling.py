"""X-AnyLabeling's remote server: what its client asks, and what comes of it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.annotation.python_api import annotate
from segagent.core import Image, iou
from segagent.datasets.coco_masks import decode_segmentation
from segagent.imaging import encode_png
from segagent.server.api.app import create_api
from segagent.server.guard import Access
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 40, 60
PIXELS = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
INLINE = base64.b64encode(encode_png(PIXELS)).decode()
BASE = "/x-anylabeling"


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(create_api(Models(CheapPolicy(), DiscTool())), base_url="http://127.0.0.1")


def asked(client: TestClient, image: str = f"data:image/png;base64,{INLINE}", **params: Any) -> Any:
    """As the client of version 4 asks."""
    told = {"conf_threshold": 0.0, "iou_threshold": 0.0, "epsilon_factor": 0.0, **params}
    return client.post(f"{BASE}/v1/predict", json={"model": "segagent", "image": image, "params": told})


def masks(answer: Any) -> list[Any]:
    shapes = answer.json()["data"]["shapes"]
    assert all(one["shape_type"] == "polygon" and one["points"][0] == one["points"][-1] for one in shapes)
    corners = [[number for point in one["points"][:-1] for number in point] for one in shapes]
    return [decode_segmentation([one], HEIGHT, WIDTH) for one in corners]


def test_models_are_told(client: TestClient) -> None:
    assert client.get(f"{BASE}/health").json()["status"] == "healthy"
    (info,) = client.get(f"{BASE}/v1/models").json()["data"].values()
    assert info["batch_processing_mode"] == "text_prompt"
    assert {"edit_text", "button_add_point", "button_add_rect"} <= {one["name"] for one in info["widgets"]}
    assert client.get(f"{BASE}/v1/models/segagent/info").json()["data"]["model_id"] == "segagent"
    assert client.get(f"{BASE}/v1/models/other/info").json()["error"]["code"] == "MODEL_NOT_FOUND"


def test_words_are_looked_for(client: TestClient) -> None:
    answer = asked(client, text_prompt="the red cup, the blue cup, the red cup")
    models = Models(CheapPolicy(), DiscTool())
    records = [annotate(Image.of(PIXELS), text, models=models, found=0) for text in ("the red cup", "the blue cup")]
    expected = [record for record in records if record.mask.any()]
    assert expected
    shapes, found = answer.json()["data"]["shapes"], masks(answer)
    assert [one["label"] for one in shapes] == [record.text for record in expected]
    for mask, shape, record in zip(found, shapes, expected, strict=True):
        assert iou(mask, record.mask) == 1, "an outline that is not simplified is the mask"
        assert shape["score"] == models.calibrated(record.predicted_iou or 0)
    assert asked(client, image=INLINE, text_prompt="the red cup", conf_threshold=1.0).json()["data"]["shapes"] == []


def test_marks_give_the_tools_mask(client: TestClient) -> None:
    marks = [
        {"type": "rectangle", "label": 1, "data": [30, 15, 10, 5]},
        {"type": "point", "label": 1, "data": [40, 20]},
        {"type": "point", "label": 0, "data": [12.5, 8.5]},
    ]
    (mask,) = masks(asked(client, marks=marks))
    clicks = [{"x": 40, "y": 20}, {"x": 12, "y": 8, "positive": False}]
    told = client.post("/v1/segment", json={"image": INLINE, "box": [10, 5, 30, 15], "clicks": clicks}).json()
    assert int(mask.sum()) == told["area"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"marks": [{"type": "point", "label": 1, "data": [70, 1]}]}, "INFERENCE_ERROR"),
        ({"marks": [{"type": "point", "label": 1, "data": [1, 1, 1]}]}, "INFERENCE_ERROR"),
        ({"marks": [{"type": "rectangle", "label": 0, "data": [1, 1, 9, 9]}]}, "INFERENCE_ERROR"),
        ({"marks": [{"type": "rectangle", "label": 1, "data": [70, 70, 90, 90]}]}, "INFERENCE_ERROR"),
        ({"image": "data:image/png;base64,AAAA", "text_prompt": "x"}, "INVALID_IMAGE"),
        ({"image": "http://127.0.0.1/a.png", "text_prompt": "x"}, "INVALID_IMAGE"),
        ({"image": "/etc/hostname", "text_prompt": "x"}, "INVALID_IMAGE"),
    ],
)
def test_what_cannot_be_used_is_told(client: TestClient, more: dict[str, Any], code: str) -> None:
    answer = asked(client, **more)
    assert answer.status_code == 422
    assert (answer.json()["success"], answer.json()["error"]["code"]) == (False, code)


def test_the_token_may_come_in_its_own_header() -> None:
    app = create_api(Models(CheapPolicy(), DiscTool()), access=Access("a-token-of-sixteen-or-more"))
    client = TestClient(app, base_url="http://127.0.0.1")
    models = f"{BASE}/v1/models"
    assert client.get(models, headers={"token": "a-token-of-sixteen-or-more"}).status_code == 200
    assert [client.get(models, headers={"token": wrong}).status_code for wrong in ("", "wrong")] == [401, 401]
