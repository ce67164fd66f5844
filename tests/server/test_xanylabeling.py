"""X-AnyLabeling's protocol: what its client asks, and what it makes of the answers."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.annotation.interop.finding import FOUND
from segagent.annotation.python_api import annotate
from segagent.core import Box, Click, Image, Observation, Proposal, RefusedError, State, empty_mask
from segagent.environment import step
from segagent.imaging import encode_png
from segagent.server.api.app import create_api
from segagent.server.guard import Access
from segagent.server.xanylabeling import FINENESS, OBJECT, ParamsAsked, _shape
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 48, 64
PIXELS = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
PICTURE = "data:image/png;base64," + base64.b64encode(encode_png(PIXELS)).decode()
BASE = "http://127.0.0.1:8321"


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(create_api(Models(CheapPolicy(), DiscTool())), base_url=BASE)


def asked(client: TestClient, picture: str = PICTURE, model: str = "segagent", **params: Any) -> Any:
    """As X-AnyLabeling 4.2.1 asks."""
    params = {"conf_threshold": 0.0, "iou_threshold": 0.0, "epsilon_factor": 0.0, **params}
    body = {"model": model, "image": picture, "params": params}
    return client.post("/x-anylabeling/v1/predict", json=body, headers={"Token": ""})


def shapes(client: TestClient, **params: Any) -> list[dict[str, Any]]:
    answer = asked(client, **params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    return list(answer.json()["data"]["shapes"])


def drawn(shape: dict[str, Any], height: int = HEIGHT, width: int = WIDTH) -> Any:
    """As the program: corners up to the one where the first comes again, filled by the even-odd rule."""
    assert shape["shape_type"] == "polygon"
    corners = shape["points"]
    assert [place for place, corner in enumerate(corners) if corner == corners[0]] == [0, len(corners) - 1]
    y, x = np.mgrid[:height, :width] + 0.4567  # Inside of pixels, and where no bridge passes.
    inside = np.zeros((height, width), np.bool_)
    for (x0, y0), (x1, y1) in pairwise(corners):
        if y0 != y1:
            inside ^= ((y >= y0) != (y >= y1)) & (x0 + (y - y0) / (y1 - y0) * (x1 - x0) > x)
    return inside


def stepped(*prompts: Click | Box) -> Any:
    tool, state = DiscTool(), State(empty_mask(HEIGHT, WIDTH))
    embedding = tool.embed([Image.of(PIXELS)])[0]
    for prompt in prompts:
        state = step(embedding, state, prompt, tool)
    return state.mask


def point(x: float, y: float, label: int = 1) -> dict[str, Any]:
    return {"type": "point", "data": [x, y], "label": label}


def test_the_program_finds_one_model_and_its_controls(client: TestClient) -> None:
    told = client.get("/x-anylabeling/v1/models", headers={"Token": ""}).json()
    assert told["success"] is True
    (name, model) = next(iter(told["data"].items()))
    values = {widget["name"]: widget["value"] for widget in model["widgets"]}
    assert (name, model["batch_processing_mode"], values["edit_conf"]) == ("segagent", "text_prompt", FOUND)
    assert values["toggle_preserve_existing_annotations"] is True
    alone = client.get("/x-anylabeling/v1/models/segagent/info").json()
    assert alone == {"success": True, "data": {"model_id": "segagent", **model}}
    assert client.get("/x-anylabeling/v1/models/other/info").status_code == 404
    assert client.get("/x-anylabeling/health").json()["models_loaded"] == 1


def test_words_are_looked_for_one_by_one(client: TestClient) -> None:
    told = shapes(client, text_prompt="the red cup, no. 7. the blue cup;the red cup, no. 7")
    expected = {
        text: annotate(Image.of(PIXELS), text, models=Models(CheapPolicy(), DiscTool()), found=0)
        for text in ("the blue cup", "the red cup, no. 7")
    }
    assert [shape["label"] for shape in told] == ["the red cup, no. 7", "the blue cup"]
    for shape in told:
        record = expected[shape["label"]]
        np.testing.assert_array_equal(drawn(shape), record.mask)
        assert record.predicted_iou is not None
        assert shape["score"] == pytest.approx(Models(CheapPolicy(), DiscTool()).calibrated(record.predicted_iou))


def test_below_the_threshold_nothing_is_told_and_nothing_there_is_cleared(client: TestClient) -> None:
    assert "replace" not in asked(client, text_prompt="the red cup").json()["data"]
    nothing = asked(client, text_prompt="the red cup", conf_threshold=1.0).json()["data"]
    assert nothing == {"shapes": [], "description": "", "replace": False}


def test_marks_are_all_of_an_objects_prompts(client: TestClient) -> None:
    (one,) = shapes(client, marks=[point(20, 20)])
    assert (one["label"], one["score"]) == (OBJECT, None)
    np.testing.assert_array_equal(drawn(one), stepped(Click(20, 20, True)))
    (two,) = shapes(client, marks=[point(20, 20), point(26, 20, 0)])
    np.testing.assert_array_equal(drawn(two), stepped(Click(20, 20, True), Click(26, 20, False)))
    # Dragged from the lower right corner, and beyond the border.
    box = {"type": "rectangle", "data": [30, 20, -2, 4], "label": 1}
    (boxed,) = shapes(client, marks=[point(8, 8, 0), box])
    np.testing.assert_array_equal(drawn(boxed), stepped(Box(0, 4, 30, 20), Click(8, 8, False)))
    other = {"type": "rectangle", "data": [40, 30, 60, 44], "label": 1}
    assert len(shapes(client, marks=[box, other])) == 2
    (corner,) = shapes(client, marks=[point(WIDTH, HEIGHT)])
    np.testing.assert_array_equal(drawn(corner), stepped(Click(WIDTH - 1, HEIGHT - 1, True)))
    assert asked(client, marks=[]).json()["data"] == {"shapes": [], "description": "", "replace": False}


@pytest.mark.parametrize("seed", range(8))
def test_parts_and_holes_come_through_one_polygon(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 11)) < 0.6
    np.testing.assert_array_equal(drawn(_shape("x", mask, ParamsAsked(epsilon_factor=0)), 9, 11), mask)
    ring = np.zeros((20, 20), np.bool_)
    ring[2:18, 2:18], ring[3 + seed : 6 + seed, 3:6] = True, False
    np.testing.assert_array_equal(drawn(_shape("x", ring, ParamsAsked(epsilon_factor=0)), 20, 20), ring)


def test_a_coarser_setting_gives_fewer_corners() -> None:
    y, x = np.mgrid[:200, :200]
    disc = (x - 100) ** 2 + (y - 100) ** 2 < 80**2
    fine, coarse = (_shape("x", disc, ParamsAsked(epsilon_factor=factor)) for factor in (FINENESS, 0.01))
    assert len(coarse["points"]) < len(fine["points"]) < 200
    overlap = [drawn(shape, 200, 200) & disc for shape in (fine, coarse)]
    assert overlap[1].sum() < overlap[0].sum() <= disc.sum()


@pytest.mark.parametrize(
    ("picture", "params", "words"),
    [
        (PICTURE, {"marks": [point(65, 4)]}, "outside the picture, 64 x 48"),
        (PICTURE, {"marks": [{"type": "point", "data": [1, 2, 3]}]}, "two numbers"),
        (PICTURE, {"marks": [{"type": "rectangle", "data": [1, 2, 3]}]}, "four numbers"),
        (PICTURE, {"marks": [{"type": "rectangle", "data": [1, 2, 1, 9]}]}, "without a pixel"),
        (PICTURE, {"marks": [{"type": "rectangle", "data": [1, 2, 9, 9], "label": 0}]}, "not wanted"),
        (PICTURE, {"marks": [{"type": "rectangle", "data": [1, 2, 9, 9]}] * 2 + [point(3, 3)]}, "finish one object"),
        (PICTURE, {"text_prompt": "a." * 21}, "21 sentences"),
        (PICTURE, {"conf_threshold": 2}, "conf_threshold"),
        ("http://127.0.0.1/a.png", {}, "addresses"),
        ("http://127.0.0.1/a,png", {}, "addresses"),
        ("data:image/png;base64,!", {}, "base64"),
    ],
)
def test_what_cannot_be_done_is_told(client: TestClient, picture: str, params: dict[str, Any], words: str) -> None:
    refused = asked(client, picture, **params)
    assert refused.status_code == 422
    assert words in refused.json()["error"]["message"]


def test_other_models_and_other_files_are_told(client: TestClient) -> None:
    assert "'yolo11n'" in asked(client, model="yolo11n").json()["error"]["message"]
    assert asked(client, "data:image/bmp;base64," + base64.b64encode(b"BM12345").decode()).status_code == 415


class Stubborn(CheapPolicy):
    """Has no answer to sentences that begin with "no"."""

    def propose(self, observations: list[Observation], *args: Any, **more: Any) -> list[list[Proposal]]:  # type: ignore[override]
        if observations[0].text.startswith("no"):
            raise RefusedError("not that")
        return super().propose(observations, *args, **more)


def test_a_sentence_without_an_answer_takes_no_other_with_it() -> None:
    client = TestClient(create_api(Models(Stubborn(), DiscTool())), base_url=BASE)
    assert [shape["label"] for shape in shapes(client, text_prompt="none. the cup")] == ["the cup"]
    refused = asked(client, text_prompt="none. nothing")
    assert (refused.status_code, refused.json()["error"]["message"]) == (424, "not that")


def test_the_key_is_the_token() -> None:
    token = "0123456789abcdef"
    client = TestClient(create_api(Models(CheapPolicy(), DiscTool()), Access(token)), base_url=BASE)
    for path in ("/x-anylabeling/v1/models", "/x-anylabeling/health", "/metrics"):
        assert client.get(path, headers={"Token": token}).status_code == 200
        for wrong in ("", token[:-1], "ä"):
            assert client.get(path, headers={"Token": wrong.encode()}).status_code == 401
