"""An audit with a policy that cannot judge outlines: the tool draws each mask anew from its box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import segagent
from cheap_models import Saying
from segagent.annotation.batch import Models, Run, audit_score, likely_error
from segagent.core import BoolMask, Box, Click, Image, Observation, Proposal, Segmentation, SegmentRequest, ToolError
from segagent.core import frozen_mask as frozen
from segagent.imaging import encode_png, write_bytes

THING = np.zeros((60, 80), np.bool_)
THING[10:40, 20:60] = True
HALF = THING.copy()
HALF[:, 40:] = False


class Wordless(Saying):
    """Says of every mask that it is about half right, and clicks nowhere in particular."""

    name = "wordless"

    def says(self, look: Observation, seed: int) -> Proposal:
        return Proposal(Click(1, 1, True), 0.5, None, "")


class WholeThing:
    """Of a box or a click on the thing it makes the thing; any other click changes nothing."""

    name = "whole thing"
    thread_safe = True

    def __init__(self, *, accepts_box: bool = True, broken: bool = False) -> None:
        self.accepts_box = accepts_box
        self._broken = broken

    def embed(self, images: Sequence[Image]) -> list[object]:
        return [None] * len(images)

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        return [Segmentation(self._mask(request), None) for request in requests]

    def _mask(self, request: SegmentRequest) -> BoolMask:
        prompt = request.prompts[-1]
        if self._broken and isinstance(prompt, Box):
            raise ToolError("no boxes today")
        if request.mask.shape != THING.shape:  # of a picture that runs try their models on
            return request.mask
        return frozen(THING) if isinstance(prompt, Box) or THING[prompt.y, prompt.x] else request.mask


def audited(tool: WholeThing, folder: Path, *masks: BoolMask) -> Run:
    """An audit of a picture with these masks."""
    write_bytes(folder / "a.png", encode_png(np.zeros((60, 80, 3), np.uint8)))
    samples = []
    for number, mask in enumerate(masks):
        write_bytes(folder / f"{number}.png", encode_png(mask))
        samples.append(f'{{"image": "a.png", "mask": "{number}.png", "text": "it"}}')
    (folder / "manifest.json").write_text(f'{{"samples": [{", ".join(samples)}]}}')
    return segagent.audit(str(folder), out=folder / "run", models=Models(Wordless(), tool), tool_opinion=True)


@pytest.mark.parametrize("accepts_box", [True, False])
def test_the_mask_that_the_tool_draws_otherwise_comes_first(accepts_box: bool, tmp_path: Path) -> None:
    whole, half = audited(WholeThing(accepts_box=accepts_box), tmp_path, THING, HALF).objects()
    assert whole.outline is not None
    assert half.outline is not None
    assert (whole.outline.iou, whole.outline.missing, whole.outline.spill) == (1.0, 0.0, 0.0)
    assert (half.outline.iou, half.outline.missing, half.outline.spill) == (0.5, 1.0, 0.0)
    assert whole.outline.by == half.outline.by == "tool"
    assert (audit_score(whole), audit_score(half)) == (0.75, 0.625)


def test_agreement_is_no_expected_iou_and_names_no_error(tmp_path: Path) -> None:
    (half,) = audited(WholeThing(), tmp_path, HALF).objects()
    assert likely_error(half, 0.5) == likely_error(replace(half, outline=None), 0.5)


def test_an_empty_mask_is_not_asked_about(tmp_path: Path) -> None:
    (empty,) = audited(WholeThing(), tmp_path, np.zeros_like(THING)).objects()
    assert empty.outline is None


def test_a_tool_that_fails_then_fails_the_object_and_no_other(tmp_path: Path) -> None:
    run = audited(WholeThing(broken=True), tmp_path, HALF, np.zeros_like(THING))
    assert [record.object_id for record in run.objects()] == ["000001"]
    (failure,) = run.failures()
    assert failure.reason == "no boxes today"


def test_a_refine_does_not_ask_the_tool_about_its_own_work(tmp_path: Path) -> None:
    audited(WholeThing(), tmp_path, HALF)
    run = segagent.refine(str(tmp_path), out=tmp_path / "refined", models=Models(Wordless(), WholeThing()))
    (record,) = run.objects()
    assert record.outline is None


def test_a_record_by_somebody_unknown_is_none() -> None:
    from segagent.annotation.batch.records import SeenOutline

    told = SeenOutline(0.5, 1.0, 0.0, by="tool").to_dict()
    assert SeenOutline.from_dict(told) == SeenOutline(0.5, 1.0, 0.0, by="tool")
    with pytest.raises(ValueError, match="'outline'"):
        SeenOutline.from_dict({**told, "by": "nobody"})
