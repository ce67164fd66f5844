"""What docs/, README.md and examples/README.md show: Python runs, commands exist with the options they are given.

A Python block runs as it stands, in order, in a folder of its page's own; ``<!-- after: COMMANDS -->`` above one says
what is run first. ``<!-- not run: REASON -->`` leaves it out; it must compile. Blocks without a language hold commands;
``<!-- run -->`` above one runs it, the others are held against the program, since they need pictures, weights or hours.
Whatever else is shown is of the language ``text``.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from segagent.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n+)?^ *```(?P<kind>\S*)\n(?P<text>.*?)^ *```$", re.M | re.S)
OTHER_PROGRAMS = ("accelerate", "curl", "cvat-cli", "label-studio", "modelscope", "pip", "torchrun")
"""Commands of somebody else's, which are not looked at."""


@dataclass(frozen=True)
class Block:
    """A block of a page, where it begins, and the comment above it."""

    page: Path
    line: int
    kind: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run: ")

    @property
    def before(self) -> str:
        return self.mark.removeprefix("after: ") if self.mark.startswith("after: ") else ""


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")), found["kind"], found["text"], found["mark"] or "")
        for found in BLOCK.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in BLOCKS if block.kind == "python"]
COMMANDS = [block for block in BLOCKS if not block.kind]
WITH_PYTHON = [page for page in PAGES if any(block.page == page and block.runs for block in PYTHON)]


def test_blocks_are_found() -> None:
    assert len(PYTHON) >= 10
    assert len(COMMANDS) >= 30
    fences = sum(len(re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.M)) for page in PAGES)
    assert fences == 2 * len(BLOCKS)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_blocks_are_of_a_known_kind(block: Block) -> None:
    assert block.kind in ("", "python", "json", "toml", "text"), "use 'text' for what is neither code nor a command"
    assert block.mark in ("", "run") or re.fullmatch(r"not run: \S.{9,}|after: segagent .*", block.mark)
    if block.kind == "json":
        json.loads(block.text)
    if block.kind == "toml":
        tomllib.loads(block.text)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("name", ["my_tool.py", "my_policy.py", "my_data.py", "my_format.json"])
def test_extend_page_shows_the_examples(name: str) -> None:
    shown = {block.text for block in blocks(ROOT / "docs" / "extend.md")}
    assert (ROOT / "examples" / name).read_text(encoding="utf-8") in shown


def commands(text: str) -> list[list[str]]:
    """The commands of a block as words: one a line, several where ``;``, ``&&`` or ``|`` divides them."""
    joined = re.sub(r"\\\n\s*", " ", text)
    joined = re.sub(
        r'"[^"]*"', lambda quoted: quoted[0].replace("\n", " "), joined
    )  # A quoted text may be of several lines.
    found = []
    for line in joined.splitlines():
        words = shlex.split(re.sub(r"(?<=\s)([;|]|&&)(?=\s)|;(?=\s|$)", " ; ", line), comments=True)
        while words:
            end = words.index(";") if ";" in words else len(words)
            one, words = words[:end], words[end + 1 :]
            while one and (one[0] in ("do", "then") or re.match(r"[A-Z_]+=", one[0])):
                one = one[1:]
            if one and one[0] not in ("for", "done", "if", "fi"):
                found.append(one)
    return found


def wrong_with(words: list[str]) -> str:
    """What of the words after ``segagent`` there is not: a command or an option; "" where all is right."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            return f"no command {name!r}"
        command = command.commands[name]
    options = {"--help"} | {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    # What may be left out stands in brackets.
    given = [word.strip("[]").partition("=")[0] for word in words if re.match(r"\[?--?[A-Za-z]", word)]
    return ", ".join(f"no option {name}" for name in given if name not in options)


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_exist(block: Block) -> None:
    found = commands(block.text)
    assert found or re.fullmatch(r'\w+="[^"]*"', block.text.strip())
    for program, *words in found:
        name = Path(program).name
        if name == "segagent":
            assert not wrong_with(words)
        elif name == "make":
            targets = re.findall(r"^(\S+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
            assert words[0] in targets
        elif name == "python" and words[0] == "-m":
            assert find_spec(words[1]), words
        elif name == "python":
            assert (ROOT / words[0]).is_file() or (block.page.parent / words[0]).is_file(), words
        elif not (ROOT / program).is_file():
            assert program in OTHER_PROGRAMS, f"{program}: no command; give the block the language 'text'"


def run(text: str, folder: Path) -> None:
    """Run the commands, all ``segagent``, in ``folder``."""
    for program, *words in commands(text):
        assert program == "segagent"
        assert not wrong_with(words)
        command = [sys.executable, "-m", "segagent.cli.main", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in COMMANDS if block.mark == "run"], ids=str)
def test_commands_run(block: Block, tmp_path: Path) -> None:
    run(block.text, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    for block in PYTHON:
        if block.page == page and block.runs:
            run(block.before, tmp_path)
            exec(compile(block.text, str(block), "exec"), {"__name__": "block"})


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("annotat x y", "no command 'annotat'"),
        ("annotate x y --colour red", "no option --colour"),
        ("train sf x", "no command 'sf'"),
        ("train sft x [-q 1]", "no option -q"),
        ("annotate x y [--steps 7] -o out", ""),
    ],
)
def test_commands_that_are_not_there_are_found(line: str, wrong: str) -> None:
    assert wrong_with(shlex.split(line)) == wrong


def test_every_page_of_the_site_is_in_its_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in menu


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target
