"""How the commands speak: results on stdout, everything else on stderr, one line for each error."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

import typer

_P = ParamSpec("_P")
_R = TypeVar("_R")

EXIT_SOME_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def one_line(text: str) -> str:
    """``text`` with line breaks and other control characters written as escapes, as file names may hold them."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def complain(message: str) -> None:
    """One line ``error: ...`` on stderr."""
    typer.echo(f"error: {one_line(message)}", err=True)


def note(message: str) -> None:
    """One line on stderr: what goes on, no warning."""
    typer.echo(one_line(message), err=True)


def warn(message: str) -> None:
    """One line ``warning: ...`` on stderr."""
    typer.echo(f"warning: {one_line(message)}", err=True)


def say(line: str = "") -> None:
    """One line of result on stdout."""
    typer.echo(line)


def print_object(value: Mapping[str, Any]) -> None:
    """``value`` as one line of JSON on stdout, ASCII only so that any terminal and any pipe takes it."""
    typer.echo(json.dumps(value))


def reporting_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a command end with one line on stderr and exit code 2 for every error that a user can act on."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        from segagent.core import SegAgentError

        try:
            return command(*args, **kwargs)
        except SegAgentError as error:
            complain(str(error))
            raise typer.Exit(EXIT_BAD_INPUT) from error

    return run


@contextmanager
def waiting(what: str, *, quiet: bool) -> Iterator[None]:
    """A spinner with the time so far on stderr while something of unknown length runs; only on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def counting(what: str, total: float | None, *, unit: str, quiet: bool) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on stderr with rate and time left. Yields ``update(done, note)``.

    Where stderr is no terminal, a line is written now and then instead; with ``quiet`` nothing is.
    """
    with counting_parts(what, total, unit=unit, part="", quiet=quiet) as update:
        yield lambda done, note: update(done, 0, note)


@contextmanager
def counting_parts(
    what: str, total: float | None, *, unit: str, part: str, quiet: bool
) -> Iterator[Callable[[float, int, str], None]]:
    """As :func:`counting`, of units that consist of parts: images with objects. Yields ``update(done, parts, note)``.

    Both are counted, each with its rate. The first update says what was there already: rates and the time left are of
    what came since.
    """
    if quiet:
        yield lambda done, parts, note: None
        return
    if not sys.stderr.isatty():
        yield _Lines(what, total, unit, part).update
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} {task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, rate="", note="")
        began: list[tuple[float, float, int]] = []

        def update(done: float, parts: int, note: str) -> None:
            now = time.monotonic()
            if not began:
                began.append((now, done, parts))
                # Counted from here, so that what was done before is no speed.
                progress.reset(task, completed=int(done), note=note, rate="")
                return
            then, done_then, parts_then = began[0]
            rates = _rates(done - done_then, unit, parts - parts_then, part, now - then)
            counted = f"{parts} {part}, " if part else ""
            progress.update(task, completed=done, note=note, rate=f"{counted}{', '.join(rates)}")

        yield update


@contextmanager
def phases(*, unit: str, quiet: bool) -> Iterator[Callable[[str, float, float, str], None]]:
    """Several progress bars one after the other. Yields ``update(what, done, total, note)``; a new ``what`` begins one.

    Each bar is :func:`counting`'s; its total is that of its first update.
    """
    with ExitStack() as bars:
        now: list[tuple[str, Callable[[float, str], None]]] = []

        def update(what: str, done: float, total: float, note: str) -> None:
            if not now or now[0][0] != what:
                bars.close()
                now[:] = [(what, bars.enter_context(counting(what, total, unit=unit, quiet=quiet)))]
            now[0][1](done, note)

        yield update


@contextmanager
def stages(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Work in named stages of unknown length. Yields ``begin(name)``: a line on stderr with the time so far.

    On a terminal the present stage has a spinner and a clock of its own.
    """
    if quiet:
        yield lambda name: None
        return
    began = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda name: typer.echo(f"[{time.monotonic() - began:6.0f} s] {name}", err=True)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def begin(name: str) -> None:
            for task in progress.tasks:
                progress.update(task.id, total=1, completed=1)
            progress.add_task(name, total=None)

        yield begin


def _rates(done: float, unit: str, parts: int, part: str, seconds: float) -> list[str]:
    told = [(done, unit), (parts, part)] if part else [(done, unit)]
    return [f"{number / max(seconds, 1e-9):.1f} {name}/s" for number, name in told]


class _Lines:
    """Progress for a log file: a line at most every ten seconds, and one at the end of a known total."""

    def __init__(self, what: str, total: float | None, unit: str, part: str) -> None:
        self._what, self._total, self._unit, self._part = what, total, unit, part
        self._began = self._last = time.monotonic()
        self._kept: tuple[float, int] | None = None

    def update(self, done: float, parts: int, note: str) -> None:
        now = time.monotonic()
        if self._kept is None:
            # Rates are of what this session does, not of what it goes on from.
            self._kept, self._began, self._last = (done, parts), now, now
        finished = self._total is not None and done >= self._total
        if now - self._last < 10 and not (finished and now - self._began > 2):
            return
        self._last = now
        new = done - self._kept[0]
        told = _rates(new, self._unit, parts - self._kept[1], self._part, now - self._began)
        of = f"/{self._total:g}" if self._total is not None else ""
        if self._total is not None and new > 0:
            told.append(f"{(self._total - done) * (now - self._began) / new:.0f} s left")
        counted = f" {self._unit}, {parts} {self._part}" if self._part else ""
        typer.echo(f"{self._what}: {done:g}{of}{counted} ({', '.join(told)}) {note}".rstrip(), err=True)
