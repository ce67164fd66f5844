"""What a run knows about one object: the only record; exports, work lists and reports are made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast, get_args

from segagent.core import BoolMask, Trajectory

OBJECT_SCHEMA = "segagent.object/1"

Outcome: TypeAlias = Literal["audited", "kept", "repaired", "made", "not_found"]


@dataclass(frozen=True, slots=True)
class SeenOutline:
    """What is seen of a given mask without the words: ``iou``, its expected IoU with the thing that it fits best, in
    [0, 1]; how much of that thing is ``missing`` and how much ``spill`` there is, as shares of the mask.
    ``answer_iou``: the same as ``iou`` of the mask that a refine came to, None where there is no other.

    ``by`` the "policy", where it judges outlines; else by the "tool" of an audit: then ``iou`` is how well the mask
    agrees with what the tool makes of its box, which orders masks but is no expected IoU.
    """

    iou: float
    missing: float
    spill: float
    answer_iou: float | None = None
    by: Literal["policy", "tool"] = "policy"

    def to_dict(self) -> dict[str, float | str]:
        """JSON form, rounded."""
        values = {name: getattr(self, name) for name in ("iou", "missing", "spill", "answer_iou")}
        told: dict[str, float | str] = {name: round(value, 4) for name, value in values.items() if value is not None}
        return told if self.by == "policy" else {**told, "by": self.by}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> SeenOutline:
        """Inverse of :meth:`to_dict`. Raises ``ValueError``."""
        try:
            answer, by = data.get("answer_iou"), data.get("by", "policy")
            if by not in ("policy", "tool"):
                raise ValueError(f"'by' is {by!r:.80}")
            return SeenOutline(
                float(data["iou"]),
                float(data["missing"]),
                float(data["spill"]),
                None if answer is None else float(answer),
                by,
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"'outline' is not what a run writes there: {data!r:.80}") from error


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object of a run.

    ``trajectory.returned`` is the answer: the given mask (state 0) where it was audited or kept, another state where it
    was repaired or made. Times and costs are not in it, so that a run gives the same records whenever it is made.
    ``doubts``: what the policy says against relying on it here. ``outline``: what is seen of the given mask without the
    words, where that was looked at.
    """

    object_id: str
    outcome: Outcome
    trajectory: Trajectory
    category: str | None = None
    doubts: tuple[str, ...] = ()
    outline: SeenOutline | None = None

    @property
    def image(self) -> str:
        """The image's name in its data set."""
        return self.trajectory.image

    @property
    def text(self) -> str:
        """What the mask should show."""
        return self.trajectory.text

    @property
    def mask(self) -> BoolMask:
        """The answer, bool (height, width)."""
        return self.trajectory.mask_at(self.trajectory.returned)

    @property
    def given_iou(self) -> float | None:
        """The predicted IoU of the given mask, None where none was given, in [0, 1]."""
        return None if self.outcome in ("made", "not_found") else self.trajectory.start.predicted_iou

    @property
    def predicted_iou(self) -> float | None:
        """The predicted IoU of the answer, in [0, 1]."""
        return self.trajectory.predicted_iou_at(self.trajectory.returned)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; see :data:`OBJECT_SCHEMA`. What the journal's header tells for all objects is left out."""
        bare = replace(self.trajectory, seconds=0.0, versions={}, usage=None)
        return {
            "schema": OBJECT_SCHEMA,
            "object_id": self.object_id,
            "outcome": self.outcome,
            **({} if self.category is None else {"category": self.category}),
            **({} if not self.doubts else {"doubts": list(self.doubts)}),
            **({} if self.outline is None else {"outline": self.outline.to_dict()}),
            "trajectory": bare.to_dict(),
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> ObjectRecord:
        """Inverse of :meth:`to_dict`. Raises ``ValueError`` naming what does not fit the schema."""
        outcome = data.get("outcome")
        if data.get("schema") != OBJECT_SCHEMA or outcome not in get_args(Outcome):
            raise ValueError(f"expected a record of schema {OBJECT_SCHEMA!r}, got {data.get('schema')!r:.80}")
        if not isinstance(data.get("trajectory"), dict):
            raise ValueError("the record holds no trajectory")
        category = data.get("category")
        return ObjectRecord(
            object_id=str(data.get("object_id")),
            outcome=cast(Outcome, outcome),
            trajectory=Trajectory.from_dict(data["trajectory"]),
            category=None if category is None else str(category),
            doubts=tuple(str(doubt) for doubt in data.get("doubts", ())),
            outline=None if data.get("outline") is None else SeenOutline.from_dict(data["outline"]),
        )
