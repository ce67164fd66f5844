"""Drawing on the review page, in a real browser: with every tool, the keyboard, fingers, and the policy's help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from review_pages import Browser, events, kinds, mask, served, standing

from segagent.core import encode_rle

pytestmark = pytest.mark.slow


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
