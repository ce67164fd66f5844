"""What a reply literally says, before anything is made of it: numbers, signs, words. Knows no coordinate space.

Tolerant of notation: prose around the answer, JSON, code fences, XML-like tags, thinking blocks, several ways to write
a point. It collects and never chooses: :mod:`segagent.policies.chat.deciding` refuses what is not unanimous. Works in
one pass over at most :data:`MAX_REPLY` characters and raises nothing, whatever the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from segagent.policies.chat.json_reading import JsonObject, json_objects

MAX_REPLY = 20_000
"""Longer replies, thinking left out, are not read."""

_MAX_PLACES = 16


class Number(NamedTuple):
    """A number as written: ``whole`` without a decimal point, ``percent`` with a percent sign."""

    value: float
    whole: bool
    percent: bool


class WrittenPoint(NamedTuple):
    """Two numbers of a point; ``named`` says they are x, y by name, whatever the order of writing."""

    first: Number
    second: Number
    named: bool


Sign: TypeAlias = Literal["positive", "negative"]


@dataclass(eq=False)
class Evidence:
    """All that a reply says. ``problem`` is why it cannot be read at all, as "kind: detail"; empty if it can.

    ``tagged_boxes``: how many of ``boxes`` are Qwen-VL's own ``<box>`` tags.
    """

    problem: str = ""
    points: list[WrittenPoint] = field(default_factory=list)
    boxes: list[tuple[Number, ...]] = field(default_factory=list)
    tagged_boxes: int = 0
    data_signs: set[Sign] = field(default_factory=set)
    prose_signs: set[Sign] = field(default_factory=set)
    finish: bool = False
    undo: bool = False
    negated: bool = False
    ious: list[Number] = field(default_factory=list)


_NUMBER = r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{1,30})?|\.[0-9]{1,30})"
_GAP = r"\s{0,3}"
_VALUE = rf"{_GAP}({_NUMBER}){_GAP}(%?){_GAP}"
_BARE_VALUE = rf"{_GAP}(?:{_NUMBER}){_GAP}%?{_GAP}"
_FLAGS = re.IGNORECASE | re.ASCII

_THINKING = re.compile(
    r"<(?:seed:)?(?:think|thinking|thought|reasoning)>|\[THINK\]|<\|START_THINKING\|>|<\|channel\|>|◁think▷", _FLAGS
)
_THOUGHT = re.compile(
    r"</(?:seed:)?(?:think|thinking|thought|reasoning)>|\[/THINK\]|<\|END_THINKING\|>"
    r"|<\|channel\|>final<\|message\|>|◁/think▷",
    _FLAGS,
)
_ENDS = re.compile(r"<\|(?:im_end|endoftext|eot_id|end|return)\|>|</s>|<eos>|<end_of_turn>", _FLAGS)
_WIDE = str.maketrans({0xFF00 + ord(mark) - 0x20: mark for mark in ",:;()[]{}%="})
"""Punctuation of East Asian texts."""
_ANSWER = re.compile(r"<answer>(.*?)</answer>", _FLAGS | re.DOTALL)
_FENCE = re.compile(r"```[a-z0-9_-]{0,20}", _FLAGS)
_QUOTED = re.compile(r"<ref>[^<]{0,2000}</ref>|\balt=\"[^\"]{0,2000}\"|\balt='[^']{0,2000}'", _FLAGS)
_TAGGED = re.compile(r"(<points?\b[^>]{0,2200}>)([^<]{0,2000})</points?>", _FLAGS)
_BOX_TAG = re.compile(
    rf"(?:<box>|<\|box_start\|>){_GAP}"
    rf"(?:\[{{1,2}}|\(){_VALUE},{_VALUE}(?:[\])]{_GAP},{_GAP}[\[(]|,){_VALUE},{_VALUE}(?:\]{{1,2}}|\))"
    rf"{_GAP}(?:</box>|<\|box_end\|>)",
    _FLAGS,
)
_FOUR = re.compile(rf"[(\[]{_VALUE},{_VALUE},{_VALUE},{_VALUE}[)\]]", _FLAGS)
_TWO = re.compile(rf"[(\[]{_VALUE}[,;]{_VALUE}[)\]]", _FLAGS)
_PAIR = re.compile(rf"[(\[\s]{{0,4}}{_VALUE}(?:[,;]|(?<=\s)){_VALUE}[)\]\s]{{0,4}}", _FLAGS)
"""Two numbers where nothing but a point can stand; with or without brackets and comma."""
_GROUPED = re.compile(r"[0-9](?:[,;]|\s{1,3})0[0-9]", _FLAGS)
"""A thousand with a separator is no pair of numbers: 1,024."""
_QUOTE = r"[\"']?"
_NAMED_XY = re.compile(
    rf"\bx[0-9]{{0,2}}{_GAP}[=:]{_GAP}{_QUOTE}{_VALUE}{_QUOTE}{_GAP}[,;]?{_GAP}"
    rf"\by[0-9]{{0,2}}{_GAP}[=:]{_GAP}{_QUOTE}{_VALUE}{_QUOTE}",
    _FLAGS,
)
_NAMED_YX = re.compile(
    rf"\by[0-9]{{0,2}}{_GAP}[=:]{_GAP}{_QUOTE}{_VALUE}{_QUOTE}{_GAP}[,;]?{_GAP}"
    rf"\bx[0-9]{{0,2}}{_GAP}[=:]{_GAP}{_QUOTE}{_VALUE}{_QUOTE}",
    _FLAGS,
)
_PLAIN = re.compile(
    rf"\b(?:positive|negative){_GAP}(?:point|click)?{_GAP}[:=]?{_VALUE},{_VALUE}(?![0-9.,])",
    _FLAGS,
)
_HALF_WRITTEN = re.compile(rf"[(\[]{_BARE_VALUE}(?:[,;]|$)|<points?\b[^>\0]{{0,200}}(?:>|$)", _FLAGS)
_SIGN = re.compile(r"\b(positive|negative)\b", _FLAGS)
_IOU = re.compile(
    rf"\b(?:(?:current|predicted|estimated){_GAP}m?iou{_GAP}(?::|=|\bis\b)?|m?iou{_GAP}[:=]){_VALUE}", _FLAGS
)
_LAST_WORD = re.compile(r"(?:^|[.!?:*>\n]\s{0,3}|\baction\s?[:=]\s?)\W{0,4}(finish|finished|done|undo)\W{0,8}$", _FLAGS)
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|\n", _FLAGS)
_NEGATION = re.compile(r"\b(?:not|no|never|neither|nor|cannot|instead of|rather than)\b|n't\b|n\u2019t\b", _FLAGS)
_DENIED = re.compile(r"^\W{0,8}(?:not|no|nope|never|wrong|incorrect)\b", _FLAGS)
_NOT_THIS = re.compile(r"(?:\b(?:not|no|never)\b|n't\b|n\u2019t\b)\W{0,4}(?:\w{1,20}\W{1,4}){0,3}$", _FLAGS)


def read_reply(reply: str) -> Evidence:
    """Everything that ``reply`` says. Never raises."""
    answer = _without_thinking(reply)
    if answer is None:
        return Evidence(problem="truncated: the reply ends inside its thinking")
    if len(answer) > MAX_REPLY:
        return Evidence(problem=f"too long: more than {MAX_REPLY} characters")
    answer = _ENDS.sub(" ", answer).translate(_WIDE)
    answers = _ANSWER.findall(answer)
    if answers:
        answer = "\n".join(answers)
    answer = _TAGGED.sub(_untagged, _QUOTED.sub(" ", _FENCE.sub("\n", answer)))
    answer = re.sub(r" ?\n[ \n]*", "\n", re.sub(r"[ \t\r\f\v\u00a0]+", " ", answer)).strip()
    if not answer:
        return Evidence(problem="empty: nothing is said")
    objects, prose, problem = json_objects(answer)
    if problem:
        return Evidence(problem=problem)
    evidence = Evidence()
    for entry, before in objects:
        if entry.duplicate:
            return Evidence(problem=f"ambiguous: the JSON says {entry.duplicate!r:.40} twice")
        _read_object(entry, evidence)
        evidence.negated |= _NOT_THIS.search(before) is not None
    _read_prose(prose, evidence)
    return evidence


def _without_thinking(reply: str) -> str | None:
    """The reply after its last thinking block; None if a block is not closed."""
    closed = 0
    for match in _THOUGHT.finditer(reply):
        closed = match.end()
    rest = reply[closed:]
    return None if _THINKING.search(rest) else rest


def _untagged(match: re.Match[str]) -> str:
    """A point's tag by what it says: its attributes, else its content; beside attributes the content is a label."""
    tag, content = match[1], match[2]
    if "=" in tag:
        return f"{tag} "
    pair = _pair_in(content)
    return content if pair is None else f"({pair[0]}{pair[1]}, {pair[2]}{pair[3]})"


