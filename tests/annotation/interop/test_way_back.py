"""COCO in, people, COCO out: random things that people do in the review page, and each of them in the final file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from edited_runs import (
    IDS,
    IMAGE_IDS,
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
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from interop_runs import disc, folder_data_set, make_run

from segagent.annotation.diff.comparing import compare
from segagent.annotation.diff.sources import open_source
from segagent.annotation.interop import export_run
from segagent.core import BoolMask, encode_rle

OF = {"5": "dog", "17": "cat", "20": "cat", "1000": "mug"}
"""The classes of the source's objects."""

acts = st.one_of(
    st.tuples(st.sampled_from(["click", "stroke", "polygon", "box", "corrected"]), discs),
    st.tuples(st.just("relabelled"), labels),
    st.tuples(st.just("rephrased"), st.sampled_from(["the one é", "dog", '<b>"x"'])),
    st.tuples(st.sampled_from(["removed", "restored", "undo", "redo", "note"]), st.none()),
    st.tuples(st.just("verdict"), st.sampled_from(["ok", "absent", "unsure", "skip"])),
    st.tuples(st.just("take given"), st.none()),
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    outcomes=st.fixed_dictionaries(dict.fromkeys(IDS, st.sampled_from(["audited", "failed", "not_found", "left"]))),
    steps=st.lists(st.tuples(st.sampled_from(IDS), acts), max_size=12),
    new=st.lists(st.tuples(st.sampled_from(sorted(IMAGE_IDS)), labels, discs, st.booleans()), max_size=3),
)
def test_everything_done_in_the_page_arrives(
    outcomes: dict[str, str],
    steps: list[tuple[str, tuple[str, Any]]],
    new: list[tuple[str, str, BoolMask, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = big_source(folder / "data")
        run = hand_run(folder / "run", source, outcomes)
        masks = source_masks(source)
        events, past = [], {one: [Stands()] for one in IDS}
        place = dict.fromkeys(IDS, 0)
        for one, (act, value) in steps:
            now = past[one][place[one]]
            mask, label, text, gone = now.mask, now.label, now.text, now.gone
            if act == "undo":
                place[one] = max(place[one] - 1, 0)
            elif act == "redo":
                place[one] = min(place[one] + 1, len(past[one]) - 1)
            if act in ("undo", "redo", "note"):
                events.append(person(act, one, text="words" if act == "note" else None))
                continue
            if act == "take given":
                events.append(person("take", one, did={"take": "given"}, mask=encode_rle(masks[one])))
                mask, gone = masks[one], False
            elif act == "relabelled":
                events.append(person(act, one, label=value, was=OF[one]))
                label = value
            elif act == "rephrased":
                events.append(person(act, one, text=value))
                text = value
            elif act == "verdict":
                events.append(person(act, one, verdict=value))
                gone = value == "absent" if gone != "removed" else gone
            elif act in ("removed", "restored"):
                events.append(person(act, one))
                gone = "removed" if act == "removed" else False
            else:
                events.append(person(act, one, mask=encode_rle(value)))
                mask, gone = value, False
            del past[one][place[one] + 1 :]
            past[one].append(Stands(mask, label, text, gone))
            place[one] += 1
        added = []
        for number, (image, label, mask, stays) in enumerate(new):
            events.append(person("added", f"new-{number}", image=image, label=label))
            events.append(person("polygon", f"new-{number}", image=image, mask=encode_rle(mask)))
            if stays:
                added.append((image, label, mask))
            else:
                events.append(person("removed", f"new-{number}", image=image))
        happened(run, person("note", "5", text="begin"), *events)
        expected = Expected(added=added)
        for one in IDS:
            now = past[one][place[one]]
            # A person who ends with the source's own mask has changed nothing there; nor one who says what was said.
            mask = None if now.mask is None or (now.mask == masks[one]).all() else now.mask
            label = None if now.label == OF[one] else now.label
            text = None if now.text == OF[one] else now.text
            expected.objects[one] = Stands(mask, label, text, bool(now.gone))
        export_run(run, "coco", folder / "final.json")
        check_final(source, folder / "final.json", expected)
        check_diff(source, folder / "final.json", expected)


def check_diff(source: Path, final: Path, expected: Expected) -> None:
    diff = compare(open_source(source), open_source(final))
    changed: dict[str, set[str]] = {}
    for name, one in expected.objects.items():
        what = set()
        if one.gone:
            continue
        what |= {"mask", "bbox"} if one.mask is not None else set()
        what |= {"category"} if one.label is not None else set()
        what |= {"key text"} if one.text is not None else set()
        if what:
            changed[name] = what
    told = {one.pair.before.annotation_id: {*one.changes} for one in diff.changed}
    assert told.keys() == changed.keys()
    for name, what in told.items():
        # A box may stay where the mask changes.
        assert changed[name] - {"bbox"} <= what <= changed[name]
    assert {one.annotation_id for one in diff.removed} == {n for n, one in expected.objects.items() if one.gone}
    assert sorted(one.image for one in diff.added) == sorted(image for image, _, _ in expected.added)
    assert all(one.pair.before.annotation_id == one.pair.after.annotation_id for one in diff.changed)


def test_a_diff_says_what_was_done_whatever_lies_where(tmp_path: Path) -> None:
    """A new mask where a removed one was is no changed one; objects redrawn elsewhere stay themselves."""
    source = big_source(tmp_path / "data")
    run = hand_run(tmp_path / "run", source)
    masks = source_masks(source)
    happened(
        run,
        *(person("removed", one) for one in ("5", "17", "20")),
        person("added", "n", image="b.png", label="cat", mask=encode_rle(masks["20"])),
        person("added", "m", image="a.png", label="dog", mask=encode_rle(masks["5"])),
        person("added", "o", image="a.png", label="dog", mask=encode_rle(disc(20, 10, 3))),
        person("stroke", "1000", mask=encode_rle(disc(3, 3, 2))),
    )
    export_run(run, "coco", tmp_path / "final.json")
    for before, after in (
        (source, tmp_path / "final.json"),
        (source, run.folder),
        (run.folder, tmp_path / "final.json"),
    ):
        diff = compare(open_source(before), open_source(after))
        if before == source:
            assert [one.annotation_id for one in diff.removed if one.annotation_id != "6"] == ["5", "17", "20"]
            assert [one.pair.before.annotation_id for one in diff.changed] == ["1000"]
            assert len(diff.added) == 3
        else:
            # The crowd is no object of the run.
            assert ([one.annotation_id for one in diff.added], diff.removed, diff.changed) == (["6"], [], [])


def test_a_diff_of_two_exports_knows_new_objects_again(tmp_path: Path) -> None:
    run = hand_run(tmp_path / "run", big_source(tmp_path / "data"))
    new = [person("added", n, label="cat", mask=encode_rle(disc(4 + 9 * k, 18, 2))) for k, n in enumerate("nmo")]
    happened(run, *new)
    export_run(run, "coco", tmp_path / "one.json")
    happened(run, person("removed", "n"), person("stroke", "o", mask=encode_rle(disc(27, 5, 2))))
    export_run(run, "coco", tmp_path / "two.json")
    diff = compare(open_source(tmp_path / "one.json"), open_source(tmp_path / "two.json"))
    assert [one.object_id for one in diff.removed] == ["n"]
    assert [(one.pair.before.object_id, one.pair.after.object_id) for one in diff.changed] == [("o", "o")]
    assert diff.added == []


def test_a_run_and_its_export_with_other_ids(tmp_path: Path) -> None:
    """Exports of data sets that are no COCO files number anew, but say which object each mask is."""
    run = make_run(folder_data_set(tmp_path / "data"), tmp_path / "run")
    happened(
        run, person("stroke", "id#0", mask=encode_rle(disc(25, 5, 3))), person("removed", "id#3", image="sub/b.png")
    )
    export_run(run, "coco", tmp_path / "x.json")
    for before, after in ((run.folder, tmp_path / "x.json"), (tmp_path / "x.json", run.folder)):
        diff = compare(open_source(before), open_source(after))
        assert (len(diff.pairs), diff.changed, diff.removed, diff.added) == (3, [], [], [])
        assert all(pair.by_id for pair in diff.pairs)


def test_masks_that_all_were_redrawn_elsewhere_keep_their_ids(tmp_path: Path) -> None:
    source = big_source(tmp_path / "data")
    run = hand_run(tmp_path / "run", source)
    happened(run, *(person("stroke", one, mask=encode_rle(disc(4 + 8 * k, 20, 2))) for k, one in enumerate(IDS)))
    export_run(run, "coco", tmp_path / "final.json")
    diff = compare(open_source(source), open_source(tmp_path / "final.json"))
    assert [one.pair.before.annotation_id for one in diff.changed] == list(IDS)
    assert (diff.removed, diff.added) == ([], [])
