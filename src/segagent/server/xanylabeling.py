"""The protocol of X-AnyLabeling's own server, so that its model "Remote-Server" can be this one: words, points, boxes.

X-AnyLabeling puts ``/v1/...`` behind the address that it is given. Those paths are taken here by others, so its address
ends in ``/x-anylabeling``. A shape of its is one polygon: parts and holes are joined by bridges of no width.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from segagent.annotation.interop.finding import FOUND, find
from segagent.annotation.interop.polygons import outline
from segagent.core import BoolMask, Box, Click, Image, InputError
from segagent.search import SearchConfig
from segagent.server.api.work import Work
from segagent.server.ascii import Ascii
from segagent.server.label_studio.routes import Done
from segagent.server.wire import Writable
from segagent.server.worker import Patience

PREFIX = "/x-anylabeling"
MODEL = "segagent"
FINENESS = 0.001
"""How far a polygon may be off, as a share of the outline's length, unless that is set in the program."""
STAIRS = 0.75
"""Pixels. A polygon that is less off goes around every pixel of a slope; so only with a fineness of 0."""
MOST_SENTENCES = 20
OBJECT = "AUTOLABEL_OBJECT"
"""The program's label of a mask that somebody is still clicking at; it asks for the real one."""
_BETWEEN = re.compile(r"[.;](?!\s*\d)")
_WIDGETS: dict[str, Any] = {
    "edit_text": None, "button_send": None, "button_add_point": None, "button_remove_point": None,
    "button_add_rect": None, "button_clear": None, "button_finish_object": None, "input_conf": None,
    "edit_conf": FOUND, "mask_fineness_slider": 10, "mask_fineness_value_label": None,
    # On: the program would clear a picture's annotations where a request fails.
    "toggle_preserve_existing_annotations": True,
}  # fmt: skip

_log = logging.getLogger(__name__)


class _Asked(BaseModel):
    """The program tells more with every version, so what is unknown is passed over."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class MarkAsked(_Asked):
    """A point, [x, y], or two corners of a rectangle, [x0, y0, x1, y1], in pixels; ``label`` 1: more of this."""

    type: Literal["point", "rectangle"]
    data: Annotated[list[float], Field(min_length=2, max_length=4)]
    label: Literal[0, 1] = 1


class ParamsAsked(_Asked):
    """Words, or marks: all of the object's so far, oldest first. Words go first where both are there."""

    text_prompt: Writable = ""
    marks: Annotated[list[MarkAsked], Field(max_length=100)] = []
    conf_threshold: Annotated[float, Field(ge=0, le=1)] = FOUND
    epsilon_factor: Annotated[float, Field(ge=0, le=0.1)] = FINENESS


class PredictAsked(_Asked):
    """A picture, the file in base64 or as a ``data:`` address, and what is looked for in it."""

    model: str
    image: str = Field(min_length=1)
    params: ParamsAsked = ParamsAsked()


class Remote:
    """What X-AnyLabeling is answered, without HTTP; methods may be called by any thread."""

    def __init__(self, work: Work) -> None:
        self._work = work
        models = work.room.models(Patience())
        self._shown = f"SegAgent ({models.policy.name}, {models.tool.name})"

    def models(self) -> dict[str, Any]:
        """The one model, and which of the program's controls it has."""
        return {
            MODEL: {
                "display_name": self._shown,
                "widgets": [{"name": name, "value": value} for name, value in _WIDGETS.items()],
                "params": {"conf_threshold": FOUND, "epsilon_factor": FINENESS},
                "capabilities": {},
                "batch_processing_mode": "text_prompt",
            }
        }

    def predict(self, asked: PredictAsked, patience: Patience) -> dict[str, Any]:
        """Shapes. Raises ``InputError`` for what cannot be done, ``OverdueError``, and what models raise."""
        if asked.model != MODEL:
            raise InputError(f"model: there is only {MODEL!r} here, not {asked.model!r:.80}")
        params = asked.params
        texts = [text for part in _BETWEEN.split(params.text_prompt) if (text := part.strip())]
        if len(texts) > MOST_SENTENCES:
            raise InputError(f"text_prompt: {len(texts)} sentences, more than {MOST_SENTENCES} at once")
        image = self._work.pictures.take(_content(asked.image))[1]
        if texts:
            shapes = self._found(image, texts, params, patience)
            # The program's own setting says whether they take the place of what is there; nothing never does.
            return {"shapes": shapes, "description": "", **({} if shapes else {"replace": False})}
        masks = self._marked(image, params.marks, patience)
        shapes = [_shape(OBJECT, mask, params) for mask in masks if mask.any()]
        return {"shapes": shapes, "description": "", "replace": False}

    def _found(
        self, image: Image, texts: Sequence[str], params: ParamsAsked, patience: Patience
    ) -> list[dict[str, Any]]:
        """What the sentences find. One without an answer takes no other with it."""
        failures: list[Exception] = []

        def failed(label: str, text: str, error: Exception) -> None:
            _log.warning("X-AnyLabeling, %r: left out: %s", text, error)
            failures.append(error)

        models = self._work.room.models(patience)
        found = find(image, {text: (text,) for text in texts}, models, SearchConfig(), params.conf_threshold, failed)
        shapes = [_shape(one.label, one.mask, params, one.expected_iou, "; ".join(one.doubts) or None) for one in found]
        if failures and not shapes:
            raise failures[0]
        return shapes

    def _marked(self, image: Image, marks: Sequence[MarkAsked], patience: Patience) -> list[BoolMask]:
        """The mask of the marks; of several rectangles one each."""
        boxes = [_box(mark, image) for mark in marks if mark.type == "rectangle"]
        clicks = [_click(mark, image) for mark in marks if mark.type == "point"]
        if len(boxes) > 1 and clicks:
            raise InputError("marks: points and several rectangles; finish one object before the next")
        if not boxes and not clicks:
            return []
        objects: list[Box | None] = [*boxes] or [None]
        return [self._work.clicked(image, None, box, clicks, patience) for box in objects]


