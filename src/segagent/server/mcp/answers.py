"""What the tools answer, as structured content with a published schema, and what they are handed besides texts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segagent.server.wire import Told


class MaskRle(Told):
    """A mask as compressed COCO RLE."""

    size: Annotated[list[int], Field(min_length=2, max_length=2, description="Height and width in pixels.")]
    counts: Annotated[str, Field(description="Run lengths, column-major, as pycocotools writes them.")]


class ClickMade(Told):
    """A click in force."""

    x: Annotated[int, Field(description="Column in the full picture, from 0.")]
    y: Annotated[int, Field(description="Row in the full picture, from 0.")]
    positive: Annotated[bool, Field(description="On the object, rather than on the background.")]


PredictedIou = Annotated[
    float | None, Field(description="The policy's own estimate of the mask's IoU, in [0, 1]; null: it gives none.")
]
CalibratedIou = Annotated[
    float | None,
    Field(description="What masks so predicted are worth on average, in [0, 1]; null: the policy is not calibrated."),
]
Doubts = Annotated[list[str], Field(description="What the policy says against relying on it here.")]
ShownScale = Annotated[
    float, Field(description="The picture in this answer is the full one times this; clicks are in full pixels.")
]


class MaskAnswer(Told):
    """An episode as it is now."""

    episode: Annotated[str, Field(description="The episode's name, for click, undo, refine and score.")]
    outcome: Annotated[
        str,
        Field(description="made, not_found (annotate); repaired, kept (refine); clicked; undone."),
    ]
    text: Annotated[str, Field(description="What is to be segmented.")]
    image: Annotated[str, Field(description="The picture's name.")]
    height: int
    width: int
    mask: MaskRle
    area: Annotated[int, Field(description="Pixels in the mask.")]
    predicted_iou: PredictedIou
    calibrated_iou: CalibratedIou
    doubts: Doubts
    clicks: Annotated[list[ClickMade], Field(description="Those in force, oldest first.")]
    num_steps: Annotated[int, Field(description="Actions of the episode so far, undone ones included.")]
    shown_scale: ShownScale


class ScoreAnswer(Told):
    """What a mask is worth for a sentence."""

    text: str
    image: str
    height: int
    width: int
    predicted_iou: PredictedIou
    calibrated_iou: CalibratedIou
    outline_iou: Annotated[
        float | None, Field(description="Its worth as an outline of whatever it is on; null: the policy cannot tell.")
    ]
    likely_error: Annotated[str, Field(description="ok, wrong object, missing part, spill, rough edge, ...")]
    reason: Annotated[str, Field(description="What that was read off.")]
    doubts: Doubts
    shown_scale: ShownScale


class AuditedObject(Told):
    """One object of a data set."""

    object_id: str
    image: str
    text: str
    category: str | None
    outcome: Annotated[str, Field(description="audited, or failed.")]
    predicted_iou: PredictedIou
    calibrated_iou: CalibratedIou
    likely_error: str
    evidence: str
    doubts: Doubts
    reason: Annotated[str, Field(description="Why it failed; else empty.")]


class AuditAnswer(Told):
    """The masks of a data set, the worst first."""

    dataset: str
    images: Annotated[int, Field(description="Images looked at.")]
    images_left: Annotated[int, Field(description="Images of the data set that were not looked at.")]
    objects: Annotated[int, Field(description="Objects looked at, failed ones included.")]
    failed: int
    doubted: Annotated[int, Field(description="Objects that the policy has doubts about.")]
    likely_errors: dict[str, int]
    mean_calibrated_iou: float | None
    warnings: Annotated[list[str], Field(description="What goes before all figures.")]
    worst: list[AuditedObject]
    run: Annotated[str, Field(description="The run's folder, for segagent review; empty: it was not kept.")]
