"""COCO out for runs whose data set was not COCO: an instances file in the style of ``datasets.coco_writing``.

It is written as a stream: ``annotations`` behind a header, then what was met on the way, and ``categories``.
"""

from __future__ import annotations

import json
from typing import IO, Any

from segagent.annotation.interop.answers import Answer, Answers
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.datasets.coco_writing import coco_header
from segagent.environment.simulated import box_around


def write_fresh_coco(answers: Answers, pictures: Pictures, out: IO[bytes]) -> None:
    """Write all answers; images with none are listed too, as far as their size can be found out."""
    images: list[dict[str, Any]] = []
    number = 0
    out.write(json.dumps(coco_header()).encode("ascii")[:-1] + b', "annotations": [')
    for one in answers.by_image():
        size = one.size or pictures.size_of(one.image)
        if size is None:
            continue
        name = pictures.file_name(one.image)
        images.append({"id": len(images) + 1, "file_name": name, "height": size[0], "width": size[1]})
        for answer in one.answers:
            number += 1
            annotation = _annotation(answer, number, len(images), answers.labels[answer.label] + 1)
            out.write((b",\n" if number > 1 else b"\n") + json.dumps(annotation).encode("ascii"))
    categories = [{"id": place + 1, "name": name} for name, place in answers.labels.items()]
    rest = {"images": images, "categories": categories}
    out.write(b"\n], " + json.dumps(rest).encode("ascii")[1:] + b"\n")


def _annotation(answer: Answer, number: int, image: int, category: int) -> dict[str, Any]:
    mask = answer.mask
    box = box_around(mask)
    assert box is not None
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
        "segmentation": answer.rle,
        "text": answer.text,
        "sample_id": answer.object_id,
        **({} if answer.score is None else {"score": answer.score}),
        PROVENANCE_KEY: answer.facts,
    }
