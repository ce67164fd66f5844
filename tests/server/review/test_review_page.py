"""The review page in a real browser: what is done is on record, nothing of it is lost, keys do what they say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from review_pages import Browser, audited, served
from served_runs import made_run

from segagent.annotation.batch import open_run
from segagent.annotation.people import Event, Standing, read_events, standings_of
from segagent.core import decode_rle, encode_rle

pytestmark = pytest.mark.slow

NUM_IMAGES = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return audited(tmp_path_factory.mktemp("made"), NUM_IMAGES)


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A fresh copy: what one test does is not there for another."""
    return shutil.copytree(made[1], tmp_path / "run")


@pytest.fixture
def browser(chromium: Any) -> Iterator[Browser]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    opened = Browser(context.new_page())
    yield opened
    opened.check()
    context.close()


def events(run: Path) -> list[Event]:
    return list(read_events(open_run(run)))


def kinds(run: Path) -> list[str]:
    return [event.kind for event in events(run)]


def standing(run: Path, object_id: str) -> Standing:
    return standings_of(open_run(run))[object_id]


def mask(run: Path, object_id: str) -> Any:
    rle = standing(run, object_id).now.mask
    assert rle is not None
    return decode_rle(rle)


def test_masks_are_read_as_they_are_written(run: Path, browser: Browser) -> None:
    rng = np.random.default_rng(5)
    masks = [rng.random((height, width)) < share for height, width, share in
             [(1, 1, 1.0), (1, 1, 0.0), (7, 5, 0.5), (64, 96, 0.02), (40, 3, 0.98), (33, 21, 1.0)]]  # fmt: skip
    read = """async rles => {
        const {Mask, changed, painted} = await import('/static/rle.js');
        const seen = (made, [height, width]) => {  // Which pixels are drawn, in which alpha.
            const all = Array(height * width).fill(0);
            if (!made) return all;
            const {canvas, left, top} = made;
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            for (let x = 0; x < canvas.width; x++) for (let y = 0; y < canvas.height; y++)
                all[(left + x) * height + top + y] = data[4 * (y * canvas.width + x) + 3];
            return all;
        };
        return rles.map(([before, after]) => { const mask = new Mask(after), [height, width] = after.size;
            const has = [];
            for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) has.push(mask.has(x, y) ? 1 : 0);
            return {area: mask.area, box: mask.box, has, drawn: seen(painted(mask, [1, 2, 3], 1), after.size),
                changed: seen(changed(new Mask(before), mask, [1, 2, 3], [4, 5, 6]), after.size)}; }); }"""
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        found = browser.page.evaluate(read, [[encode_rle(one[::-1]), encode_rle(one)] for one in masks])
    for one, told in zip(masks, found, strict=True):
        assert told["area"] == one.sum()
        assert told["has"] == one.ravel(order="F").astype(int).tolist()
        assert told["drawn"] == [255 * value for value in told["has"]]
        other = one[::-1].ravel(order="F")
        stayed, gone_or_new = other & one.ravel(order="F"), other ^ one.ravel(order="F")
        assert [value == 191 for value in told["changed"]] == gone_or_new.tolist()
        assert [value == 46 for value in told["changed"]] == stayed.tolist()
        columns, rows = np.flatnonzero(one.any(axis=0)), np.flatnonzero(one.any(axis=1))
        assert told["box"] == ([columns[0], rows[0], columns[-1], rows[-1]] if one.any() else None)


