"""The whole loop as a person goes through it: audit, correct in the browser, export; diff tells what was corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from review_pages import Browser, audited, segagent, serving_command


def correct(browser: Browser) -> None:
    """Twenty corrections of all kinds, by keyboard and mouse, and four objects that stay as they were."""
    page = browser.page
    for number, tool, points in (
        ("4", "b", ((60, 8), (80, 12))),
        ("5", "e", ((40, 28), (48, 28))),
        ("7", "x", ((10, 40), (30, 55))),
    ):
        browser.object(number)
        browser.press(tool)
        browser.drag(*points)
    for number, keys, button in (("1", (), "left"), ("2", (), "right"), ("3", ("Shift",), "left")):
        browser.object(number)
        browser.press("c")
        for key in keys:
            page.keyboard.down(key)
        browser.click(60 if number == "1" else 44 if number == "2" else 74, 28, button=button)
        for key in keys:
            page.keyboard.up(key)
    browser.object("6")
    browser.press("g")
    for x, y in ((5, 45), (25, 45), (25, 58)):
        browser.click(x, y)
    browser.press("Enter")
    for number, key in (("8", "t"), ("9", "r"), ("21", "a")):
        browser.object(number)
        browser.press(key)
        browser.until("app.object.detail.history.length === 1")
    browser.object("10")
    browser.press("c", *["ArrowDown"] * 10, "Enter")
    for number, label in (("11", "tile"), ("12", "a class that is new")):
        browser.object(number)
        browser.press("l")
        page.keyboard.type(label)
        browser.press("Enter")
    browser.object("13")
    browser.press("q")
    page.keyboard.type("other words")
    browser.press("Enter")
    browser.object("14")
    browser.press("Delete")
    browser.object("15")
    browser.press("3")
    browser.object("16")
    browser.press("c")
    browser.click(80, 28)
    browser.press("l")
    page.keyboard.type("plate")
    browser.press("Enter")
    browser.object("17")
    browser.press("c")
    browser.click(60, 8)
    browser.click(80, 50)
    browser.press("z")
    browser.object("18")  # As it was, in the end.
    browser.click(80, 50)
    browser.press("z")
    browser.object("19")
    browser.click(80, 50)
    browser.press("v")
    browser.object("20")
    browser.press("w")
    page.keyboard.type("looks fine")
    browser.press("Enter", "1")
    browser.object("22")
    browser.press("5")
    for words in (False, True):
        browser.object("24")
        browser.press("N")
        page.fill("dialog input[name=label]", "plate")
        page.fill("dialog input[name=text]", "a plate that was missing")
        if words:
            page.check("dialog input[name=words]")
        browser.press("Enter")
        browser.until("app.object.detail?.standing.added")
        if not words:
            browser.click(48, 55)
    browser.settled()


@pytest.mark.slow
def test_what_is_corrected_arrives_and_nothing_else(tmp_path: Path, chromium: Any) -> None:
    data, run = audited(tmp_path, 8)
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    browser = Browser(context.new_page())
    with serving_command("review", run, "--by", "Ada") as url:
        browser.open(url)
        correct(browser)
        before = browser.ask("[...app.rows.all.values()]")
        browser.page.reload()
        browser.started()
        assert browser.ask("[...app.rows.all.values()]") == before
        browser.check()
    context.close()
    segagent("export", run, "--to", "coco", "-o", tmp_path / "final.json")
    segagent("diff", data, tmp_path / "final.json", "-o", tmp_path / "diff")
    told = json.loads((tmp_path / "diff" / "diff.json").read_text())
    changes = {int(one["id"]): set(one["changes"]) - {"bbox"} for one in told["changes"]}
    drawn = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 21}
    assert changes == {
        **{number: {"mask"} for number in drawn},
        11: {"category"},
        12: {"category"},
        13: {"key text"},
        16: {"mask", "category"},
    }
    assert {int(one["id"]) for one in told["removed_annotations"]} == {14, 15}
    assert len(told["added_annotations"]) == 2
    assert told["changed"] + told["removed"] + told["added"] == 20
    assert told["unchanged"] == 24 - 18
