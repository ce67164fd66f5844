"""What a server's answer says: replies, or what went wrong and whether asking again can help. Knows no network.

Gateways tell failures in many ways, some of them with HTTP status 200: an ``error`` object beside ``choices: null`` or
inside a choice, ``finish_reason: error``, a list around the body, no content at all. None of these is a reply.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from segagent.core import ReplyTokens
from segagent.policies.chat import Reply

Kind: TypeAlias = Literal["passing", "odd", "empty", "server", "question", "filtered"]
"""``passing``: may be gone the next time; where it stays, the server is at fault. ``odd``: an answer without a reply in
it; may be gone the next time too; where it stays, it is this question's. ``empty``: the same of a reply without a word,
which a model is likely to give again. ``server``: whatever is asked, it stays. ``question``: this question is refused,
others may not be. ``filtered``: this question's content is refused.
"""


class Fault(NamedTuple):
    """Why there is no reply: the server's own ``words``. ``parameters``: those of the request that they refuse."""

    kind: Kind
    words: str
    parameters: frozenset[str] = frozenset()


_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_ABOUT_QUESTION = frozenset({400, 411, 413, 415, 422, 431, 451})

_FLAGS = re.IGNORECASE | re.ASCII
_FILTERED = re.compile(
    r"content[ _-]?(?:filter|policy|management policy|safety)|contentpolicy|data_?inspection|inappropriate content"
    r"|moderation|flagged|prohibited[ _]content|responsible ?ai|safety (?:system|filter|setting|reason)|sensitive",
    _FLAGS,
)
_ACCOUNT = re.compile(
    r"authenti|unauthori|login|api.?key|permission|forbidden|credit|billing|insufficient|payment", _FLAGS
)
_PASSING = re.compile(
    r"rate.?limit|overload|unavailable|time[d ]?.?out|server.?error|internal|exhausted|busy|too many|try again"
    r"|temporar|capacity|upstream|loading|returned error",
    _FLAGS,
)
_NOT_THERE = re.compile(
    r"not.?found|does not exist|not available|(?:unknown|no such) model|unexpected endpoint", _FLAGS
)
_WRONG = re.compile(
    r"invalid|unsupported|not support|too (?:large|long|big|many)|exceed|malformed|bad.?request|unprocessable|context",
    _FLAGS,
)

_PARAMETERS: Mapping[str, re.Pattern[str]] = {
    "max_completion_tokens": re.compile(r"\bmax_?completion_?tokens\b", _FLAGS),
    "max_tokens": re.compile(r"\bmax_?tokens\b", _FLAGS),
    "temperature": re.compile(r"\btemperature\b", _FLAGS),
    "seed": re.compile(r"\bseed\b", _FLAGS),
    "logprobs": re.compile(r"\b(?:top_?)?log_?probs\b", _FLAGS),
    "response_format": re.compile(r"\bresponse_?format\b|json[ _]?schema|structured[ _]?output|grammar", _FLAGS),
    "structured_outputs": re.compile(r"structured[ _]?outputs?|json[ _]?schema|grammar", _FLAGS),
    "guided_json": re.compile(r"guided[ _]?(?:json|decoding)|json[ _]?schema|grammar", _FLAGS),
    "n": re.compile(
        r"['\"`]n['\"`]|\bn\b\s{0,3}(?:[=<>:]|(?:must|is|should|to be|cannot|can|greater|larger|parameter)\b)"
        r"|\b(?:parameters?|argument|param|field|value (?:of|for)|range of|supports?|multiple)[ :]{1,3}n\b|\bbest_of\b"
        r"|(?:only one|one|single|multiple|number of|more than one) (?:completion|choice|candidate|generation|output)"
        r"|\bcandidate_?count\b|\bnum_return_sequences\b",
        _FLAGS,
    ),
}
_ANY_PARAMETER = re.compile(
    r"(?:unsupported|unrecogni[sz]ed|unknown|unexpected|invalid|additional|extra)[^.]{0,30}"
    r"\b(?:parameter|argument|field|input|option|propert|keyword)"
    r"|\b(?:parameter|argument|field|input|option)s?\b[^.]{0,30}"
    r"\b(?:unsupported|not supported|not permitted|not allowed|unrecogni[sz]ed|unknown)",
    _FLAGS,
)
_OTHER_SUBJECT = re.compile(r"\b(?:image|picture|stream|message|content|model name|context|prompt|url|base64)", _FLAGS)

SAMPLING = frozenset({"n", "seed", "temperature"})
"""What is left out of a request where a server refuses "a parameter" without saying which."""

STRUCTURED = frozenset({"response_format", "structured_outputs", "guided_json"})
"""What holds a reply to a JSON schema: known by fewest servers, so left out before :data:`SAMPLING`."""

