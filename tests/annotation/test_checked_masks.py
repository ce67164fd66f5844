import json
import random

import numpy as np
import pytest
from accept_runs import MASK, made_run, write_checks

from segagent.annotation.batch.checked import Check, mask_digest, read_checked
from segagent.annotation.batch.sampling import sample_to_check, write_sample
from segagent.cli.main import main
from segagent.core import InputError, encode_rle

SAID = {"a": 0.5, "b": 0.9, "12": 0.7, "absent": -1.0}


@pytest.fixture
def run(tmp_path):
    return made_run(tmp_path / "run", SAID)


def test_verdicts_and_values(tmp_path, run) -> None:
    entries = [{"object_id": "a", "verdict": "ok"}, {"object_id": 12, "iou": 1}, {"object_id": "b", "verdict": None}]
    entries += [{"object_id": "absent", "verdict": "ok"}, {"object_id": "z", "iou": None}]
    for form in (entries, {"schema": "segagent.checked/1", "checked": entries}):
        found = read_checked(write_checks(tmp_path / "c.json", form), run)
        assert found.checks == {"a": Check("a", ok=True), "12": Check("12", iou=1.0)}
        assert found.open == 1
        assert found.unknown == ("absent", "z")
    assert [Check("x", iou=0.9).good(bar) for bar in (0.9, 0.91)] == [True, False]
    assert not Check("x", ok=False).good(0.1)


def test_what_was_said_of_another_mask_or_text_is_left_out(tmp_path, run) -> None:
    digest = mask_digest(next(run.objects()))
    entries = [
        {"object_id": "a", "verdict": "ok", "text": "dog", "mask": digest},
        {"object_id": "b", "verdict": "ok", "text": "cat", "mask": digest},
        {"object_id": "12", "verdict": "ok", "text": "dog", "mask": "0123"},
    ]
    found = read_checked(write_checks(tmp_path / "c.json", entries), run)
    assert (set(found.checks), found.unknown) == ({"a"}, ("b", "12"))


def test_a_right_mask_that_is_missing_is_not_filled_in(tmp_path, run) -> None:
    entries = [{"id": 12.0, "segmentation": encode_rle(MASK)}, {"id": "a", "segmentation": None}, {"id": "b"}]
    found = read_checked(write_checks(tmp_path / "c.json", {"annotations": entries}), run)
    assert (found.checks, found.open) == ({"12": Check("12", iou=1.0)}, 2)


def test_right_masks_as_coco(tmp_path, run) -> None:
    quarter = MASK & (np.arange(10) < 5)
    coco = {
        "images": [],
        "annotations": [
            {"id": 12, "segmentation": encode_rle(MASK)},
            {"id": 1, "sample_id": "a", "segmentation": encode_rle(quarter)},
            {"id": 2, "object_id": "b", "segmentation": [[0, 0, 10, 0, 10, 5, 0, 5]]},
        ],
    }
    found = read_checked(write_checks(tmp_path / "c.json", coco), run)
    assert {name: check.iou for name, check in found.checks.items()} == {"12": 1.0, "a": 0.5, "b": pytest.approx(1)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "expected a list"),
        ([], "names one"),
        ([{"object_id": "z", "verdict": "ok"}], "names one"),
        ([{"object_id": "a", "verdict": None}], "1 entries is filled in"),
        ([3], r"\[0\]: expected an object"),
        ([{"verdict": "ok"}], r"\[0\]: 'object_id'"),
        ([{"object_id": True, "verdict": "ok"}], "'object_id'"),
        ([{"object_id": "a"}], "'verdict' must be"),
        ([{"object_id": "a", "verdict": "OK"}], "'verdict' must be"),
        ([{"object_id": "a", "verdict": ["ok"]}], "'verdict' must be"),
        ([{"object_id": "a", "verdict": True}], "'verdict' must be"),
        ([{"object_id": "a", "iou": 1.2}], "'iou' must be"),
        ([{"object_id": "a", "iou": float("nan")}], "'iou' must be"),
        ([{"object_id": "a", "iou": "0.5"}], "'iou' must be"),
        ([{"object_id": "a", "iou": True}], "'iou' must be"),
        ([{"object_id": "a", "iou": 0.5, "verdict": "ok"}], "not both"),
        ([{"object_id": "a", "iou": 0.5}, {"object_id": "a", "iou": 0.5}], r"\[1\]: object 'a' stands in an earlier"),
        ({"annotations": [{"id": "a"}, {"id": "b", "segmentation": []}]}, "2 entries is filled in"),
        ({"annotations": [{"id": "a", "segmentation": 3}]}, r"annotations\[0\] \(object a\): 'segmentation'"),
        ({"annotations": [{"id": "a", "segmentation": [[1, 2]]}]}, r"annotations\[0\] \(object a\)"),
        ({"annotations": [{"id": "a", "segmentation": encode_rle(MASK[:4])}]}, "size"),
    ],
)
def test_what_is_not_right_is_named(tmp_path, run, content, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_checked(write_checks(tmp_path / "checks.json", content), run)
    assert "checks.json" in str(caught.value)


def test_files_that_are_none(tmp_path, run) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_checked(tmp_path / "none.json", run)
    (tmp_path / "odd.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_checked(tmp_path / "odd.json", run)


def test_a_sample_stands_for_all(tmp_path) -> None:
    names = [f"o{number}" for number in range(100)]
    random.Random(0).shuffle(names)
    said = {name: int(name[1:]) / 100 for name in names} | {"mute": None, "absent": -1.0}
    run = made_run(tmp_path / "many", said)
    drawn = sample_to_check(run, 10, seed=4)
    assert sorted(int(name[1:]) // 10 for name in drawn) == list(range(10))
    assert drawn == sample_to_check(run, 10, seed=4) != sample_to_check(run, 10, seed=5)
    assert sorted(sample_to_check(run, 1000)) == sorted(names)
    with pytest.raises(InputError, match="at least 1"):
        sample_to_check(run, 0)


def test_every_mask_is_drawn_equally_often(tmp_path) -> None:
    run = made_run(tmp_path / "ties", {"a": 0.5, "b": 0.5, "c": 0.9, "d": 0.9})
    drawn = [name for seed in range(200) for name in sample_to_check(run, 2, seed)]
    assert all(70 <= drawn.count(name) <= 130 for name in "abcd")


def test_a_sample_is_written_to_be_filled_in(tmp_path, capsys, monkeypatch) -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    run = made_run(tmp_path / "run", SAID)
    with pytest.raises(InputError, match="has changed"):
        write_sample(run, ["a"], tmp_path / "out")
    assert not (tmp_path / "out").exists()

    class Pictures:
        def load_image(self, name: str):
            from segagent.core import Image

            assert name == "a.png"
            return Image.of(image)

    monkeypatch.setattr("segagent.annotation.batch.folder.Run.dataset", lambda self: Pictures())
    out = tmp_path / "out"
    assert main(["check", str(run.folder), "-o", str(out), "--num", "2"]) == 0
    assert "checked.json" in capsys.readouterr().out
    content = json.loads((out / "checked.json").read_text())
    assert [entry["verdict"] for entry in content["checked"]] == [None, None]
    assert all((out / entry["picture"]).is_file() for entry in content["checked"])
    assert not any("iou" in key for entry in content["checked"] for key in entry)
    assert main(["check", str(run.folder), "-o", str(out)]) == 2
    assert "filled in" in capsys.readouterr().err
    for entry in content["checked"]:
        entry["verdict"] = "ok"
    found = read_checked(write_checks(out / "checked.json", content), run)
    assert len(found.checks) == 2