def _pair_in(text: str) -> tuple[str, ...] | None:
    """Two numbers as written, each with its percent sign or nothing; None if ``text`` is anything else."""
    match = _PAIR.fullmatch(text)
    return None if match is None or _GROUPED.search(text) else match.groups()


def _number(value: str, percent: str) -> Number:
    return Number(float(value), "." not in value, bool(percent))


def number_of(value: object) -> Number | None:
    """A number of JSON, or a string that is one; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return Number(float(value), True, False) if abs(value) < 10**9 else None
    if isinstance(value, float):
        return Number(value, False, False) if abs(value) < 1e9 else None
    if isinstance(value, str):
        match = re.fullmatch(_VALUE, value, _FLAGS)
        return _number(match[1], match[2]) if match else None
    return None


def _numbers_of(value: object) -> list[Number] | None:
    """The numbers of a JSON list, or of a string like "(3, 4)" or "3, 4"; None if it is neither."""
    if isinstance(value, str):
        four = _FOUR.fullmatch(value.strip())
        parts = _pair_in(value) if four is None else four.groups()
        return None if parts is None else [_number(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]
    if not isinstance(value, list):
        return None
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    numbers = [number_of(entry) for entry in value]
    return None if None in numbers or not numbers else [number for number in numbers if number is not None]


_POINT_KEYS = {"point", "point_2d", "points", "coordinate", "coordinates", "click", "position", "location", "xy"}
_BOX_KEYS = {"box", "box_2d", "bbox_2d", "bbox", "bounding_box"}
_ACTION_KEYS = {"action", "type", "sign", "kind", "click_type", "point_type", "name"}
_IOU_KEYS = {"iou", "miou", "current_iou", "current_miou", "predicted_iou", "estimated_iou"}


def _read_object(entry: JsonObject, evidence: Evidence) -> None:
    fields = entry.fields
    for key, value in fields.items():
        if key in _POINT_KEYS and value is not None:
            _read_point(value, evidence)
        elif key in _BOX_KEYS and value is not None:
            numbers = _numbers_of(value)
            if numbers is None or len(numbers) != 4:
                evidence.problem = f"malformed: {key!r} is no list of four numbers"
            else:
                evidence.boxes.append(tuple(numbers))
        elif key in _IOU_KEYS:
            number = number_of(value)
            if number is not None:
                evidence.ious.append(number)
        elif isinstance(value, str) and (key in _ACTION_KEYS or (key == "label" and _is_sign(value))):
            _read_action_word(value, evidence)
        elif key == "positive" and isinstance(value, bool):
            evidence.data_signs.add("positive" if value else "negative")
    if "x" in fields and "y" in fields:
        _read_point({"x": fields["x"], "y": fields["y"]}, evidence)


def _is_sign(value: str) -> bool:
    return value.strip().lower() in ("positive", "negative")


def _read_point(value: object, evidence: Evidence) -> None:
    if isinstance(value, dict):
        x, y = number_of(value.get("x")), number_of(value.get("y"))
        if x is not None and y is not None:
            evidence.points.append(WrittenPoint(x, y, named=True))
            return
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        for entry in value[: _MAX_PLACES + 1]:
            known = len(evidence.points)
            _read_object(JsonObject(entry), evidence)
            if len(evidence.points) == known:
                evidence.problem = evidence.problem or "malformed: an entry of the list of points is no point"
        return
    numbers = _numbers_of(value)
    if numbers is None or len(numbers) != 2:
        evidence.problem = "malformed: the point is no pair of numbers"
    else:
        evidence.points.append(WrittenPoint(numbers[0], numbers[1], named=False))


def _read_action_word(value: str, evidence: Evidence) -> None:
    words = re.findall(r"[a-z]+", value.lower()[:100])
    if value.strip() in ("+", "-"):
        evidence.data_signs.add("positive" if value.strip() == "+" else "negative")
    if "positive" in words:
        evidence.data_signs.add("positive")
    if "negative" in words:
        evidence.data_signs.add("negative")
    if words in (["finish"], ["finished"], ["done"]):
        evidence.finish = True
    if words == ["undo"]:
        evidence.undo = True


def _read_prose(prose: str, evidence: Evidence) -> None:
    """What is said outside JSON."""

    def take(pattern: re.Pattern[str], text: str) -> tuple[list[re.Match[str]], str]:
        found = list(pattern.finditer(text))
        return found, pattern.sub(lambda match: "\0" * len(match[0]), text)

    def values(match: re.Match[str]) -> list[Number]:
        parts = match.groups()
        return [_number(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]

    places: list[re.Match[str]] = []
    ious, rest = take(_IOU, prose)
    evidence.ious += [values(match)[0] for match in ious]
    said = rest
    for pattern in (_BOX_TAG, _FOUR):
        found, rest = take(pattern, rest)
        evidence.boxes += [tuple(values(match)) for match in found]
        evidence.tagged_boxes += len(found) if pattern is _BOX_TAG else 0
        places += found
    for pattern, named, swapped in (
        (_NAMED_XY, True, False),
        (_NAMED_YX, True, True),
        (_TWO, False, False),
        (_PLAIN, False, False),
    ):
        found, rest = take(pattern, rest)
        for match in found:
            first, second = values(match)
            evidence.points.append(WrittenPoint(*((second, first) if swapped else (first, second)), named))
        places += found
    if any(_GROUPED.search(match[0]) for match in places):
        evidence.problem = evidence.problem or "malformed: a number with a separator in it"
    if _HALF_WRITTEN.search(rest):
        evidence.problem = evidence.problem or "malformed: coordinates that are not complete"
    evidence.prose_signs |= {"positive" if word.lower() == "positive" else "negative" for word in _SIGN.findall(said)}
    if len(places) > _MAX_PLACES:
        evidence.problem = evidence.problem or f"ambiguous: more than {_MAX_PLACES} places are named"
    for match in places[:_MAX_PLACES]:
        evidence.negated |= _negated(said, match.start(), match.end())
    last = _LAST_WORD.search(said)
    if last is not None:
        evidence.undo |= last[1].lower() == "undo"
        evidence.finish |= last[1].lower() != "undo"
        evidence.negated |= _negated(said, last.start(1), last.end(1))


def _negated(text: str, start: int, end: int) -> bool:
    """Whether the sentence around text[start:end] denies something, or the next one begins with a denial."""
    begin = 0
    for match in _SENTENCE_END.finditer(text, 0, start):
        begin = match.end()
    stop = _SENTENCE_END.search(text, end)
    sentence_stop = len(text) if stop is None else stop.start()
    following = "" if stop is None else text[stop.end() :]
    return bool(_NEGATION.search(text, begin, sentence_stop) or _DENIED.search(following))
