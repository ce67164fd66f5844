"""Every published format: what is written is what is read."""

import json
import pickle
from pathlib import Path

import formats
import numpy as np
import pytest
from formats import HEIGHT, WIDTH, disc, square
from PIL import Image as PillowImage

from segagent.core import InputError, SpecError
from segagent.datasets import ListedDataset, open_dataset
from segagent.datasets.hqseg import thin_text


def reopened(spec: str) -> list:
    """The samples; the data set's own specification must give the same, and groups must follow the protocol."""
    dataset = open_dataset(spec)
    samples = list(dataset)
    again = open_dataset(dataset.spec)
    assert (again.fingerprint, again.spec) == (dataset.fingerprint, dataset.spec)
    assert [sample.sample_id for sample in again] == [sample.sample_id for sample in samples]
    assert len({sample.sample_id for sample in samples}) == len(samples)
    groups = list(dataset.groups())
    assert dataset.num_images == len(groups)
    for group in pickle.loads(pickle.dumps(groups)):
        listed = group.samples()
        assert {sample.image_name for sample in listed} == {group.image_name}
        image = listed[0].load_image()
        assert np.array_equal(dataset.load_image(group.image_name).pixels, image.pixels)
        assert listed[0].load_target(image)[0].shape == (image.height, image.width)
    return samples


@pytest.mark.parametrize(
    ("name", "by"),
    [("refcoco", "unc"), ("refcoco", "google"), ("refcoco+", "unc"), ("refcocog", "umd"), ("refclef", "berkeley")],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_refer(tmp_path: Path, name: str, by: str, protocol: int) -> None:
    formats.write_refer(tmp_path, name, by, protocol)
    samples = reopened(f"{name}:{tmp_path}:by={by}")
    assert [sample.text for sample in samples] == ["the cat", "left caf\u00e9", "ball", "round thing"]
    assert [sample.sample_id for sample in samples] == ["0-0", "0-1", "1-10", "2-20"]
    assert [sample.category for sample in samples] == ["cat", "cat", "ball", "ball"]
    assert open_dataset(f"{name}:{tmp_path}:by={by}").num_skipped == 1
    for sample, mask in zip(samples, (square(), square(), disc(), disc()), strict=True):
        assert np.array_equal(sample.load_target()[0], mask)
    same = open_dataset(f"{name}:{tmp_path / name}:by={by}")  # The data set's own folder does too.
    assert [sample.image for sample in same] == [sample.image for sample in samples]


@pytest.mark.parametrize(
    ("split", "texts"),
    [
        ("train", ["the cat", "left caf\u00e9"]),
        ("testA", ["ball"]),
        ("testB", ["round thing"]),
        ("test", ["ball", "round thing"]),
        ("val", []),
    ],
)
def test_refer_splits(tmp_path: Path, split: str, texts: list[str]) -> None:
    formats.write_refer(tmp_path)
    assert [sample.text for sample in open_dataset(f"refcoco:{tmp_path}:split={split}")] == texts


def test_refer_says_what_is_missing_and_where_from(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"refs\(umd\)\.p: no such file; refcocog needs .*instances\.json.*github.*COCO"
    ):
        open_dataset(f"refcocog:{tmp_path}")
    with pytest.raises(InputError, match="has train, val, got 'test'"):
        open_dataset(f"refcocog:{tmp_path}:by=google,split=test")
    formats.write_refer(tmp_path)
    (tmp_path / "images/mscoco/images/train2014" / formats.COCO_NAME).unlink()
    dataset = open_dataset(f"refcoco:{tmp_path}")
    with pytest.raises(InputError, match=r"train2014_000000000007\.jpg: no such file"):
        next(iter(dataset)).load_image()
    elsewhere = tmp_path / "my:pictures"
    formats.picture(elsewhere / formats.COCO_NAME, (3, 3))
    with pytest.raises(InputError, match="has 3 x 3 pixels"):
        next(iter(open_dataset(f"refcoco:{tmp_path}:images={elsewhere}"))).load_image()


def python2(value: object) -> bytes:
    """A pickle of protocol 2 as Python 2 writes it, text as bytes."""
    match value:
        case dict():
            return b"}(" + b"".join(python2(key) + python2(one) for key, one in value.items()) + b"u"
        case list():
            return b"](" + b"".join(map(python2, value)) + b"e"
        case int():
            return b"J" + value.to_bytes(4, "little", signed=True)
        case str():
            return python2(value.encode("latin-1"))
        case bytes():
            return b"U" + bytes([len(value)]) + value
    raise TypeError(type(value))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("caf\u00e9 \u5de6".encode(), "caf\u00e9 \u5de6"),
        (b"caf\xe9 cup", "caf\u00e9 cup"),
        (b"the man\x92s \x93hat\x94", "the man\u2019s \u201chat\u201d"),
    ],
)
def test_words_of_python_2(tmp_path: Path, words: bytes, text: str) -> None:
    file = formats.write_refer(tmp_path)
    entries = formats.references()[:1]
    entries[0]["sentences"][0]["sent"] = words
    del entries[0]["sentences"][1:]
    file.write_bytes(b"\x80\x02" + python2(entries) + b".")
    assert [sample.text for sample in open_dataset(f"refcoco:{tmp_path}")] == [text]
    file.write_bytes(file.read_bytes().replace(words, b"\x81" + words[1:]))
    with pytest.raises(InputError, match=r"refs\(unc\)\.p: text that is neither UTF-8 nor Windows-1252"):
        open_dataset(f"refcoco:{tmp_path}")