_CUT = frozenset(
    {"length", "max_tokens", "max_output_tokens", "max_completion_tokens", "model_length", "max_length", "token_limit",
     "model_context_window_exceeded", "error_limit"}
)  # fmt: skip
_FILTERS = (
    "content_filter", "sensitive", "safety", "refusal", "recitation", "prohibited_content", "blocklist", "spii",
    "image_safety", "error_toxic", "guardrail_intervened", "moderation",
)  # fmt: skip
_BY_NUMBER = "token_id:"
_BROKEN = frozenset(
    {"error", "network_error", "insufficient_system_resource", "abort", "aborted", "cancelled", "canceled", "timeout",
     "malformed_function_call", "server_error", "failed"}
)  # fmt: skip


def fault_of(status: int, data: object, received: bytes, sent: frozenset[str]) -> Fault | None:
    """What is wrong with an answer as a whole; None where it holds choices. ``sent``: the request's parameters."""
    error = _error_in(data)
    if status == 200 and error is None:
        if isinstance(data, dict) and isinstance(data.get("choices"), list) and data["choices"]:
            return None
        return Fault("odd", _first_words("the answer is no chat completion", received))
    code, named, words = error or ("", "", "")
    words = words or received[:300].decode("utf-8", "replace")
    told = status if status != 200 else int(code) if code.isdecimal() and 100 <= int(code) < 600 else 0
    if told == 200:
        told = 0
    words = f"HTTP {status} {words}" if status != 200 else f"{words} (code {code})" if code else words
    kind = _kind(told, code, words)
    refused = _refused(named, words, sent) if told in (0, 400, 422, 500, 501) and kind != "filtered" else frozenset()
    if status == 501 and "n" in sent:
        refused |= {"n"}
    return Fault("question" if refused and kind == "passing" else kind, words, refused)


