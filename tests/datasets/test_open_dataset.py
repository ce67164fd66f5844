import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from segagent.core import InputError, SpecError
from segagent.datasets import CocoDataset, FolderDataset, ScenesDataset, open_dataset
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.datasets.scenes.export import write_scenes

EMPTY_COCO = {"images": [], "annotations": [], "categories": []}


def test_what_is_there_decides(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text(json.dumps(EMPTY_COCO))
    assert isinstance(open_dataset(str(tmp_path)), CocoDataset)
    assert isinstance(open_dataset(str(tmp_path / "instances.json")), CocoDataset)
    (tmp_path / "manifest.json").write_text(json.dumps({"samples": []}))
    dataset = open_dataset(str(tmp_path))
    assert isinstance(dataset, FolderDataset)
    assert dataset.spec == str(tmp_path)
    assert isinstance(open_dataset(str(tmp_path / "manifest.json")), FolderDataset)
    assert isinstance(open_dataset("scenes:3"), ScenesDataset)


def test_nothing_usable(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "photos.ZIP").write_bytes(b"PK")
    for spec, complaint in [
        ("", "not a data set"),
        ("a\0b", "not a data set"),
        (str(tmp_path / "absent"), "no such file"),
        (str(tmp_path), "holds none of"),
        (str(tmp_path / "notes.txt"), "expected a folder"),
        (str(tmp_path / "photos.ZIP"), "unpack it"),
    ]:
        with pytest.raises(InputError, match=complaint):
            open_dataset(spec)


def test_scenes_are_those_of_the_generator() -> None:
    dataset = open_dataset("scenes:2:seed=5,split=test,complexity=hard,width=160,height=128")
    assert isinstance(dataset, ScenesDataset)
    assert dataset.num_images == 2
    groups = list(dataset.groups())
    assert [group.image_name for group in groups] == ["test_5_000000", "test_5_000001"]
    scene = generate_scene(scene_rng("test", 5, 1), SceneConfig(complexity="hard", width=160, height=128))
    samples = pickle.loads(pickle.dumps(groups[1])).samples()
    assert [sample.text for sample in samples] == [expression.text for expression in scene.expressions]
    assert np.array_equal(samples[0].load_image().pixels, scene.image)
    assert np.array_equal(dataset.load_image("test_5_000001").pixels, scene.image)
    for sample, expression in zip(samples, scene.expressions, strict=True):
        assert np.array_equal(sample.load_target()[0], scene.objects[expression.target].mask)
    everything = list(dataset)
    assert len({sample.sample_id for sample in everything}) == len(everything)
    again = open_dataset(dataset.spec)
    assert (again.spec, again.num_images) == (dataset.spec, 2)
    assert [sample.text for sample in again] == [sample.text for sample in everything]
    assert open_dataset("scenes:2:seed=6").fingerprint != open_dataset("scenes:2").fingerprint
    for spec in ("", ":sentences=1", ":size=96", ":width=96", ":width=80,height=80"):
        opened = open_dataset(f"scenes:2{spec}")
        assert open_dataset(opened.spec).fingerprint == opened.fingerprint
    with pytest.raises(InputError, match="no image"):
        dataset.load_image("test_5_000002")


@pytest.mark.parametrize(
    "spec",
    ["scenes"]
    + [f"scenes:{number}" for number in ("", "0", "-1", "x", "1e3", "\u0664")]
    + [
        f"scenes:3:{option}" for option in ("", "seed", "seed=-1", "split=all", "size=9", "seed=1,seed=2", "odd=1", ",")
    ],
)
def test_bad_scene_specifications(spec: str) -> None:
    with pytest.raises(SpecError) as error:
        open_dataset(spec)
    assert "\n" not in str(error.value)


def test_a_folder_of_scenes_is_grouped(tmp_path: Path) -> None:
    write_scenes(tmp_path, num=2, seed=1, config=SceneConfig(size=64))
    dataset = open_dataset(str(tmp_path))
    assert dataset.num_images == 2
    groups = list(dataset.groups())
    assert [s.sample_id for group in groups for s in group.samples()] == [s.sample_id for s in dataset]
    for group in groups:
        assert {s.image_name for s in group.samples()} == {group.image_name}
        assert np.array_equal(dataset.load_image(group.image_name).pixels, group.samples()[0].load_image().pixels)
