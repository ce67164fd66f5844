"""Small writers of the published data sets' formats, each a picture or two with objects that tests know."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from scipy.io import savemat

from segagent.core import encode_rle
from segagent.datasets.coco_masks import encode_counts

HEIGHT, WIDTH = 12, 17
COCO_NAME = "COCO_train2014_000000000007.jpg"


def square() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[3:8, 2:9] = True
    return mask


def disc() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - 6) ** 2 + (columns - 12) ** 2 <= 9


def picture(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", size, "#102030").save(path)


def labels(path: Path, values: np.ndarray, *, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = PillowImage.fromarray(values.astype(np.uint8))
    if palette:
        made = made.convert("P")
        made.putpalette([(n * 37) % 256 for n in range(768)])
        made.putdata([int(value) for value in values.ravel()])
    made.save(path)


def instances(name: str = COCO_NAME) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": name, "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "segmentation": [[2, 3, 9, 3, 9, 8, 2, 8]], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 2, "segmentation": encode_counts(disc()), "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 2, "segmentation": [dict(encode_rle(disc()))], "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "ball"}],
    }


def references() -> list[dict[str, Any]]:
    def entry(ref_id: int, ann_id: object, split: str, *words: str) -> dict[str, Any]:
        sentences = [
            {"sent_id": 10 * ref_id + n, "sent": text, "raw": text.upper(), "tokens": text.split()}
            for n, text in enumerate(words)
        ]
        return {
            "ref_id": ref_id,
            "ann_id": ann_id,
            "image_id": 7,
            "category_id": 1,
            "split": split,
            "file_name": "COCO_train2014_000000000007_1.jpg",
            "sent_ids": [one["sent_id"] for one in sentences],
            "sentences": sentences,
        }

    return [
        entry(0, 1, "train", "the cat", "left caf\u00e9"),
        entry(1, 2, "testA", "ball"),
        entry(2, 3, "testBC", "round thing", " "),
    ]


def write_refer(root: Path, name: str = "refcoco", by: str = "unc", protocol: int = 2) -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(instances()))
    (folder / f"refs({by}).p").write_bytes(pickle.dumps(references(), protocol))
    clef = name == "refclef"
    picture(root / ("images/saiapr_tc-12" if clef else "images/mscoco/images/train2014") / COCO_NAME)
    return folder / f"refs({by}).p"


def write_grefcoco(root: Path) -> Path:
    folder = root / "grefcoco"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(instances()))
    entries = references()
    for entry, ann_id in zip(entries, ([1, 3], [-1], [3]), strict=True):
        entry.update(ann_id=ann_id, no_target=ann_id == [-1])
    (folder / "grefs(unc).json").write_text(json.dumps(entries))
    picture(root / "images/train2014" / COCO_NAME)
    return folder / "grefs(unc).json"


def shapes() -> dict[str, Any]:
    return {
        "text": ["what would you sit on?", "the seat"],
        "is_sentence": True,
        "shapes": [
            {"label": "target", "points": [[2, 3], [8, 3], [8, 7], [2, 7]]},
            {"label": "Ignore this", "points": [[2.0, 3.0], [3.0, 3.0], [3.0, 4.0], [2.0, 4.0]]},
            {"label": "flag", "points": "nonsense"},
        ],
    }


def write_reasonseg(root: Path) -> Path:
    picture(root / "val" / "a.jpg")
    (root / "val" / "a.json").write_text(json.dumps(shapes()))
    return root / "val" / "a.json"


def write_hqseg(root: Path) -> None:
    for images, masks, name in [
        ("DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt", "1#Accessories#3#SunGlasses#123_o"),
        ("DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt", "2#Aircraft#1#UAV#9"),
    ] + [
        (f"thin_object_detection/ThinObject5K/images_{part}", f"thin_object_detection/ThinObject5K/masks_{part}", name)
        for part, name in (("train", "bike_PNG1"), ("test", "street_lamp_PNG12"))
    ]:
        picture(root / images / f"{name}.jpg")
        labels(root / masks / f"{name}.png", square() * 255, palette=False)


def write_voc(root: Path) -> Path:
    picture(root / "JPEGImages" / "2007_000032.jpg")
    values = square() * 1 + disc() * 2
    values[0] = 255
    labels(root / "SegmentationObject" / "2007_000032.png", values)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("2007_000032\n")
    (root / "Annotations").mkdir()
    file = root / "Annotations" / "2007_000032.xml"
    file.write_text(
        "<annotation><object><name>diningtable</name></object><object><name>cat</name></object></annotation>"
    )
    return file


def write_sbd(root: Path, *, compressed: bool = False) -> Path:
    picture(root / "dataset" / "img" / "2008_000002.jpg")
    (root / "dataset" / "inst").mkdir(parents=True)
    (root / "dataset" / "val.txt").write_text("2008_000002\n")
    file = root / "dataset" / "inst" / "2008_000002.mat"
    values = (square() * 1 + disc() * 2).astype(np.uint8)
    savemat(
        file,
        {"GTinst": {"Segmentation": values, "Categories": np.array([[11], [8]], np.uint8)}},
        do_compression=compressed,
    )
    return file


def write_interactive(root: Path, images: str, masks: str, names: tuple[str, ...], mask_ending: str = ".png") -> None:
    for name in names:
        picture(root / images / f"{name}.jpg")
        values = square() * 255
        values[0] = 128
        labels(root / masks / f"{name}{mask_ending}", values, palette=False)


def write_davis(root: Path, *, old: bool = False) -> None:
    for number in ("00000", "00001"):
        picture(root / "JPEGImages/480p/dance-twirl" / f"{number}.jpg")
        labels(root / "Annotations/480p/dance-twirl" / f"{number}.png", square() * 1 + disc() * 2)
    year = root / "ImageSets" / ("480p" if old else "2017")
    year.mkdir(parents=True)
    line = "/JPEGImages/480p/dance-twirl/{0}.jpg /Annotations/480p/dance-twirl/{0}.png\n"
    (year / "val.txt").write_text(line.format("00000") + line.format("00001") if old else "dance-twirl\n")


def lvis() -> dict[str, Any]:
    data = instances()
    data["annotations"] = data["annotations"][:1]
    data["images"][0] = {"id": 7, "coco_url": "http://h/val2017/000000000007.jpg", "width": WIDTH, "height": HEIGHT}
    data["categories"] = [{"id": 1, "name": "bow_(weapon)"}, {"id": 2, "name": "alarm_clock"}]
    return data


def published_trajectories() -> dict[str, Any]:
    truth = {
        "object_id": 4,
        "caption": ["the cat", "left cat"],
        "segmentation": encode_rle(square()),
        "bbox": [2, 3, 7, 5],
        "area": 35,
    }
    clicks = [
        {"idx": 0, "coor": [5, 4], "is_positive": True, "mask": encode_rle(square() | disc()), "iou": 0.5},
        {"idx": 1, "coor": [6, 12], "is_positive": False, "mask": encode_rle(square()), "iou": 1.0},
    ]
    return {
        "data": [
            {"image_name": "a.jpg", "height": HEIGHT, "width": WIDTH, "gt_ann": truth, "clicks_list": clicks},
        ]
    }


def published_predictions() -> list[dict[str, Any]]:
    masks = (square() | disc(), square(), disc())
    replies = (
        "Current IOU: 0.0, Positive point: (1, 2)",
        "Current IOU: 55.5, Negative point: (1, 2)",
        "Current mIoU: 0.9 Positive point: (1, 2)",
    )
    entries = [
        {
            "click_id": number,
            "clicks": {"is_positive": number != 1, "coords": [number, 10]},
            "used_box": None,
            "mask": encode_rle(mask),
            "outputs": reply,
        }
        for number, (mask, reply) in enumerate(zip(masks, replies, strict=True))
    ]
    return [
        {
            "img_path": "b.jpg",
            "height": HEIGHT,
            "width": WIDTH,
            "caption": ["the cat"],
            "gt_mask": encode_rle(square()),
            "pred_list": entries,
        }
    ]