def reply_of(choice: object) -> Reply | Fault:
    """The reply in one choice of a completion, or why there is none."""
    fields: Mapping[str, Any] = choice if isinstance(choice, dict) else {}
    message = fields.get("message")
    message = message if isinstance(message, dict) else {}
    text = _text(message.get("content"))
    reason = str(fields.get("finish_reason") or "").strip().lower()
    said = reason.partition(":")[0].replace("-", "_").replace(" ", "_")
    error = _error_in({"error": fields.get("error")}) if fields.get("error") else None
    refusal = message.get("refusal")
    words = error[2] if error else refusal if isinstance(refusal, str) and refusal else text[:300]
    if any(said.startswith(one) for one in _FILTERS) or (isinstance(refusal, str) and refusal and not text.strip()):
        return Fault("filtered", f"the reply was refused ({reason or 'refusal'}) {words}".strip())
    if error or said in _BROKEN:
        kind = _kind(int(error[0]) if error and error[0].isdecimal() else 0, error[0] if error else "", words)
        return Fault("odd" if kind == "passing" else kind, f"the reply failed ({reason or 'error'}) {words}".strip())
    cut = said in _CUT
    if not text.strip() and not cut:
        thought = any(message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
        return Fault("empty", "the reply is empty" + (", all there is stands in its reasoning" if thought else ""))
    tokens = _tokens(fields.get("logprobs"), fields.get("token_ids"))
    return Reply(text, None if tokens is None else tokens.log_prob, cut, tokens=tokens)


def usage_of(data: Mapping[str, Any]) -> dict[str, float]:
    """What an answer says that it cost: the fields of :class:`segagent.core.Usage` that it tells."""
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    for name in ("prompt_cache_hit_tokens", "cache_read_input_tokens"):
        cached = usage.get(name) if cached is None else cached
    told = {
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cached_tokens": cached,
    }
    amounts: dict[str, float] = {name: value for name, value in told.items() if value is not None and _is_count(value)}
    cost = usage.get("cost")
    cost = cost.get("total_cost", cost.get("total")) if isinstance(cost, dict) else cost
    if isinstance(cost, int | float) and not isinstance(cost, bool) and math.isfinite(cost) and cost >= 0:
        amounts["money"] = float(cost)
    return amounts


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12


def _kind(status: int, code: str, words: str) -> Kind:
    """Of a failure by its HTTP status (0: none was told), else by its name and words."""
    told = f"{code} {words}"
    if status not in _RETRIED and status not in (401, 402, 404) and _FILTERED.search(told):
        return "filtered"
    if "insufficient_quota" in told:
        return "server"
    if status:
        return "passing" if status in _RETRIED else "question" if status in _ABOUT_QUESTION else "server"
    if _ACCOUNT.search(told):
        return "server"
    if _PASSING.search(told):
        return "passing"
    if _NOT_THERE.search(told):
        return "server"
    return "question" if _WRONG.search(told) else "passing"


def _refused(named: str, words: str, sent: frozenset[str]) -> frozenset[str]:
    """The parameters, of those sent, that a failure is about and that one can do without."""
    if named in sent:
        return frozenset({named})
    quoted = {name for name in sent if any(f"{q}{name}{q}" in words for q in "'\"`")}
    found = quoted or {name for name in sent if name in _PARAMETERS and _PARAMETERS[name].search(words)}
    if not found and _ANY_PARAMETER.search(words) and not _OTHER_SUBJECT.search(words):
        found = set(STRUCTURED & sent or SAMPLING & sent)
    if "max_tokens" in found and "max_completion_tokens" in sent:
        found.discard("max_tokens")
    return frozenset(found)


def _error_in(data: object) -> tuple[str, str, str] | None:
    """(code or type, parameter, words) of the failure that a body tells of; None where it tells of none."""
    if isinstance(data, list):
        return next((told for one in data[:4] if (told := _error_in(one)) is not None), None)
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    if isinstance(error, list):
        error = error[0] if error else None
    if isinstance(error, dict):
        return _told(error) if error else None
    if isinstance(error, str) and error:
        return str(data.get("code") or ""), "", " ".join([error, *_strings(data, "message", "details")])
    if data.get("choices"):
        return None
    detail = data.get("detail") or data.get("errors")
    if isinstance(detail, list) and detail:
        return "", _located(detail), "; ".join(_detail(one) for one in detail[:5])
    if isinstance(detail, str | dict):
        return _told(detail) if isinstance(detail, dict) else ("", "", detail)
    response = data.get("base_resp")
    if isinstance(response, dict) and response.get("status_code"):
        return str(response["status_code"]), "", str(response.get("status_msg") or "")
    if _strings(data, "message", "msg", "error_msg", "error_message"):
        return _told(data)
    return None


def _told(error: Mapping[str, Any]) -> tuple[str, str, str]:
    words = _strings(error, "message", "msg", "error_msg", "error_message")[:1]
    metadata = error.get("metadata")
    if isinstance(metadata, dict):
        words += [f"({metadata['raw']:.300})"] if isinstance(metadata.get("raw"), str) else []
        words += [f"(reasons: {metadata['reasons']!r:.100}, moderation)"] if metadata.get("reasons") else []
    inner = error.get("innererror")
    if isinstance(inner, dict):
        words += _strings(inner, "code")
    codes = [error.get(name) for name in ("code", "status", "type", "error_code")]
    code = next((str(one) for one in codes if isinstance(one, int | str) and not isinstance(one, bool) and one), "")
    kinds = [one for one in codes if isinstance(one, str) and one and one != code]
    return code, str(error.get("param") or ""), " ".join([*words, *(f"[{one}]" for one in kinds if not words)])


def _strings(data: Mapping[str, Any], *names: str) -> list[str]:
    return [data[name] for name in names if isinstance(data.get(name), str) and data[name]]


def _detail(one: object) -> str:
    """An entry of FastAPI's list of what is wrong with a request."""
    if not isinstance(one, dict):
        return str(one)[:200]
    where = one.get("loc")
    place = ".".join(str(part) for part in where) if isinstance(where, list) else ""
    return f"{place} {one.get('msg') or one.get('message') or ''}".strip()[:200]


def _located(detail: list[Any]) -> str:
    """The parameter that the first of FastAPI's entries is about."""
    where = detail[0].get("loc") if isinstance(detail[0], dict) else None
    return str(where[-1]) if isinstance(where, list) and where and where[0] == "body" else ""


def _first_words(what: str, received: bytes) -> str:
    words = " ".join(received[:200].decode("utf-8", "replace").split())
    return f"{what}: {words}" if words else what


def _text(content: object) -> str:
    """The text of a message; thinking parts of it are read past."""
    if isinstance(content, list):
        kinds = ("text", "output_text")
        parts = [part for part in content if isinstance(part, dict) and part.get("type", "text") in kinds]
        content = "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _tokens(data: object, ids: object) -> ReplyTokens | None:
    """What ``logprobs`` of a choice tells, with ``token_ids`` where there are as many; None where it tells nothing.

    A token may be named by its number, ``token_id:7``, as vLLM does where it is asked to.
    """
    told = data.get("content") if isinstance(data, dict) else None
    if not isinstance(told, list) or not told or not all(isinstance(one, dict) for one in told):
        return None
    values = [one.get("logprob") for one in told]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    names = [str(one.get("token", "")) for one in told]
    given = ids if isinstance(ids, list) and len(ids) == len(names) else [one.partition(_BY_NUMBER)[2] for one in names]
    numbers = [int(one) for one in given if str(one).isdecimal()]
    log_probs = tuple(min(0.0, float(value)) for value in values if value is not None)
    if len(numbers) == len(names):
        return ReplyTokens(log_probs, ids=tuple(numbers))
    return ReplyTokens(log_probs, texts=tuple(names))
