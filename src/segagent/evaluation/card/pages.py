"""A card for people: Markdown, and one HTML page that opens from disk."""

from __future__ import annotations

from collections.abc import Sequence

from segagent.evaluation.card.figures import BY_KEY, FIGURES, SCORE, SCORE_DEFINITION
from segagent.evaluation.card.reading import Card, CardData, Value
from segagent.evaluation.report.gallery import Shown
from segagent.evaluation.report.html import GALLERY_SCRIPT, galleries_html
from segagent.pages.charts import Series, line_chart
from segagent.pages.elements import list_element, table_element, whole_page
from segagent.pages.markdown import markdown_report
from segagent.pages.table import Table

NOT_KNOWN = "-"
BASELINES = {"centre": "image centre", "outline": "own outline, no click", "annotator": "simulated annotator"}
"""How people call the baselines."""


def shown(value: Value, key: str, *, interval: bool = True) -> str:
    """A figure as text: fractions in percent, "-" where it is not known."""
    if value.value is None:
        return NOT_KNOWN
    scale, digits = (100.0, 1) if BY_KEY[key].unit == "percent" else (1.0, 2)
    text = f"{scale * value.value:.{digits}f}"
    if interval and value.low is not None and value.high is not None:
        text += f" [{scale * value.low:.{digits}f}, {scale * value.high:.{digits}f}]"
    return text


def card_markdown(card: Card) -> str:
    """The card as Markdown."""
    return markdown_report(_tables(card), _about(card), _title(card))


def card_html(card: Card, galleries: Sequence[Sequence[Shown]]) -> str:
    """The card as a page. ``galleries`` has a list of film strips for each data set."""
    labels = [one.label for one in card.data]
    parts = [table_element(table) for table in _tables(card)]
    lines = [Series(one.label, tuple(one.reliability)) for one in card.data if one.reliability]
    chart = line_chart("Reliability of predicted IoUs", ("predicted IoU", "true IoU"), lines, diagonal=True)
    parts += [chart, *galleries_html(labels, galleries), list_element("How it was made", _about(card))]
    return whole_page(_title(card), parts, script=GALLERY_SCRIPT)


def _title(card: Card) -> str:
    return f"HLMAT card: {card.name} + {card.tool}"


def _tables(card: Card) -> list[Table]:
    rows = tuple((one.label, shown(one.figure(SCORE), SCORE), str(one.figure(SCORE).count)) for one in card.data)
    score = Table("Score", ("data set", "score", "sentences"), rows, SCORE_DEFINITION)
    meanings = tuple((f"{f.ability}: {f.name}", _unit(f.unit), f.definition) for f in FIGURES)
    note = (
        "Intervals are 95 % percentile bootstrap, images resampled as a whole. The image centre is one click in the "
        "middle of the image; the own outline is the policy's, of the object that it takes to be meant, as the mask: "
        "no click and no tool, and what clicking has to beat; the simulated annotator knows the target and clicks for "
        "all steps: an upper bound of what clicks can do with this tool, no result."
    )
    definitions = Table("What the figures mean", ("figure", "unit", "definition"), meanings, note)
    return [score, *(_data_table(one) for one in card.data), definitions]


def _unit(unit: str) -> str:
    return "%" if unit == "percent" else ""


def _data_table(one: CardData) -> Table:
    header = ("figure", "value [95 %]", "n", *BASELINES.values(), "better")
    rows = []
    for figure in FIGURES:
        value = one.figure(figure.key)
        beside = [one.baselines.get(name, {}).get(figure.key) for name in BASELINES]
        cells = ["" if other is None else shown(other, figure.key) for other in beside]
        name = f"{figure.ability}: {figure.name}"
        rows.append((name, shown(value, figure.key), str(value.count), *cells, figure.better))
    counts = ", ".join(f"{name} {count}" for name, count in one.counts.items())
    stops = ", ".join(f"{name} {count}" for name, count in one.stopped.items())
    return Table(one.label, header, tuple(rows), f"Counted: {counts}. Why episodes ended: {stops}.")


def _about(card: Card) -> list[str]:
    protocol = ", ".join(f"{name} {value}" for name, value in card.protocol.items())
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    prints = [f"Data set {one.label}: fingerprint {one.fingerprint}." for one in card.data]
    return [f"Policy {card.policy}, tool {card.tool}.", f"Protocol: {protocol}.", *prints, f"Versions: {versions}."]
