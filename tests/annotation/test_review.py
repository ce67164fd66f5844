"""Work lists: the order, what the page holds, and that nothing untrusted becomes markup."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_runs import HOSTILE, LISTED_ORDER, annotation, coco, record, run_folder, square, usual_run

from segagent.annotation.batch import open_run
from segagent.annotation.review import write_review
from segagent.annotation.review.browsing import SCRIPT
from segagent.annotation.review.entries import WorkItem, drawn, entries_of, ranked
from segagent.annotation.review.page import review_page
from segagent.cli.main import main
from segagent.core import InputError
from segagent.pages.panels import PICTURE_BYTES


class Page(HTMLParser):
    """Tags, cards by rank, and whatever would load or run something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.bad: list[str] = []
        self.ranks: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        loads = [v or "" for k, v in attrs if k in ("src", "href", "action", "data", "srcset", "poster")]
        self.bad += [value for value in loads if not value.startswith("data:image/jpeg;base64,")]
        self.bad += [name for name in given if name.startswith("on")]
        if tag == "article":
            self.ranks.append(int(given["data-rank"] or 0))


def rows_of(page: str) -> list[dict[str, object]]:
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page, re.S)
    assert found
    table = json.loads(found[1])
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def test_the_page_ranks_the_worst_first(tmp_path: Path) -> None:
    made = write_review(open_run(usual_run(tmp_path)), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    rows = rows_of(page)
    assert [row["object_id"] for row in rows] == LISTED_ORDER
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["pictured"] for row in rows] == [False, True, True, True, True]
    assert rows[0]["reason"] == "cannot be read"
    assert rows[2]["doubts"] == "no such thing"
    seen = Page(page)
    assert seen.ranks == [2, 3, 4, 5]
    # Repaired and kept: image, given, tried, change. Not found: image, what was tried.
    assert seen.tags.count("img") == 3 * 4 + 2
    assert seen.bad == []
    assert made.missing == []
    assert made.result["without_picture"] == 0
    for words in ("the square", "category dog", "best try, not taken", "given: expected IoU 0.10 (predicted 0.10)"):
        assert words in page


