"""Corrections made in COCO, Label Studio and CVAT files: they enter the run's record, and arrive in the final file."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from edited_runs import (
    IDS,
    IMAGE_IDS,
    IMAGE_OF,
    Expected,
    Stands,
    big_source,
    check_final,
    discs,
    hand_run,
    happened,
    labels,
    person,
    source_masks,
)
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from interop_runs import HEIGHT, WIDTH, disc
from test_way_back import OF, check_diff

from segagent.annotation.batch import Run
from segagent.annotation.interop import ExportOptions, RecordOptions, export_run, record_corrections
from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.cvat import mask_runs
from segagent.annotation.people import PeopleLog, read_events, standings_of
from segagent.cli.main import main
from segagent.core import BoolMask, InputError, encode_rle, iou

FORMATS = ("coco", "label-studio", "cvat")

edits = st.one_of(
    st.none(),
    st.tuples(st.just("redrawn"), discs),
    st.tuples(st.just("relabelled"), labels),
    st.tuples(st.just("deleted"), st.none()),
)
Edits = dict[str, Any]
New = list[tuple[str, str, BoolMask]]


def edited(run: Run, path: Path, kind: str, changes: Edits, new: New, **options: Any) -> None:
    """Export ``run`` to ``path``, and change the file as people and their programs would."""
    export_run(run, kind, path, ExportOptions(**options))
    {"coco": _coco, "label-studio": _label_studio, "cvat": _cvat}[kind](path, changes, new)


def _coco(path: Path, changes: Edits, new: New) -> None:
    data = json.loads(path.read_text())
    names = {one["name"]: one["id"] for one in data["categories"]}

    def category(label: str) -> int:
        if label not in names:
            names[label] = 100 + len(names)
            data["categories"].append({"id": names[label], "name": label})
        return names[label]

    for one in list(data["annotations"]):
        change = changes.get(str(one["id"]))
        if change is None:
            continue
        if change[0] == "redrawn":
            one["segmentation"] = encode_rle(change[1])
        elif change[0] == "relabelled":
            one["category_id"] = category(change[1])
        else:
            data["annotations"].remove(one)
    for number, (image, label, mask) in enumerate(new):
        entry = {"id": 5000 + number, "image_id": IMAGE_IDS[image], "category_id": category(label)}
        data["annotations"].append({**entry, "segmentation": encode_rle(mask)})
    path.write_text(json.dumps(data))


def _label_studio(path: Path, changes: Edits, new: New) -> None:
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks):
        image = task["data"]["segagent"]["image"]
        result = [region for one in task.pop("predictions", []) for region in one["result"]]
        for region in list(result):
            change = changes.get(region["id"].removeprefix("segagent."))
            if change is None:
                continue
            if change[0] == "redrawn":
                region["value"]["rle"] = encode_brush(change[1])
            elif change[0] == "relabelled":
                region["value"]["brushlabels"] = [change[1]]
            else:
                result.remove(region)
        for place, (_, label, mask) in enumerate(one for one in new if one[0] == image):
            result.append(_region(f"new{place}", label, mask))
        task["annotations"] = [{"id": number, "result": result, "updated_at": "2026-01-01", "completed_by": 3}]
    path.write_text(json.dumps(tasks))


def _region(name: str, label: str, mask: BoolMask) -> dict[str, Any]:
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": name, "type": "brushlabels", "from_name": "mask", "to_name": "image", **size, "value": value}


def _cvat(path: Path, changes: Edits, new: New) -> None:
    text = path.read_text(encoding="utf-8")
    for shape in re.findall("    <mask.*?</mask>\n", text, re.S):
        found = re.search('<attribute name="object_id">(.*?)</attribute>', shape)
        assert found is not None
        change = changes.get(found[1])
        if change is None:
            continue
        if change[0] == "redrawn":
            attributes = shape[shape.index(">") + 1 :]
            label = re.search("label=(\"[^\"]*\"|'[^']*')", shape)
            assert label is not None
            text = text.replace(shape, f"    {_opening(label[1], change[1])}{attributes}")
        elif change[0] == "relabelled":
            start, end = re.search("label=(\"[^\"]*\"|'[^']*')", shape).span(1)  # type: ignore[union-attr]
            text = text.replace(shape, shape[:start] + quoteattr(change[1]) + shape[end:])
        else:
            text = text.replace(shape, "")
    for image, label, mask in new:
        begin = re.search(f'<image id="[0-9]+" name="{image}"[^>]*>\n', text)
        assert begin is not None
        text = text.replace(begin[0], f"{begin[0]}    {_opening(quoteattr(label), mask)}</mask>\n")
    path.write_text(text, encoding="utf-8")


def _opening(label: str, mask: BoolMask) -> str:
    runs, *box = mask_runs(mask)
    own = " ".join(f'{name}="{value}"' for name, value in zip(("left", "top", "width", "height"), box, strict=True))
    return f'<mask label={label} source="manual" rle="{", ".join(map(str, runs))}" {own}>'


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    before=st.fixed_dictionaries(dict.fromkeys(IDS, st.one_of(st.none(), discs))),
    changes=st.fixed_dictionaries(dict.fromkeys(IDS, edits)),
    new=st.lists(st.tuples(st.sampled_from(["a.png", "b.png"]), labels, discs), max_size=3),
)
def test_everything_done_elsewhere_arrives(kind: str, before: Edits, changes: Edits, new: New) -> None:
    """``before``: what was redrawn in the review page before the file was exported."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = big_source(folder / "data")
        run = hand_run(folder / "run", source)
        masks = source_masks(source)
        shown = {one: mask if before[one] is None else before[one] for one, mask in masks.items()}
        # What is drawn where something of the picture lies may be taken for that, which is no fault.
        for image, label, mask in new:
            near = [one for one in IDS if IMAGE_OF[one] == image]
            assume(all(iou(mask, old[one]) < 0.5 for one in near for old in (masks, shown)))
            # A new object in place of the only one of its class that was deleted is that one, moved, where ids go; a
            # COCO file that holds none of the run's ids may have been given new ones.
            ids_stay = kind == "coco" and any((changes[one] or "-")[0] != "deleted" for one in IDS)
            assume(ids_stay or not any(OF[one] == label and (changes[one] or "-")[0] == "deleted" for one in near))
        assume(len({(image, label, mask.tobytes()) for image, label, mask in new}) == len(new))
        drawn = [changes[one][1] for one in IDS if changes[one] and changes[one][0] == "redrawn"]
        assume(all(iou(mask, other) < 0.5 for mask in drawn for other in (*shown.values(), *masks.values())))
        assume(all(iou(one, other) < 0.5 for k, one in enumerate(drawn) for other in drawn[:k]))
        assume(all(iou(mask, other) < 0.5 for _, _, mask in new for other in drawn))
        happened(
            run, *(person("stroke", one, mask=encode_rle(mask)) for one, mask in before.items() if mask is not None)
        )
        file = folder / ("x.xml" if kind == "cvat" else "x.json")
        edited(run, file, kind, changes, new)
        made = record_corrections(run, file, RecordOptions(by="bob"))
        assert made.problems == []
        expected = Expected(added=new)
        for one in IDS:
            mask, label, gone = before[one], None, False
            match changes[one]:
                case ("redrawn", drawn_anew):
                    mask = drawn_anew
                case ("relabelled", other) if other != OF[one]:
                    label = other
                case ("deleted", _):
                    gone = True
            mask = None if mask is None or (mask == masks[one]).all() else mask
            # A picture's class stays in the file as it is spelled; XML's white space is no other class.
            expected.objects[one] = Stands(mask, label, None, gone)
        if not list(read_events(run)):
            return
        export_run(run, "coco", folder / "final.json")
        check_final(source, folder / "final.json", expected)
        check_diff(source, folder / "final.json", expected)
        # Once more: nothing; and the export of that, given back as it is: nothing either.
        assert record_corrections(run, file, RecordOptions(by="bob")).events == []
        again = folder / f"again{file.suffix}"
        edited(run, again, kind, {}, [])
        # Who submits a task in Label Studio has looked at all that is in it.
        assert record_corrections(run, again).kinds.keys() <= ({"confirmed"} if kind == "label-studio" else set())
        export_run(run, "coco", folder / "last.json")
        check_final(source, folder / "last.json", expected)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return hand_run(tmp_path / "run", big_source(tmp_path / "data"))