def test_every_tool_changes_the_mask_as_it_says(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
        browser.press("c")
        browser.click(60, 28)
        assert mask(run, "1")[28, 60]
        browser.click(60, 28, button="right")
        assert not mask(run, "1")[28, 60]
        browser.page.keyboard.down("Shift")
        browser.click(14, 28)
        browser.page.keyboard.up("Shift")
        assert not mask(run, "1")[28, 14]
        browser.press("b", "[", "[", "[")
        browser.drag((40, 10), (60, 10))
        assert mask(run, "1")[10, 40:61].all()
        browser.press("e")
        browser.drag((50, 4), (50, 16))
        assert not mask(run, "1")[10, 50]
        browser.press("g")
        for x, y in ((5, 45), (25, 45), (25, 58)):
            browser.click(x, y)
        browser.press("Enter")
        browser.settled()
        assert mask(run, "1")[47, 20]
        assert not mask(run, "1")[57, 6]
        browser.press("x")
        browser.drag((70, 40), (80, 50))
        after_box = mask(run, "1")
        assert after_box[40:50, 70:80].all()
        assert kinds(run) == ["click"] * 3 + ["stroke"] * 2 + ["polygon", "box"]
        assert [event.did["positive"] for event in events(run)[:6]] == [True, False, False, True, False, True]
        assert events(run)[-1].did == {"box": [70, 40, 80, 50]}
        browser.press("z", "z", "y", "y")
        browser.settled()
        assert np.array_equal(mask(run, "1"), after_box)
        # The page shows what the record holds.
        assert browser.ask("app.object.detail.mask") == standing(run, "1").now.mask


def test_the_keyboard_alone_clicks_and_draws(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("2")
        browser.press("c", *["ArrowUp"] * 4)
        x, y = browser.ask("app.object.stage.cross")
        browser.press("Enter")
        browser.settled()
        assert mask(run, "2")[y, x]
        browser.press("Shift+Enter")
        browser.settled()
        assert not mask(run, "2")[y, x]
        browser.press("x", "Enter", *["ArrowDown"] * 5, *["ArrowRight"] * 5, "Enter")
        browser.settled()
        assert kinds(run) == ["click", "click", "box"]
        box = events(run)[-1].did["box"]
        assert box[:2] == [x, y]
        assert mask(run, "2").sum() == (box[2] - x + 1) * (box[3] - y + 1)


def test_fingers_click_hold_and_pinch(run: Path, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 800, "height": 1000}, has_touch=True)
    browser = Browser(context.new_page())
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
        browser.press("c")
        browser.page.touchscreen.tap(*browser.where(40, 10))
        browser.settled()
        assert mask(run, "1")[10, 40]
        devtools = context.new_cdp_session(browser.page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            told = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

        touch("touchStart", browser.where(40, 10))
        browser.page.wait_for_timeout(800)
        touch("touchEnd")
        browser.settled()
        assert not mask(run, "1")[10, 40]
        before = browser.ask("app.object.stage.scale")
        x, y = browser.where(40, 30)
        touch("touchStart", (x - 30, y), (x + 30, y))
        for spread in (40, 60, 80):
            touch("touchMove", (x - spread, y), (x + spread, y))
        touch("touchEnd")
        assert browser.ask("app.object.stage.scale") > 1.5 * before
        assert kinds(run) == ["click", "click"]
    browser.check()
    context.close()


def test_the_policy_suggests_and_goes_on(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
        browser.press("s")
        browser.until("app.object.suggestion")
        suggested = browser.ask("app.object.suggestion")
        assert kinds(run) == []
        browser.press("t")
        browser.settled()
        assert {**events(run)[0].did} == suggested
        browser.press("s", "a")
        browser.settled()
        browser.press("v")
        browser.settled()
        browser.press("r")
        browser.settled()
        assert [kind for kind in kinds(run) if kind != "agent"] == ["click", "take", "take"]
        assert [event.did["take"] for event in events(run)[-2:]] == ["given", "best"]
        assert standing(run, "1").now.made_by == "model"
    # The policy may well leave the mask as it is, which is told as a refusal.
    browser.errors = [error for error in browser.errors if "409" not in error]


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


def network(page: Any) -> dict[str, str]:
    """What becomes of events on their way: "there", "gone", or "answers lost". Before the page is opened: a route that
    comes later may miss what is sent next.
    """
    net = {"events": "there"}

    def carry(route: Any) -> None:
        if net["events"] == "answers lost":
            route.fetch()
        if net["events"] == "there":
            route.continue_()
        else:
            route.abort()

    page.route("**/events", carry)
    return net


def test_what_cannot_be_sent_is_kept_and_sent_once(run: Path, browser: Browser) -> None:
    net = network(browser.page)
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
        page = browser.page
        net["events"] = "gone"
        browser.press("1")
        page.wait_for_selector("#trouble:not([hidden])")
        assert "One change is kept" in page.inner_text("#trouble")
        browser.press("1")
        page.reload()
        browser.started()
        page.wait_for_selector("#trouble:not([hidden])")
        assert "2 changes are kept" in page.inner_text("#trouble")
        assert kinds(run) == []
        # Now the server gets them, but its answers are lost: they are sent again, and done once.
        net["events"] = "answers lost"
        page.get_by_role("button", name="Try now").click()
        while not kinds(run):
            page.wait_for_timeout(50)
        net["events"] = "there"
        browser.settled()
        assert page.is_hidden("#trouble")
        assert kinds(run) == ["verdict", "verdict"]
        assert page.inner_text("#progress").startswith("2 of")
    browser.errors = [error for error in browser.errors if "ERR_FAILED" not in error]


def test_a_server_that_stops_is_told_and_goes_on(run: Path, browser: Browser) -> None:
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
    browser.press("c")
    browser.page.mouse.click(*browser.where(60, 28))
    browser.page.wait_for_selector("#trouble:not([hidden])")
    with served(run, port=int(url.rsplit(":", 1)[1])):
        browser.settled()
        assert mask(run, "1")[28, 60]
    browser.errors = [error for error in browser.errors if "ERR_CONNECTION_REFUSED" not in error]


def test_two_people_at_one_object_are_told(run: Path, browser: Browser, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    other = Browser(context.new_page())
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        other.open(f"{url}/?by=Ben")
        browser.object("1")
        other.object("1")
        browser.press("c")
        browser.click(60, 28)
        # Ben has not been told yet.
        other.press("c")
        other.click(60, 50)
        assert standing(run, "1").contested == [2]
        assert "Two people" in other.page.inner_text("#object .contested-note")
        browser.page.wait_for_selector("#object .contested-note:not([hidden])", timeout=15000)
        browser.settled()
        assert browser.ask("app.object.detail.mask") == standing(run, "1").now.mask
        assert [event.by for event in events(run)] == ["Ada", "Ben"]
    other.check()
    context.close()


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


def test_what_failed_and_what_was_not_found_can_be_put_right(browser: Browser, tmp_path: Path) -> None:
    run = made_run(tmp_path)
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        page = browser.page
        assert "cannot be read" in page.locator(".row").first.inner_text()
        browser.object("broken")
        assert "cannot be read" in page.inner_text("#object .facts")
        browser.press("x")
        browser.drag((10, 10), (20, 20))
        assert mask(run, "broken").sum() == 121
        browser.object("gone")
        assert browser.ask("app.object.views()") == ["now", "best", "change", "none"]
        browser.press("r")
        browser.settled()
        assert standing(run, "gone").now.made_by == "model"
        browser.press("v")  # Nothing was given.
        assert "There is no given mask" in page.inner_text("#toasts")


def test_a_picture_that_is_gone_is_told(browser: Browser, tmp_path: Path) -> None:
    run = made_run(tmp_path)
    (tmp_path / "data" / "images" / "a.png").unlink()
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("bad")
        assert "a.png" in browser.page.inner_text("#object .facts")
        browser.press("1")
        browser.settled()
        assert standing(run, "bad").now.verdict == "ok"
    browser.errors = [error for error in browser.errors if "Failed to load resource" not in error]


def test_a_browser_that_keeps_nothing_can_be_worked_in(run: Path, browser: Browser) -> None:
    gone = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    browser.page.add_init_script(gone)
    net = network(browser.page)
    with served(run) as url:
        browser.open(f"{url}/?by=Ada")
        browser.object("1")
        browser.page.click("#do-tool-brush")
        # The button that was pressed has not kept the keys.
        browser.press("ArrowUp", "Enter")
        browser.settled()
        assert kinds(run) == ["stroke"]
        browser.press("Control+z", "Control+Shift+z")
        browser.settled()
        assert kinds(run) == ["stroke", "undo", "redo"]
        net["events"] = "gone"
        browser.press("1")
        browser.page.wait_for_selector("#trouble:not([hidden])")
        assert "One change is kept until this page is closed" in browser.page.inner_text("#trouble")
    browser.errors = [error for error in browser.errors if "Failed to load resource" not in error]
