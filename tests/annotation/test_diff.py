"""Two COCO files, or runs, beside each other: what counts as changed, what is matched, what is told of bad entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import HEIGHT, HOSTILE, WIDTH, annotation, coco, record, run_folder, square, usual_run
from pycocotools import mask as coco_mask

from segagent.annotation.diff import write_diff
from segagent.annotation.diff.comparing import compare, largest
from segagent.annotation.diff.sources import open_source
from segagent.cli.main import main
from segagent.core import decode_rle, encode_rle
from segagent.core.failures import Failure
from segagent.datasets.coco_masks import encode_counts

POLYGON = [[5.0, 5.0, 30.0, 5.0, 30.0, 25.0, 17.0, 31.0, 5.0, 25.0]]


def polygon_mask() -> np.ndarray:
    united = coco_mask.merge(coco_mask.frPyObjects(POLYGON, HEIGHT, WIDTH))
    return decode_rle({"size": [HEIGHT, WIDTH], "counts": united["counts"].decode()})


def compared(tmp_path: Path, before: list[Any], after: list[Any], how: Any = "auto") -> Any:
    old = coco(tmp_path / "before" / "old.json", before)
    new = coco(tmp_path / "after" / "new.json", after)
    return compare(open_source(old), open_source(new), how)


def test_added_removed_changed_and_unchanged(tmp_path: Path) -> None:
    kept, moved = square(5, 5, 10), square(20, 20, 10)
    before = [annotation(1, kept), annotation(2, moved), annotation(3, square(45, 5, 6)), annotation(4, kept, image=2)]
    after = [annotation(1, kept), annotation(2, square(25, 20, 10)), annotation(9, square(2, 30, 6))]
    after.append(annotation(4, kept, image=2, category=2, note="checked"))
    diff = compared(tmp_path, before, after)
    assert diff.num_unchanged == 1
    assert [one.annotation_id for one in diff.removed] == ["3"]
    assert [one.annotation_id for one in diff.added] == ["9"]
    by_id = {one.pair.before.annotation_id: one for one in diff.changed}
    assert by_id["2"].pair.iou == pytest.approx(50 / 150)
    assert by_id["2"].changes["mask"] == ("100 of 60 x 40 pixels", "100 of 60 x 40 pixels")
    assert by_id["2"].changes["bbox"] == ("20, 20, 10, 10", "25, 20, 10, 10")
    assert by_id["4"].changes == {"category": ("cat", "dog"), "key note": ("", '"checked"')}
    assert [one.pair.before.annotation_id for one in largest(diff.changed, 5)] == ["2"]
    assert diff.by_category()["cat"] == {"unchanged": 1, "changed": 2, "removed": 1, "added": 1}
    assert dict(diff.histogram()) == {
        "0 to 0.25": 0, "0.25 to 0.5": 1, "0.5 to 0.7": 0, "0.7 to 0.8": 0, "0.8 to 0.9": 0, "0.9 to 0.95": 0,
        "0.95 to 0.99": 0, "0.99 to 1": 0, "exactly 1": 2,
    }  # fmt: skip


def test_where_a_mask_is_from_is_no_change_of_it(tmp_path: Path) -> None:
    scored = annotation(1, square(5, 5, 10), segagent={"made_by": "given"})
    assert compared(tmp_path, [annotation(1, square(5, 5, 10))], [scored]).num_unchanged == 1


@pytest.mark.parametrize("form", [encode_rle, encode_counts])
def test_another_way_to_write_the_same_mask_is_no_change(tmp_path: Path, form: Any) -> None:
    mask = polygon_mask()
    before = annotation(1, mask, segmentation=POLYGON, area=555.5, bbox=[5.0, 5.0, 25.0, 26.0])
    diff = compared(tmp_path, [before], [annotation(1, mask, segmentation=form(mask))])
    assert diff.changed == []
    assert diff.num_unchanged == 1
    assert diff.pairs[0].before.area == diff.pairs[0].after.area == int(mask.sum())


def test_new_ids_are_matched_by_overlap(tmp_path: Path) -> None:
    masks = [square(2, 2, 10), square(20, 2, 10), square(40, 2, 10)]
    before = [annotation(number, mask) for number, mask in enumerate(masks, 1)]
    turned = [annotation(number, mask) for number, mask in enumerate(masks[1:] + masks[:1], 1)]
    diff = compared(tmp_path, before, turned)
    assert "apart" in diff.how
    assert (diff.num_unchanged, diff.removed, diff.added) == (3, [], [])
    fresh = [annotation(f"n{number}", mask) for number, mask in enumerate(masks)]
    diff = compared(tmp_path, before, fresh)
    assert "few ids" in diff.how
    assert [(pair.before.annotation_id, pair.after.annotation_id) for pair in diff.pairs] == [
        ("1", "n0"), ("2", "n1"), ("3", "n2"),
    ]  # fmt: skip
    assert len(compared(tmp_path, before, fresh, "id").removed) == 3
    assert compared(tmp_path, before, turned, "id").num_unchanged == 0


def test_leftovers_are_matched_by_overlap_within_their_image(tmp_path: Path) -> None:
    same = [annotation(number, square(30, 2 * number, 5)) for number in range(1, 6)]
    before = [*same, annotation(10, square(2, 2, 10)), annotation(11, square(2, 20, 10))]
    after = [*same, annotation(20, square(3, 2, 10)), annotation(21, square(2, 20, 10), image=2)]
    diff = compared(tmp_path, before, after)
    assert [(c.pair.before.annotation_id, c.pair.after.annotation_id) for c in diff.changed] == [("10", "20")]
    assert not diff.changed[0].pair.by_id
    assert [one.annotation_id for one in diff.removed] == ["11"]
    assert [one.annotation_id for one in diff.added] == ["21"]


BAD = [
    ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "zzz"}}, "counts"),
    ({"segmentation": {"size": [1, 1], "counts": [1]}}, "RLE size"),
    ({"segmentation": None}, "has no segmentation"),
    ({"segmentation": [[1, 2, 3]]}, "polygon 0"),
    ({"image_id": 99}, "image_id"),
    ({"category_id": "x"}, "category_id"),
    ({"bbox": [1, 2]}, "bbox"),
]


@pytest.mark.parametrize(("wrong", "told"), BAD)
def test_a_bad_annotation_is_told_and_the_rest_goes_on(
    tmp_path: Path, wrong: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [annotation(1, square(5, 5, 10)), annotation(2, square(20, 20, 10))]
    old = coco(tmp_path / "old.json", good)
    new = coco(tmp_path / "new.json", [good[0], {**good[1], **wrong}])
    assert main(["diff", str(old), str(new), "-o", str(tmp_path / "out"), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["unchanged"], result["removed"], result["not_compared"]) == (1, 0, 1)
    (problem,) = result["problems"]
    assert "new.json" in problem
    assert "2" in problem
    assert told in problem


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not valid JSON"),
        ("[]", "not COCO annotations"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "images[0]"),
        ('{"images": [], "annotations": {}, "categories": []}', "'annotations'"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "categories[0]"),
        (
            '{"images": [{"id": 1, "file_name": "a", "height": 99999, "width": 99999}], '
            '"annotations": [], "categories": []}',
            "images[0]",
        ),
    ],
)
def test_a_malformed_file_is_refused(
    tmp_path: Path, content: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = coco(tmp_path / "good.json", [annotation(1, square(5, 5, 10))])
    (tmp_path / "bad.json").write_text(content)
    assert main(["diff", str(good), str(tmp_path / "bad.json"), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "bad.json" in said
    assert told in said
    assert not (tmp_path / "out").exists()


def test_untrusted_text_stays_text(tmp_path: Path) -> None:
    names = ("a.png", f"x/{HOSTILE}")
    before = [annotation(HOSTILE, square(5, 5, 10), image=2, note=HOSTILE), annotation(2, square(30, 5, 5))]
    after = [annotation(HOSTILE, square(6, 5, 10), image=2, note=1), annotation(3, square(1, 25, 8))]
    old = coco(tmp_path / "old.json", before, names, (HOSTILE, "dog"))
    new = coco(tmp_path / "new.json", after, names, (HOSTILE, "dog"))
    made = write_diff(old, new, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert page.count("<img ") == 4 + 2 + 2 == page.count('src="data:image/jpeg;base64,')
    assert "default-src 'none'" in page
    assert len(made.missing) == 1
    markdown = (tmp_path / "out" / "diff.md").read_text(encoding="utf-8")
    assert "<script" not in markdown.replace("\\<", "")
    whole = json.loads((tmp_path / "out" / "diff.json").read_text())
    assert whole["changes"][0]["id"] == HOSTILE
    assert [one["id"] for one in whole["added_annotations"]] == ["3"]
    assert [one["id"] for one in whole["removed_annotations"]] == ["2"]


def test_a_missing_image_costs_only_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = coco(tmp_path / "old.json", [annotation(1, square(5, 5, 10))])
    new = coco(tmp_path / "new.json", [annotation(1, square(6, 5, 10))])
    arguments = ["diff", str(old), str(new), "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    (tmp_path / "images" / "a.png").unlink()
    assert main(arguments) == 1
    assert "a.png" in capsys.readouterr().err
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 4
    assert "Without their picture" in page
    assert main([*arguments, "--images", str(tmp_path / "nowhere")]) == 2


def test_without_any_images_masks_are_drawn_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = coco(tmp_path / "old.json", [annotation(1, square(5, 5, 10))])
    new = coco(tmp_path / "new.json", [annotation(1, square(6, 5, 10))])
    for picture in (tmp_path / "images").iterdir():
        picture.unlink()
    assert main(["diff", str(old), str(new), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.count("--images") == 1
    assert (tmp_path / "out" / "index.html").read_text(encoding="utf-8").count("<img ") == 4


def test_a_run_beside_the_file_it_was_made_of(tmp_path: Path) -> None:
    file = coco(tmp_path / "data" / "coco.json", [annotation(n, square(10, 10, 8), note="n") for n in (1, 2, 3, 4)])
    records = [record("1", "kept", 0.9, 0.4), record("2", "repaired", 0.1, 0.9), record("3", "not_found", None, 0.1)]
    run = run_folder(tmp_path / "run", file, [*records, Failure("4", "a.png", "died")])
    diff = compare(open_source(file), open_source(run))
    assert [one.pair.before.annotation_id for one in diff.changed] == ["2"]
    assert diff.changed[0].changes.keys() == {"mask"}
    assert diff.changed[0].pair.iou == pytest.approx(64 / 196)
    assert [one.annotation_id for one in diff.removed] == ["3"]
    assert (diff.num_unchanged, diff.num_not_compared) == (1, 1)
    assert "died" in diff.problems[0]


def test_two_runs(tmp_path: Path) -> None:
    run = usual_run(tmp_path)
    diff = compare(open_source(run), open_source(run))
    assert (diff.num_unchanged, len(diff.changed)) == (3, 0)
