"""Leaderboards: order, what is compared with what, cards from anyone, and escaping."""

import json
import re
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from segagent.cli.main import main
from segagent.core import InputError
from segagent.evaluation.card.figures import FIGURES, SCORE
from segagent.evaluation.card.leaderboard import make_leaderboard, write_leaderboard
from segagent.evaluation.card.measuring import CARD_SCHEMA
from segagent.evaluation.card.protocol import Benchmark
from segagent.evaluation.card.reading import parse_card, read_card

HOSTILE = '"><script>alert(1)</script><img src=x onerror="alert(2)">|`*_ \u202e\n# big'


def figure(value: float | None, count: int = 10) -> dict[str, Any]:
    near = None if value is None else 0.01
    low, high = (None, None) if value is None or near is None else (value - near, value + near)
    return {"value": value, "low": low, "high": high, "count": count}


def card(name: str = "p", score: float | None = 0.5, **changes: Any) -> dict[str, Any]:
    """A card with one data set; ``changes`` are about that."""
    figures = {one.key: figure(0.5) for one in FIGURES} | {SCORE: figure(score)}
    counts = {"images": 10, "sentences": 10, "without target": 0, "refined": 10, "failed": 0}
    section = {
        "data": "generated scenes (10)",
        "fingerprint": "segagent-scenes/1 x",
        "counts": counts,
        "figures": figures,
        "baselines": {"centre": {SCORE: figure(0.1)}, "annotator": {SCORE: figure(0.9)}},
        "stopped": {"max_steps": 10},
        "reliability": [{"mean_predicted": 0.5, "mean_true": 0.6}],
    }
    return {
        "schema": CARD_SCHEMA,
        "name": name,
        "policy": "p",
        "tool": "disc",
        "protocol": Benchmark().to_dict(),
        "versions": {"segagent": "1"},
        "data": [{**section, **changes}],
    }


def written(folder: Path, *cards: dict[str, Any]) -> list[Path]:
    paths = []
    for number, one in enumerate(cards):
        (folder / f"c{number}").mkdir()
        (folder / f"c{number}" / "card.json").write_text(json.dumps(one))
        paths.append(folder / f"c{number}")
    return paths


def test_best_score_first(tmp_path: Path) -> None:
    scores = {"b": 0.5, "none": None, "best": 0.9, "a": 0.5, "worst": 0.0}
    paths = written(tmp_path, *(card(name, score) for name, score in scores.items()))
    (board,) = make_leaderboard([*paths, paths[0], paths[1] / "card.json"]).boards
    ranked = [(rank, row.card.name) for rank, row in board.ranked()]
    assert ranked == [(1, "best"), (2, "a"), (2, "b"), (4, "worst"), (None, "none")]
    assert [label for label, _, _ in board.references()] == ["image centre", "simulated annotator"]


def test_outlines_are_of_a_policy_and_of_no_tool(tmp_path: Path) -> None:
    outlines = {"outline": {SCORE: figure(0.2)}, "centre": {SCORE: figure(0.1)}}
    paths = written(tmp_path, *(card(name, 0.5, baselines=outlines) for name in ("a", "b")))
    (board,) = make_leaderboard(paths).boards
    assert [(label, tool) for label, tool, _ in board.references()] == [
        ("image centre", "disc"),
        ("own outline, no click: a", "-"),
        ("own outline, no click: b", "-"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {**card("q"), "protocol": Benchmark(steps=5).to_dict()},
        {**card("q"), "protocol": Benchmark(seed=1).to_dict()},
        {**card("q"), "protocol": {**Benchmark().to_dict(), "name": "hlmat/0"}},
        card("q", fingerprint="segagent-scenes/2 x"),
        card("q", counts={"images": 10, "sentences": 9, "without target": 0, "refined": 9, "failed": 1}),
    ],
    ids=["steps", "seed", "protocol", "scenes", "fewer"],
)
def test_what_was_measured_otherwise_is_not_compared(tmp_path: Path, other: dict[str, Any]) -> None:
    made = write_leaderboard(written(tmp_path, card("p"), other, card("r")), tmp_path / "out")
    assert [[row.card.name for row in board.rows] for board in made.boards] == [["p", "r"], ["q"]]
    for name in ("leaderboard.md", "leaderboard.html"):
        assert "are not compared" in (tmp_path / "out" / name).read_text()


def test_another_tool_or_version_is_compared(tmp_path: Path) -> None:
    other = {**card("q"), "tool": "grabcut", "versions": {"segagent": "2"}}
    (board,) = make_leaderboard(written(tmp_path, card("p"), other)).boards
    assert len(list(board.references())) == 4


def test_a_card_of_two_data_sets_is_on_two_boards(tmp_path: Path) -> None:
    both = card("both", 0.3)
    both["data"].append({**deepcopy(both["data"][0]), "data": "mine", "fingerprint": "abc"})
    made = make_leaderboard(written(tmp_path, both, card("p")))
    assert [(board.label, len(board.rows)) for board in made.boards] == [("generated scenes (10)", 2), ("mine", 1)]


