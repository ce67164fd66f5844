"""What X-AnyLabeling asks of a remote server, below ``/x-anylabeling``: its ``/v1/models`` would be another one's else.

Refusals say ``success: false`` and why, as the client's own server has them, but with the status of an error: at 200
the client takes them for a picture without objects and says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from segagent.annotation.interop.polygons import outline
from segagent.annotation.python_api import annotate
from segagent.core import BoolMask, Box, Click, Image, InputError, SegAgentError
from segagent.server.api.wire import Refused
from segagent.server.api.work import Work
from segagent.server.ascii import Ascii
from segagent.server.label_studio.pictures import Allowed, Source
from segagent.server.wire import Told
from segagent.server.worker import Patience

BASE = "/x-anylabeling"
MODEL = "segagent"
MOST_MARKS = 100
MOST_WORDS = 50
_MARKED = "AUTOLABEL_OBJECT"
"""What the client takes for an object that the person names next."""
_WIDGETS = (
    "edit_text", "button_send", "button_add_point", "button_remove_point", "button_add_rect", "button_clear",
    "button_finish_object", "input_conf", "edit_conf", "mask_fineness_slider", "mask_fineness_value_label",
    "toggle_preserve_existing_annotations",
)  # fmt: skip
_VALUES: dict[str, Any] = {"edit_conf": 0.3, "mask_fineness_slider": 10, "toggle_preserve_existing_annotations": False}

_STATUSES = {"MODEL_NOT_FOUND": 404, "INVALID_IMAGE": 422, "INFERENCE_ERROR": 422}

Done = Callable[[Request, Callable[[Patience], dict[str, Any]]], Awaitable[dict[str, Any]]]
"""Has a job done for a request, in a thread, as long as its client waits."""


class _Asked(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Mark(_Asked):
    """A point, [x, y], or a rectangle, [x0, y0, x1, y1], in pixels; ``label`` 1 is on the object, 0 beside it."""

    type: Literal["point", "rectangle"]
    label: int = 1
    data: list[float] = Field(min_length=2, max_length=4)


class Params(_Asked):
    """``epsilon_factor``: by how much of its length an outline may be off."""

    text_prompt: str = ""
    marks: list[Mark] = Field(default_factory=list, max_length=MOST_MARKS)
    conf_threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    epsilon_factor: Annotated[float, Field(ge=0, le=1)] = 0.001


class PredictAsked(_Asked):
    """A picture, as a data URI or in base64 alone, and what to look for in it."""

    model: str
    image: str
    params: Params = Params()


class RefusalTold(Told):
    """Why a request was not done, as the client's own server tells it."""

    success: Literal[False]
    error: dict[str, str]


def add_x_anylabeling(
    app: FastAPI, work: Work, done: Done, max_bytes: int, refused: dict[int | str, dict[str, Any]]
) -> None:
    """Have ``app`` answer X-AnyLabeling. ``max_bytes``: of a picture."""
    source = Source(Allowed(max_bytes=max_bytes))
    refused = {**refused, **{code: {"model": RefusalTold | Refused} for code in (404, 422)}}
    models = work.room.models(Patience())
    info = {
        "display_name": f"SegAgent ({models.policy.name}, {models.tool.name})",
        "widgets": [{"name": name, "value": _VALUES.get(name)} for name in _WIDGETS],
        "params": {},
        "batch_processing_mode": "text_prompt",
    }

    @app.get(f"{BASE}/health", include_in_schema=False)
    def get_health() -> Response:
        return Ascii({"status": "healthy", "models_loaded": 1})

    @app.get(f"{BASE}/v1/models", responses=refused)
    def get_models() -> Response:
        """X-AnyLabeling: what there is to choose from."""
        return Ascii({"success": True, "data": {MODEL: info}})

    @app.get(f"{BASE}/v1/models/{{model}}/info", responses=refused)
    def get_info(model: str) -> Response:
        """X-AnyLabeling: about one of them."""
        if model != MODEL:
            return _answered(_no_model(model))
        return Ascii({"success": True, "data": {"model_id": MODEL, **info}})

    @app.post(f"{BASE}/v1/predict", responses=refused)
    async def post_predict(request: Request, asked: PredictAsked) -> Response:
        """X-AnyLabeling: outlines of what words say, or of what was marked."""

        def answer(patience: Patience) -> dict[str, Any]:
            if asked.model != MODEL:
                return _no_model(asked.model)
            try:
                content = source.read(_address(asked.image), patience)
                image = work.pictures.take(content)[1]
            except InputError as error:
                return _failed("INVALID_IMAGE", error)
            try:
                shapes = _shapes(work, image, asked.params, patience)
            except InputError as error:
                return _failed("INFERENCE_ERROR", error)
            return {"success": True, "data": {"shapes": shapes, "description": ""}}

        return _answered(await done(request, answer))


