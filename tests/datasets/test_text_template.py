"""``--text-template`` says what ``text=`` says, and nothing where sentences are the data set's own."""

import json
from pathlib import Path

import formats
import pytest

from segagent.cli.main import main
from segagent.core import SpecError
from segagent.datasets import open_dataset
from segagent.learning.trajectories import read_trajectories


def coco(root: Path) -> Path:
    content = formats.instances()
    content["annotations"] = content["annotations"][:2]
    (root / "instances.json").write_text(json.dumps(content))
    return root / "instances.json"


def test_coco_by_any_name(tmp_path: Path) -> None:
    file = coco(tmp_path)
    by_option = open_dataset(f"coco:{file}:text=the {{category}}")
    for spec in (str(file), str(tmp_path), f"coco:{file}", by_option.spec):
        opened = open_dataset(spec, "the {category}")
        assert (opened.spec, opened.fingerprint) == (by_option.spec, by_option.fingerprint)
        assert all(sample.text == f"the {sample.category}" for sample in opened)


def test_the_others(tmp_path: Path) -> None:
    (tmp_path / "lvis.json").write_text(json.dumps(formats.lvis()))
    formats.write_voc(tmp_path / "voc")
    formats.write_sbd(tmp_path / "sbd")
    formats.write_interactive(tmp_path / "g", "data_GT", "boundary_GT", ("banana1",), ".bmp")
    formats.write_davis(tmp_path / "d")
    for spec in (
        f"lvis:{tmp_path}/lvis.json",
        f"voc:{tmp_path}/voc:split=val",
        f"sbd:{tmp_path}/sbd",
        f"grabcut:{tmp_path}/g",
        f"davis:{tmp_path}/d:split=val",
    ):
        plain, opened = open_dataset(spec), open_dataset(spec, "one {category}, split in two")
        assert [s.text for s in opened] == [f"one {s.text}, split in two" for s in plain]
        assert opened.fingerprint != plain.fingerprint
        assert open_dataset(opened.spec).fingerprint == opened.fingerprint


def test_what_is_refused(tmp_path: Path) -> None:
    file = coco(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "manifest.json").write_text('{"samples": []}')
    for spec in ("scenes:3", "refcoco:data", "hqseg:data", "reasonseg:data", "parquet:data", str(tmp_path / "m")):
        with pytest.raises(SpecError, match=r"own|template goes with"):
            open_dataset(spec, "the {category}")
    with pytest.raises(SpecError, match=r"says text='a \{category\}', the text template is"):
        open_dataset(f"coco:{file}:text=a {{category}}", "the {category}")
    for template in ("", "{category},images=/"):
        with pytest.raises(SpecError, match=r"reads as an option"):
            open_dataset(str(file), template)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = coco(tmp_path)
    formats.picture(tmp_path / "images" / formats.COCO_NAME)
    out = tmp_path / "t.jsonl"
    options = ["--tool", "disc", "--text-template", "the {category}"]
    assert main(["trajectories", str(file), "-o", str(out), "--workers", "1", *options]) == 0
    assert {one.text for one in read_trajectories(out)} == {s.text for s in open_dataset(str(file), "the {category}")}
    assert (
        main(["evaluate", str(file), "-o", str(tmp_path / "e"), "--policy", "centre", "--workers", "1", *options]) == 0
    )
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert results["dataset"].endswith("text=the {category}")
    assert main(["evaluate", "scenes:1", "-o", str(tmp_path / "f"), *options]) == 2
    assert "sentences of scenes are its own" in capsys.readouterr().err
