"""Where the pictures of tasks are read from: the task itself, Label Studio, allowed hosts, files below one folder."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from segagent.core import InputError, MissingExtraError, SegAgentError
from segagent.server.mcp.inputs import Inputs
from segagent.server.worker import Patience

LOCAL_FILES = "/data/local-files/"
"""Under which Label Studio serves files below its document root, named by ``?d=``."""
_MOST_REDIRECTS = 3
_CONNECT_SECONDS = 10.0


class FetchError(SegAgentError):
    """A picture that is allowed to be fetched but could not be."""


@dataclass(frozen=True)
class Allowed:
    """What may be read.

    ``studio``: the base URL of Label Studio, whose uploads are read with ``key``, an access token of its. ``hosts``:
    names of other servers, with the port where the address has one. ``root``: the folder of local files. ``max_bytes``:
    of one picture.
    """

    studio: str | None = None
    key: str | None = None
    hosts: Collection[str] = ()
    root: Inputs | None = None
    max_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        if self.studio is not None and not _is_base(self.studio):
            raise InputError(f"--label-studio {self.studio!r:.200}: expected an address as http://127.0.0.1:8080")
        if self.key is not None and self.studio is None:
            raise InputError("an access token for Label Studio goes with --label-studio URL")


class Source:
    """Reads what is ``allowed``. Safe to use from several threads."""

    def __init__(self, allowed: Allowed) -> None:
        """Raises ``MissingExtraError`` where something may be fetched and httpx is missing."""
        self._allowed = allowed
        self._studio = _origin(allowed.studio) if allowed.studio is not None else None
        self._hosts = {host.lower() for host in allowed.hosts}
        self._token = _Token(allowed.studio, allowed.key) if allowed.studio and allowed.key else None
        self._client: Any = None
        if allowed.studio is not None or allowed.hosts:
            try:
                import httpx
            except ImportError as error:
                raise MissingExtraError("fetching pictures needs httpx: pip install 'segagent[serve]'") from error
            self._httpx = httpx
            # Not the environment's: its .netrc would hand passwords to whoever a task names.
            self._client = httpx.Client(trust_env=False)

    def read(self, address: str, patience: Patience) -> bytes:
        """The file at ``address``, as a task has it.

        Raises ``InputError`` for an address that is not allowed, ``FetchError``, and ``OverdueError``.
        """
        if address.startswith("data:"):
            content = _data(address)
            self._require_size(len(content))
            return content
        parts = _split(address)
        local = parts.path.endswith(LOCAL_FILES) and parse_qs(parts.query).get("d", [""])[0]
        # Only Label Studio's own: another server may have such a path too.
        if local and self._allowed.root is not None and (not parts.netloc or self._is_studio(address)):
            return self._file(self._allowed.root.file(local, "picture"))
        if not parts.scheme and not parts.netloc and address.startswith("/"):
            if self._allowed.studio is None:
                raise InputError(
                    f"{address!r:.100}: lies in Label Studio; start the server with --label-studio URL, and an access "
                    "token in LABEL_STUDIO_API_KEY" + ("; or with --root for local files" if local else "")
                )
            address = self._allowed.studio.rstrip("/") + address
        return self._fetched(address, patience)

    def _is_studio(self, address: str) -> bool:
        return self._studio is not None and _origin(address) == self._studio

    def _require_allowed(self, address: str) -> None:
        parts = _split(address)
        if parts.scheme not in ("http", "https"):
            raise InputError(f"{address!r:.100}: not an address that can be read; use http, https, data: or an upload")
        if not self._is_studio(address) and (parts.username or parts.netloc.lower() not in self._hosts):
            raise InputError(
                f"the picture's server {parts.hostname!r:.100} is not allowed; name it with --allow-host, with its port"
            )

    def _fetched(self, address: str, patience: Patience) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            self._require_allowed(address)
            answer, content = self._get(address, patience)
            if answer.status_code == 401 and self._token is not None and self._is_studio(address):
                self._token.forget()
                answer, content = self._get(address, patience)
            if answer.is_redirect:
                address = urljoin(address, answer.headers.get("location", ""))
                continue
            if answer.status_code != 200:
                hint = ""
                if answer.status_code in (401, 403) and self._is_studio(address):
                    hint = "; put an access token of Label Studio's into LABEL_STUDIO_API_KEY"
                raise FetchError(f"a picture's server answered {answer.status_code}{hint}")
            return content
        raise FetchError(f"a picture's server sent on more than {_MOST_REDIRECTS} times")

    def _get(self, address: str, patience: Patience) -> tuple[Any, bytes]:
        headers = {"accept-encoding": "identity"}  # What is unpacked could be of any size.
        if self._token is not None and self._is_studio(address):
            headers["authorization"] = self._token.header(self._client)
        patience.check()
        seconds = min(patience.left, 600.0)
        try:
            timeout = self._httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
            with self._client.stream("GET", address, headers=headers, timeout=timeout) as answer:
                content = bytearray()
                if answer.status_code == 200:
                    for chunk in answer.iter_raw():
                        content += chunk
                        self._require_size(len(content))
                        patience.check()  # A server that sends a byte now and then must not hold a thread.
                return answer, bytes(content)
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            raise FetchError(f"a picture could not be fetched ({type(error).__name__}: {error!s:.200})") from error

    def _file(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                content = file.read(self._allowed.max_bytes + 1)
        except OSError as error:
            raise InputError(f"{path.name!r:.100}: cannot be read below --root ({error.strerror})") from error
        self._require_size(len(content))
        return content

    def _require_size(self, size: int) -> None:
        if size > self._allowed.max_bytes:
            raise InputError(f"a picture has more than {self._allowed.max_bytes} bytes")


class _Token:
    """Label Studio's two kinds of tokens: legacy ones are sent as they are, personal ones get short-lived ones."""

    _SECONDS = 180.0
    """So long a short-lived one is used; Label Studio lets it live for five minutes."""

    def __init__(self, studio: str, key: str) -> None:
        self._studio, self._key = studio, key
        self._personal = key.count(".") == 2
        self._access, self._until = "", 0.0
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Get another one next time."""
        with self._lock:
            self._until = 0.0

    def header(self, client: Any) -> str:
        """What goes into ``Authorization``. Raises ``FetchError``."""
        if not self._personal:
            return f"Token {self._key}"
        with self._lock:
            if time.monotonic() >= self._until:
                self._access, self._until = self._made(client), time.monotonic() + self._SECONDS
            return f"Bearer {self._access}"

    def _made(self, client: Any) -> str:
        import httpx

        address = self._studio.rstrip("/") + "/api/token/refresh"
        try:
            answer = client.post(address, json={"refresh": self._key}, timeout=_CONNECT_SECONDS)
            told = answer.json() if answer.status_code == 200 else {}
        except (httpx.HTTPError, ValueError) as error:
            raise FetchError(f"Label Studio gave no access token ({type(error).__name__})") from error
        access = told.get("access") if isinstance(told, dict) else None
        if not isinstance(access, str):
            raise FetchError(f"Label Studio gave no access token (status {answer.status_code}); is the key valid?")
        return access


def _data(address: str) -> bytes:
    head, comma, content = address.partition(",")
    if not comma or not head.endswith(";base64"):
        raise InputError("a picture in the task itself must be data:image/...;base64,...")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("a picture in the task itself is not base64") from error


def _split(address: str) -> Any:
    try:
        return urlsplit(address)
    except ValueError as error:
        raise InputError(f"{address!r:.100}: no address") from error


def _origin(address: str) -> tuple[str, str, int | None]:
    parts = _split(address)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, (parts.hostname or "").lower(), port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_base(address: str) -> bool:
    parts = _split(address)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and not parts.query
