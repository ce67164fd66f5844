"""Judging on the review page, in a real browser: verdicts and words, added objects, the list and what it leaves out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from review_pages import NUM_IMAGES, Browser, events, served, standing

from segagent.annotation.batch import open_run
from segagent.annotation.people import standings_of

pytestmark = pytest.mark.slow


def test_verdicts_words_and_removal(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        page = browser.page
        first = browser.ask("app.rows.list(app.filters, app.me).map(row => row.object_id)")
        browser.press("Home", "Enter")
        browser.settled()
        for key in "12345":
            browser.press(key)
            browser.settled()
        verdicts = ["ok", "wrong", "absent", "unsure", "skip"]
        assert [(event.object_id, event.verdict) for event in events(run)] == list(zip(first, verdicts, strict=False))
        assert page.inner_text("#progress").startswith(f"4 of {3 * NUM_IMAGES}")
        browser.press("w")
        page.keyboard.type("the handle <b>is</b> missing")
        browser.press("Enter", "l")
        page.keyboard.type("bowl")
        browser.press("Enter", "q")
        page.keyboard.type("<img src=x onerror=alert(1)>")
        browser.press("Enter", "Delete")
        browser.settled()
        now = standing(run, first[5])
        assert (now.notes[0].text, now.now.label) == ("the handle <b>is</b> missing", "bowl")
        assert (now.now.text, now.now.removed) == ("<img src=x onerror=alert(1)>", True)
        # What people write is shown as it is, and is no markup.
        assert page.inner_text("#object h2") == "<img src=x onerror=alert(1)>"
        assert page.locator("#object h2 img").count() == 0
        browser.press("Delete")
        browser.settled()
        assert not standing(run, first[5]).now.removed
        browser.press("Escape", "/")
        page.keyboard.type("handle <b>")
        assert [row.inner_text().split("\n")[1] for row in page.locator(".row").all()] == [
            "<img src=x onerror=alert(1)>"
        ]


def test_objects_are_added_by_hand_and_by_words(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
        page = browser.page
        browser.press("N")
        page.fill("dialog input[name=label]", "plate")
        page.fill("dialog input[name=text]", "the plate that was missing")
        browser.press("Enter")
        browser.until("app.object.detail?.standing.added")
        assert page.inner_text("#object h2") == "the plate that was missing"
        browser.press("c")
        browser.click(80, 50)
        browser.press("i")
        browser.until("app.view === 'image' && app.image.masks.length === 4")
        assert "the plate that was missing" in page.inner_text("#image .objects")
        browser.press("N")
        page.fill("dialog input[name=label]", "tile")
        page.fill("dialog input[name=text]", "another")
        page.check("dialog input[name=words]")
        browser.press("Enter")
        browser.until("app.view === 'object' && app.object.detail?.standing.text === 'another'")
        browser.settled()
    added = [one for one in standings_of(open_run(run)).values() if one.added]
    assert [(one.now.label, one.now.text, one.now.made_by) for one in added] == [
        ("plate", "the plate that was missing", "person"),
        ("tile", "another", "model"),
    ]
    assert all(one.image.endswith("0.png") for one in added)


def test_place_filters_and_zoom_survive_a_reload(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        page = browser.page
        page.select_option("#filter-category", "plate")
        page.select_option("#filter-sort", "id")
        browser.press("Escape")
        browser.object("5")
        browser.press("+", "+", "+", "m")
        browser.ask("app.object.stage.paint()")
        names = "[app.object.stage.scale, app.object.stage.left, app.object.stage.top]"
        zoom, look = browser.ask(names), browser.ask("app.object.shownView")
        assert look != "now"
        page.reload()
        browser.started()
        browser.settled()
        assert browser.ask("app.object.detail.object_id") == "5"
        assert browser.ask(names) == pytest.approx(zoom, abs=0.01)
        assert browser.ask("app.object.shownView") == look
        # A new window goes on at the same place too.
        page.goto(f"{url}/?by=Ada")
        browser.started()
        browser.settled()
        assert browser.ask("app.object.detail.object_id") == "5"
        browser.press("Escape")
        browser.until("app.view === 'list' && document.querySelector('#filter-category').value")
        assert page.input_value("#filter-category") == "plate"
        assert [row.inner_text().split("\n")[0] for row in page.locator(".row[aria-current=true]").all()]
        assert page.locator(".row").count() == NUM_IMAGES


def test_no_object_is_skipped_while_the_list_shrinks(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.page.select_option("#filter-state", "open")
        wanted = browser.ask("app.rows.list(app.filters, app.me).map(row => row.object_id)")
        browser.press("Escape", "Home", "Enter")
        for place, _ in enumerate(wanted):
            browser.settled()
            if place == 6:
                assert re.fullmatch(r"6 of 24, (about|less than) .* left", browser.page.inner_text("#progress"))
            browser.press("1")
        browser.settled()
        # From the pace of this very person.
        assert browser.ask("app.store.pace()") > 0
        assert [event.object_id for event in events(run)] == wanted
        assert browser.page.inner_text("#progress").startswith(f"{len(wanted)} of {len(wanted)}")


def test_a_check_needs_two_keys(run: Path, browser: Browser) -> None:
    with served(run, num=6) as url:
        browser.open(f"{url}/?by=Ada")
        browser.settled()
        page = browser.page
        assert "expected IoU" not in page.inner_text("#object")
        for key in "112111":
            browser.settled()
            browser.press(key)
        browser.settled()
        assert "All 6 judged" in page.inner_text("#progress")
    assert [event.verdict for event in events(run)] == ["ok", "ok", "wrong", "ok", "ok", "ok"]
    assert len({event.object_id for event in events(run)}) == 6


def test_a_long_list_keeps_only_what_is_seen_in_the_document(run: Path, browser: Browser) -> None:
    with served(run) as url:
        page = browser.page

        def many(route: Any) -> None:
            told = route.fetch().json()
            row = told["rows"][0]
            told["rows"] = [[number, f"o{number}", *row[2:]] for number in range(20_000)]
            route.fulfill(json=told)

        page.route("**/api/v1/objects", many)
        browser.open(f"{url}/?by=Ada")
        assert page.locator(".row").count() < 60
        browser.press("End")
        assert page.locator(".row[aria-current=true] .rank").inner_text() == "20000"
        assert page.locator(".row").count() < 60
        for _ in range(3):
            browser.press("p")
        browser.press("n", "j")
        browser.press("Home", "n")
        page.fill("#search", "o19999")
        assert page.locator(".row").count() == 1


def test_every_control_has_a_name(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
        nameless = browser.page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, textarea, a, canvas')].filter(one =>
                !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)
                ).map(one => one.outerHTML)"""
        )
        assert nameless == []
        browser.press("?")
        keys = browser.page.locator("dialog.keys kbd").all_inner_texts()
        assert {"1", "c", "b", "e", "x", "g", "z", "y", "s", "t", "a", "r", "v", "w", "l", "q", "N", "?", "/"} <= set(
            keys
        )
        browser.press("?")
        browser.page.locator("dialog").wait_for(state="detached")


def test_everybody_sees_their_share_and_the_rules(run: Path, browser: Browser) -> None:
    shares = {"1": ["Ada"], "2": ["Ada", "Ben"], "3": ["Ben"]}
    with served(run, shares=shares, people=["Ada", "Ben"], guidelines="Ears <b>belong</b> to the cat.") as url:
        browser.open(f"{url}/?by=Ada")
        page = browser.page
        names = "app.list.shown.map(row => row.object_id)"
        assert not {"3"} & set(browser.ask(names))
        assert {"1", "2", "4"} <= set(browser.ask(names))
        assert page.inner_text("#progress") == f"0 of {3 * NUM_IMAGES - 1}"
        page.select_option("#filter-share", "all")
        assert "3" in browser.ask(names)
        browser.object("1")
        assert page.inner_text("#object .guidelines .text") == "Ears <b>belong</b> to the cat."
        browser.press("1", "1", "1", "1")
        browser.settled()
