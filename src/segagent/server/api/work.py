"""What the interface does, without HTTP: each method answers one request, in a thread that may wait for models."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from segagent.annotation.batch import ObjectRecord
from segagent.annotation.batch.likely_error import likely_error
from segagent.annotation.python_api import annotate, audit, refine
from segagent.annotation.single import box_start
from segagent.core import BoolMask, Box, Click, Image, InputError, Prompt, empty_mask, encode_rle
from segagent.imaging import encode_png
from segagent.search import SearchConfig
from segagent.server.api import wire
from segagent.server.api.pictures import Pictures
from segagent.server.api.room import AHEAD, Room
from segagent.server.worker import Patience


class Work:
    """The models and the pictures that are kept. Methods may be called by any thread.

    They raise ``InputError`` for what cannot be done, ``PictureGoneError``, ``OverdueError``, and what models raise.
    """

    def __init__(self, room: Room, pictures: Pictures) -> None:
        self.room, self.pictures = room, pictures

    def picture(self, content: bytes) -> dict[str, Any]:
        """Keep a picture, and make it ready for clicks."""
        name, image = self.pictures.take(content)
        self.room.prefetch(image)
        return _picture(name, image)

    def known(self, name: str) -> dict[str, Any]:
        """A picture that is kept."""
        return _picture(name, self.pictures.get(name))

    def segment(self, asked: wire.SegmentAsked, patience: Patience) -> dict[str, Any]:
        """The tool's mask."""
        name, image = self._meant(asked)
        began = None if asked.mask is None else asked.mask.mask(image)
        box = None if asked.box is None else Box(*asked.box)
        clicks = [Click(click.x, click.y, click.positive) for click in asked.clicks]
        mask = self.clicked(image, began, box, clicks, patience)
        return {
            "picture": name,
            "mask": encode_rle(mask),
            "area": int(mask.sum()),
            "png": _png(mask) if asked.png else None,
        }

    def clicked(
        self, image: Image, began: BoolMask | None, box: Box | None, clicks: Sequence[Click], patience: Patience
    ) -> BoolMask:
        """The tool's mask, bool (height, width), from the mask that one ``began`` with, the box, then the clicks."""
        tool = self.room.tool(patience, AHEAD)
        prompts: list[Prompt] = []
        if box is not None:
            start = box_start(box, image, tool)
            if start.mask is None:
                prompts.append(box)
            elif began is None:
                began = start.mask
            else:
                raise InputError(f"the tool {tool.name!r} takes no box to a mask; leave one of them out")
        prompts += clicks
        if began is None:
            began = empty_mask(image.height, image.width)
        return self.room.clicking.after(tool, image.key, lambda: tool.embed([image])[0], began, prompts).mask

    def annotate(self, asked: wire.AnnotateAsked, patience: Patience) -> dict[str, Any]:
        """An episode from the empty mask."""
        name, image = self._meant(asked)
        models = self.room.models(patience)
        search = SearchConfig(max_steps=asked.steps, num_candidates=asked.candidates)
        record = annotate(image, asked.text, models=models, search=search, found=asked.found, seed=asked.seed)
        return self._made(name, record, png=asked.png)

    def refine(self, asked: wire.RefineAsked, patience: Patience) -> dict[str, Any]:
        """An episode from a mask."""
        name, image = self._meant(asked)
        models = self.room.models(patience, started=True)
        search = SearchConfig(max_steps=asked.steps, num_candidates=asked.candidates)
        record = refine(image, asked.text, asked.mask.mask(image), models=models, search=search, seed=asked.seed)
        return self._made(name, record, png=asked.png)

    def score(self, asked: wire.ScoreAsked, patience: Patience) -> dict[str, Any]:
        """What the policy thinks of a mask."""
        name, image = self._meant(asked)
        record = audit(image, asked.text, asked.mask.mask(image), models=self.room.models(patience, started=True))
        predicted = record.given_iou
        assert predicted is not None, "an audit without a prediction is no record"
        calibrated = self.room.calibrated(predicted, record.doubts)
        error, outline = likely_error(record, calibrated), record.outline
        return {
            "picture": name,
            "predicted_iou": predicted,
            "calibrated_iou": calibrated,
            "outline": None
            if outline is None
            else {"iou": outline.iou, "missing": outline.missing, "spill": outline.spill, "by": outline.by},
            "likely_error": {"label": error.label, "reason": error.reason},
            "doubts": list(record.doubts),
        }

    def _meant(self, asked: wire.PictureAsked) -> tuple[str, Image]:
        content = asked.content()
        if content is not None:
            return self.pictures.take(content)
        assert asked.picture is not None
        return asked.picture, self.pictures.get(asked.picture)

    def _made(self, name: str, record: ObjectRecord, *, png: bool) -> dict[str, Any]:
        predicted = record.predicted_iou
        return {
            "picture": name,
            "outcome": record.outcome,
            "mask": record.trajectory.rle_at(record.trajectory.returned),
            "png": _png(record.mask) if png else None,
            "predicted_iou": predicted,
            "calibrated_iou": None if predicted is None else self.room.calibrated(predicted, record.doubts),
            "doubts": list(record.doubts),
            "trajectory": record.trajectory.to_dict(),
        }


def _picture(name: str, image: Image) -> dict[str, Any]:
    return {"picture": name, "height": image.height, "width": image.width}


def _png(mask: BoolMask) -> str:
    return base64.b64encode(encode_png(mask)).decode("ascii")