def add_xanylabeling(app: FastAPI, remote: Remote, done: Done, refused: dict[int | str, dict[str, Any]]) -> None:
    """Have ``app`` answer X-AnyLabeling. ``refused``: what refusals look like, for the interface's document."""

    def told(data: dict[str, Any]) -> Response:
        return Ascii({"success": True, "data": data})

    @app.get(f"{PREFIX}/health", responses=refused)
    def get_health() -> Response:
        """X-AnyLabeling: whether there is a server."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return Ascii({"status": "healthy", "models_loaded": len(remote.models()), "timestamp": now})

    @app.get(f"{PREFIX}/v1/models", responses=refused)
    def get_models() -> Response:
        """X-AnyLabeling: the models."""
        return told(remote.models())

    @app.get(f"{PREFIX}/v1/models/{{model}}/info", responses=refused)
    def get_model(model: str) -> Response:
        """X-AnyLabeling: one model."""
        if model not in remote.models():
            raise HTTPException(404, f"there is only the model {MODEL!r} here")
        return told({"model_id": model, **remote.models()[model]})

    @app.post(f"{PREFIX}/v1/predict", responses=refused)
    async def post_predict(request: Request, asked: PredictAsked) -> Response:
        """X-AnyLabeling: shapes for words, or for the marks of one object."""
        return told(await done(request, lambda patience: remote.predict(asked, patience)))


def _content(image: str) -> bytes:
    head, comma, tail = image.partition(",")
    if comma and not (head.startswith("data:") and head.endswith(";base64")):
        raise InputError("image: expected the file in base64, alone or as data:...;base64,...; no addresses")
    try:
        return base64.b64decode(tail if comma else head, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("image: not base64; addresses are not fetched") from error


def _click(mark: MarkAsked, image: Image) -> Click:
    if len(mark.data) != 2:
        raise InputError("marks: a point has two numbers, x and y")
    x, y = mark.data
    if not (0 <= x <= image.width and 0 <= y <= image.height):
        raise InputError(f"marks: the point {x:g}, {y:g} lies outside the picture, {image.width} x {image.height}")
    return Click(min(int(x), image.width - 1), min(int(y), image.height - 1), mark.label == 1)


def _box(mark: MarkAsked, image: Image) -> Box:
    if len(mark.data) != 4:
        raise InputError("marks: a rectangle has four numbers, x and y of two corners")
    if mark.label == 0:
        raise InputError("marks: a rectangle of what is not wanted is not understood; use points")
    x0, x1 = (min(max(round(x), 0), image.width) for x in sorted(mark.data[::2]))
    y0, y1 = (min(max(round(y), 0), image.height) for y in sorted(mark.data[1::2]))
    if x0 == x1 or y0 == y1:
        raise InputError("marks: a rectangle without a pixel of the picture in it")
    return Box(x0, y0, x1, y1)


def _shape(
    label: str, mask: BoolMask, params: ParamsAsked, score: float | None = None, description: str | None = None
) -> dict[str, Any]:
    rings = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    share = params.epsilon_factor
    points = outline(mask, share and max(share * max(cv2.arcLength(ring, closed=True) for ring in rings), STAIRS))
    # The program ends a polygon where its first corner comes again, so that must not be one where a bridge begins.
    _, place, count = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    points = np.roll(points, -int(np.argmin(count[place.ravel()])), axis=0)
    corners = [*points.tolist(), points[0].tolist()]
    return {"label": label, "shape_type": "polygon", "points": corners, "score": score, "description": description}
