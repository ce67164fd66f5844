"""Text as programs on Windows and elsewhere write it: read, or told with file and line; never with odd letters."""

import codecs
import json
from pathlib import Path

import pytest

from segagent.core import InputError
from segagent.core.texts import decode_text, parse_json, read_file, read_json, read_text

VALUE = {"name": "café 左\r\n", "list": [1, 2.5, None]}
TEXT = json.dumps(VALUE, ensure_ascii=False, indent=1).replace("\n", "\r\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_encoding_with_and_without_its_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes(TEXT.encode(encoding))
    assert read_json(tmp_path / "a.json") == VALUE
    assert read_text(tmp_path / "a.json") == TEXT


def test_big_endian_with_a_mark() -> None:
    assert decode_text(codecs.BOM_UTF16_BE + "caf\u00e9".encode("utf-16-be"), "x") == "caf\u00e9"
    assert decode_text(b"", "x") == ""


def test_eight_bit_text_is_told_with_its_line_unless_its_encoding_is_known() -> None:
    content = '["a",\r\n "caf\u00e9"]'.encode("latin-1")
    with pytest.raises(InputError, match=r"^list\.json, line 2: .*0xE9 behind ' \"caf'.*Windows-1252.*UTF-8$"):
        parse_json(content, "list.json")
    assert parse_json(content, "list.json", fallback="cp1252") == ["a", "caf\u00e9"]
    with pytest.raises(InputError, match="line 1: not UTF-8"):
        decode_text(b"a\x81", "x", "cp1252")
    with pytest.raises(InputError, match="begins like UTF-16"):
        decode_text(codecs.BOM_UTF16_LE + b"a", "x")


def test_an_archive_is_named() -> None:
    with pytest.raises(InputError, match=r"^a\.zip: a zip archive; unpack it"):
        parse_json(b"PK\x03\x04\x14\x00", "a.zip")


@pytest.mark.parametrize("content", [b"", b"{", b"[1,]", b"[" * 100_000])
def test_what_is_no_json_is_told_on_one_line(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^a\.json: not valid JSON") as error:
        parse_json(content, "a.json")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file; bring it$"):
        read_file(tmp_path / "none.json", "bring it")
    with pytest.raises(InputError, match="cannot be read"):
        read_file(tmp_path)
    (tmp_path / "a").write_bytes(bytes(11))
    assert len(read_file(tmp_path / "a", max_bytes=11)) == 11
    with pytest.raises(InputError, match="too large"):
        read_file(tmp_path / "a", max_bytes=10)