NEW = disc(27, 4, 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_two_that_lie_over_one_another_and_change_classes_keep_their_masks(run: Run, tmp_path: Path, kind: str) -> None:
    """Object 20 is now called what 1000 was called, and lies where that lies: its id and its mask say who it is."""
    happened(run, person("stroke", "20", mask=encode_rle(disc(20, 12, 7))))
    file = tmp_path / ("x.xml" if kind == "cvat" else "x.json")
    edited(run, file, kind, {"20": ("relabelled", "mug"), "1000": ("relabelled", "dog")}, [])
    made = record_corrections(run, file, RecordOptions(by="bob"))
    labels = {one.object_id: one.label for one in made.events if one.kind == "relabelled"}
    assert labels == {"20": "mug", "1000": "dog"}
    assert not [one for one in made.events if one.kind == "corrected"]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_others_have_done_since_the_export_stays(run: Run, tmp_path: Path, kind: str) -> None:
    """Ann's work after the export is not undone by Bob's file, but where both were at one object the last word wins."""
    happened(run, person("stroke", "17", mask=encode_rle(disc(23, 15, 4))))
    file = tmp_path / ("x.xml" if kind == "cvat" else "x.json")
    edited(run, file, kind, {"20": ("redrawn", disc(9, 15, 4)), "5": ("deleted", None)}, [])
    happened(
        run,
        person("stroke", "17", mask=encode_rle(disc(25, 17, 5))),
        person("stroke", "20", mask=encode_rle(disc(8, 9, 6))),
        person("removed", "1000"),
        person("added", "new", image="b.png", label="cat", mask=encode_rle(NEW)),
    )
    made = record_corrections(run, file, RecordOptions(by="bob"))
    kinds = [(one.kind, one.object_id, one.seen) for one in made.events if one.kind != "confirmed"]
    assert kinds == [("corrected", "20", 1), ("removed", "5", 1)]
    left = standings_of(run)
    assert left["20"].contested == [made.events[0].number]
    assert left["17"].now.mask == encode_rle(disc(25, 17, 5))
    assert left["1000"].now.removed
    assert not left["new"].now.removed
    assert left["5"].by in ("bob", "3")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_deletion_of_what_was_drawn_before_arrives(run: Run, tmp_path: Path, kind: str) -> None:
    happened(
        run,
        person("stroke", "17", mask=encode_rle(disc(23, 15, 4))),
        person("added", "new", image="b.png", label="cat", mask=encode_rle(NEW)),
    )
    file = tmp_path / ("x.xml" if kind == "cvat" else "x.json")
    export_run(run, "coco", tmp_path / "numbers.json")
    new = json.loads((tmp_path / "numbers.json").read_text())["annotations"][-1]["id"]
    edited(run, file, kind, {"17": ("deleted", None), str(new) if kind == "coco" else "new": ("deleted", None)}, [])
    made = record_corrections(run, file)
    assert {one.object_id for one in made.events if one.kind == "removed"} == {"17", "new"}


def test_objects_that_failed_or_were_not_come_to_are_taken(tmp_path: Path) -> None:
    source = big_source(tmp_path / "data")
    run = hand_run(tmp_path / "run", source, {"5": "failed", "17": "not_found", "20": "left"})
    changes = {one: ("redrawn", disc(12 + 2 * k, 9, 5)) for k, one in enumerate(IDS)}
    edited(run, tmp_path / "x.json", "coco", changes, [])
    made = record_corrections(run, tmp_path / "x.json")
    assert (made.problems, made.kinds) == ([], {"corrected": 4})
    report = export_run(run, "coco", tmp_path / "final.json")
    assert report.written == {"corrected": 4}
    check_final(source, tmp_path / "final.json", Expected({k: Stands(v[1]) for k, v in changes.items()}))


def test_a_file_whose_program_dropped_our_keys(run: Run, tmp_path: Path) -> None:
    """Then nobody can tell what the mask was exported as: any that it had counts, and new ones are not deleted."""
    happened(
        run,
        person("stroke", "17", mask=encode_rle(disc(23, 15, 4))),
        person("added", "new", image="b.png", label="cat", mask=encode_rle(NEW)),
    )
    edited(run, tmp_path / "x.json", "coco", {"20": ("deleted", None)}, [])
    data = json.loads((tmp_path / "x.json").read_text())
    data["annotations"] = [one for one in data["annotations"] if one.get("sample_id", one["id"]) != 1001]
    for one in data["annotations"]:
        one.pop("segagent", None)
    (tmp_path / "x.json").write_text(json.dumps(data))
    made = record_corrections(run, tmp_path / "x.json")
    assert [(one.kind, one.object_id) for one in made.events] == [("removed", "20")]
    assert made.num_missing == 1


def test_the_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"5": ("redrawn", disc(10, 5, 4)), "17": ("relabelled", "wolf"), "20": ("deleted", None)}
    edited(run, tmp_path / "x.json", "coco", changes, [("none.png", "mug", NEW)])
    command = ["import", str(tmp_path / "x.json"), "--run", str(run.folder)]
    assert main([*command, "--by", "bob", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {k: told[k] for k in ("events", "corrected", "relabelled", "removed", "added", "known")} == {
        "events": 4, "corrected": 1, "relabelled": 1, "removed": 1, "added": 1, "known": 0,
    }  # fmt: skip
    assert main(command) == 0
    assert "0 new events (none)" in capsys.readouterr().out
    assert {one.by for one in read_events(run)} == {"bob"}
    assert main(["export", str(run.folder), "--to", "coco", "-o", str(tmp_path / "final.json")]) == 0
    assert "removed by people: 1, listed in" in capsys.readouterr().out
    expected = Expected({"5": Stands(changes["5"][1]), "17": Stands(label="wolf"), "20": Stands(gone=True)})
    expected.added.append(("none.png", "mug", NEW))
    check_final(tmp_path / "data" / "coco.json", tmp_path / "final.json", expected)
    assert main([*command, "--force"]) == 2


def test_a_running_server_is_told_of(run: Run, tmp_path: Path) -> None:
    edited(run, tmp_path / "x.json", "coco", {"5": ("redrawn", disc(10, 5, 4))}, [])
    with PeopleLog(run), pytest.raises(InputError, match=r"people.jsonl: another process .* review server"):
        record_corrections(run, tmp_path / "x.json")
    assert record_corrections(run, tmp_path / "x.json").kinds == {"corrected": 1}
