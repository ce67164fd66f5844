"""What every request has to pass before it is looked at, and the headers that every answer gets."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import anyio

from segagent.core import InputError
from segagent.server.listening import LOOPBACK

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_LOOPBACK = (LOOPBACK, "localhost", "::1")
_LEAST_TOKEN = 16
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{_LEAST_TOKEN},200}}")
_BODY_SECONDS = 60.0
"""So long a client may take to send a request."""


@dataclass(frozen=True)
class Access:
    """Who may ask.

    ``hosts``: names under which the server may be addressed, besides those of the loopback interface. ``token``: the
    secret that every request must bring; None: none is needed, and the loopback names are all there is.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()

    def host_fits(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = _name(host)
        if name in _LOOPBACK or name in self.hosts:
            return True
        # A page of another site can only get here by a name that it has pointed at this machine, never by a number.
        return self.token is not None and _is_address(name)

    def knows(self, token: str) -> bool:
        """Whether that is the token; takes as long whatever is wrong with it."""
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())


def access_for(host: str, token: str | None, public: str | None) -> Access:
    """Who may ask a server that listens at ``host``; any but the loopback interface's needs a token.

    ``token``: the one to use; where one is needed and none is given, one is made. ``public``: a name by which people
    reach the server through another one; it needs a token too. Raises ``InputError`` for a token that is too short.
    """
    open_to_others = host not in _LOOPBACK or public is not None
    if token is not None and not _TOKEN.fullmatch(token):
        raise InputError(f"--token: expected at least {_LEAST_TOKEN} letters, digits, - and _")
    if not open_to_others:
        return Access(token)
    names = {name.lower() for name in (host, public, socket.gethostname(), socket.getfqdn()) if name}
    return Access(token or secrets.token_urlsafe(24), tuple(sorted(names)))


def _plain(status: int, words: str) -> dict[str, Any]:
    del status
    return {"error": words}


@dataclass(frozen=True)
class Door:
    """How a server is asked.

    ``max_body``: bytes that a request may have. ``kinds``: content types of requests that bring something; a page of
    another site can send none of them unasked. ``private``: what the paths begin with that such a page may not read.
    ``cookie``: the name of the cookie that stands for the token after the first look; None: there is no page that would
    need one. ``refusal``: the body of a refusal, from its status and words.
    """

    max_body: int
    kinds: tuple[str, ...] = ("application/json",)
    private: str = "/api/"
    cookie: str | None = None
    refusal: Callable[[int, str], dict[str, Any]] = _plain


class Guard:
    """ASGI: refuses what does not fit ``access`` or ``door``."""

    def __init__(self, app: App, access: Access, door: Door) -> None:
        self._app, self._access, self._door = app, access, door

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in names]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is None and (signed := self._signed_in(scope, headers)) is not None:
            await _answer(
                with_headers, 303, {"location": scope["path"], "set-cookie": signed, "cache-control": "no-store"}
            )
            return
        if refused is None:
            body, refused = await _body(headers, receive, self._door.max_body)
            if refused is None:
                await self._app(scope, _again(body, receive), with_headers)
                return
        status, words = refused
        told = json.dumps(self._door.refusal(status, words)).encode()
        await _answer(with_headers, status, {"cache-control": "no-store"}, told)

    def _refused(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._access.host_fits(host):
            return 403, "this server is not known under that name; see --public"
        origin = headers.get("origin")
        if origin is not None and not _same(origin, host):
            return 403, "requests from pages of other sites are refused"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and (
            scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(self._door.private)
        ):
            return 403, "requests from pages of other sites are refused"
        if scope["method"] not in ("GET", "HEAD"):
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in self._door.kinds:
                return 415, f"expected a body of type {' or '.join(self._door.kinds)}"
        if self._access.token is not None and not self._has_token(scope, headers):
            if self._door.cookie is None:
                return 401, "a token is needed: send the one that the command printed as 'Authorization: Bearer TOKEN'"
            return 401, "a token is needed: open the address that the command printed"
        return None

    def _has_token(self, scope: Message, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._access.knows(given.strip()):
            return True
        if scheme.lower() == "basic" and self._access.knows(_password(given)):
            return True
        if self._access.knows(headers.get("token", "")):  # X-AnyLabeling's.
            return True
        if self._door.cookie is None:
            return False
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._door.cookie)
        except CookieError:
            morsel = None
        return (morsel is not None and self._access.knows(morsel.value)) or self._access.knows(_asked_token(scope))

    def _signed_in(self, scope: Message, headers: dict[str, str]) -> str | None:
        """The cookie of one who comes to the page with the token in the address, from where it goes away at once."""
        token, cookie = self._access.token, self._door.cookie
        if token is None or cookie is None or scope["method"] != "GET" or not self._access.knows(_asked_token(scope)):
            return None
        secure = "; Secure" if headers.get("x-forwarded-proto", scope.get("scheme")) == "https" else ""
        # Strict would not be sent on the way from a link in somebody's mail; that nothing is done from another site is
        # seen to above.
        return f"{cookie}={token}; HttpOnly; SameSite=Lax; Path=/{secure}"


async def _body(headers: dict[str, str], receive: Receive, max_body: int) -> tuple[bytes, tuple[int, str] | None]:
    """The whole body, or why it is not taken: as soon as it is known to be too large or too slow."""
    too_large = 413, f"the request is larger than {max_body} bytes"
    length = headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 20 or int(length) > max_body):
        return b"", too_large
    received = bytearray()
    with anyio.move_on_after(_BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"", (400, "the request broke off")
            received += message.get("body", b"")
            if len(received) > max_body:
                return b"", too_large
            if not message.get("more_body", False):
                return bytes(received), None
    return b"", (408, f"the request did not arrive within {_BODY_SECONDS:.0f} seconds")


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, then what comes after it."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _answer(send: Send, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    told = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    listed = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


def _password(given: str) -> str:
    """The password of HTTP's basic authentication, for programs that know no other; the name does not matter."""
    try:
        return base64.b64decode(given.strip(), validate=True).decode("utf-8").partition(":")[2]
    except ValueError:
        return ""


def _asked_token(scope: Message) -> str:
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get("token", [""])[0]


def _name(host: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
