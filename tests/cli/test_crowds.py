"""Crowds are left out and named by every command that takes a data set, and objects like others with ``--crowds``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.annotation.batch import open_run
from segagent.annotation.python_api import annotate
from segagent.cli.main import main
from segagent.datasets.coco_masks import encode_counts

DISC = np.hypot(*(np.mgrid[:24, :32] - np.array([[[11]], [[15]]]))) <= 6
MODELS = ["--policy", "centre", "--tool", "disc", "--workers", "1"]


def brush_export(folder: Path, *crowds: int) -> Path:
    """COCO as brush exporters write it: run lengths with iscrowd 1, and perhaps without."""
    PillowImage.new("RGB", (32, 24), "#204060").save(folder / "a.png")
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": crowd,
            "area": 1,
            "segmentation": encode_counts(DISC),
        }
        for number, crowd in enumerate(crowds, 1)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}]
    categories = [{"id": 1, "name": "cup"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(content))
    return folder / "coco.json"


def commands(folder: Path, file: Path) -> dict[str, list[str]]:
    return {
        "annotate": ["annotate", str(file), "-o", str(folder / "annotate"), *MODELS],
        "evaluate": ["evaluate", str(file), "-o", str(folder / "evaluate"), *MODELS],
        "trajectories": ["trajectories", str(file), "-o", str(folder / "t.jsonl"), "--tool", "disc", "--workers", "1"],
        "corrupt": ["corrupt", str(file), "-o", str(folder / "corrupt")],
        "benchmark": ["benchmark", "centre", "--tool", "disc", "--scenes", "0", "--data", str(file), "--steps", "1",
                      "--gallery", "0", "--workers", "1", "-o", str(folder / "card")],
    }  # fmt: skip


def num_done(folder: Path, command: str) -> int:
    match command:
        case "annotate":
            return len(list(open_run(folder / command).objects()))
        case "evaluate":
            return int(json.loads((folder / "evaluate" / "results.json").read_text())["counts"]["samples"])
        case "trajectories":
            lines = [json.loads(line) for line in (folder / "t.jsonl").read_text().splitlines()[1:]]
            return len({line["sample_id"] for line in lines})
        case "corrupt":
            return len(json.loads((folder / "corrupt" / "manifest.json").read_text())["samples"])
    return int(json.loads((folder / "card" / "card.json").read_text())["data"][0]["counts"]["sentences"])


@pytest.mark.parametrize("command", ["annotate", "evaluate", "trajectories", "corrupt", "benchmark"])
def test_told_and_taken(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = brush_export(tmp_path, 0, 1)
    for folder, options, count in (("left", [], 1), ("taken", ["--crowds"], 2)):
        (tmp_path / folder).mkdir()
        assert main([*commands(tmp_path / folder, file)[command], *options]) == 0
        told = capsys.readouterr().err
        assert ("1 of 2 annotations mark crowds (iscrowd 1: id 2)" in told) == (count == 1)
        # The two masks are equal, and equal ones are spoiled once.
        assert num_done(tmp_path / folder, command) == (1 if command == "corrupt" else count)


@pytest.mark.parametrize("command", ["annotate", "evaluate", "trajectories", "corrupt", "benchmark"])
def test_a_file_of_crowds_only_is_no_empty_job(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = brush_export(tmp_path, 1, 1)
    assert main(commands(tmp_path, file)[command]) == 2
    assert "2 of 2 annotations mark crowds (iscrowd 1: id 1, 2) and are left out; --crowds" in capsys.readouterr().err
    assert main([*commands(tmp_path, file)[command], "--crowds"]) == 0


def test_a_run_with_crowds_is_read_and_exported_as_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = brush_export(tmp_path, 1, 0)
    run = tmp_path / "run"
    assert main(["annotate", f"coco:{file}:crowds=objects", "-o", str(run), *MODELS, "--found", "0"]) == 0
    assert main(["annotate", str(file), "--crowds", "-o", str(run), *MODELS, "--found", "0"]) == 0
    assert len(list(open_run(run).dataset())) == 2
    assert main(["export", str(run), "--to", "coco", "-o", str(tmp_path / "out.json")]) == 0
    before, after = (json.loads(path.read_text())["annotations"] for path in (file, tmp_path / "out.json"))
    for old, new in zip(before, after, strict=True):
        assert new["segagent"]["outcome"] == "made"
        assert new["segmentation"] != old["segmentation"] == new["segagent"]["replaced"]["segmentation"]
        assert new["iscrowd"] == old["iscrowd"]
    capsys.readouterr()
    assert main(["annotate", str(tmp_path / "a.png"), "cup", "--crowds", "-o", str(tmp_path / "x"), *MODELS]) == 2
    assert "--crowds: one picture is given with TEXT" in capsys.readouterr().err


def test_python_is_told_by_a_warning(tmp_path: Path) -> None:
    file = brush_export(tmp_path, 0, 1)
    with pytest.warns(UserWarning, match="1 of 2 annotations mark crowds") as told:
        run = annotate(file, out=tmp_path / "run", models=models())
    assert told[0].filename == __file__
    assert len(list(run.objects())) == 1


def models() -> Any:
    from segagent.annotation.batch import make_models

    return make_models("centre", "disc", "none")


def test_names_of_folders_are_no_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder called like an option was taken for one, silently."""
    for name, where in (
        ("im,crowds=objects", "--images"),
        ("im,crowds=objects", "--prompts"),
        ("a b:,c=d", "--prompts"),
    ):
        images = tmp_path / where / name
        images.mkdir(parents=True)
        file = brush_export(images, 0, 1).rename(tmp_path / "coco.json")
        given = [str(file), "--images", str(images)] if where == "--images" else [str(images), "--prompts", str(file)]
        out = tmp_path / f"out{where}{len(name)}"
        code = main(["annotate" if where == "--prompts" else "audit", *given, "-o", str(out), *MODELS])
        told = capsys.readouterr().err
        if "crowds" in name:
            assert (code, out.exists()) == (2, False)
            assert "holds what reads as an option" in told
        else:
            assert code == 0
            assert "1 of 2 annotations mark crowds" in told


def test_a_csv_has_no_crowds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brush_export(tmp_path)
    (tmp_path / "prompts.csv").write_text("image,text\na.png,the cup\n")
    given = [
        "annotate",
        str(tmp_path),
        "--prompts",
        str(tmp_path / "prompts.csv"),
        "-o",
        str(tmp_path / "out"),
        *MODELS,
    ]
    assert main([*given, "--crowds"]) == 2
    assert "--crowds goes with COCO files" in capsys.readouterr().err
    assert main(given) == 0
