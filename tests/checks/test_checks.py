"""The checks of our own that ``make check``, ``make docs`` and ``make dist`` run find what they are for."""

from __future__ import annotations

from pathlib import Path

import dist
import pages
import paragraphs
import pytest

LONG = (
    "These words go on until the line is nearly as long as lines may be, so that what follows has no room on it at all"
)
ODD = {
    "a docstring": f'"""What it is.\n\n{LONG} and\nthen\nbreaks off although there was room for more words.\n"""\n',
    "below a field": f'A = 1\n"""{LONG}\nbreaks\noff here although there was a lot of room.\n"""\n',
    "a comment": f"# {LONG}\n# breaks\n# off here although there was a lot of room.\nA = 1\n",
    "an entry of Args": (
        f'def f():\n    """Does it.\n\n    Args:\n        name: {LONG[:90]}\n            breaks\n'
        '            off here although there was room for these words.\n    """\n'
    ),
}
EVEN = {
    "full lines": f'"""What it is.\n\n{LONG}\nand goes on.\n"""\n',
    "narrow, but evenly so": '"""It.\n\nLines are short, all of them,\nwhich may be taste\nand is not odd.\n"""\n',
    "a sentence a line": f'"""It.\n\n{LONG} more.\nRaises nothing.\nBut for this, which is another thing.\n"""\n',
    "a list": f'"""It.\n\n- one\n- {LONG}\n- three\n"""\n',
    "a table": f'"""It.\n\n===  ===\n``a``  one\n``b``  {LONG[:80]}\n``c``, three\n``d``\n===  ===\n"""\n',
    "commands": f'"""It.\n\n    python a\n    python {LONG}\n    python b\n"""\n',
    "an example": f'"""It::\n\n    {LONG}\n    b\n    c\n\n"""\n',
    "entries": f'"""It.\n\nArgs:\n    a: one\n    b: {LONG[:80]}\n    c: three\n"""\n',
    "code": f"A = 1  # {LONG[:80]}\nB = 2  # short\nC = 3\n",
}


@pytest.mark.parametrize("source", ODD.values(), ids=ODD)
def test_odd_breaks_are_found_and_mended(source: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(source)
    assert paragraphs.main([str(file)]) == 1
    assert paragraphs.main(["--fix", str(file)]) == 0
    assert paragraphs.main([str(tmp_path)]) == 0
    assert file.read_text().replace("#", "").split() == source.replace("#", "").split()
    assert max(map(len, file.read_text().splitlines())) <= 120


@pytest.mark.parametrize("source", EVEN.values(), ids=EVEN)
def test_what_is_meant_is_left(source: str) -> None:
    assert paragraphs.odd_parts(source) == []


def test_pages_that_fetch_from_elsewhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<a href="https://x.org">fine</a><img src="images/own.png">')
    (tmp_path / "own.css").write_text("a { background: url(own.png) }")
    assert pages.outside(tmp_path) == []
    (tmp_path / "page.html").write_text('<link href="https://x.org/a.css"><script src="//x.org/a.js"></script>')
    (tmp_path / "own.css").write_text('@import "https://x.org/b.css"; a { background: url("https://x.org/c.png") }')
    assert len(pages.outside(tmp_path)) == 4


def test_archives_must_hold_what_git_knows(tmp_path: Path) -> None:
    dist.compare(tmp_path / "a.whl", {"a", "b"}, {"b", "a"})
    with pytest.raises(dist.WrongError, match=r"a\.whl: missing \['b'\], not expected \['c'\]"):
        dist.compare(tmp_path / "a.whl", {"a", "c"}, {"a", "b"})
    with pytest.raises(dist.WrongError, match=r"expected one \*\.whl, found 0"):
        dist.only(tmp_path, "*.whl")