def _answered(answer: dict[str, Any]) -> Response:
    return Ascii(answer, status_code=200 if answer["success"] else _STATUSES[answer["error"]["code"]])


def _address(image: str) -> str:
    return image if image.startswith("data:") else f"data:image/unknown;base64,{image}"


def _shapes(work: Work, image: Image, params: Params, patience: Patience) -> list[dict[str, Any]]:
    """The masks of marks; without any, of each of the words, divided by commas. Raises ``InputError``."""
    if params.marks:
        boxes = [_box(mark, image) for mark in params.marks if mark.type == "rectangle"]
        clicks = [_click(mark, image) for mark in params.marks if mark.type == "point"]
        mask = work.clicked(image, None, boxes[-1] if boxes else None, clicks, patience)
        return [_shape(mask, _MARKED, None, params.epsilon_factor)] if mask.any() else []
    texts = list(dict.fromkeys(text.strip() for text in params.text_prompt.split(",") if text.strip()))
    if len(texts) > MOST_WORDS:
        raise InputError(f"{len(texts)} things to look for, more than {MOST_WORDS}")
    shapes = []
    for text in texts:
        record = annotate(image, text, models=work.room.models(patience), found=params.conf_threshold)
        if record.outcome != "not_found" and record.mask.any():
            predicted = record.predicted_iou
            score = None if predicted is None else work.room.calibrated(predicted)
            shapes.append(_shape(record.mask, text, score, params.epsilon_factor, "; ".join(record.doubts)))
    return shapes


def _numbers(mark: Mark, count: int) -> list[float]:
    if len(mark.data) != count or not all(math.isfinite(one) for one in mark.data):
        raise InputError(f"a {mark.type} needs {count} numbers, got {mark.data!r:.80}")
    return mark.data


def _click(mark: Mark, image: Image) -> Click:
    x, y = _numbers(mark, 2)
    if not (0 <= x <= image.width and 0 <= y <= image.height):
        raise InputError(f"the point {mark.data!r:.80} lies outside the picture")
    return Click(min(int(x), image.width - 1), min(int(y), image.height - 1), mark.label != 0)


def _box(mark: Mark, image: Image) -> Box:
    if mark.label == 0:
        raise InputError("a rectangle beside the object is nothing that can be used; take points for that")
    x0, y0, x1, y1 = _numbers(mark, 4)
    left, right = sorted(min(max(one, 0.0), float(image.width)) for one in (x0, x1))
    top, bottom = sorted(min(max(one, 0.0), float(image.height)) for one in (y0, y1))
    box = Box(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    if not box.inside(image.height, image.width):
        raise InputError(f"the rectangle {mark.data!r:.80} holds no pixel of the picture")
    return box


def _shape(mask: BoolMask, label: str, score: float | None, epsilon: float, description: str = "") -> dict[str, Any]:
    """An outline, closed as the client has them. ``epsilon``: of its length."""
    exact = outline(mask)
    length = float(np.linalg.norm(np.diff(exact, axis=0, append=exact[:1]), axis=1).sum())
    points = outline(mask, epsilon * length).tolist()
    return {
        "label": label, "shape_type": "polygon", "points": [*points, points[0]], "score": score, "attributes": {},
        "description": description or None, "difficult": False, "direction": 0, "flags": None, "group_id": None,
        "kie_linking": [],
    }  # fmt: skip


def _no_model(model: str) -> dict[str, Any]:
    return {"success": False, "error": {"code": "MODEL_NOT_FOUND", "message": f"no model {model!r:.80}; use {MODEL}"}}


def _failed(code: str, error: SegAgentError) -> dict[str, Any]:
    return {"success": False, "error": {"code": code, "message": str(error)}}