@pytest.mark.parametrize("segmentation", [..., None, [], [[]]])
@pytest.mark.parametrize("name", ["refcoco", "grefcoco"])
def test_an_object_without_a_segmentation_fails_alone(tmp_path: Path, name: str, segmentation: object) -> None:
    file = formats.write_grefcoco(tmp_path) if name == "grefcoco" else formats.write_refer(tmp_path)
    data = formats.instances()
    data["annotations"][2]["segmentation"] = segmentation
    data["annotations"][2] = {key: one for key, one in data["annotations"][2].items() if one is not ...}
    (file.parent / "instances.json").write_text(json.dumps(data))
    samples = list(open_dataset(f"{name}:{tmp_path}"))
    assert len(samples) == 4
    for number, sample in enumerate(samples):
        assert sample.load_image().width == WIDTH
        if number in ((0, 1, 3) if name == "grefcoco" else (3,)):
            with pytest.raises(InputError, match=r"3 of .*has no segmentation"):
                sample.load_target()
        else:
            sample.load_target()


def test_numbers_and_sizes_of_instances_as_tables_write_them(tmp_path: Path) -> None:
    file = formats.write_refer(tmp_path)
    data = formats.instances()
    data["images"][0] = {"id": 7.0, "file_name": data["images"][0]["file_name"], "width": None}
    for entry in data["annotations"]:
        entry["image_id"] = float(entry["image_id"])
    (file.parent / "instances.json").write_bytes(json.dumps(data).encode("utf-8-sig"))
    samples = reopened(f"refcoco:{tmp_path}")
    assert [sample.sample_id for sample in samples] == ["0-0", "0-1", "1-10", "2-20"]
    assert np.array_equal(samples[0].load_target()[0], square())


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    file = formats.write_refer(tmp_path)
    dataset = open_dataset(f"refcoco:{tmp_path}")
    assert isinstance(dataset, ListedDataset)
    assert dataset.notes == (f"{file}: 1 expressions have no words and are left out",)


def test_grefcoco(tmp_path: Path) -> None:
    formats.write_grefcoco(tmp_path)
    samples = reopened(f"grefcoco:{tmp_path}")
    assert [sample.kind for sample in samples] == ["several", "several", "none", "one"]
    assert [sample.category for sample in samples] == [None, None, None, "ball"]
    masks = [sample.load_target()[0] for sample in samples]
    assert np.array_equal(masks[0], square() | disc())
    assert masks[2].shape == (HEIGHT, WIDTH)
    assert not masks[2].any()
    assert np.array_equal(masks[3], disc())


def test_reasonseg(tmp_path: Path) -> None:
    file = formats.write_reasonseg(tmp_path / "ReasonSeg")
    samples = reopened(f"reasonseg:{tmp_path}:split=val")
    assert [(s.sample_id, s.text, s.kind) for s in samples] == [
        ("val-a-0", "what would you sit on?", "sentence"),
        ("val-a-1", "the seat", "sentence"),
    ]
    mask, ignore = samples[0].load_target()
    assert ignore is not None
    assert ignore[3:5, 2:4].all()
    assert ignore.sum() == 4
    assert np.array_equal(mask | ignore, square())
    file.write_bytes(json.dumps(formats.shapes() | {"text": "caf\u00e9"}, ensure_ascii=False).encode("cp1252"))
    assert [sample.text for sample in open_dataset(f"reasonseg:{tmp_path}")] == ["caf\u00e9"]
    with pytest.raises(InputError, match=r"holds no \.json file; ReasonSeg needs"):
        open_dataset(f"reasonseg:{tmp_path}:split=test")


