"""Cards that can be compared on one data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from segagent.evaluation.card.figures import SCORE_DEFINITION
from segagent.evaluation.card.pages import BASELINES
from segagent.evaluation.card.reading import Card, CardData, Value


@dataclass(frozen=True)
class Row:
    """A card and its part about the board's data set."""

    card: Card
    data: CardData


@dataclass
class Board:
    """``rows`` measured in the same way on the same data set, best score first."""

    label: str
    fingerprint: str
    protocol: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Data set and how many sentences."""
        return f"{self.label}: {self.rows[0].data.counts.get('sentences', 0)} sentences"

    @property
    def note(self) -> str:
        """What the score is and how this was played."""
        protocol = ", ".join(f"{name} {value}" for name, value in self.protocol.items())
        return (
            f"Ordered by masks: gIoU, the score. {SCORE_DEFINITION} Where intervals overlap, the order may be chance. "
            f"Rows without a rank are baselines as measured in the first card with that tool; an outline is of the "
            f"policy that it names, whatever the tool. {protocol}."
        )

    def ranked(self) -> Iterator[tuple[int | None, Row]]:
        """Each row with its rank from 1; equal scores share one, no score has none."""
        for place, row in enumerate(self.rows, 1):
            if row.data.score is None:
                yield None, row
                continue
            above = sum(other.data.score is not None and other.data.score > row.data.score for other in self.rows)
            yield min(place, above + 1), row

    def references(self) -> Iterator[tuple[str, str, dict[str, Value]]]:
        """(baseline, tool, figures): each baseline once for each tool, outlines once for each policy and of no tool."""
        seen = set()
        for row in self.rows:
            for name, label in BASELINES.items():
                outline = name == "outline"
                about = (f"{label}: {row.card.name}", "-") if outline else (label, row.card.tool)
                if name in row.data.baselines and about not in seen:
                    seen.add(about)
                    yield *about, row.data.baselines[name]
