"""Runs written by hand over a COCO file with all that such files have, and edits that people make to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from interop_runs import HEIGHT, WIDTH, disc, picture

from segagent.annotation.batch import ObjectRecord, Run, open_run
from segagent.annotation.batch.folder import COSTS_FILE, JOURNAL_FILE
from segagent.annotation.people import Event, PeopleLog
from segagent.core import BoolMask, Click, Start, Step, Trajectory, encode_rle
from segagent.core.failures import Failure
from segagent.datasets import open_dataset
from segagent.datasets.coco_masks import decode_segmentation, encode_counts
from segagent.runs.journal import Journal

POLYGON = [[2, 2, 8, 2, 8, 8.50, 2, 8]]

CLASSES = ("dog", "cat", "mug")


def big_source(folder: Path) -> Path:
    """Gaps between ids, extra keys, numbers spelled oddly, a crowd, polygons, both RLEs, a picture without any."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png", "none.png"):
        picture(folder / name)
    pieces = [
        '{"id": 5, "image_id": 10, "category_id": 3, "iscrowd": 0, "area": 36.50, "bbox": [2, 2, 6, 6.0], '
        f'"segmentation": {json.dumps(POLYGON)}, "note": "\\u00e9 {{]", "score": 1e-1}}',
        '{"iscrowd": 1, "id": 6, "image_id": 10, "category_id": 3, "area": 1, "bbox": [1, 2, 3, 4],\n  "segmentation": '
        + json.dumps(encode_counts(disc(20, 10, 6)))
        + "}",
        '{ "segmentation" : '
        + json.dumps(encode_counts(disc(24, 16, 6)))
        + ', "id":17,"image_id":10, "category_id": 4,"area":1e2, "bbox": [1,1,1,1], "attributes": {"id": 1}}',
        json.dumps({"id": 20, "image_id": 2, "category_id": 4, "segmentation": encode_rle(disc(8, 8, 5)), "x": None}),
        json.dumps({"category_id": 9, "segmentation": encode_rle(disc(22, 12, 6)), "image_id": 2, "id": 1000}),
    ]
    text = '{"info": {"year": 2001.0}, "categories": [{"id": 3, "name": "dog", "supercategory": "animal"}, '
    text += '{"id": 9, "name": "mug"}, {"id": 4, "name": "cat"}],\n"annotations": [\n' + ",\n".join(pieces) + "\n],"
    images = [(10, "a.png"), (2, "b.png"), (7, "none.png")]
    listed = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH, "k": [1.50]} for n, name in images]
    (folder / "coco.json").write_text(text + f' "images": {json.dumps(listed)}' + "}\n", encoding="utf-8")
    return folder / "coco.json"


def hand_run(folder: Path, source: Path, outcomes: Mapping[str, str] = {}, job: str = "audit") -> Run:
    """A run whose objects are audited, or what ``outcomes`` says; "left": the run has not come to their image."""
    dataset = open_dataset(str(source))
    folder.mkdir(parents=True)
    groups = list(dataset.groups())
    about = {"dataset": dataset.spec, "versions": {"segagent": "1"}, "policy": "p", "tool": "t"}
    config = {"job": job, "dataset": dataset.fingerprint, "num_images": len(groups), "policy": "p", "tool": "t"}
    with Journal(folder / JOURNAL_FILE, config, about) as journal, Journal(folder / COSTS_FILE, {}, {}) as costs:
        for unit, group in enumerate(groups):
            records = [_record(one, outcomes.get(one.sample_id, "audited")) for one in group.samples()]
            if None in records:
                break
            journal.append(unit, [record.to_dict() for record in records if record is not None])
            costs.append(unit, [{"cost": {"seconds": 1.0}}])
    return open_run(folder)


def _record(sample: Any, outcome: str) -> ObjectRecord | Failure | None:
    if outcome == "left":
        return None
    if outcome == "failed":
        return Failure(sample.sample_id, sample.image_name, "cannot be read")
    mask = sample.load_target()[0]
    better = mask.copy()
    better[:2, :2] = True
    trajectory = Trajectory(
        sample_id=sample.sample_id,
        image=sample.image_name,
        height=HEIGHT,
        width=WIDTH,
        text=sample.text,
        policy="p",
        tool="t",
        seed=0,
        start=Start("mask", encode_rle(mask), 0.5),
        steps=(Step(Click(1, 1, True), "+", encode_rle(better), 0, 0.9),),
        returned=0 if outcome in ("audited", "kept") else 1,
        stopped="max_steps",
    )
    return ObjectRecord(sample.sample_id, outcome, trajectory, sample.category)  # type: ignore[arg-type]


@dataclass
class Stands:
    """How an object should stand. ``mask``, ``label``, ``text`` None: as in the source."""

    mask: BoolMask | None = None
    label: str | None = None
    text: str | None = None
    gone: bool = False


