"""Reports: structure, escaping of untrusted text, and which of the paper's figures stand beside ours."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from segagent.evaluation.report.complexity import complexity_chart, complexity_table
from segagent.evaluation.report.gallery import Shown, choose
from segagent.evaluation.report.html import html_report
from segagent.evaluation.report.paper import COLUMNS, TABLE_1, paper_column
from segagent.evaluation.report.tables import report_tables, run_labels, short_names
from segagent.evaluation.results import Found
from segagent.pages.bars import Bar, Group, bar_chart
from segagent.pages.charts import Series, line_chart
from segagent.pages.markdown import escaped, markdown_report

HOSTILE = '"><script>alert(1)</script><img src=x onerror="alert(2)">|`*_ \u202e\n# big'


def one(value: float, **more: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, **more}


def result(protocol: str, metrics: dict[str, dict[str, float]], dataset: str = "scenes:5", policy: str = "p") -> dict:
    counts = dict.fromkeys(("samples", "images", "images_in_dataset", "skipped", "failed", "predicted_ious"), 5)
    return {
        "protocol": protocol,
        "select": "returned",
        "metrics": metrics,
        "counts": counts,
        "reliability": [{"mean_predicted": 0.2, "mean_true": 0.3}, {"mean_predicted": 0.8, "mean_true": 0.7}],
        "dataset": dataset,
        "config": {"policy": policy, "tool": "t"},
        "versions": {"segagent": "1"},
    }


RES = {"cIoU": one(0.7), "gIoU": one(0.75), "IoU@1": one(0.6), "IoU@3": one(0.7)}
NOC = {"NoC@80": one(3.0, failures=1), "NoC@90": one(5.5, failures=2), "IoU@1": one(0.5), "IoU@2": one(0.6)}
FILTER = {"gIoU": one(0.5), "Pearson": one(0.9), "predicted IoU MAE": one(0.0688), "predicted IoU MSE": one(0.0194)}


class Tags(HTMLParser):
    """Names of all tags, and attributes that would run or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        loads = [v for k, v in attrs if k in ("src", "href") and not (v or "").startswith("data:image/jpeg;base64,")]
        self.bad += [k for k, _ in attrs if k.startswith("on")] + [str(v) for v in loads]


def test_untrusted_text_stays_text() -> None:
    runs = [result("res", RES, HOSTILE, HOSTILE), result("noc", NOC, HOSTILE, HOSTILE), result("filter", FILTER)]
    gallery = [Shown("best", HOSTILE, HOSTILE, HOSTILE, 0.5, b"strip", b"target")]
    page = html_report(report_tables(runs), runs, [gallery, [], []], [HOSTILE])
    seen = Tags()
    seen.feed(page)
    assert seen.tags.count("script") == 1
    assert seen.tags.count("img") == 2
    assert seen.tags.count("svg") == 4
    assert seen.bad == []
    assert "default-src 'none'" in page
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        ET.fromstring(svg)
    markdown = markdown_report(report_tables(runs), [HOSTILE])
    assert "<script" not in markdown.replace("\\<", "")
    assert [line for line in markdown.splitlines() if line.startswith("# ")] == ["# Evaluation"]
    for table in markdown.split("\n\n"):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(columns) <= 1


def test_markdown_of_a_run() -> None:
    text = markdown_report(report_tables([result("noc", NOC)]), ["made"])
    assert text == (Path(__file__).parent / "report_golden.md").read_text(encoding="utf-8")


def test_the_papers_figures_stand_beside_the_same_metric() -> None:
    tables = {table.title: table for table in report_tables([result("res", RES, "refcoco+:DATA:split=testA")])}
    beside = tables["cIoU beside the paper's"]
    assert beside.header == ("", "RefCOCO+ testA")
    assert beside.rows[0] == ("p + t", "70.0 [69.0, 71.0]")
    assert ("paper: SegAgent-LLaVA + SAM", "76.68") in beside.rows
    assert "no comparison" not in beside.note
    steps = tables["Mean IoU by number of steps"]
    assert ("paper: with PRM", "71.53", "72.98") in steps.rows
    filtering = {t.title: t for t in report_tables([result("filter", FILTER)])}["Predicted against true IoU"]
    assert filtering.rows[0][2:4] == ("6.9 [5.9, 7.9]", "194.0 [94.0, 294.0]")
    assert filtering.rows[1][:3] == ("paper: Qwen", "", "6.88")
    assert all(len(values) == len(COLUMNS) for values in TABLE_1.values())


