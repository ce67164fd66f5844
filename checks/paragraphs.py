"""Are the paragraphs of docstrings and comments wrapped evenly?

``python checks/paragraphs.py [--fix] PATH...`` looks at Python files and folders of them, and tells each paragraph with
a line that breaks off although the next word had room by far. A break after the end of a sentence is taken as meant.
``--fix`` wraps such paragraphs anew. Exit code 1 where one was found and left.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

WIDTH = 120
ROOM = 8
"""A line may be shorter than the longest of its paragraph by the next word and so many columns."""

ITEM = re.compile(r".*\S {3,}\S|[-*>|+=]|\d+\.\s|:|``[^`]*``:|\w+(\[[^\]]*\])?( \([^)]*\))?: ")
"""What begins a paragraph of its own: rows of tables, items of lists, entries such as ``name: what it is``."""

SENTENCE_END = re.compile(r"[.:;?!][)\"'`*]*$")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text in a file: its ``number`` from 1, what stands before the words (``lead``), the words."""

    number: int
    lead: str
    text: str

    @property
    def end(self) -> int:
        """The column behind it."""
        return len(self.lead) + len(self.text)

    @property
    def opens(self) -> bool:
        """Whether it begins a docstring."""
        return self.lead.endswith(('"', "'"))

    @property
    def indent(self) -> int:
        """The columns before its words, quotes not counted."""
        return len(self.lead.rstrip("rR\"'"))


def docstring_lines(source: str) -> Iterator[list[Line]]:
    """The lines of each docstring, also of those below a field or a constant."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        if not isinstance(node.value.value, str) or node.lineno == node.end_lineno:
            continue
        found = []
        for number in range(node.lineno, (node.end_lineno or 0) + 1):
            words = lines[number - 1].strip()
            lead = lines[number - 1][: len(lines[number - 1]) - len(lines[number - 1].lstrip())]
            if number == node.lineno:
                opening = re.match(r'[rR]?("""|\'\'\'|"|\')', words)
                assert opening is not None
                lead, words = lead + opening[0], words[opening.end() :]
            found.append(Line(number, lead, words))
        if found[-1].text in ('"""', "'''"):
            found.pop()
        yield found


def comment_lines(source: str) -> Iterator[list[Line]]:
    """The lines of each comment that has lines of its own; those for programs (``# noqa``) are left out."""
    block: list[Line] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or token.line[: token.start[1]].strip():
            continue
        number, column = token.start
        marks = re.match(r"#+:?\s*", token.string)
        assert marks is not None
        if block and (number != block[-1].number + 1 or not block[-1].lead.startswith(" " * column + "#")):
            yield block
            block = []
        block.append(Line(number, " " * column + marks[0], token.string[marks.end() :]))
    if block:
        yield block


def paragraphs(block: list[Line]) -> Iterator[list[Line]]:
    """Lines that belong together: until an empty one, another item, another indentation. Tables and examples, which
    stand further in after an empty line, are left out.
    """
    usual = min(line.indent for line in block if line.text or line.opens)
    current: list[Line] = []
    example = table = False
    for before, line in pairwise([Line(0, "", ""), *block]):
        edge = line.text.startswith("===")
        table ^= edge
        example = line.indent > usual and (example or not before.text) and line is not block[0]
        same = bool(current) and (
            line.indent == current[-1].indent
            or (len(current) == 1 and (line.indent > current[0].indent or current[0].opens))
        )
        if current and (not same or not line.text or ITEM.match(line.text)):
            yield current
            current = []
        if line.text and not (edge or table or example):
            current.append(line)
    if current:
        yield current


def sentences_kept(paragraph: list[Line]) -> Iterator[list[Line]]:
    """A paragraph in parts: where a line ends with a sentence and has room left, the break is meant."""
    widest = max(line.end for line in paragraph)
    start = 0
    for place, (line, following) in enumerate(pairwise(paragraph), 1):
        if SENTENCE_END.search(line.text) and breaks_early(line, following, widest):
            yield paragraph[start:place]
            start = place
    yield paragraph[start:]


def breaks_early(line: Line, following: Line, widest: int) -> bool:
    """Whether the first word of ``following`` had room by far."""
    word = following.text.split()[0]
    return line.end + 1 + len(word) + ROOM <= widest


def odd_parts(source: str) -> list[list[Line]]:
    """The parts of paragraphs that are broken in odd places, in the order of the file."""
    found = []
    for block in (*docstring_lines(source), *comment_lines(source)):
        for paragraph in paragraphs(block):
            for part in sentences_kept(paragraph):
                widest = max(line.end for line in part)
                if any(breaks_early(*pair, widest) for pair in pairwise(part)):
                    found.append(part)
    return sorted(found, key=lambda part: part[0].number)


def wrapped(part: list[Line]) -> list[str]:
    """The lines of a part, filled."""
    lead = part[1].lead
    text = " ".join(line.text for line in part)
    wrapper = textwrap.TextWrapper(WIDTH, break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent, wrapper.subsequent_indent = part[0].lead, lead
    return wrapper.wrap(text)


def main(arguments: list[str]) -> int:
    """The command line."""
    fix = "--fix" in arguments
    left = 0
    for given in (Path(one) for one in arguments if one != "--fix"):
        for path in sorted(given.rglob("*.py")) if given.is_dir() else [given]:
            source = path.read_text(encoding="utf-8")
            odd = odd_parts(source)
            if fix and odd:
                lines = source.split("\n")
                for part in reversed(odd):
                    lines[part[0].number - 1 : part[-1].number] = wrapped(part)
                path.write_text("\n".join(lines), encoding="utf-8")
                continue
            for part in odd:
                left += 1
                print(f"{path}:{part[0].number}: broken in odd places, {part[0].text[:60]!r}")
    if left:
        print(f"{left} paragraphs; 'python checks/paragraphs.py --fix PATH...' wraps them anew")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
