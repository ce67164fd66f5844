"""Chat-completion requests as observations. Everything that comes in is checked; nothing of it is trusted."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from segagent.core import BoolMask, Image, Observation, Pixels, frozen_mask
from segagent.imaging import draw_overlay
from segagent.policies.chat.templates import quoted_object


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a request may ask for at most: bytes of body, pixels per picture, replies."""

    max_body: int = 64 << 20
    max_pixels: int = 40_000_000
    max_replies: int = 64


class BadRequestError(Exception):
    """A request that cannot be answered; ``status`` and ``parameter`` go into the protocol's error object."""

    def __init__(self, message: str, parameter: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.status = status


@dataclass(frozen=True, eq=False)
class ChatRequest:
    """What is asked: ``num_replies`` to ``observation``, greedy at ``temperature`` 0."""

    observation: Observation
    num_replies: int
    temperature: float
    seed: int | None


def read_request(body: bytes, limits: ServerLimits) -> ChatRequest:
    """The request in a body. Raises ``BadRequestError``.

    One user message is expected, with two PNG pictures, the image and the same with its mask in green, and a text whose
    last line ends in ``Object: "..."``, as the chat format ``segagent`` writes it.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError("the body is not JSON") from error
    if not isinstance(data, dict):
        raise BadRequestError("the body is not a JSON object")
    if data.get("stream"):
        raise BadRequestError("'stream' is not supported", "stream")
    pictures, text = _content(data)
    sentence = quoted_object(text)
    if sentence is None:
        raise BadRequestError('the text does not end in Object: "..."; use the chat format segagent', "messages")
    if len(pictures) != 2:
        raise BadRequestError(
            f"two pictures are expected, got {len(pictures)}; use the chat format segagent", "messages"
        )
    clean, overlaid = (_decode(url, limits) for url in pictures)
    observation = Observation(Image.of(clean), sentence, mask_between(clean, overlaid))
    temperature = _number(data, "temperature", 0.0, 0.0, 100.0)
    return ChatRequest(
        observation,
        num_replies=_whole(data, "n", 1, 1, limits.max_replies) or 1,
        temperature=temperature,
        seed=_whole(data, "seed", None, 0, 2**63 - 1),
    )


def mask_between(clean: Pixels, overlaid: Pixels) -> BoolMask:
    """The mask, bool (height, width), that drawn over ``clean`` gives ``overlaid``, exactly.

    Raises ``BadRequestError`` if there is none. Where a covered pixel looks like an uncovered one it counts as
    uncovered; clients of ours send no such pixels.
    """
    if clean.shape != overlaid.shape:
        raise BadRequestError("the two pictures differ in size", "messages")
    mask = frozen_mask((clean != overlaid).any(axis=2))
    if not np.array_equal(draw_overlay(clean, mask), overlaid):
        raise BadRequestError("the second picture is not the first one with a green mask, bit for bit", "messages")
    return mask


def _content(data: Mapping[str, Any]) -> tuple[list[str], str]:
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        raise BadRequestError("'messages' must be a list of messages", "messages")
    if messages[-1].get("role") != "user":
        raise BadRequestError("the last message must be the user's", "messages")
    parts = messages[-1].get("content")
    if not isinstance(parts, list):
        raise BadRequestError("the message holds no pictures", "messages")
    urls: list[str] = []
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, dict):
            raise BadRequestError("a part of the message is not an object", "messages")
        image = part.get("image_url")
        if part.get("type") == "image_url" and isinstance(image, dict) and isinstance(image.get("url"), str):
            urls.append(image["url"])
        elif part.get("type") == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            raise BadRequestError("parts of the message must be text or image_url", "messages")
    return urls, "\n".join(texts)


def _decode(url: str, limits: ServerLimits) -> Pixels:
    """Pixels of a PNG data URL; its size is checked before it is unpacked."""
    head, comma, tail = url.partition(",")
    if head != "data:image/png;base64" or not comma:
        raise BadRequestError(
            "pictures must be data:image/png;base64 URLs: the mask is read from exact pixels", "messages"
        )
    try:
        content = base64.b64decode(tail, validate=True)
        with PillowImage.open(io.BytesIO(content), formats=("PNG",)) as opened:
            if opened.width * opened.height > limits.max_pixels:
                raise BadRequestError(f"a picture has more than {limits.max_pixels} pixels", "messages", 413)
            if opened.mode != "RGB":
                raise BadRequestError("pictures must be 8-bit RGB", "messages")
            return np.array(opened, np.uint8)
    except (OSError, binascii.Error, SyntaxError, ValueError, PillowImage.DecompressionBombError) as error:
        raise BadRequestError("a picture cannot be decoded", "messages") from error


def _number(data: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequestError(f"'{name}' must be a number", name)
    if not low <= value <= high:
        raise BadRequestError(f"'{name}' must be within {low:g} and {high:g}", name)
    return float(value)


def _whole(data: Mapping[str, Any], name: str, default: int | None, low: int, high: int) -> int | None:
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequestError(f"'{name}' must be a whole number within {low} and {high}", name)
    return value
