"""COCO in, COCO out: nothing changes but what was found out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interop_runs import HEIGHT, WIDTH, by_id, disc, folder_data_set, make_run, picture, source_file
from pycocotools.coco import COCO

from segagent.annotation.interop import ExportOptions, export_run
from segagent.core import InputError, encode_rle
from segagent.datasets import CocoDataset
from segagent.datasets.coco_masks import decode_segmentation, encode_counts

TOKENS = ["1e2", "1.0", "0.10", "-0", "1E+2", "123456789012345678901234567890", "3.0000000000000004", "NaN"]


class Raw(str):
    """JSON as it is to stand in the file."""


@st.composite
def json_text(draw: st.DrawFn, value: Any) -> str:
    """``value`` as JSON with odd white space and escapes."""
    gap = st.sampled_from(["", " ", "\n", "\t", " \r\n  "])
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        members = [
            f"{draw(gap)}{draw(json_text(k))}{draw(gap)}:{draw(gap)}{draw(json_text(v))}{draw(gap)}"
            for k, v in value.items()
        ]
        return "{" + (",".join(members) or draw(gap)) + "}"
    if isinstance(value, list):
        return "[" + (",".join(f"{draw(gap)}{draw(json_text(v))}{draw(gap)}" for v in value) or draw(gap)) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()) if _encodable(value) else True)


def _encodable(value: Any) -> bool:
    return not isinstance(value, str) or not any("\ud800" <= letter <= "\udfff" for letter in value)


extras = st.dictionaries(
    st.text(max_size=5).filter(
        lambda name: name
        not in ("id", "image_id", "category_id", "iscrowd", "segmentation", "area", "bbox", "segagent", "name",
                "file_name", "height", "width", "images", "annotations", "categories", "text_input")
    ),
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5) | st.sampled_from(TOKENS).map(Raw),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)  # fmt: skip


@st.composite
def coco_files(draw: st.DrawFn) -> str:
    ids = st.integers(1, 99) | st.sampled_from(["x", "é", "\\u00e9", "7a", "日本"])
    images = draw(st.lists(ids, min_size=1, max_size=3, unique_by=str))
    annotations = []
    for number in draw(st.lists(ids, max_size=5, unique_by=str)):
        mask = disc(draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1)), draw(st.integers(1, 9)))
        polygon = [[Raw("1e0"), Raw("2.0"), 9, Raw("0.20e1"), 9, 9, 1, 9]]
        segmentation = draw(st.sampled_from([polygon, dict(encode_rle(mask)), encode_counts(mask)]))
        required = {
            "id": number,
            "image_id": draw(st.sampled_from(images)),
            "category_id": 1,
            "segmentation": segmentation,
        }
        optional = {"area": Raw("64.50"), "bbox": [1, 2, Raw("8.0"), 7], "iscrowd": draw(st.integers(0, 1))}
        chosen = {name: value for name, value in optional.items() if draw(st.booleans())}
        members = list({**required, **chosen, **draw(extras)}.items())
        annotations.append(dict(draw(st.permutations(members))))
    content = {
        "images": [
            {"id": number, "file_name": f"{place}.png", "height": HEIGHT, "width": WIDTH, **draw(extras)}
            for place, number in enumerate(images)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": draw(st.sampled_from(["dög", "disc", "ghost"])), **draw(extras)}],
        **draw(extras),
    }
    return draw(json_text(dict(draw(st.permutations(list(content.items()))))))


def strip_added(before: bytes, after: bytes) -> bytes:
    """``after`` without the keys that were added, found by comparing the two from both ends of every annotation."""
    text = after
    while (place := text.find(b', "segagent": {"schema"')) >= 0:
        depth, end, inside = 0, place + len(b', "segagent": '), False
        while True:
            letter = text[end : end + 1]
            if inside:
                if letter == b"\\":
                    end += 1
                elif letter == b'"':
                    inside = False
            elif letter == b'"':
                inside = True
            elif letter in b"{}":
                depth += 1 if letter == b"{" else -1
            end += 1
            if not depth:
                break
        text = text[:place] + text[end:]
    return text


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=coco_files())
def test_audited_coco_changes_nothing_but_the_added_key(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("coco")
    source = folder / "coco.json"
    before = text.encode("utf-8")
    source.write_bytes(before)
    for number in range(3):
        picture(folder / f"{number}.png")
    run = make_run(source, folder / "run")
    report = export_run(run, "coco", folder / "out.json")
    after = (folder / "out.json").read_bytes()
    assert strip_added(before, after) == before
    scored = {r.object_id: r for r in run.objects()}
    told = json.loads(after)
    for entry in told["annotations"]:
        facts = entry.get("segagent")
        assert (facts is not None) == (not entry.get("iscrowd") and str(entry["id"]) in scored)
        if facts is not None:
            assert facts["object_id"] == str(entry["id"])
            assert facts["predicted_iou"] == round(scored[str(entry["id"])].predicted_iou or -1, 4)
    assert report.written.total() + len(report.without) == len(CocoDataset(source))
    # Once more: the added key is exchanged, nothing else is, and the earlier one is kept in its own words.
    again = make_run(folder / "out.json", folder / "run2")
    export_run(again, "coco", folder / "out2.json")
    assert strip_added(before, (folder / "out2.json").read_bytes()) == before
    for entry, earlier in zip(
        json.loads((folder / "out2.json").read_bytes())["annotations"], told["annotations"], strict=True
    ):
        if "segagent" in earlier:
            assert json.dumps(entry["segagent"]["earlier"]) == json.dumps(earlier["segagent"])


def test_repaired_masks_take_the_place_of_theirs(tmp_path: Path) -> None:
    source = source_file(tmp_path)
    run = make_run(source, tmp_path / "run", "refine", margin=0.02, sure=0.0)
    records = {record.object_id: record for record in run.objects()}
    assert [records[name].outcome for name in ("5", "7", "8")] == ["repaired", "kept", "repaired"]
    export_run(run, "coco", tmp_path / "out.json")
    before, after = by_id(source), by_id(tmp_path / "out.json")
    assert after[6] == before[6]
    assert {k: v for k, v in after[7].items() if k != "segagent"} == before[7]
    assert after[7]["segagent"]["made_by"] == "given"
    for number in (5, 8):
        mask = records[str(number)].trajectory.mask_at(records[str(number)].trajectory.returned)
        entry = after[number]
        assert (decode_segmentation(entry["segmentation"], HEIGHT, WIDTH) == mask).all()
        facts = entry["segagent"]
        assert (facts["made_by"], facts["outcome"]) == ("model", "repaired")
        assert facts["clicks"] == [[16, 12, True]]
        assert facts["calibrated_iou"] == pytest.approx(0.1 + 0.8 * facts["predicted_iou"], abs=1e-4)
        assert facts["versions"]["segagent"]
        assert {**entry, **facts["replaced"], "segagent": None} == {**before[number], "segagent": None}
    assert isinstance(after[5]["segmentation"]["counts"], str)
    assert isinstance(after[8]["segmentation"]["counts"], list)
    assert after[5]["area"] == COCO_area(after[5])
    assert b'"area": 36.5,' in (tmp_path / "out.json").read_bytes()
    # Whatever was not an answer of the run reads as before, and a foreign reader takes all of it.
    assert [d["name"] for d in COCO(tmp_path / "out.json").loadCats([3, 4])] == ["dog", "cat"]
    reread = {sample.sample_id: sample for sample in CocoDataset(tmp_path / "out.json")}
    assert (reread["5"].load_target()[0] == records["5"].trajectory.mask_at(records["5"].trajectory.returned)).all()


def COCO_area(entry: dict[str, Any]) -> int:  # noqa: N802
    return int(np.count_nonzero(decode_segmentation(entry["segmentation"], HEIGHT, WIDTH)))


def test_what_is_not_accepted_keeps_its_mask_or_is_left_out(tmp_path: Path) -> None:
    source = source_file(tmp_path)
    run = make_run(source, tmp_path / "run", "refine", margin=0.02, sure=0.0)
    accepted = frozenset({"5"})
    report = export_run(run, "coco", tmp_path / "all.json", ExportOptions(accepted))
    assert (report.num_accepted, report.num_not_accepted) == (1, 2)
    before, after = by_id(source), by_id(tmp_path / "all.json")
    assert [after[n]["segagent"]["accepted"] for n in (5, 7, 8)] == [True, False, False]
    assert {k: v for k, v in after[8].items() if k != "segagent"} == before[8]
    assert after[8]["segagent"]["proposal"]["segmentation"]["counts"]
    report = export_run(run, "coco", tmp_path / "some.json", ExportOptions(accepted, only_accepted=True))
    assert list(by_id(tmp_path / "some.json")) == [5, 6]
    assert (report.written.total(), report.more["left_out"]) == (1, 2)
    nothing = export_run(run, "coco", tmp_path / "none.json", ExportOptions(frozenset(), only_accepted=True))
    assert list(by_id(tmp_path / "none.json")) == [6]
    assert nothing.written.total() == 0
    for names in ({"7"}, {"8"}, {"7", "8"}):
        export_run(run, "coco", tmp_path / "x.json", ExportOptions(frozenset(names), only_accepted=True, force=True))
        assert {str(n) for n in by_id(tmp_path / "x.json")} == names | {"6"}


def test_never_overwrites_and_leaves_nothing_behind(tmp_path: Path) -> None:
    source = source_file(tmp_path)
    run = make_run(source, tmp_path / "run")
    with pytest.raises(InputError, match="--force"):
        export_run(run, "coco", source)
    with pytest.raises(InputError, match="never replaced"):
        export_run(run, "coco", source, ExportOptions(force=True))
    export_run(run, "coco", tmp_path / "out.json")
    content = (tmp_path / "out.json").read_bytes()
    export_run(run, "coco", tmp_path / "out.json", ExportOptions(force=True))
    assert (tmp_path / "out.json").read_bytes() == content
    source.write_text(source.read_text() + "\n")
    with pytest.raises(InputError, match="has changed"):
        export_run(run, "coco", tmp_path / "other.json")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part") or path.name == "other.json"]


def test_other_data_sets_get_a_fresh_file(tmp_path: Path) -> None:
    run = make_run(folder_data_set(tmp_path / "data"), tmp_path / "run", "annotate")
    report = export_run(run, "coco", tmp_path / "data" / "instances.json")
    assert report.written == {"made": 3}
    assert [(o.object_id, o.reason[:9]) for o in report.without] == [
        ("id#2", "not_found"),
        ("gone", "image " + str(tmp_path)[:3]),
    ]
    opened = CocoDataset(tmp_path / "data" / "instances.json", tmp_path / "data")
    assert [sample.category for sample in opened] == ["disc", "disc", "the other"]
    records = [r for r in run.objects() if r.outcome == "made"]
    for sample, record in zip(opened, records, strict=True):
        assert sample.image_name == record.image
        assert (sample.load_target()[0] == record.trajectory.mask_at(record.trajectory.returned)).all()
    content = json.loads((tmp_path / "data" / "instances.json").read_bytes())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "sub/b.png"]
    assert all(0 <= entry["score"] <= 1 for entry in content["annotations"])
    scenes = make_run("scenes:2:sentences=1,size=64", tmp_path / "scenes", "audit")
    assert export_run(scenes, "coco", tmp_path / "scenes.json").written == {"audited": 2}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_source_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    source = source_file(tmp_path)
    text = json.dumps(json.loads(source.read_text()), ensure_ascii=False)
    source.write_bytes(text.encode(encoding))
    run = make_run(source, tmp_path / "run", "refine", margin=0.02, sure=0.0)
    export_run(run, "coco", tmp_path / "out.json")
    after = (tmp_path / "out.json").read_bytes()
    assert after.startswith(b"\xef\xbb\xbf{" if encoding == "utf-8-sig" else b"{")
    entries = {entry["id"]: entry for entry in json.loads(after)["annotations"]}
    assert [entries[number]["segagent"]["outcome"] for number in (5, 7, 8)] == ["repaired", "kept", "repaired"]
    assert entries[5]["note"] == "\u00e9"


def test_ids_of_tables_and_boxes_without_masks_get_their_masks(tmp_path: Path) -> None:
    source = source_file(tmp_path)
    content = json.loads(source.read_text())
    for entry, segmentation in zip(content["annotations"], (..., "crowd", None, []), strict=True):
        entry["id"] = float(entry["id"])
        if segmentation is ...:
            del entry["segmentation"]
        elif segmentation != "crowd":
            entry["segmentation"] = segmentation
    source.write_text(json.dumps(content))
    run = make_run(source, tmp_path / "run", "annotate", found=0.0)
    assert [record.object_id for record in run.objects()] == ["5", "7", "8"]
    assert not list(run.failures())
    export_run(run, "coco", tmp_path / "out.json")
    reread = {sample.sample_id: sample for sample in CocoDataset(tmp_path / "out.json")}
    for record in run.objects():
        assert (reread[record.object_id].load_target()[0] == record.mask).all()
    added = by_id(tmp_path / "out.json")[5]
    assert "segmentation" not in added["segagent"]["replaced"]
    assert list(added)[-2:] == ["segmentation", "segagent"]