def broken(change: dict[str, Any], figures: dict[str, Any] | None = None) -> dict[str, Any]:
    one = card(**({"figures": figures} if figures is not None else {}))
    return {**one, **change}


BROKEN = {
    "schema": broken({"schema": "segagent.card/0"}),
    "no data": broken({"data": []}),
    "data": broken({"data": [3]}),
    "name": broken({"name": ["x"]}),
    "long name": broken({"name": "x" * 5000}),
    "protocol": broken({"protocol": None}),
    "text": broken({}, {SCORE: {**figure(0.5), "value": "<b>"}}),
    "too good": broken({}, {SCORE: figure(85.0)}),
    "nan": broken({}, {SCORE: {**figure(0.5), "low": float("nan")}}),
    "infinite": broken({}, {"cost/calls": {**figure(0.5), "value": float("inf")}}),
    "bool": broken({}, {SCORE: {**figure(0.5), "value": True}}),
    "no count": broken({}, {SCORE: {"value": 0.5, "low": None, "high": None}}),
    "list": broken({}, {SCORE: [0.5]}),
    "counts": broken({"data": [{**card()["data"][0], "counts": {"images": -1}}]}),
    "reliability": broken({"data": [{**card()["data"][0], "reliability": [{"mean_predicted": "x"}]}]}),
    "array": [1],
    "null": None,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_cards_are_left_out_and_told(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = written(tmp_path, card("good"), BROKEN[name])
    assert main(["leaderboard", str(bad), str(good), "-o", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"warning: left out: {bad / 'card.json'}: no card of segagent benchmark (")
    assert captured.err.count("\n") == 1
    assert "1  50.0  good + disc" in captured.out
    made = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    assert len(made["skipped"]) == 1
    assert [row["name"] for board in made["boards"] for row in board["rows"]] == ["good"]
    assert main(["leaderboard", str(bad), "-o", str(tmp_path / "none")]) == 2
    assert "no card can be used" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b'{"schema": 1e999}'])
def test_files_that_are_no_cards(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(InputError, match=r"card\.json: (no card of segagent|not valid JSON|begins like UTF-16)"):
        read_card(tmp_path)
    with pytest.raises(InputError, match="no such file; expected a card of segagent benchmark"):
        read_card(tmp_path / "nowhere")


def test_unknown_figures_are_left_out_and_missing_ones_unknown() -> None:
    (one,) = parse_card(broken({}, {SCORE: figure(0.5), "magic/<b>": "?"})).data
    assert list(one.figures) == [SCORE]
    assert one.figure("masks/cIoU").value is None


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.bad += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]


def test_text_of_cards_stays_text(tmp_path: Path) -> None:
    hostile = card(HOSTILE, data=HOSTILE, fingerprint=HOSTILE, stopped={HOSTILE: 1})
    hostile |= {"policy": HOSTILE, "tool": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    hostile["protocol"] = {HOSTILE: HOSTILE}
    write_leaderboard(written(tmp_path, hostile, card("p")), tmp_path / "out")
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    seen = Tags()
    seen.feed(page)
    assert seen.tags.count("script") == 1
    assert seen.tags.count("img") == 0
    assert seen.bad == []
    assert "default-src 'none'" in page
    markdown = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "<script" not in markdown.replace("\\<", "")
    assert [line for line in markdown.splitlines() if line.startswith("# ")] == ["# HLMAT leaderboard"]


def test_cells_can_be_sorted_by_number(tmp_path: Path) -> None:
    paths = written(tmp_path, card("p", 0.5), card("q", None), card("r", 0.123456789))
    write_leaderboard(paths, tmp_path / "out")
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    column = [one.key for one in FIGURES].index(SCORE) + 3
    rows = re.findall(r"<tr(?: class=\"reference\")?><td.*?</tr>", page)
    cells = [re.findall(r'<td data-sort="([^"]*)">', row)[column] for row in rows]
    assert cells == ["0.5", "0.123456789", "", "0.1", "0.9"]
    widths = {len(re.findall(r"<t[dh] ", row)) for row in re.findall(r"<tr.*?</tr>", page)}
    assert widths == {len(FIGURES) + 4}


def test_real_cards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--scenes", "0", "--data", "scenes:3:split=val,size=64,sentences=1", "--gallery", "0"]
    for tool in ("disc", "grabcut"):
        assert (
            main(["benchmark", "centre", "--tool", tool, *data, "-o", str(tmp_path / tool), "--workers", "1", "--json"])
            == 0
        )
    capsys.readouterr()
    arguments = ["leaderboard", str(tmp_path / "disc"), str(tmp_path / "grabcut"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    made = json.loads(captured.out)
    assert made == json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    (board,) = made["boards"]
    scores = [row["figures"][SCORE]["value"] for row in board["rows"]]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)
