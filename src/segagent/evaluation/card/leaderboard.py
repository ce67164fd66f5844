"""Several cards side by side. What was not measured in the same way stands in tables of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.evaluation.card.board_page import board_html
from segagent.evaluation.card.boards import Board, Row
from segagent.evaluation.card.figures import BY_KEY, SCORE
from segagent.evaluation.card.pages import NOT_KNOWN, shown
from segagent.evaluation.card.reading import CARD_FILE, Card, CardData, read_card
from segagent.imaging.writing import made_folder, write_bytes
from segagent.pages.markdown import markdown_report
from segagent.pages.table import Table

LEADERBOARD_SCHEMA = "segagent.leaderboard/1"

_IN_MARKDOWN = (
    SCORE,
    "masks/cIoU",
    "localisation/first-click hit rate",
    "refinement/gain, episode",
    "self-assessment/Pearson",
    "self-assessment/AUROC@80",
    "stopping/IoU lost",
    "stopping/steps used",
    "cost/calls",
    "cost/seconds per accepted mask",
    "cost/invalid replies",
)
"""What fits a page; the HTML page has all figures."""


@dataclass
class Leaderboard:
    """``skipped``: (file, reason) of cards that could not be used."""

    boards: list[Board]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        boards = [_board_dict(board) for board in self.boards]
        skipped = [{"card": file, "reason": reason} for file, reason in self.skipped]
        return {"schema": LEADERBOARD_SCHEMA, "boards": boards, "skipped": skipped}


def make_leaderboard(paths: Sequence[str | Path]) -> Leaderboard:
    """The cards in ``paths`` (folders of ``segagent benchmark`` or card files), those that fit together side by side.

    Cards are compared on a data set if protocol, settings and seed, the data set's fingerprint and the numbers of
    images and sentences measured are the same; others get a board of their own. A card given twice counts once.
    """
    boards: dict[str, Board] = {}
    skipped = []
    for path in {file.resolve(): file for file in map(_card_file, paths)}.values():
        try:
            card = read_card(path)
        except InputError as error:
            skipped.append((str(path), str(error)))
            continue
        for one in card.data:
            board = boards.setdefault(_what_is_compared(card, one), Board(one.label, one.fingerprint, card.protocol))
            board.rows.append(Row(card, one))
    for board in boards.values():
        board.rows.sort(key=_place)
    return Leaderboard(sorted(boards.values(), key=lambda board: (-len(board.rows), board.label)), skipped)


def write_leaderboard(paths: Sequence[str | Path], out: str | Path) -> Leaderboard:
    """Write leaderboard.html, leaderboard.md and leaderboard.json into the folder ``out``.

    Raises ``InputError`` if no card can be used, and where nothing can be written.
    """
    made = make_leaderboard(paths)
    if not made.boards:
        raise InputError("no card can be used: " + "; ".join(reason for _, reason in made.skipped))
    folder = made_folder(out)
    text = json.dumps(made.to_dict(), indent=1, allow_nan=False) + "\n"
    write_bytes(folder / "leaderboard.json", text.encode("ascii"))
    tables = [_table(board) for board in made.boards]
    markdown = markdown_report(tables, _notes(made), "HLMAT leaderboard")
    write_bytes(folder / "leaderboard.md", markdown.encode("utf-8", "backslashreplace"))
    page = board_html(made.boards, _notes(made))
    write_bytes(folder / "leaderboard.html", page.encode("utf-8", "backslashreplace"))
    return made


def _card_file(path: str | Path) -> Path:
    given = Path(path)
    return given / CARD_FILE if given.is_dir() else given


def _what_is_compared(card: Card, one: CardData) -> str:
    counts = {name: one.counts.get(name) for name in ("images", "sentences", "without target", "refined")}
    return json.dumps([card.protocol, one.fingerprint, counts], sort_keys=True)


def _place(row: Row) -> tuple[float, str, str]:
    score = row.data.score
    return (math.inf if score is None else -score), row.card.name, row.card.tool


def _notes(made: Leaderboard) -> list[str]:
    lines = []
    if len(made.boards) > 1:
        lines.append(
            "Cards that differ in protocol, settings, data set or number of sentences stand in different tables and "
            "are not compared."
        )
    lines += [f"Left out: {reason}" for _, reason in made.skipped]
    return lines


def _table(board: Board) -> Table:
    chosen = [BY_KEY[key] for key in _IN_MARKDOWN]
    header = ("rank", "policy", "tool", *(f"{figure.ability}: {figure.name}" for figure in chosen), "failed")
    rows = []
    for rank, row in board.ranked():
        cells = [shown(row.data.figure(key), key, interval=key == SCORE) for key in _IN_MARKDOWN]
        failed = str(row.data.counts.get("failed", 0))
        rows.append((NOT_KNOWN if rank is None else str(rank), row.card.name, row.card.tool, *cells, failed))
    for label, tool, figures in board.references():
        cells = [shown(figures[k], k, interval=k == SCORE) if k in figures else "" for k in _IN_MARKDOWN]
        rows.append(("", label, tool, *cells, ""))
    return Table(board.title, header, tuple(rows), board.note)


def _board_dict(board: Board) -> dict[str, Any]:
    rows = []
    for rank, row in board.ranked():
        figures = {key: asdict(value) for key, value in row.data.figures.items()}
        about = {"name": row.card.name, "policy": row.card.policy, "tool": row.card.tool, "versions": row.card.versions}
        rows.append({"rank": rank, **about, "counts": row.data.counts, "figures": figures})
    return {"data": board.label, "fingerprint": board.fingerprint, "protocol": board.protocol, "rows": rows}
