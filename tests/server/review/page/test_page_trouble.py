"""What goes wrong on the review page, in a real browser: nothing that was done is lost, and what is missing is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from review_pages import Browser, events, kinds, mask, served, standing
from served_runs import made_run

pytestmark = pytest.mark.slow


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