def test_hqseg(tmp_path: Path) -> None:
    formats.write_hqseg(tmp_path)
    samples = reopened(f"hqseg:{tmp_path}")
    assert [(s.text, s.kind) for s in samples] == [("sun glasses", "dis5k"), ("street lamp", "thin")]
    assert [s.text for s in reopened(f"hqseg:{tmp_path}:part=dis5k,split=train")] == ["uav"]
    assert [s.text for s in reopened(f"hqseg:{tmp_path}:part=thin,split=train")] == ["bike"]
    assert np.array_equal(samples[0].load_target()[0], square())
    with pytest.raises(InputError, match=r"DIS-TE1.*no such folder; HQSeg-44K needs"):
        open_dataset(f"hqseg:{tmp_path}:split=test1")


@pytest.mark.parametrize(
    ("stem", "text"),
    [
        ("air_pump_PNG19", "air pump"),
        ("badminton_PNG10442a", "badminton"),
        ("ak47_PNG15442", "ak47"),
        ("shower_PNG37 - Copy", "shower"),
        ("street_lamp_0012", "street lamp"),
        ("_PNG3", "png"),
        ("12", "the object"),
    ],
)
def test_words_of_thin_objects(stem: str, text: str) -> None:
    assert thin_text(stem) == text


def test_voc(tmp_path: Path) -> None:
    formats.write_voc(tmp_path)
    samples = reopened(f"voc:{tmp_path}")
    assert [(s.sample_id, s.text) for s in samples] == [("2007_000032-1", "dining table"), ("2007_000032-2", "cat")]
    mask, ignore = samples[1].load_target()
    assert np.array_equal(mask, disc())
    assert ignore is not None
    assert ignore[0].all()
    assert ignore.sum() == WIDTH


@pytest.mark.parametrize("compressed", [False, True])
def test_sbd(tmp_path: Path, compressed: bool) -> None:
    formats.write_sbd(tmp_path, compressed=compressed)
    samples = reopened(f"sbd:{tmp_path}")
    assert [(s.sample_id, s.text) for s in samples] == [("2008_000002-1", "dining table"), ("2008_000002-2", "cat")]
    assert np.array_equal(samples[0].load_target()[0], square())


def test_grabcut_and_berkeley(tmp_path: Path) -> None:
    formats.write_interactive(tmp_path / "g", "data_GT", "boundary_GT", ("banana1", "21077"), ".bmp")
    samples = reopened(f"grabcut:{tmp_path / 'g'}")
    assert [(s.sample_id, s.text) for s in samples] == [("21077", "the object"), ("banana1", "banana")]
    mask, ignore = samples[0].load_target()
    assert np.array_equal(mask, square())
    assert ignore is not None
    assert ignore.sum() == WIDTH
    formats.write_interactive(tmp_path / "b", "images", "masks", ("11", "11#1"))
    assert [s.text for s in reopened(f"berkeley:{tmp_path / 'b'}:text=it, that: thing")] == ["it, that: thing"] * 2
    assert [s.sample_id for s in reopened(f"berkeley:{tmp_path / 'b'}")] == ["11#1", "11"]
    (tmp_path / "b" / "images" / "11#1.jpg").unlink()
    (tmp_path / "b" / "masks" / "11.png").rename(tmp_path / "b" / "masks" / "11#2.png")
    assert [s.sample_id for s in reopened(f"berkeley:{tmp_path / 'b'}")] == ["11#1", "11#2"]
    formats.labels(tmp_path / "b" / "masks" / "11a.png", disc() * 255, palette=False)
    formats.labels(tmp_path / "b" / "masks" / "12.png", disc() * 255, palette=False)
    assert [s.sample_id for s in reopened(f"berkeley:{tmp_path / 'b'}")] == ["11#1", "11#2", "11a"]
    (tmp_path / "b" / "masks" / "11a.png").unlink()
    (tmp_path / "b" / "masks" / "11#2.png").unlink()
    (tmp_path / "b" / "masks" / "11#1.png").unlink()
    with pytest.raises(InputError, match=r"holds no mask for images/11"):
        open_dataset(f"berkeley:{tmp_path / 'b'}")


