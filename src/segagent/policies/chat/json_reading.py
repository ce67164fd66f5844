"""The JSON objects within a reply, found without ever failing on what surrounds them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_MAX_DEPTH = 8
_MAX_OBJECTS = 32
_WRAPPERS = ("action", "answer", "arguments", "parameters", "result", "click", "response")


@dataclass(frozen=True, eq=False)
class JsonObject:
    """One object: lower-case keys to values, one level of wrapping undone; ``duplicate`` is a key given twice."""

    fields: dict[str, object]
    duplicate: str = ""


class _DuplicateError(ValueError):
    """A key is given twice in one object."""


def json_objects(text: str) -> tuple[list[tuple[JsonObject, str]], str, str]:
    """``(objects, prose, problem)`` of a reply.

    Each object comes with the text right before it; ``prose`` is the text without them; ``problem`` ("kind: detail") is
    not empty where braces cannot be read as JSON, which then must not be passed over.
    """
    objects: list[tuple[JsonObject, str]] = []
    prose: list[str] = []
    position = 0
    while (start := text.find("{", position)) >= 0:
        end = _closing_brace(text, start)
        if end is None:
            return objects, "", "malformed: a brace is not closed or nested too deep"
        if len(objects) >= _MAX_OBJECTS:
            return objects, "", f"ambiguous: more than {_MAX_OBJECTS} JSON objects"
        try:
            value = _loaded(text[start:end])
        except _DuplicateError as error:
            value = None
            objects.append((JsonObject({}, str(error)), text[position:start]))
        except (ValueError, RecursionError):
            return objects, "", "malformed: braces that are not JSON"
        if value is not None:
            objects.append((_unwrapped(value), text[position:start]))
        prose.append(text[position:start])
        position = end
    prose.append(text[position:])
    # Brackets of a list of objects and commas between them say nothing.
    return objects, " \n".join(prose) if objects else text, ""


def _closing_brace(text: str, start: int) -> int | None:
    """The position behind the brace that closes the one at ``start``, strings respected."""
    depth = 0
    in_string = escaped = False
    for position in range(start, len(text)):
        letter = text[position]
        if in_string:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                in_string = False
        elif letter == '"':
            in_string = True
        elif letter in "{[":
            depth += 1
            if depth > _MAX_DEPTH:
                return None
        elif letter in "}]":
            depth -= 1
            if depth == 0:
                return position + 1
    return None


_LOOSE = re.compile(
    r"""("(?:[^"\\]|\\.)*")|'((?:[^'\\]|\\.)*)'|(,)(?=\s*[}\]])|\b(True|False|None)\b|\b([A-Za-z_]\w{0,40})(?=\s*:)""",
    re.ASCII | re.DOTALL,
)
"""What is no JSON but means the same: single quotes, a comma at the end, Python's constants, bare keys; and strings."""


def _loaded(text: str) -> dict[str, object]:
    """The object that ``text`` writes in JSON, or as Python and JavaScript would. Raises ``ValueError``."""
    try:
        value: dict[str, object] = json.loads(text, object_pairs_hook=_unique)
    except _DuplicateError:
        raise
    except ValueError:
        value = json.loads(_LOOSE.sub(_strict, text), object_pairs_hook=_unique)
    return value


def _strict(match: re.Match[str]) -> str:
    whole, single, comma, constant, key = match.groups()
    if whole is not None:
        return str(whole)
    if single is not None:
        return json.dumps(re.sub(r"\\(['\"])", r"\1", single))
    if comma is not None:
        return ""
    return json.dumps(key) if key is not None else {"True": "true", "False": "false", "None": "null"}[constant]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        name = key.strip().lower().replace(" ", "_").replace("-", "_")
        if name in fields:
            raise _DuplicateError(name)
        fields[name] = value
    return fields


def _unwrapped(fields: dict[str, object]) -> JsonObject:
    """Objects such as {"action": {"type": ..., "point": ...}} brought to one level."""
    for name in _WRAPPERS:
        inner = fields.get(name)
        if isinstance(inner, dict) and not ("x" in inner and "y" in inner and len(inner) == 2):
            outer = {key: value for key, value in fields.items() if key != name}
            clash = next((key for key in inner if key in outer and inner[key] != outer[key]), "")
            return JsonObject({**outer, **inner}, clash)
    return JsonObject(fields)
