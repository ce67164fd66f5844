"""YOLO's segmentation data sets: what ``segagent export`` writes comes back, and what others write is read or told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.annotation.interop.yolo import drawn_again
from segagent.core import InputError
from segagent.datasets import BrokenSample, open_dataset

HEIGHT, WIDTH = 30, 40
LINES = "1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n\n0 0.25 0.2 0.75 0.2 0.5 0.9\n"


def yolo_folder(folder: Path, yaml: str, *pictures: str, lines: str = LINES) -> Path:
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
        label = (folder / name.replace("images/", "labels/")).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(lines)
    (folder / "data.yaml").write_text(yaml)
    return folder


@pytest.mark.parametrize(
    ("yaml", "picture"),
    [
        ("train: images/train\nval: images/train\nnames: [cup, 'no']\n", "images/train/a b.JPG"),
        ("path: /elsewhere\ntrain: images/train\nnames: {0: cup, 1: 'no'}\n", "images/train/sub/a.png"),
        ("train: ../train/images\nval: ../valid/images\nnames: [cup, 'no']\n", "train/images/a.png"),
        ("train: list.txt\nnames: [cup, 'no']\n", "images/a.png"),
    ],
    ids=["ultralytics", "path of another machine", "roboflow", "list"],
)
def test_layouts(tmp_path: Path, yaml: str, picture: str) -> None:
    (tmp_path / "valid" / "images").mkdir(parents=True)
    (tmp_path / "list.txt").write_text(f"./{picture}\n")
    dataset = open_dataset(str(yolo_folder(tmp_path, yaml, picture)))
    samples = list(dataset)
    assert [(one.sample_id, one.text) for one in samples] == [(f"{picture}#1", "no"), (f"{picture}#3", "cup")]
    for sample, line in zip(samples, (LINES.splitlines()[0], LINES.splitlines()[2]), strict=True):
        mask, ignored = sample.load_target()
        assert ignored is None
        assert np.array_equal(mask, drawn_again(line, HEIGHT, WIDTH))
    again = open_dataset(dataset.spec)
    assert (again.fingerprint, [one.sample_id for one in again]) == (
        dataset.fingerprint,
        [f"{picture}#1", f"{picture}#3"],
    )
    with_text = open_dataset(f"yolo:{tmp_path}:split=train,text=the {{category}}")
    assert [one.text for one in with_text] == ["the no", "the cup"]
    assert [one.text for one in open_dataset(str(tmp_path / "data.yaml"), "a {category}")] == ["a no", "a cup"]
    with pytest.raises(InputError, match="--crowds"):
        open_dataset(str(tmp_path), crowds=True)


def test_lines_that_cannot_be_used_fail_alone(tmp_path: Path) -> None:
    lines = "0 0.5 0.5 0.2 0.2\n7 0 0 1 0 1 1\n0 0 0 1 0 1\n0 0 0 x 0 1 1\n0 9 9 10 9 10 10\n0 0 0 1 0 1 1\n"
    yaml = "train: images\nnames: [cup]\n"
    dataset = open_dataset(str(yolo_folder(tmp_path, yaml, "images/a.png", "images/b.png", lines=lines)))
    (tmp_path / "labels" / "b.txt").write_bytes(b"\xff\xfe\xff")
    first, second = dataset.groups()
    reasons = [one.reason for one in first.samples() if isinstance(one, BrokenSample)]
    told = ["a box alone is no mask", "class '7' is none of", "three corners", "could not convert", "three corners"]
    assert len(reasons) == len(told)
    for number, (reason, words) in enumerate(zip(reasons, told, strict=True), start=1):
        assert f"a.txt, line {number}: " in reason
        assert words in reason
    good = first.samples()[-1]
    assert good.load_target()[0].any()
    with pytest.raises(InputError, match=r"b\.txt"):
        second.samples()[0].load_target()


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("train: images\n", "'names'"),
        ("names: [a]\n", "names no pictures"),
        ("train: nowhere\nnames: [a]\n", "no such folder"),
        ("train: ../../etc\nnames: [a]\n", "no such folder"),
        ("train: 3\nnames: [a]\n", "must be a folder"),
        ("{", "not valid YAML"),
    ],
)
def test_what_data_yaml_lacks_is_told(tmp_path: Path, yaml: str, words: str) -> None:
    yolo_folder(tmp_path, yaml, "images/a.png")
    with pytest.raises(InputError, match=words):
        open_dataset(f"yolo:{tmp_path}")
