"""One question to a chat-completions server: sent, tried again where that can help, given up with a clear reason."""

from __future__ import annotations

import ipaddress
import json
import os
import random
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from segagent.core import MissingExtraError, SpecError
from segagent.policies.openai.budget import Tally
from segagent.policies.openai.errors import PolicyServerError

if TYPE_CHECKING:
    import httpx

KEY_VARIABLES = ("SEGAGENT_API_KEY", "OPENAI_API_KEY")
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_MAX_BODY = 16 << 20


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
    """The server refuses a request because of one of its parameters, by ``name``."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class _Passing(Exception):  # noqa: N818
    """A failure that may pass. ``wait``: seconds that the server asks to be left alone, None if it says nothing."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


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
        here = is_loopback(self._url)
        key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), "")
        self._secret = key if here or self._url.startswith("https://") else ""
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

    def complete(self, content: bytes, tally: Tally | None = None) -> dict[str, Any]:
        """The server's answer to a chat-completions request, JSON ``content``: an object with at least one choice.

        What it costs is counted in ``tally``, a part of the transport's own.

        Raises ``PolicyServerError`` if the server refuses or does not recover, ``UnsupportedParameterError`` if it
        refuses a parameter, ``BudgetError`` if no further call is allowed.
        """
        tally = tally or self._tally
        for attempt in range(self._patience.retries + 1):
            if self._stop.is_set():
                raise PolicyServerError("stopped")
            tally.begin_call(retry=attempt > 0)
            began = time.monotonic()
            try:
                return self._once(content)
            except _Passing as failure:
                if attempt == self._patience.retries:
                    raise PolicyServerError(
                        f"{self._url}: still failing after {attempt + 1} tries, last: {self._clean(str(failure))}"
                    ) from None
                wait = self._wait(attempt, failure.wait)
            finally:
                tally.add(seconds=time.monotonic() - began)
            self._stop.wait(wait)
        raise AssertionError("unreachable")

    def _wait(self, attempt: int, asked: float | None) -> float:
        if asked is not None:
            if asked > self._patience.max_retry_after:
                raise PolicyServerError(f"{self._url}: asks to be left alone for {asked:.0f} s; try again later")
            return asked
        pause = min(self._patience.max_pause, self._patience.pause * 2.0**attempt)
        return pause * self._jitter.uniform(0.5, 1.0)

    def _once(self, content: bytes) -> dict[str, Any]:
        httpx = self._httpx
        deadline = time.monotonic() + self._patience.timeout
        received = bytearray()
        try:
            headers = {"Content-Type": "application/json"}
            with self._client.stream(
                "POST", f"{self._url}/chat/completions", content=content, headers=headers
            ) as response:
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > _MAX_BODY:
                        raise PolicyServerError(f"{self._url}: answers more than {_MAX_BODY >> 20} MiB")
                    if time.monotonic() > deadline or self._stop.is_set():
                        raise _Passing(f"no complete answer within {self._patience.timeout:g} s")
        except httpx.TimeoutException:
            raise _Passing(f"no answer within {self._patience.timeout:g} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Passing(f"{type(error).__name__}: {error}") from None
        return self._checked(response, bytes(received))

    def _checked(self, response: httpx.Response, received: bytes) -> dict[str, Any]:
        try:
            data: object = json.loads(received)
        except (ValueError, RecursionError):
            data = None
        status = response.status_code
        if status == 200:
            if isinstance(data, dict) and isinstance(data.get("choices"), list) and data["choices"]:
                return data
            raise _Passing("the answer is not a chat completion")
        code, message = _error_of(data, received)
        if status in _RETRIED and code != "insufficient_quota":
            raise _Passing(f"HTTP {status} {message}", _retry_after(response.headers.get("retry-after")))
        text = f"{self._url}: HTTP {status} {self._clean(message)}"
        if status in (400, 422):
            parameter = _named_parameter(data, message)
            if parameter is not None:
                raise UnsupportedParameterError(parameter, text)
        if status in (401, 403):
            names = " or ".join(KEY_VARIABLES)
            text += f"; set the key in the environment variable {names}" if not self._secret else "; check the key"
        raise PolicyServerError(text)

    def _clean(self, message: str) -> str:
        """A server's message on one line, short, and without the key should it be quoted there."""
        if self._secret:
            message = message.replace(self._secret, "***")
        return " ".join(message.split())[:300]


def _error_of(data: object, received: bytes) -> tuple[str, str]:
    error = data.get("error", data.get("detail")) if isinstance(data, dict) else None
    if isinstance(error, dict):
        return str(error.get("code") or ""), str(error.get("message") or "")
    if isinstance(error, str):
        return "", error
    return "", received[:300].decode("utf-8", "replace")


def _named_parameter(data: object, message: str) -> str | None:
    """The request parameter that a refusal is about, if it names one that we can do without."""
    error = data.get("error") if isinstance(data, dict) else None
    named = str(error.get("param") or "") if isinstance(error, dict) else ""
    for name in ("max_tokens", "temperature", "seed", "logprobs"):
        if named == name or f"'{name}'" in message or f'"{name}"' in message or f"`{name}`" in message:
            return name
    if named == "n" or any(f"{quote}n{quote}" in message for quote in "'\"`"):
        return "n"
    return None


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
