"""``segagent export`` and ``segagent import`` as commands: what they say, and their exit codes."""

import json
from pathlib import Path

import pytest
from interop_runs import AreaPolicy, by_id, folder_data_set, make_models, make_run, source_file

from segagent.annotation.batch import Run, open_run, run_job
from segagent.annotation.batch.config import RunConfig
from segagent.annotation.interop import export_run
from segagent.cli.main import main
from segagent.core import ToolError
from segagent.datasets import open_dataset
from segagent.search import SearchConfig

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(folder_data_set(tmp_path / "data"), tmp_path / "run", "annotate")


def test_export_tells_what_has_no_mask(run: Run, tmp_path: Path, capsys: Captured) -> None:
    assert main(["export", str(run.folder), "--to", "cvat", "-o", str(tmp_path / "a.xml")]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"3 masks (3 made): {tmp_path / 'a.xml'}",
        "without a mask: 1 failed, 1 not found",
        f"labels: {tmp_path / 'a.labels.json'}",
    ]
    warnings = captured.err.splitlines()
    assert warnings[0] == "warning: object id#2 was not found ('a ghost é' in sub/b.png)"
    assert warnings[1].startswith("warning: object gone failed: image ")
    assert main(["export", str(run.folder), "--to", "cvat", "-o", str(tmp_path / "b.xml"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["masks"], told["outcomes"], told["images_left"]) == (3, {"made": 3}, 0)
    assert [one["object_id"] for one in told["not_found"]] == ["id#2"]
    assert [one["object_id"] for one in told["failed"]] == ["gone"]


def test_yolo_export_tells_what_went_where(run: Run, tmp_path: Path, capsys: Captured) -> None:
    command = ["export", str(run.folder), "--to", "yolo-seg", "-o"]
    assert main([*command, str(tmp_path / "y")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(":")[0] for line in lines[-3:]} == {"train", "val", "pictures with another name"}
    assert {line.partition(": ")[2] for line in lines[-3:-1]} == {"1 pictures, 2 masks", "1 pictures, 1 masks"}
    assert main([*command, str(tmp_path / "n"), "--val", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:-1] == [
        "train: 2 pictures, 3 masks",
        "val: the pictures of train (nothing to split off, or --val 0)",
    ]
    splits = set()
    for seed in range(8):
        assert main([*command, str(tmp_path / f"s{seed}"), "--split-seed", str(seed), "--json"]) == 1
        splits.add(json.loads(capsys.readouterr().out)["val"]["masks"])
    assert splits == {1, 2}


@pytest.mark.parametrize(
    "options",
    [
        ["--to", "tiff", "-o", "x"],
        ["--to", "yolo-seg", "-o", "x", "--val", "1"],
        ["--to", "coco", "-o", "data/manifest.json"],
        ["--to", "coco", "-o", "no/such/folder.json"],
        ["--to", "coco", "-o", "x", "--only-accepted"],
        ["--to", "coco", "-o", "x", "--calibrate", "y"],
        ["--to", "coco", "-o", "x", "--accept", "0.9"],
        ["--to", "yolo-seg", "-o", "x", "--tolerance", "-1"],
        ["--to", "masks", "-o", "data", "--force"],
    ],
)
def test_bad_exports(
    run: Run, tmp_path: Path, options: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["export", str(run.folder), *options]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert sorted(tmp_path.rglob("*")) == before


def test_not_a_run(tmp_path: Path, capsys: Captured) -> None:
    assert main(["export", str(tmp_path), "--to", "coco", "-o", str(tmp_path / "x")]) == 2
    assert "no run" in capsys.readouterr().err


def test_checked_masks_decide_what_is_accepted(run: Run, tmp_path: Path, capsys: Captured) -> None:
    coco = make_run(source_file(tmp_path), tmp_path / "coco_run", "audit")
    assert main(["export", str(coco.folder), "--to", "coco", "-o", str(tmp_path / "out.json")]) == 0
    edited = json.loads((tmp_path / "out.json").read_text())
    edited["annotations"][0]["segmentation"] = [[20, 2, 28, 2, 28, 8, 20, 8]]
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    command = ["import", str(tmp_path / "edited.json"), "--run", str(coco.folder), "-o", str(tmp_path / "back")]
    assert main([*command, "--tool", "disc", "--unchanged-counts", "--by", "Ann"]) == 0
    out = capsys.readouterr().out
    assert f"3 masks by people, 1 of them changed: {tmp_path / 'back'}" in out
    checked = str(tmp_path / "back" / "checked.json")
    options = ["--to", "coco", "-o", str(tmp_path / "final.json"), "--accept", "0.9", "--calibrate", checked]
    assert main(["export", str(coco.folder), *options]) == 0
    told = {
        number: entry.get("segagent", {}).get("accepted") for number, entry in by_id(tmp_path / "final.json").items()
    }
    assert told == {5: False, 6: None, 7: True, 8: True}
    assert "2 of 3 objects accepted" in capsys.readouterr().out


def test_import_tells_its_problems(run: Run, tmp_path: Path, capsys: Captured) -> None:
    export_run(run, "coco", tmp_path / "o.json")
    data = json.loads((tmp_path / "o.json").read_text())
    for entry, change in zip(
        data["annotations"],
        [{"segmentation": [[1, 1, 9, 1, 9, 9]]}, {"segmentation": [[1, 2]]}, {"image_id": 77}],
        strict=True,
    ):
        entry.update(change)
    wild = {"id": 9, "sample_id": "who", "segagent": {}, "segmentation": [[20, 2, 28, 2, 28, 9]]}
    data["annotations"].append({**data["annotations"][0], **wild})
    (tmp_path / "o.json").write_text(json.dumps(data))
    command = ["import", str(tmp_path / "o.json"), "--run", str(run.folder), "-o", str(tmp_path / "back")]
    assert main([*command, "--tool", "disc", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["masks"], told["changed"], told["checked"]) == (1, 1, 1)
    assert [one["where"].split(" (")[0] for one in told["problems"]] == [
        "annotations[2]", "annotations[1]", "annotations[3]",
    ]  # fmt: skip
    assert "'who' is not an object of the run" in told["problems"][2]["reason"]
    assert main([*command, "--tool", "disc"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--tool", "disc", "--force"]) == 1
    assert capsys.readouterr().err.count("warning: annotations[") == 3
    assert main([*command, "--tool", "hammer", "--force"]) == 2
    assert (tmp_path / "back" / "checked.json").exists()


def test_retried_and_unfinished_runs(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_file(tmp_path)
    dataset = open_dataset(str(source))
    config = RunConfig("audit", SearchConfig(max_steps=2))
    whole = AreaPolicy.propose

    def failing(self: AreaPolicy, observations: list, *args: object, **more: object) -> object:
        if any(one.text == "cat" for one in observations):
            raise ToolError("no cats today")
        return whole(self, observations, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(AreaPolicy, "propose", failing)
    run_job(dataset, make_models, tmp_path / "run", config)
    command = ["export", str(tmp_path / "run"), "--to", "coco", "-o", str(tmp_path / "o.json"), "--force"]
    assert main(command) == 1
    assert "object 7 failed: no cats today" in capsys.readouterr().err
    assert "segagent" not in by_id(tmp_path / "o.json")[7]
    monkeypatch.undo()
    run_job(dataset, make_models, tmp_path / "run", config, retry_failed=True)
    assert main(command) == 0
    assert by_id(tmp_path / "o.json")[7]["segagent"]["outcome"] == "audited"
    # Image by image, the retried object stands with the others of its picture.
    assert main(["export", str(tmp_path / "run"), "--to", "cvat", "-o", str(tmp_path / "a.xml")]) == 0
    assert (tmp_path / "a.xml").read_text().count('<image id="') == 2
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    capsys.readouterr()
    assert main(command) == 1
    assert "has not come to 1 of its images" in capsys.readouterr().err
    assert len(list(open_run(tmp_path / "run").records())) == 1
