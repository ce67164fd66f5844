"""Pictures whose path a program has written another way: matched where nothing else can be meant, else told."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import annotation, coco, square

from segagent.annotation.diff.pictures import match_pictures
from segagent.cli.main import main

ONE = [
    ("a.png", "images/a.png"),
    ("a.png", "images\\a.png"),
    ("a.png", "./a.png"),
    ("a.png", "/home/ann/data/images/a.png"),
    ("a.png", "C:\\data\\a.png"),
    ("x/a.png", "../images/x/a.png"),
    ("my cup.png", "images/my%20cup.png"),
    ("x/my cup #1.jpg", "/data/local-files/?d=x/my%20cup%20%231.jpg"),
    ("x/a.png", "s3://bucket/x/a.png"),
    ("x/a.png", "https://host/files/x/a.png?token=1"),
    ("/home/ann/x/a.png", "D:\\work\\x\\a.png"),
    ("scene_1", "images/scene_1.png"),
    ("a.gif", "a.gif.png"),
    (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
]

TWO = [
    ("train/a.png", "val/a.png"),
    ("/data/train/a.png", "/data/val/a.png"),
    ("a.png", "b.png"),
    ("a.png", "ba.png"),
    ("a.png", "a.jpg"),
]


@pytest.mark.parametrize(("before", "after"), ONE)
def test_one_picture(before: str, after: str) -> None:
    for old, new in ((before, after), (after, before)):
        match = match_pictures([old, "other.png"], ["other.png", new])
        assert match.other_spelling == {new: old}
        assert (match.same, match.warnings()) == (1, [])
        assert "1 picture with another path" in match.told()


@pytest.mark.parametrize(("before", "after"), TWO)
def test_two_pictures(before: str, after: str) -> None:
    match = match_pictures([before], [after])
    assert match.other_spelling == {}
    (line,) = match.warnings()
    assert "no picture of one side has a name of the other" in line
    assert before in line
    assert after in line
    (line,) = match_pictures([before, "same.png"], [after, "same.png"]).warnings()
    assert "for 1 pictures before there is no picture of that name after, for 1 after none before" in line


def test_folders_tell_names_apart() -> None:
    before = ["a.png", "x/a.png", "train/b.png", "val/b.png", "c.png"]
    after = ["images/x/a.png", "images/a.png", "/m/val/b.png", "/m/train/b.png", "c.png"]
    match = match_pictures(before, after)
    assert match.other_spelling == dict(zip(after[:4], ["x/a.png", "a.png", "val/b.png", "train/b.png"], strict=True))
    assert list(match.other_spelling) == after[:4]
    assert (match.same, match.unclear, match.only_before, match.only_after) == (1, [], [], [])


def test_what_could_be_several_is_told() -> None:
    match = match_pictures(["a.png", "b.png"], ["train/a.png", "val/a.png", "x/b.png"])
    assert match.other_spelling == {"x/b.png": "b.png"}
    assert match.unclear == [(["a.png"], ["train/a.png", "val/a.png"])]
    (line,) = match.warnings()
    assert "no picture was matched with a.png before and train/a.png, val/a.png after" in line
    many = match_pictures([f"{n}.png" for n in range(9)], [f"{s}/{n}.png" for n in range(9) for s in "ab"])
    assert (len(many.unclear), len(many.warnings())) == (9, 4)


def test_a_side_with_fewer_pictures_is_no_reason_to_warn() -> None:
    assert match_pictures(["a.png", "b.png"], ["a.png"]).warnings() == []
    assert match_pictures([], ["a.png"]).warnings() == []


names = st.lists(
    st.lists(st.sampled_from(["a", "b", "images", "..", "", "x.png", "y.jpg", "C:"]), min_size=1, max_size=4).map(
        "/".join
    ),
    max_size=8,
)


@given(names, names)
def test_every_name_is_in_one_place(before: list[str], after: list[str]) -> None:
    match = match_pictures(before, after)
    old = [*(set(before) & set(after)), *match.other_spelling.values(), *match.only_before]
    new = [*(set(before) & set(after)), *match.other_spelling, *match.only_after]
    for one, other in match.unclear:
        old += one
        new += other
    assert sorted(old) == sorted(set(before))
    assert sorted(new) == sorted(set(after))


def write(path: Path, annotations: list[dict[str, Any]], *files: str) -> Path:
    coco(path, annotations, files)
    return path


def test_the_command_compares_pictures_with_another_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(
        tmp_path / "d" / "old.json", [annotation(1, square(5, 5, 10)), annotation(2, square(30, 5, 9))], "a.png"
    )
    changed = [annotation(1, square(5, 5, 10)), annotation(2, square(31, 5, 9)), annotation(3, square(5, 25, 9))]
    new = write(tmp_path / "d" / "new.json", changed, "sub\\a.png")
    for how in ("auto", "id", "overlap"):
        assert main(["diff", str(old), str(new), "-o", str(tmp_path / how), "--match", how, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["counts"] == {"unchanged": 1, "changed": 1, "removed": 0, "added": 1}
        assert told["pictures"]["other_spelling"] == {"a.png": "sub\\a.png"}
    # The picture is found under its name before, for there is none of the name after.
    page = (tmp_path / "auto" / "index.html").read_text(encoding="utf-8")
    assert "Without their picture" not in page
    assert "a.png is sub\\a.png now" in page
    whole = json.loads((tmp_path / "auto" / "diff.json").read_text())
    assert (whole["changes"][0]["image"], whole["changes"][0]["image_after"]) == ("a.png", "sub\\a.png")


def test_the_command_says_why_all_is_removed_and_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path / "d" / "old.json", [annotation(1, square(5, 5, 10))], "train/a.png")
    new = write(tmp_path / "d" / "new.json", [annotation(1, square(5, 5, 10))], "val/a.png")
    assert main(["diff", str(old), str(new), "-o", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert "warning: no picture of one side has a name of the other" in captured.err
    assert "0 unchanged, 0 changed, 1 removed, 1 added" in captured.out
    for name in ("diff.md", "index.html", "diff.json"):
        assert "no picture of one side" in (tmp_path / "out" / name).read_text(encoding="utf-8")


def test_a_picture_without_annotations_is_still_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path / "d" / "old.json", [annotation(1, square(5, 5, 10))], "a.png", "b.png")
    new = write(tmp_path / "d" / "new.json", [annotation(1, square(5, 5, 10), image=2)], "a.png", "b.png")
    assert main(["diff", str(old), str(new), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""
