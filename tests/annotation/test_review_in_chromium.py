"""A work list that was opened from disk, in a real browser: keys, verdicts, large pictures, both themes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_runs import annotation, coco, record, run_folder, square

from segagent.annotation.batch import Run, open_run
from segagent.annotation.batch.checked import read_checked
from segagent.annotation.batch.sampling import sample_to_check
from segagent.annotation.review import write_review

pytestmark = pytest.mark.slow

NUM = 60


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """More objects than a page holds, worst first as they are numbered; the last was not found."""
    dataset = coco(tmp_path / "data" / "coco.json", [annotation(1, square(10, 10, 8))])
    records = [record(f"o{n}", "kept", (n + 1) / 100, 0.1) for n in range(NUM)]
    return open_run(run_folder(tmp_path / "run", dataset, [*records, record("gone", "not_found", None, 0.1)]))


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(color_scheme="dark", accept_downloads=True)
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield opened
    context.close()
    assert errors == []


def opened(page: Any, run: Run, out: Path, **options: Any) -> None:
    write_review(run, out, **{"most": 4, **options})
    page.goto((out / "index.html").as_uri())


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.querySelector?.('h3')?.textContent ?? ''")).split(".")[0]


def downloaded(page: Any, path: Path) -> Path:
    with page.expect_download() as started:
        page.click("#download")
    assert started.value.suggested_filename == "checked.json"
    started.value.save_as(path)
    return path


def test_no_card_is_skipped_where_a_page_ends(run: Run, page: Any, tmp_path: Path) -> None:
    opened(page, run, tmp_path / "out")
    seen = []
    for _ in range(NUM + 1):
        page.keyboard.press("j")
        seen.append(focused(page))
    assert seen == [str(rank) for rank in range(1, NUM + 2)]
    page.keyboard.press("j")
    assert focused(page) == str(NUM + 1)
    page.keyboard.press("p")
    assert focused(page) == "1"
    page.keyboard.press("n")
    assert focused(page) == "51"
    page.keyboard.press("k")
    assert focused(page) == "50"


def test_verdicts_are_kept_and_downloaded(run: Run, page: Any, tmp_path: Path) -> None:
    opened(page, run, tmp_path / "out")
    assert page.is_disabled("#download")
    page.keyboard.press("j")  # The one that was not found: there is no mask to judge.
    page.keyboard.press("1")
    assert focused(page) == "1"
    page.keyboard.press("j")
    for key in "112":
        page.keyboard.press(key)
    assert focused(page) == "5"
    page.reload()
    assert page.inner_text("#judged") == "3 judged"
    page.locator(".card").nth(4).get_by_role("button", name="wrong").click()
    page.locator(".card").nth(1).get_by_role("button", name="ok").click()  # Taken back.
    path = downloaded(page, tmp_path / "checked.json")
    checks = read_checked(path, run)
    assert {name: one.ok for name, one in checks.checks.items()} == {"o1": True, "o2": False, "o3": False}
    assert (checks.open, checks.unknown) == (0, ())
    assert json.loads(path.read_text())["run"] == "run"


def test_where_masks_were_drawn_by_chance_those_alone_are_downloaded(run: Run, page: Any, tmp_path: Path) -> None:
    opened(page, run, tmp_path / "out", sample=5)
    page.keyboard.press("j")
    page.keyboard.press("j")
    for _ in range(NUM):
        page.keyboard.press("2")
    wanted = sample_to_check(run, 5)
    assert page.inner_text("#judged").startswith("5 judged of the random sample (55 others are left out")
    assert set(read_checked(downloaded(page, tmp_path / "checked.json"), run).checks) == set(wanted)


def test_pictures_open_large_and_tables_fold(run: Run, page: Any, tmp_path: Path) -> None:
    opened(page, run, tmp_path / "out")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 23, 27)"
    assert not page.locator("#tables table").first.is_visible()
    page.click("#tables-below")
    assert page.locator("#tables table").first.is_visible()
    page.locator(".card img").nth(1).click()
    large = page.locator("dialog img")
    before = large.bounding_box()["width"]
    page.keyboard.press("+")
    assert large.bounding_box()["width"] > before
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