@dataclass
class Expected:
    """The source's objects by id, and the added ones: (image, label, mask)."""

    objects: dict[str, Stands] = field(default_factory=dict)
    added: list[tuple[str, str, BoolMask]] = field(default_factory=list)


IDS = ("5", "17", "20", "1000")
IMAGE_OF = {"5": "a.png", "17": "a.png", "20": "b.png", "1000": "b.png"}
IMAGE_IDS = {"a.png": 10, "b.png": 2, "none.png": 7}

discs = st.builds(disc, st.integers(2, WIDTH - 3), st.integers(2, HEIGHT - 3), st.floats(1, 9))
labels = st.sampled_from([*CLASSES, "wolf", 'a "new" one & <x> é', "z"])


def raw(value: str) -> Any:
    """JSON with numbers as they are spelled."""
    return json.loads(value, parse_int=lambda n: f"int {n}", parse_float=lambda n: f"float {n}")


def check_final(source: Path, final: Path, expected: Expected) -> None:
    """Whether the export holds exactly what is expected of it."""
    before, after = raw(source.read_text(encoding="utf-8")), raw(final.read_text(encoding="utf-8"))
    assert after.keys() == before.keys()
    assert after["info"] == before["info"]
    assert after["images"] == before["images"]
    assert after["categories"][: len(before["categories"])] == before["categories"]
    names = {one["id"]: one["name"] for one in after["categories"]}
    assert len(names) == len(after["categories"]) == len(set(names.values()))
    ids = [one["id"] for one in after["annotations"]]
    assert len(set(ids)) == len(ids)
    found = {one["id"].removeprefix("int "): one for one in after["annotations"]}
    known = {one["id"].removeprefix("int "): one for one in before["annotations"]}
    gone = {name for name, stands in expected.objects.items() if stands.gone}
    assert [name for name in found if name in known] == [name for name in known if name not in gone]
    for name, was in known.items():
        if name in gone:
            continue
        stands, now = expected.objects.get(name, Stands()), dict(found[name])
        told = now.pop("segagent", None)
        exchanged: set[str] = set()
        if stands.mask is not None:
            exchanged |= {"segmentation", "area", "bbox"}
            check_mask(json.loads(final.read_bytes()), name, stands.mask, told)
        if stands.label is not None:
            exchanged |= {"category_id"}
            assert names[now["category_id"]] == stands.label
        if stands.text is not None:
            exchanged |= {"text"}
            assert now["text"] == stands.text
        assert {k: v for k, v in now.items() if k not in exchanged} == {
            k: v for k, v in was.items() if k not in exchanged
        }
        assert list(was) == [key for key in now if key in was]
        if exchanged:
            assert told["replaced"] == {key: was[key] for key in exchanged if key in was}
        if stands.mask is not None:
            assert told["made_by"] == "person"
    new = [one for name, one in found.items() if name not in known]
    listed = sorted((one["image_id"], names[one["category_id"]], one["segmentation"]["counts"]) for one in new)
    wanted = sorted((f"int {IMAGE_IDS[i]}", label, encode_rle(m)["counts"]) for i, label, m in expected.added)
    assert listed == wanted
    assert all(one["segagent"]["made_by"] == "person" for one in new)
    told = json.loads(final.with_name(f"{final.stem}.removed.json").read_text())["removed"]
    assert {one["object_id"] for one in told} == gone
    for one in told:
        assert one["annotation"] == next(
            a for a in json.loads(source.read_text())["annotations"] if str(a["id"]) == one["object_id"]
        )


def check_mask(data: dict[str, Any], name: str, mask: BoolMask, told: Mapping[str, Any]) -> None:
    one = next(one for one in data["annotations"] if str(one["id"]) == name)
    assert (decode_segmentation(one["segmentation"], HEIGHT, WIDTH) == mask).all()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if "area" in one:
        assert one["area"] == int(mask.sum())
    if "bbox" in one:
        assert one["bbox"] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
    was = told["replaced"]["segmentation"]
    assert isinstance(one["segmentation"]["counts"], list) == (
        isinstance(was, dict) and isinstance(was["counts"], list)
    )


def person(kind: str, object_id: str, by: str = "ann", **more: Any) -> Event:
    image = more.pop("image", IMAGE_OF.get(object_id, "a.png"))
    return Event(kind, object_id, image, by, "2026-01-01T00:00:00.000Z", "review", **more)  # type: ignore[arg-type]


def happened(run: Run, *events: Event) -> None:
    with PeopleLog(run) as log:
        for event in events:
            log.append([event])


def source_masks(source: Path) -> dict[str, BoolMask]:
    return {sample.sample_id: sample.load_target()[0] for sample in open_dataset(str(source))}
