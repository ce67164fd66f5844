"""One question to a chat-completions server: sent, tried again where that can help, given up with a clear reason."""

from __future__ import annotations

import ipaddress
import json
import math
import os
import random
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from segagent.core import MissingExtraError, SpecError
from segagent.policies.chat import Reply
from segagent.policies.openai.answers import Fault, Kind, fault_of, reply_of, usage_of
from segagent.policies.openai.budget import Tally
from segagent.policies.openai.errors import PolicyServerError, QuestionRefusedError

if TYPE_CHECKING:
    import httpx

KEY_VARIABLES = ("SEGAGENT_API_KEY", "OPENAI_API_KEY")
_EMPTY_TRIES = 3
"""How often a question is asked that gets empty replies: where no word comes by then, none will."""
_SEVERAL_TRIES = 4
"""How often several replies at once are asked for where the server fails and has never given several: it may know one
at a time only.
"""
_MAX_BODY = 16 << 20
_MODELS_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How failures are met: ``timeout`` seconds for one whole call, ``retries`` further calls, the pause before the
    first of them ``pause`` seconds and doubled each time up to ``max_pause``; a server's Retry-After is kept to up to
    ``max_retry_after``.
    """

    timeout: float = 180.0
    retries: int = 8
    pause: float = 0.5
    max_pause: float = 60.0
    max_retry_after: float = 600.0


class UnsupportedParameterError(PolicyServerError):
    """The server refuses a request because of some of its parameters, ``names``."""

    def __init__(self, names: frozenset[str], message: str) -> None:
        super().__init__(message)
        self.names = names


class _Passing(Exception):  # noqa: N818
    """A failure that may pass. ``wait``: seconds that the server asks to be left alone, None if it says nothing.

    ``kind``: see :data:`segagent.policies.openai.answers.Kind`. ``failing``: an HTTP status 500 or 501.
    """

    def __init__(
        self, reason: str, wait: float | None = None, *, kind: Kind = "passing", failing: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait = wait
        self.kind = kind
        self.failing = failing


def check_url(url: str) -> str:
    """The base URL, without ``/chat/completions`` and slashes at its end; ``/v1`` if it has no path.

    Raises ``SpecError`` for anything but http and https URLs, and for credentials in it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SpecError(f"{url!r:.200}: not a URL ({error})") from error
    del port
    if parts.username or parts.password:
        raise SpecError("a URL must not hold credentials; set SEGAGENT_API_KEY or OPENAI_API_KEY in the environment")
    if parts.scheme not in ("http", "https") or not host or parts.fragment or parts.query:
        raise SpecError(f"{url!r:.200}: expected an address like http://127.0.0.1:8000/v1 or https://HOST/v1")
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Transport:
    """Speaks to one server. The key, if any, comes from the environment and goes over https or loopback only."""

    def __init__(self, url: str, tally: Tally, patience: Patience, *, connections: int) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("policies 'openai:...' need httpx: pip install 'segagent[openai]'") from error
        self._httpx = httpx
        self._url = check_url(url)
        self._tally = tally
        self._patience = patience
        self._jitter = random.Random()  # noqa: S311
        self._stop = threading.Event()
        self._gave_several = False
        here = is_loopback(self._url)
        key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), "")
        self._secret = key if here or self._url.startswith("https://") else ""
        self._completions = httpx.URL(f"{self._url}/chat/completions")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self._secret}"} if self._secret else {},
            timeout=httpx.Timeout(patience.timeout, connect=min(10.0, patience.timeout)),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=not here,
        )

    @property
    def url(self) -> str:
        """The server's base URL."""
        return self._url

    def stop(self) -> None:
        """Make calls under way and their pauses end soon, with an error."""
        self._stop.set()

    def close(self) -> None:
        """Stop and close all connections."""
        self.stop()
        self._client.close()

    def complete(self, content: bytes, sent: frozenset[str], tally: Tally | None = None) -> list[Reply | None]:
        """The replies that the server gives to a chat-completions request, JSON ``content``; None for one that failed.

        At least one is a reply. ``sent``: the request's parameters. What it costs is counted in ``tally``, a part of
        the transport's own.

        Raises ``PolicyServerError`` if the server refuses or does not recover, ``QuestionRefusedError`` if it gives no
        reply to this question, ``UnsupportedParameterError`` if it refuses parameters, ``BudgetError`` if no further
        call is allowed.
        """
        tally = tally or self._tally
        failing = empty = 0
        for attempt in range(self._patience.retries + 1):
            if self._stop.is_set():
                raise PolicyServerError("stopped")
            tally.begin_call(retry=attempt > 0)
            began = time.monotonic()
            try:
                return self._once(content, sent, tally)
            except _Passing as failure:
                last = attempt == self._patience.retries
                empty += failure.kind == "empty"
                failing = failing + 1 if failure.failing else 0
                text = (
                    f"{self._url}: still failing after {attempt + 1} tr{'ies' if attempt else 'y'}, "
                    f"last: {self._clean(str(failure))}"
                )
                once = "n" in sent and failure.failing and not self._gave_several
                if once and (last or failing >= _SEVERAL_TRIES):
                    raise UnsupportedParameterError(frozenset({"n"}), text) from None
                if failure.kind != "passing" and (last or empty >= _EMPTY_TRIES):
                    raise QuestionRefusedError(text) from None
                if last:
                    raise PolicyServerError(text) from None
                wait = self._wait(attempt, failure.wait)
            finally:
                tally.add(seconds=time.monotonic() - began)
            self._stop.wait(wait)
        raise AssertionError("unreachable")

    def models(self) -> list[dict[str, Any]]:
        """What the server says of its models (GET /models); nothing where it cannot be asked or says nothing."""
        httpx = self._httpx
        patience = min(_MODELS_TIMEOUT, self._patience.timeout)
        try:
            received = bytearray()
            with self._client.stream("GET", f"{self._url}/models", timeout=patience) as response:
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > _MAX_BODY:
                        return []
            data = json.loads(bytes(received)) if response.status_code == 200 else None
        except (httpx.HTTPError, ValueError, RecursionError):
            return []
        listed = data.get("data") if isinstance(data, dict) else None
        return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []

    def _wait(self, attempt: int, asked: float | None) -> float:
        if asked is not None:
            if asked > self._patience.max_retry_after:
                raise PolicyServerError(f"{self._url}: asks to be left alone for {asked:.0f} s; try again later")
            return asked
        pause = min(self._patience.max_pause, self._patience.pause * 2.0**attempt)
        return pause * self._jitter.uniform(0.5, 1.0)

    def _once(self, content: bytes, sent: frozenset[str], tally: Tally) -> list[Reply | None]:
        httpx = self._httpx
        deadline = time.monotonic() + self._patience.timeout
        received = bytearray()
        try:
            headers = {"Content-Type": "application/json"}
            with self._client.stream("POST", self._completions, content=content, headers=headers) as response:
                late = False
                for chunk in response.iter_bytes():
                    if late:
                        raise _Passing(f"no complete answer within {self._patience.timeout:g} s")
                    received += chunk
                    if len(received) > _MAX_BODY:
                        raise PolicyServerError(f"{self._url}: answers more than {_MAX_BODY >> 20} MiB")
                    # What is complete with this chunk is paid for, and kept.
                    late = time.monotonic() > deadline or self._stop.is_set()
        except httpx.TimeoutException:
            raise _Passing(f"no answer within {self._patience.timeout:g} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Passing(f"{type(error).__name__}: {error}") from None
        return self._checked(response, bytes(received), sent, tally)

    def _checked(
        self, response: httpx.Response, received: bytes, sent: frozenset[str], tally: Tally
    ) -> list[Reply | None]:
        try:
            data: object = json.loads(received)
        except (ValueError, RecursionError):
            data = None
        status = response.status_code
        fault = fault_of(status, data, received, sent)
        if fault is not None:
            raise self._error(fault, response)
        assert isinstance(data, dict)
        # What has failed inside an answer was paid for all the same.
        tally.add(**_with_header(usage_of(data), response.headers.get("x-litellm-response-cost")))
        replies = [reply_of(choice) for choice in data["choices"]]
        faults = [reply for reply in replies if isinstance(reply, Fault)]
        if len(faults) == len(replies):
            raise self._error(faults[0], response)
        self._gave_several |= "n" in sent
        return [None if isinstance(reply, Fault) else reply for reply in replies]

    def _error(self, fault: Fault, response: httpx.Response) -> Exception:
        status = response.status_code
        text = f"{self._url}: {self._clean(fault.words)}"
        if fault.parameters:
            return UnsupportedParameterError(fault.parameters, text)
        if fault.kind in ("passing", "odd", "empty"):
            wait = _retry_after(response.headers.get("retry-after"))
            return _Passing(fault.words, wait, kind=fault.kind, failing=status in (500, 501))
        if status in (401, 403) and fault.kind == "server":
            names = " or ".join(KEY_VARIABLES)
            text += f"; set the key in the environment variable {names}" if not self._secret else "; check the key"
        if fault.kind == "server":
            return PolicyServerError(text)
        return QuestionRefusedError(text, filtered=fault.kind == "filtered")

    def _clean(self, message: str) -> str:
        """A server's message on one line, short, and without the key should it be quoted there."""
        if self._secret:
            message = message.replace(self._secret, "***")
        return " ".join(message.split())[:300]


def _with_header(amounts: dict[str, float], cost: str | None) -> dict[str, float]:
    """``amounts`` with the cost that LiteLLM's proxy tells in a header, where the body tells none."""
    try:
        value = float(cost or "")
    except ValueError:
        return amounts
    return {"money": value, **amounts} if math.isfinite(value) and value >= 0 else amounts


def _retry_after(header: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
