"""Objects below --found: what came nearest goes to people with its score, and never into final masks."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from interop_runs import HEIGHT, WIDTH, folder_data_set, make_models, make_run

from segagent.annotation.batch import Run
from segagent.annotation.interop import WRITERS, ExportOptions, export_run, import_corrections
from segagent.annotation.interop.brush_rle import decode_brush
from segagent.cli.main import main
from segagent.core import InputError

ALL = ExportOptions(best_tries=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nothing is found: three objects whose mask is scored too low, one with an empty mask, one failed."""
    folder = tmp_path_factory.mktemp("run")
    return make_run(folder_data_set(folder / "data"), folder / "run", "annotate", found=0.99)


def tried(run: Run) -> dict[str, np.ndarray]:
    return {record.object_id: record.mask for record in run.objects() if record.mask.any()}


def test_label_studio_gets_predictions_with_their_score(run: Run, tmp_path: Path) -> None:
    report = export_run(run, "label-studio", tmp_path / "t.json", ExportOptions(frozenset(), best_tries=True))
    assert report.written == {"not_found": 3}
    assert [one.object_id for one in report.without] == ["id#2", "gone"]
    expected = {record.object_id: run.calibrated(record.predicted_iou) for record in run.objects()}
    found = {}
    for task in json.loads((tmp_path / "t.json").read_bytes()):
        assert "annotations" not in task
        for region in (region for one in task.get("predictions", []) for region in one["result"]):
            facts = region["meta"]["segagent"]
            assert (facts["outcome"], facts["made_by"]) == ("not_found", "model")
            assert facts["clicks"]
            assert region["score"] == pytest.approx(expected[facts["object_id"]], abs=1e-4)
            assert region["score"] < 0.99
            assert "not found, best try" in region["meta"]["text"][0]
            found[facts["object_id"]] = decode_brush(region["value"]["rle"], HEIGHT, WIDTH)
    wanted = tried(run)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_cvat_gets_them_and_gives_them_back_untouched(run: Run, tmp_path: Path) -> None:
    export_run(run, "cvat", tmp_path / "a.xml", ALL)
    masks = list(ElementTree.parse(tmp_path / "a.xml").iter("mask"))
    told = [{one.attrib["name"]: one.text for one in mask} for mask in masks]
    assert {one["object_id"] for one in told} == tried(run).keys()
    assert {one["outcome"] for one in told} == {"not_found"}
    assert all(float(one["calibrated_iou"] or "1") < 0.99 for one in told)
    with pytest.raises(InputError, match="3 masks are as exported"):
        import_corrections(run, tmp_path / "a.xml", tmp_path / "back", lambda: make_models().tool)


@pytest.mark.parametrize("kind", list(WRITERS))
def test_off_unless_asked_for_and_never_final(run: Run, tmp_path: Path, kind: str) -> None:
    report = export_run(run, kind, tmp_path / "plain")
    assert report.written.total() == 0
    if kind in ("label-studio", "cvat"):
        options = ExportOptions(frozenset(), only_accepted=True, best_tries=True)
        assert export_run(run, kind, tmp_path / "none", options).written.total() == 0
        return
    with pytest.raises(InputError, match="best tries go into label-studio and cvat only"):
        export_run(run, kind, tmp_path / "out", ALL)
    assert not (tmp_path / "out").exists()


def test_the_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.xml"
    assert main(["export", str(run.folder), "--to", "cvat", "-o", str(out), "--best-tries"]) == 1  # One failed.
    said = capsys.readouterr()
    assert said.out.startswith("3 masks (3 not found): ")
    assert said.err.startswith("warning: nothing was found\n")
    assert main(["export", str(run.folder), "--to", "masks", "-o", str(tmp_path / "m"), "--best-tries"]) == 2
