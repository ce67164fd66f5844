"""Which pictures of tasks are read, and which are not: a task's address comes from whoever made it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("httpx")

from quiet_server import QuietHandler, QuietServer
from segagent.core import InputError
from segagent.server.label_studio.pictures import Allowed, FetchError, Source
from segagent.server.mcp.inputs import Inputs
from segagent.server.worker import Patience

PERSONAL = "head.body.signature"


class Studio(QuietHandler):
    """Stands for Label Studio, and for any other server."""

    protocol_version = "HTTP/1.0"  # Who reads here is thrown away with its connections open.
    seen: ClassVar[list[tuple[str, str]]] = []
    refreshed = 0
    elsewhere = ""

    def do_GET(self) -> None:
        given = self.headers.get("authorization", "")
        self.seen.append((self.path, given))
        if self.path == "/data/upload/1/away.png":
            return self.answer(302, b"", {"location": f"{Studio.elsewhere}/picture.png"})
        if self.path == "/data/upload/1/around.png":
            return self.answer(302, b"", {"location": self.path})
        known = {"/data/upload/1/a.png": b"upload", "/picture.png": b"elsewhere", "/large.png": bytes(1001),
                 "/data/local-files/?d=sub/a.png": b"served"}  # fmt: skip
        if self.path.startswith("/data/") and given not in ("Token legacy", f"Bearer short{Studio.refreshed}"):
            return self.answer(401, b"")
        return self.answer(200 if self.path in known else 404, known.get(self.path, b""))

    def do_POST(self) -> None:
        self.body()
        Studio.refreshed += 1
        content = f'{{"access": "short{Studio.refreshed}"}}'.encode()
        self.answer(200 if self.path == "/api/token/refresh" else 404, content)


@pytest.fixture
def addresses() -> Iterator[tuple[str, str]]:
    """Label Studio, and another server; both on this machine."""
    Studio.seen, Studio.refreshed = [], 0
    with QuietServer(Studio) as studio, QuietServer(Studio) as other:
        Studio.elsewhere = other.url
        yield studio.url, other.url


def read(source: Source, address: str) -> bytes:
    return source.read(address, Patience(20))


def test_uploads_are_read_with_the_key(addresses: tuple[str, str]) -> None:
    studio, _ = addresses
    source = Source(Allowed(studio + "/", "legacy"))
    assert read(source, "/data/upload/1/a.png") == read(source, f"{studio}/data/upload/1/a.png") == b"upload"
    assert read(source, "/data/local-files/?d=sub/a.png") == b"served"
    personal = Source(Allowed(studio, PERSONAL))
    assert read(personal, "/data/upload/1/a.png") == b"upload"
    assert read(personal, "/data/upload/1/a.png") == b"upload"
    assert Studio.refreshed == 1
    Studio.refreshed = 7  # What was given does not hold any more.
    assert read(personal, "/data/upload/1/a.png") == b"upload"
    with pytest.raises(FetchError, match=r"401.*LABEL_STUDIO_API_KEY"):
        read(Source(Allowed(studio)), "/data/upload/1/a.png")
    with pytest.raises(FetchError, match="404"):
        read(source, f"{studio}/nothing.png")


def test_the_key_goes_to_label_studio_alone(addresses: tuple[str, str]) -> None:
    studio, other = addresses
    source = Source(Allowed(studio, "legacy", [other.removeprefix("http://")]))
    assert read(source, f"{other}/picture.png") == b"elsewhere"
    assert read(source, "/data/upload/1/away.png") == b"elsewhere"
    assert [given for path, given in Studio.seen if path == "/picture.png"] == ["", ""]


def test_other_servers_are_refused(addresses: tuple[str, str]) -> None:
    studio, other = addresses
    source = Source(Allowed(studio, "legacy"))
    host = other.removeprefix("http://")
    for address in (
        f"{other}/picture.png",
        "/data/upload/1/away.png",
        f"//{host}/picture.png",
        f"http://x@{host}/picture.png",
        f"https://{studio.removeprefix('http://')}/picture.png",
        f"http://{studio.removeprefix('http://')}@{host}/picture.png",
        "file:///etc/hostname",
        "s3://bucket/a.png",
        "http://[",
        "picture.png",
        "",
    ):
        with pytest.raises(InputError):
            read(source, address)
    assert not any(path == "/picture.png" for path, _ in Studio.seen)
    with pytest.raises(FetchError, match="more than 3"):
        read(source, "/data/upload/1/around.png")
    with pytest.raises(InputError, match="--label-studio"):
        read(Source(Allowed()), "/data/upload/1/a.png")


def test_large_pictures_are_refused(addresses: tuple[str, str], tmp_path: Path) -> None:
    studio, _ = addresses
    (tmp_path / "large.png").write_bytes(bytes(1001))
    source = Source(Allowed(studio, "legacy", (), Inputs.below(tmp_path), max_bytes=1000))
    for address in ("/large.png", "/data/local-files/?d=large.png", "data:image/png;base64," + "AAAA" * 400):
        with pytest.raises(InputError, match="more than 1000"):
            read(source, address)


def test_local_files_lie_below_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a b.png").write_bytes(b"picture")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    source = Source(Allowed(root=Inputs.below(root)))
    assert read(source, "/data/local-files/?d=sub/a%20b.png") == b"picture"
    for wrong in ("../secret", "link", "/etc/hostname", "sub", "missing.png", "%00"):
        with pytest.raises(InputError):
            read(source, f"/data/local-files/?d={wrong}")
    # Another server's address of that kind is an address.
    with pytest.raises(InputError, match="not allowed"):
        read(source, "http://192.0.2.1/data/local-files/?d=sub/a%20b.png")
    for wrong in ("data:image/png,abc", "data:image/png;base64,!", "data:"):
        with pytest.raises(InputError):
            read(source, wrong)


def test_settings_that_do_not_go_together_are_refused() -> None:
    for studio in ("127.0.0.1:8080", "ftp://a", "http://me:word@a", "http://"):
        with pytest.raises(InputError, match="--label-studio"):
            Allowed(studio)
    with pytest.raises(InputError, match="token"):
        Allowed(None, "key")


def test_a_server_that_is_gone_is_told(addresses: tuple[str, str]) -> None:
    with pytest.raises(FetchError, match="could not be fetched"):
        read(Source(Allowed("http://127.0.0.1:1")), "/a.png")
