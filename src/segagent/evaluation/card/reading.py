"""Reading cards, which may come from anyone: checked before anything is done with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.core.texts import read_json
from segagent.evaluation.card.figures import BY_KEY, SCORE
from segagent.evaluation.card.measuring import CARD_SCHEMA

CARD_FILE = "card.json"
_MAX_BYTES = 20_000_000
_MAX_TEXT = 300


@dataclass(frozen=True, slots=True)
class Value:
    """A figure with its 95 % interval, None where it is not known, and how many it was counted over."""

    value: float | None
    low: float | None
    high: float | None
    count: int


UNKNOWN = Value(None, None, None, 0)


@dataclass(frozen=True)
class CardData:
    """A data set's part of a card. ``figures`` by key; those of ``baselines`` by baseline, then key."""

    label: str
    fingerprint: str
    counts: dict[str, int]
    figures: dict[str, Value]
    baselines: dict[str, dict[str, Value]]
    stopped: dict[str, int]
    reliability: list[tuple[float, float]]

    def figure(self, key: str) -> Value:
        """A figure, unknown where the card has none."""
        return self.figures.get(key, UNKNOWN)

    @property
    def score(self) -> float | None:
        """What leaderboards order by."""
        return self.figure(SCORE).value


@dataclass(frozen=True)
class Card:
    """A card as read: right in form; that its figures are true is another matter."""

    name: str
    policy: str
    tool: str
    protocol: dict[str, str]
    versions: dict[str, str]
    data: list[CardData]


def read_card(path: str | Path) -> Card:
    """The card in a folder of ``segagent benchmark``, or in the file itself.

    Raises ``InputError`` naming the file and what is wrong with it.
    """
    file = Path(path)
    if file.is_dir():
        file /= CARD_FILE
    try:
        return parse_card(read_json(file, "expected a card of segagent benchmark", _MAX_BYTES))
    except ValueError as error:
        raise InputError(f"{file}: no card of segagent benchmark ({error})") from error


def parse_card(data: Any) -> Card:
    """The card that a JSON value holds. Raises ``ValueError`` saying what does not fit."""
    if not isinstance(data, dict) or data.get("schema") != CARD_SCHEMA:
        schema = data.get("schema") if isinstance(data, dict) else None
        raise ValueError(f"expected the schema {CARD_SCHEMA!r}, got {schema!r:.60}")
    sections = data.get("data")
    if not isinstance(sections, list) or not sections:
        raise ValueError("'data' must be a list with at least one data set")
    return Card(
        _text(data, "name"),
        _text(data, "policy"),
        _text(data, "tool"),
        {key: str(value)[:_MAX_TEXT] for key, value in _mapping(data, "protocol").items()},
        {key: str(value)[:_MAX_TEXT] for key, value in _mapping(data, "versions").items()},
        [_section(section) for section in sections],
    )


def _section(data: Any) -> CardData:
    if not isinstance(data, dict):
        raise ValueError("a data set's part must be an object")
    bins = data.get("reliability", [])
    if not isinstance(bins, list) or not all(isinstance(one, dict) for one in bins):
        raise ValueError("'reliability' must be a list of objects")
    return CardData(
        _text(data, "data"),
        _text(data, "fingerprint"),
        {name: _count(value, name) for name, value in _mapping(data, "counts").items()},
        _values(_mapping(data, "figures")),
        {name: _values(_mapping(data["baselines"], name)) for name in _mapping(data, "baselines")},
        {name: _count(value, name) for name, value in _mapping(data, "stopped").items()},
        [(_fraction(one.get("mean_predicted")), _fraction(one.get("mean_true"))) for one in bins],
    )


def _values(data: Mapping[str, Any]) -> dict[str, Value]:
    """The figures that this version knows; others are left out."""
    return {key: _value(key, value) for key, value in data.items() if key in BY_KEY}


def _value(key: str, data: Any) -> Value:
    if not isinstance(data, dict):
        raise ValueError(f"figure {key!r} must be an object")
    value, low, high = (_number(key, data.get(name)) for name in ("value", "low", "high"))
    return Value(value, low, high, _count(data.get("count"), key))


def _number(key: str, value: Any) -> float | None:
    if value is None:
        return None
    limit = 1.0 if BY_KEY[key].unit == "percent" else 1e9
    if isinstance(value, bool) or not isinstance(value, int | float) or not -limit - 1e-9 <= value <= limit + 1e-9:
        raise ValueError(f"figure {key!r} must be a number within {limit:g} of 0 or null, got {value!r:.40}")
    return float(value)


def _fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"'reliability' must hold numbers from 0 to 1, got {value!r:.40}")
    return float(value)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**12:
        raise ValueError(f"the count of {name!r:.60} must be a whole number, got {value!r:.40}")
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value or len(value) > _MAX_TEXT:
        raise ValueError(f"{name!r} must be a text of at most {_MAX_TEXT} characters, got {value!r:.60}")
    return value


def _mapping(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict) or any(len(key) > _MAX_TEXT for key in value):
        raise ValueError(f"{name!r:.60} must be an object")
    return value