def test_the_files_hold_every_object(tmp_path: Path) -> None:
    write_review(open_run(usual_run(tmp_path)), tmp_path / "out", most=1)
    whole = json.loads((tmp_path / "out" / "worklist.json").read_text())
    with (tmp_path / "out" / "worklist.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [one["object_id"] for one in whole["objects"]] == [row["object_id"] for row in table] == LISTED_ORDER
    assert [row["expected_iou"] for row in table] == ["", "0.95", "0.2", "0.5", "0.9"]
    assert table[2]["predicted_iou_given"] == "0.1"
    assert table[2]["likely_error"] == "cannot tell"  # The policy has doubts.
    assert table[0]["reason"] == "cannot be read"
    assert set(table[0]) == set(whole["objects"][0])
    assert whole["summary"]["outcomes"] == {"kept": 2, "not_found": 1, "repaired": 1}
    assert len(rows_of((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))) == 5


def test_pictures_go_to_the_worst(tmp_path: Path) -> None:
    entries = ranked(list(entries_of(open_run(usual_run(tmp_path)))))
    assert [entry.object_id for entry in drawn(entries, 2)] == ["bad", "middling"]
    assert [entry.object_id for entry in drawn(entries, 4)] == ["gone", "bad", "middling", "fine"]
    assert drawn(entries, 0) == []


def test_equal_scores_keep_their_order_and_none_goes_first() -> None:
    entries = [WorkItem(0, "b", "i", "kept", order=0.6)]
    entries += [WorkItem(1, "a", "i", "kept", order=0.6)]
    entries += [WorkItem(2, "lower", "i", "kept", order=0.55), WorkItem(3, "none", "i", "made")]
    assert [entry.object_id for entry in ranked(entries)] == ["none", "lower", "b", "a"]


def test_untrusted_text_stays_text(tmp_path: Path) -> None:
    name = "h'&<b>" + HOSTILE.replace("/", "_").replace("\n", " ")
    dataset = coco(tmp_path / "data" / "coco.json", [annotation(1, square(1, 1, 5))])
    records = [
        record(HOSTILE, "repaired", 0.1, 0.8, text=HOSTILE, category=HOSTILE, doubts=(HOSTILE,)),
        record("=cmd()", "kept", 0.2, 0.1, image=name),
    ]
    folder = run_folder(tmp_path / f"run {name[:40]}", dataset, records, policy=HOSTILE, tool=HOSTILE)
    made = write_review(open_run(folder), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    seen = Page(page)
    assert seen.tags.count("script") == 2
    assert seen.tags.count("img") == 4
    assert seen.bad == []
    assert "default-src 'none'" in page
    outside = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.S)
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:|url\(|@import", outside.replace("&lt;img src=http", ""))
    assert rows_of(page)[1]["text"] == HOSTILE
    assert rows_of(page)[1]["object_id"] == HOSTILE
    assert made.result["without_picture"] == 1
    with (tmp_path / "out" / "worklist.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert table[0]["object_id"] == "'=cmd()"
    assert table[1]["object_id"] == HOSTILE


def test_an_image_that_is_gone_costs_only_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = usual_run(tmp_path)
    (tmp_path / "data" / "images" / "a.png").unlink()
    assert main(["review", str(folder)]) == 1
    said = capsys.readouterr()
    assert said.err.count("a.png") == 1
    page = (folder / "review" / "index.html").read_text(encoding="utf-8")
    assert page.count("no picture: ") == 3
    assert Page(page).tags.count("img") == 2
    assert Page(page).ranks == [2, 3, 4, 5]


def test_a_data_set_that_is_gone_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = usual_run(tmp_path)
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    assert main(["review", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["without_picture"] == 4
    assert main(["review", str(folder)]) == 1
    assert capsys.readouterr().err.count("--data") == 1
    assert main(["review", str(folder), "--data", str(moved / "coco.json")]) == 0


def test_a_sample_is_marked_and_has_pictures(tmp_path: Path) -> None:
    write_review(open_run(usual_run(tmp_path)), tmp_path / "out", most=0, sample=2)
    rows = rows_of((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    marked = [row for row in rows if row["sampled"]]
    assert len(marked) == 2
    assert [row["rank"] for row in rows if row["pictured"]] == [row["rank"] for row in marked]
    assert not {"broken", "gone"} & {str(row["object_id"]) for row in marked}


def test_a_decision_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="decide"):
        write_review(open_run(usual_run(tmp_path)), tmp_path / "out", accept=0.9)
    assert not (tmp_path / "out").exists()


def test_decisions_of_checked_masks_are_shown(tmp_path: Path) -> None:
    folder = usual_run(tmp_path)
    checks = [
        {"object_id": name, "verdict": "ok" if name == "fine" else "wrong"} for name in ("fine", "bad", "middling")
    ]
    (tmp_path / "checked.json").write_text(
        json.dumps({"schema": "segagent.checked/1", "run": "run", "checked": checks})
    )
    write_review(open_run(folder), tmp_path / "out", accept=0.9, checked=tmp_path / "checked.json")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert {row["object_id"]: row["decision"] for row in rows_of(page)} == {
        "broken": "", "gone": "see", "bad": "see", "middling": "see", "fine": "accept",
    }  # fmt: skip
    assert "Which masks can be accepted" in page


def test_many_objects_stay_a_small_page() -> None:
    entries = [
        WorkItem(n, f"object {n}", "image", "kept", text="some words", expected_iou=0.5, order=0.5)
        for n in range(30_000)
    ]
    page = review_page("Review", [], entries, {})
    assert "This page lists 20000 of 30000 objects" in page
    assert len(page) < 4_000_000
    assert PICTURE_BYTES * 4 / 3 < 28_000_000


def test_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", str(tmp_path)]) == 2
    assert "no run" in capsys.readouterr().err


BROWSER = """
const make = tag => ({tag, children: [], dataset: {}, listeners: {}, value: '', checked: false, hidden: false,
  textContent: '', className: '', offsetTop: 0, tagName: tag.toUpperCase(),
  append(...more) { this.children.push(...more); }, replaceChildren(...more) { this.children = more; },
  addEventListener(name, does) { this.listeners[name] = does; }, querySelectorAll() { return fields; },
  focus() { document.activeElement = this; }, blur() {}, scrollIntoView() {}});
const known = {}, fields = [];
const document = {activeElement: null, listeners: {}, createElement: make,
  getElementById(id) { return known[id] ??= make('div'); },
  addEventListener(name, does) { this.listeners[name] = does; }};
const window = {scrollTo() {}};
function Option(text, value) { return {text, value}; }
document.getElementById('rows').textContent = ROWS;
document.getElementById('high').value = '1';
document.getElementById('low').value = '0';
document.getElementById('sort').value = 'rank';
for (const id of ['search', 'outcome', 'low', 'high', 'sort', 'pictured']) fields.push(document.getElementById(id));
"""

STEPS = """
const told = {};
const listed = name => { told[name] = list.children.map(card => card.children[0].textContent.split('. ')[0]); };
const type = (id, value) => { at(id).value = value; at(id).listeners.input(); };
listed('first');
at('next').listeners.click();
listed('second');
type('search', 'NEEDLE'); listed('search'); type('search', '');
type('outcome', 'failed'); listed('outcome'); type('outcome', '');
type('low', '0.55'); listed('low'); type('low', '0');
type('sort', 'best'); listed('best');
told.where = at('where').textContent;
told.outcomes = at('outcome').children.map(option => option.value);
const press = key => document.listeners.keydown({key, target: {tagName: 'BODY'}, preventDefault() {}});
press('j'); press('j');
told.focused = document.activeElement.children[0].textContent;
told.text = list.children[0].children[0].textContent;
console.log(JSON.stringify(told));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_filters_sorting_pages_and_keys(tmp_path: Path) -> None:
    entries = [
        WorkItem(n, f"o{n}", "i", "kept", text=f"<b>{n}</b>", expected_iou=n / 100, order=n / 100) for n in range(59)
    ]
    entries += [
        WorkItem(59, "needle", "i", "kept", text="it", expected_iou=0.59, order=0.59),
        WorkItem(60, "f", "i", "failed"),
    ]
    page = review_page("Review", [], ranked(entries), {})
    content = json.dumps(
        json.dumps({"columns": list(rows_of(page)[0]), "rows": [[*r.values()] for r in rows_of(page)]})
    )
    script = BROWSER.replace("ROWS", content) + SCRIPT + STEPS
    (tmp_path / "page.js").write_text(script, encoding="utf-8")
    done = subprocess.run(["node", str(tmp_path / "page.js")], check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert told["first"] == [str(rank) for rank in range(1, 51)]
    assert told["second"] == [str(rank) for rank in range(51, 62)]
    assert told["search"] == ["61"]
    assert told["outcome"] == ["1"]
    assert told["low"] == ["57", "58", "59", "60", "61"]
    assert told["best"][:3] == ["61", "60", "59"]
    assert told["where"] == "61 of 61 objects, page 1 of 2"
    assert told["outcomes"] == ["", "failed", "kept"]
    assert told["focused"] == "60. <b>58</b>"
    assert told["text"] == "61. it"