def test_berkeley_at_its_real_size(tmp_path: Path) -> None:
    """96 images, 100 objects: the second and third of an image have its name and a letter, in the published archive."""
    names = [str(number) for number in range(100080, 100176)]
    formats.write_interactive(tmp_path, "images", "masks", tuple(names))
    for extra in (f"{names[7]}a", f"{names[40]}a", f"{names[40]}b", f"{names[95]}a"):
        formats.labels(tmp_path / "masks" / f"{extra}.png", disc() * 255, palette=False)
    samples = reopened(f"berkeley:{tmp_path}")
    assert len(samples) == 100
    assert len({sample.image_name for sample in samples}) == 96
    assert [s.sample_id for s in samples if s.image_name == f"images/{names[40]}.jpg"] == [
        names[40],
        f"{names[40]}a",
        f"{names[40]}b",
    ]
    assert all(sample.load_target()[0].any() for sample in samples)


@pytest.mark.parametrize("old", [False, True])
def test_davis(tmp_path: Path, old: bool) -> None:
    formats.write_davis(tmp_path, old=old)
    samples = reopened(f"davis:{tmp_path}")
    assert [(s.sample_id, s.text) for s in samples] == [
        ("dance-twirl-00000", "dance twirl"),
        ("dance-twirl-00001", "dance twirl"),
    ]
    assert np.array_equal(samples[1].load_target()[0], square() | disc())


def test_davis345(tmp_path: Path) -> None:
    formats.picture(tmp_path / "img" / "a.jpg")
    formats.labels(tmp_path / "gt" / "a.png", square() * 3)
    assert np.array_equal(reopened(f"davis:{tmp_path}")[0].load_target()[0], square())


def test_lvis_and_templates(tmp_path: Path) -> None:
    (tmp_path / "lvis_v1_val.json").write_text(json.dumps(formats.lvis()))
    formats.picture(tmp_path / "val2017" / "000000000007.jpg")
    samples = reopened(f"lvis:{tmp_path / 'lvis_v1_val.json'}:text=the {{category}}")
    assert [(s.text, s.category, s.image_name) for s in samples] == [("the bow", "bow", "val2017/000000000007.jpg")]
    assert np.array_equal(samples[0].load_target()[0], square())
    data = formats.instances()
    data["annotations"].pop()
    (tmp_path / "x.json").write_text(json.dumps(data))
    formats.picture(tmp_path / "pics" / formats.COCO_NAME)
    spec = f"coco:{tmp_path / 'x.json'}:text=find, please: {{category}},images={tmp_path / 'pics'}"
    assert [s.text for s in reopened(spec)] == ["find, please: cat"]


def test_masks_of_another_orientation_are_turned_with_the_image(tmp_path: Path) -> None:
    formats.write_hqseg(tmp_path)
    name = "1#Accessories#3#SunGlasses#123_o"
    turned = PillowImage.new("RGB", (HEIGHT, WIDTH), "#102030")
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "DIS5K/DIS-VD/im" / f"{name}.jpg", exif=exif)
    sample = reopened(f"hqseg:{tmp_path}:part=dis5k")[0]
    image = sample.load_image()
    assert (image.height, image.width) == (HEIGHT, WIDTH)
    assert np.array_equal(sample.load_target(image)[0], square())


@pytest.mark.parametrize(
    "spec",
    [
        "refcoco::split=val",
        "refcoco:data:split=all",
        "refcoco:data:split=val,split=val",
        "refcoco:data:colour=red",
        "hqseg:data:part=",
        "voc:a\0b",
    ],
)
def test_bad_options_say_what_there_is(spec: str) -> None:
    with pytest.raises(SpecError, match=r"expected|must be") as error:
        open_dataset(spec)
    assert "\n" not in str(error.value)


def test_hostile_paths_are_refused(tmp_path: Path) -> None:
    formats.write_refer(tmp_path)
    file = tmp_path / "refcoco" / "instances.json"
    for name in ("../../x.jpg", "/etc/passwd", "..\\x.jpg", None):
        data = formats.instances()
        data["images"][0]["file_name"] = name
        file.write_text(json.dumps(data))
        with pytest.raises(InputError, match="'file_name'"):
            open_dataset(f"refcoco:{tmp_path}")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("../../etc\n")
    with pytest.raises(InputError, match="line 1"):
        open_dataset(f"voc:{tmp_path}")


def test_sources_that_list_categories_keep_their_order(tmp_path: Path) -> None:
    formats.write_refer(tmp_path / "r", "refcoco", "unc")
    formats.write_voc(tmp_path / "v")
    formats.write_sbd(tmp_path / "s")
    assert vars(open_dataset(f"refcoco:{tmp_path / 'r'}"))["categories"] == ("cat", "ball")
    voc = vars(open_dataset(f"voc:{tmp_path / 'v'}"))["categories"]
    assert vars(open_dataset(f"sbd:{tmp_path / 's'}"))["categories"] == voc
    assert (len(voc), voc[0], voc[10]) == (20, "aeroplane", "dining table")
