"""What goes over the wire in every interface of ours: texts, run-length encodings, strict requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _writable(text: str) -> str:
    """Refuse what cannot be written as UTF-8: half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a surrogate pair; send whole characters") from error
    return text


Writable = Annotated[str, AfterValidator(_writable)]


class Asked(BaseModel):
    """A request: nothing is guessed, and nothing unknown passed over."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Told(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


class RleTold(Told):
    """COCO's run-length encoding: ``size`` is [height, width], ``counts`` compressed."""

    size: list[int]
    counts: str