@pytest.mark.parametrize(
    ("dataset", "column"),
    [
        ("refcoco:DATA:split=val", "RefCOCO val"),
        ("refcoco+:DATA:split=testB", "RefCOCO+ testB"),
        ("refcocog:DATA:split=test,by=umd", "RefCOCOg test"),
        ("refcocog:DATA:split=val,by=google", None),
        ("refcoco_dev", None),
        ("refcoco:DATA", None),
        ("grefcoco:DATA:split=val", None),
        ("scenes:5:split=val", None),
    ],
)
def test_columns_of_the_paper(dataset: str, column: str | None) -> None:
    assert paper_column(dataset) == column


def test_labels_differ() -> None:
    runs = [result("res", RES), result("noc", NOC), result("noc", NOC, policy="q")]
    assert run_labels(runs[1:]) == ["p + t", "q + t"]
    assert run_labels(runs) == ["1: p + t", "2: p + t", "3: q + t"]


def test_gallery_chooses_best_median_and_worst() -> None:
    found = [Found(k, str(k), "i", "t", 1, iou) for k, iou in enumerate([0.5, 0.9, 0.1, 0.4, 0.6, 0.2, 0.8])]
    assert choose(found, 1) == {1: "best", 0: "median", 2: "worst"}
    assert choose(found[:2], 2) == {1: "best", 0: "best"}
    assert choose(found, 0) == choose([], 3) == {}


def test_charts() -> None:
    assert line_chart("t", ("x", "y"), []) == ""
    chart = line_chart("t", ("x", "y"), [Series("a", ((1, 0.5),), ((0.4, 0.6),))], diagonal=True)
    ET.fromstring(chart)
    assert escaped("a|b\nc") == "a\\|b c"
    runs = [result("noc", NOC, "/a/b/easy"), result("noc", NOC, "/a/b/hard")]
    assert run_labels(runs) == ["p + t on easy", "p + t on hard"]


def test_short_names() -> None:
    assert short_names(["/a/b/easy", "refcoco:/a/refer:split=val", "scenes:5:split=val"]) == [
        "easy",
        "refcoco:refer:split=val",
        "scenes:5:split=val",
    ]
    assert short_names(["/a/x", "/b/x"]) == ["/a/x", "/b/x"]


def test_complexity_of_data_sets() -> None:
    hard = {"NoC@80": one(12.0, failures=3), "NoC@85": {"value": 14.0, "low": None, "high": None, "failures": 4}}
    runs = [
        result("noc", NOC, "/a/easy"),
        result("noc", hard, "/a/easy", "q"),
        result("res", RES, "/a/easy"),
        result("noc", hard, f"/a/{HOSTILE}"),
    ]
    (table,) = complexity_table(runs)
    assert [row[0] for row in table.rows] == ["easy", HOSTILE.rsplit("/", maxsplit=1)[-1], "easy"]
    assert table.rows[1][2:] == ("5", "12.00 (3) [11.99, 12.01]", "14.00 (4)")
    assert table.rows[0][-1] == ""
    svg = ET.fromstring(complexity_chart(runs))
    bars = [e for e in svg.iter("{http://www.w3.org/2000/svg}rect") if e.get("width") != "12"]
    assert [round(float(e.get("height", "0")) / float(bars[1].get("height", "1")), 2) for e in bars] == [
        0.25,
        1.0,
        1.17,
        1.0,
        1.17,
    ]
    assert complexity_table(runs[:3]) == []
    assert complexity_chart(runs[:3]) == ""
    assert bar_chart("t", "u", ["a"], [Group("g", (None,))]) == ""
    assert "<rect" in bar_chart("t", "u", ["a"], [Group("g", (Bar(0.0),))])
