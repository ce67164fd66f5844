"""Requests, checked and bounded, and answers, as the interface's own document tells them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import Field, StringConstraints, model_validator

from segagent.annotation.batch.likely_error import ErrorLabel
from segagent.annotation.single import MAX_TEXT_LENGTH
from segagent.core import BoolMask, Image, InputError, decode_rle, frozen_mask
from segagent.core.masks import Rle
from segagent.server.wire import Asked, RleTold, Told, Writable

MAX_CLICKS = 100
MAX_STEPS = 20
MAX_CANDIDATES = 16
MAX_COUNTS = 1_000_000
_FAR = 1_000_000

PictureName = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
PicturePath = Annotated[PictureName, Path(description="SHA-256 of the picture's file, in hexadecimal digits.")]
Coordinate = Annotated[int, Field(ge=0, le=_FAR)]


class ClickAsked(Asked):
    """A pixel, x to the right and y down from 0: positive on what is missing, else on what is too much."""

    x: Coordinate
    y: Coordinate
    positive: bool = True


class RleAsked(Asked):
    """A mask in COCO's run-length encoding: ``size`` is [height, width] of the picture, ``counts`` compressed."""

    size: Annotated[list[Annotated[int, Field(ge=1, le=_FAR)]], Field(min_length=2, max_length=2)]
    counts: str = Field(min_length=1, max_length=MAX_COUNTS)

    def mask(self, image: Image) -> BoolMask:
        """Bool (height, width) of ``image``. Raises ``InputError`` for one that does not fit it."""
        # Before it is unpacked: a few letters can tell of any number of pixels.
        if self.size != [image.height, image.width]:
            raise InputError(f"mask: its size is {self.size}, that of the picture {[image.height, image.width]}")
        try:
            return frozen_mask(decode_rle(Rle(size=self.size, counts=self.counts)))
        except ValueError as error:
            raise InputError(f"mask: {error}") from error


class PictureAsked(Asked):
    """The picture that is meant: either its name, or the file itself."""

    picture: PictureName | None = Field(None, description="The name that /v1/pictures gave it.")
    image: str | None = Field(
        None, min_length=1, description="The file itself, PNG, JPEG or WebP, in base64. URLs are not fetched."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> PictureAsked:
        if (self.picture is None) == (self.image is None):
            raise ValueError("give 'picture', a name, or 'image', a file in base64")
        return self

    def content(self) -> bytes | None:
        """The file, where it is there. Raises ``InputError`` for what is no base64."""
        if self.image is None:
            return None
        try:
            return base64.b64decode(self.image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError("image: not base64; send the file's bytes so, without 'data:', and no URL") from error


class SegmentAsked(PictureAsked):
    """Clicks, a box, a mask to begin with, or several of them: the box goes first, then the clicks in order."""

    clicks: list[ClickAsked] = Field(default_factory=list, max_length=MAX_CLICKS)
    box: Annotated[list[Coordinate], Field(min_length=4, max_length=4)] | None = Field(
        None, description="x0, y0, x1, y1; the latter two are the first pixels beyond it."
    )
    mask: RleAsked | None = None
    png: bool = Field(False, description="Whether the mask is wanted as a PNG file, too.")


class _TextAsked(PictureAsked):
    text: Writable = Field(min_length=1, max_length=MAX_TEXT_LENGTH, description="What to segment, in words.")
    png: bool = Field(False, description="Whether the mask is wanted as a PNG file, too.")


class AnnotateAsked(_TextAsked):
    """``candidates``: actions tried per step; above 1 the best-scored is taken. ``seed`` drives all sampling."""

    steps: int = Field(7, ge=1, le=MAX_STEPS)
    candidates: int = Field(1, ge=1, le=MAX_CANDIDATES)
    seed: int = Field(0, ge=0, le=2**53 - 1)
    found: float = Field(0.3, ge=0, le=1, description="Below this calibrated IoU the outcome is 'not_found'.")


class RefineAsked(_TextAsked):
    """As :class:`AnnotateAsked`, from a mask."""

    mask: RleAsked
    steps: int = Field(7, ge=1, le=MAX_STEPS)
    candidates: int = Field(1, ge=1, le=MAX_CANDIDATES)
    seed: int = Field(0, ge=0, le=2**53 - 1)


class ScoreAsked(PictureAsked):
    """A mask to be held against a sentence."""

    text: Writable = Field(min_length=1, max_length=MAX_TEXT_LENGTH, description="What the mask should show.")
    mask: RleAsked


class ErrorTold(Told):
    """What was wrong, as in OpenAI's interface. ``code`` is for programs, ``message`` for people."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str


class Refused(Told):
    """Why a request was not done."""

    error: ErrorTold


class PictureTold(Told):
    """A picture that is kept; sizes in pixels, upright."""

    picture: str
    height: int
    width: int


class SegmentTold(Told):
    """``png``: the mask, 255 object and 0 rest, a file in base64. ``area``: pixels inside."""

    picture: str
    mask: RleTold
    area: int
    png: str | None


class AnnotateTold(Told):
    """What came of an episode. ``calibrated_iou``: what masks predicted so are worth, on average; null where the policy
    predicts nothing. ``doubts``: what speaks against relying on the policy here. ``trajectory``: the whole record.
    """

    picture: str
    outcome: Literal["made", "not_found", "kept", "repaired"]
    mask: RleTold
    png: str | None
    predicted_iou: float | None
    calibrated_iou: float | None
    doubts: list[str]
    trajectory: dict[str, Any]


class OutlineTold(Told):
    """What is seen of the mask without the words: expected IoU with the thing that it fits best, and how much of that
    is ``missing`` and how much too much (``spill``), as shares of the mask. ``by`` the policy; or by the tool, of which
    ``iou`` is how well the mask agrees with what the tool makes of its box: it orders masks but is no expected IoU.
    """

    iou: float
    missing: float
    spill: float
    by: Literal["policy", "tool"]


class LikelyErrorTold(Told):
    """What is likely to be wrong with the mask, and what that was read off."""

    label: ErrorLabel
    reason: str


class ScoreTold(Told):
    """What the policy thinks of a mask; ``outline`` null: the mask is empty."""

    picture: str
    predicted_iou: float
    calibrated_iou: float
    outline: OutlineTold | None
    likely_error: LikelyErrorTold
    doubts: list[str]
