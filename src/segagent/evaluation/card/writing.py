"""From stored episodes to card.json, card.md and card.html."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segagent.evaluation.card.measuring import make_card, measure_section
from segagent.evaluation.card.pages import card_html, card_markdown
from segagent.evaluation.card.protocol import Benchmark, DataSet
from segagent.evaluation.card.reading import CARD_FILE, parse_card
from segagent.evaluation.report.gallery import draw_gallery
from segagent.imaging.writing import write_bytes


def write_card(
    sets: Sequence[DataSet],
    out: str | Path,
    config: Benchmark = Benchmark(),  # noqa: B008 - frozen
    *,
    name: str | None = None,
    gallery: int = 2,
) -> dict[str, Any]:
    """Measure what :func:`play_benchmark` stored in ``out`` and write the card beside it; the card is given back.

    ``name``: how leaderboards call it. ``gallery``: so many best, median and worst episodes of each data set on the
    page. Raises ``InputError`` for damaged journals and where nothing can be written.
    """
    folder = Path(out)
    sections = [measure_section(one, folder, config) for one in sets]
    content = make_card(sections, config, name)
    card = parse_card(content)
    galleries = [draw_gallery(s.run, s.found, gallery, s.dataset.dataset)[0] if gallery else [] for s in sections]
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_bytes(folder / CARD_FILE, text.encode("ascii"))
    write_bytes(folder / "card.md", card_markdown(card).encode("utf-8", "backslashreplace"))
    write_bytes(folder / "card.html", card_html(card, galleries).encode("utf-8", "backslashreplace"))
    return content
