"""A bad entry fails alone: the data set goes on behind it, and a batch run records it with file and entry."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import formats
import numpy as np
import pytest
from test_mutated import FORMATS, changed, complaint, torn

from segagent.cli.main import main
from segagent.core import InputError
from segagent.datasets import BrokenSample, Dataset, open_dataset


def voc(root: Path) -> tuple[str, str]:
    """Three images, the last two with something wrong; the specification and what is to be told."""
    formats.write_voc(root)
    whole = (root / "Annotations" / "2007_000032.xml").read_text()
    for name, content in (("b", whole[:40]), ("c", whole.replace("diningtable", ""))):
        (root / "Annotations" / f"{name}.xml").write_text(content)
        for folder, ending in (("JPEGImages", "jpg"), ("SegmentationObject", "png")):
            (root / folder / f"{name}.{ending}").write_bytes((root / folder / f"2007_000032.{ending}").read_bytes())
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("2007_000032\nb\nc\n")
    return f"voc:{root}", r"b\.xml: not valid XML|c\.xml, object 1: has no name"


def sbd(root: Path) -> tuple[str, str]:
    file = formats.write_sbd(root)
    content = file.read_bytes()
    file.with_name("b.mat").write_bytes(content[:200])
    file.with_name("c.mat").write_bytes(content)
    for name in "bc":
        picture = root / "dataset" / "img" / "2008_000002.jpg"
        picture.with_name(f"{name}.jpg").write_bytes(picture.read_bytes())
    (root / "dataset" / "val.txt").write_text("2008_000002\nb\nc\n")
    return f"sbd:{root}", r"b\.mat: damaged"


def jsonl(root: Path) -> tuple[str, str]:
    formats.picture(root / "a.jpg")
    formats.labels(root / "m.png", formats.square() * 255, palette=False)
    good = {"image": "a.jpg", "mask": "m.png", "text": "it"}
    samples = [good, good | {"mask": 3}, {"image": "../x.jpg", "mask": None, "text": "it"}, good | {"text": " "}, good]
    (root / "manifest.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return str(root), r"manifest\.jsonl, samples\[(1|2|3)\]: "


def parquet(root: Path) -> tuple[str, str]:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    formats.picture(root / "a.jpg")
    picture = {"bytes": (root / "a.jpg").read_bytes(), "path": None}
    rows = {"image": [picture] * 4, "mask": [None] * 4, "text": [["it"], [], [" "], ["that"]]}
    files.write_table(pyarrow.table(rows), root / "a.parquet")
    return f"parquet:{root / 'a.parquet'}", r"a\.parquet, row 2, text: expected words"


@pytest.mark.parametrize("make", [voc, sbd, jsonl, parquet])
def test_evaluate_records_it_and_goes_on(
    make: Callable[[Path], tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, message = make(tmp_path)
    samples = list(open_dataset(spec))
    bad = [sample for sample in samples if isinstance(sample, BrokenSample)]
    assert bad
    assert not isinstance(samples[-1], BrokenSample)
    for sample in bad:
        with pytest.raises(InputError, match=message):
            sample.load_target()
    assert (
        main(["evaluate", spec, "-o", str(tmp_path / "out"), "--policy", "centre", "--tool", "disc", "--workers", "1"])
        == 1
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["counts"]["failed"] == len(bad)
    assert results["counts"]["samples"] == len(samples) - len(bad)
    assert results["complete"]
    assert {one["sample_id"] for one in results["failures"]} == {sample.sample_id for sample in bad}
    assert all(str(tmp_path) in one["reason"] for one in results["failures"])
    told = capsys.readouterr().err
    assert all(sample.sample_id in told for sample in bad)
    trajectories = ["trajectories", spec, "-o", str(tmp_path / "t.jsonl"), "--tool", "disc", "--workers", "1", "--json"]
    assert main(trajectories) == 1
    assert json.loads(capsys.readouterr().out)["num_failed"] == len(bad)


def walk(dataset: Dataset) -> int:
    """Go through a data set that could be opened: no error but at a sample, and a clear one there."""
    failed = 0
    for group in dataset.groups():
        for sample in group.samples():
            assert sample.text
            message = complaint(sample.load_target)
            failed += message is not None
            assert "\n" not in (message or "")
    return failed


SPECS = {
    "refcoco refs": "refcoco:{}",
    "refcoco instances": "refcoco:{}",
    "grefcoco": "grefcoco:{}",
    "reasonseg": "reasonseg:{}",
    "lvis": "lvis:{}/lvis.json",
}


@pytest.mark.parametrize("name", [*SPECS, "voc", "sbd", "coco", "manifest", "jsonl"])
def test_at_most_opening_fails(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    write: Callable[[Path], Any]
    content: Callable[[], Any] | None
    if name in SPECS:
        write, content, _ = FORMATS[name]
        spec = SPECS[name].format(tmp_path)
    else:
        write, content = {
            "voc": (formats.write_voc, None),
            "sbd": (formats.write_sbd, None),
            "coco": (lambda root: root / "instances.json", formats.instances),
            "manifest": (lambda root: root / "manifest.json", manifest),
            "jsonl": (lambda root: root / "manifest.jsonl", manifest),
        }[name]
        spec = f"{name}:{tmp_path}" if content is None else str(tmp_path)
    file = write(tmp_path)
    whole = file.read_bytes() if content is None else b""
    opened = failed = 0
    for _ in range(60):
        if content is None:
            file.write_bytes(torn(whole, rng))
        elif name == "jsonl":
            lines = [json.dumps(one) for one in changed(content(), rng)["samples"]] if rng.random() < 0.9 else ["{}"]
            file.write_text("\n".join(lines))
        elif file.suffix == ".p":
            import pickle

            file.write_bytes(pickle.dumps(changed(content(), rng)))
        else:
            file.write_text(json.dumps(changed(content(), rng)))
        try:
            dataset = open_dataset(spec)
            dataset.num_images, dataset.fingerprint  # noqa: B018 - what a batch run asks for before its first sample
        except InputError:
            continue
        opened += 1
        failed += walk(dataset)
    assert opened
    assert failed or name in {"refcoco refs", "grefcoco", "reasonseg"}


def manifest() -> dict[str, Any]:
    good = {"image": "a.jpg", "mask": "m.png", "text": "it", "category": "thing", "kind": "x", "id": 1}
    return {"samples": [good, good | {"id": 2, "image": "b.jpg"}, good | {"id": 3, "mask": None}]}


def test_damaged_parquet_fails_by_sample(tmp_path: Path) -> None:
    spec, _ = parquet(tmp_path)
    content = (tmp_path / "a.parquet").read_bytes()
    rng = np.random.default_rng(2)
    opened = 0
    for _ in range(80):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(256)
        (tmp_path / "a.parquet").write_bytes(damaged)
        try:
            dataset = open_dataset(spec)
        except InputError:
            continue
        opened += 1
        assert dataset.num_images == sum(1 for _ in dataset.groups())
        walk(dataset)
    assert opened
