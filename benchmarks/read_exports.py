"""Exports read by the programs that they are for, each in an environment of its own.

    python benchmarks/read_exports.py make FOLDER        # here: a run, its exports, and what is true
    ENV/bin/python benchmarks/read_exports.py PROGRAM FOLDER

PROGRAM: ultralytics, supervision, pycocotools, datumaro or label-studio (label-studio-sdk). ENV has it and not this
project. Prints what was read and what is wrong; exits with 1 if anything is. Labels and names of pictures are such as
programs have stumbled over.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 96, 128
LABELS = ["cup \U0001f375", "長い棒", "\U00020bb7野家", '5″ pipe: "a" #1', "no", "1e3", "never used", "it's <b> & c"]
PICTURES = ["a.png", "a.jpg", "images/a.png", "x/images/b.png", "my cup #1.png", "sub/é.png", ".c.png"]


def masks_of(number: int) -> list[tuple[str, np.ndarray]]:
    """Label and mask of each object of a picture: a disc with a hole, two parts, a thin line."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    far = (columns - 30 - number) ** 2 + (rows - 30) ** 2
    ring = (far <= 20**2) & (far > 8**2)
    parts = ((columns - 90) ** 2 + (rows - 20) ** 2 <= 11**2) | ((columns - 100) ** 2 + (rows - 70) ** 2 <= 15**2)
    line = (abs(rows - 80) <= 1 + number % 2) & (columns > 5) & (columns < 70)
    used = [label for label in LABELS if label != "never used"]
    return [(used[(number + place) % len(used)], mask) for place, mask in enumerate((ring, parts, line))]


def labels_of(kind: str) -> list[str]:
    """The labels that an export must list: the file's, or where nothing lists any the objects' in their order."""
    if kind == "source":
        return LABELS
    return list(dict.fromkeys(label for number in range(len(PICTURES)) for label, _ in masks_of(number)))


class Checked:
    """Counts masks and collects what is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ious: list[float] = []
        self.wrong: list[str] = []

    def same(self, what: str, found: Any, expected: Any) -> None:
        """Note a difference."""
        if found != expected:
            self.wrong.append(f"{what}: {found!a}, expected {expected!a}")

    def masks(self, picture: str, found: list[tuple[str, np.ndarray]], lowest: float = 1.0) -> None:
        """Compare a picture's labels and masks, in whatever order, with the truth, where no label is there twice."""
        true, found = (sorted(one, key=lambda pair: pair[0]) for one in (masks_of(PICTURES.index(picture)), found))
        self.same(f"{picture}: labels", [label for label, _ in found], [label for label, _ in true])
        for (label, mask), (_, truth) in zip(found, true, strict=False):
            if mask.shape != truth.shape:
                self.wrong.append(f"{picture}, {label!a}: {mask.shape} pixels")
                continue
            self.ious.append(float((mask & truth).sum() / (mask | truth).sum()))
            if self.ious[-1] < lowest:
                self.wrong.append(f"{picture}, {label!a}: IoU {self.ious[-1]:.4f}")

    def finish(self, program: str, what: str) -> None:
        """Print what was read since the last time."""
        total = sum(len(masks_of(number)) for number in range(len(PICTURES)))
        exact = sum(iou == 1 for iou in self.ious)
        lowest = min(self.ious, default=0.0)
        print(f"{program}: {what}: {len(self.ious)} of {total} masks read, {exact} exact, lowest IoU {lowest:.4f}")
        if len(self.ious) != total:
            self.wrong.append(f"{what}: {len(self.ious)} of {total} masks")
        self.ious = []


def make(folder: Path) -> None:
    """A COCO data set and a folder one of the same objects, audited by a policy that keeps every mask; all exports."""
    from PIL import Image as PillowImage

    from segagent.annotation.batch import Models, RunConfig, open_run, run_job
    from segagent.annotation.interop import ExportOptions, export_run
    from segagent.core import Finish, Proposal, encode_rle
    from segagent.datasets import open_dataset
    from segagent.tools.fake import DiscTool

    class Content:
        name = "content"

        def propose(self, observations: Any, num_proposals: int = 1, **_: Any) -> list[list[Proposal]]:
            return [[Proposal(Finish(), 0.9, None, "Finish")] * num_proposals for _ in observations]

    data = folder / "data"
    annotations: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for number, name in enumerate(PICTURES):
        file = data / name
        file.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", (WIDTH, HEIGHT), (40 * (number % 6), 90, 60)).save(file)
        for label, mask in masks_of(number):
            y, x = np.nonzero(mask)
            mask_file = f"m{len(annotations)}.png"
            PillowImage.fromarray(mask.astype(np.uint8) * 255).save(data / mask_file)
            samples.append({"image": name, "mask": mask_file, "text": label, "category": label})
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": 10 * LABELS.index(label) + 10,
                    "iscrowd": 0,
                    "segmentation": encode_rle(mask),
                    "area": int(mask.sum()),
                    "bbox": [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1],
                }
            )
    images = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(PICTURES, 1)]
    categories = [{"id": 10 * number, "name": label} for number, label in enumerate(LABELS, 1)]
    coco = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    (data / "coco.json").write_text(json.dumps(coco), encoding="ascii")
    (data / "manifest.json").write_text(json.dumps({"samples": samples}), encoding="ascii")
    exports = {"coco": "coco.json", "cvat": "cvat.xml", "label-studio": "tasks.json", "yolo-seg": "yolo"}
    for kind, spec in (("source", f"coco:{data / 'coco.json'}:images={data}"), ("fresh", str(data))):
        dataset = open_dataset(spec)
        run_job(dataset, lambda: Models(Content(), DiscTool()), folder / kind / "run", RunConfig("audit"), notes={})
        run = open_run(folder / kind / "run")
        accepted = ExportOptions(frozenset(record.object_id for record in run.objects()))
        for to, out in exports.items():
            export_run(run, to, folder / kind / out, accepted)
    print(f"{len(annotations)} objects on {len(PICTURES)} pictures in {folder}")


def ultralytics(checked: Checked) -> None:
    """Its dataset check and its dataset, started in a folder with other pictures where a relative path would lead."""
    import cv2
    import ultralytics.data.utils as reader
    from ultralytics.data.dataset import YOLODataset

    # It would fetch a font to draw the names with.
    reader.check_font = lambda name: None
    for kind in ("source", "fresh"):
        out = (checked.folder / kind / "yolo").resolve()
        with tempfile.TemporaryDirectory() as elsewhere:
            for split in ("train", "val"):
                (Path(elsewhere) / "images" / split).mkdir(parents=True)
            os.chdir(elsewhere)
            data = reader.check_det_dataset(str(out / "data.yaml"), autodownload=False)
            os.chdir(out)
        checked.same("names", list(data["names"].items()), list(enumerate(labels_of(kind))))
        pictures = [json.loads(line) for line in (out / "pictures.jsonl").read_text().splitlines()]
        by_file = {str(out / one["file"]): one["picture"] for one in pictures}
        seen = set()
        for split in ("train", "val"):
            checked.same(split, data[split], str(out / "images" / split))
            for label in YOLODataset(img_path=data[split], data=data, task="segment", imgsz=64, augment=False).labels:
                found = []
                for number, points in zip(label["cls"].ravel(), label["segments"], strict=True):
                    # As its masks are drawn, but eight times as large: OpenCV also fills the borders of polygons.
                    canvas = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
                    cv2.fillPoly(canvas, [np.rint(points * (WIDTH * 8, HEIGHT * 8)).astype(np.int32)], 1)
                    found.append((data["names"][int(number)], canvas[4::8, 4::8] > 0))
                seen.add(by_file[label["im_file"]])
                checked.masks(by_file[label["im_file"]], found, 0.95)
        checked.same("pictures", sorted(seen), sorted(PICTURES))
        checked.finish(f"ultralytics {version('ultralytics')}", f"{kind}: check_det_dataset and YOLODataset")


def supervision(checked: Checked) -> None:
    """Its reader of YOLO folders, which looks into no folder below."""
    from supervision import DetectionDataset

    for kind in ("source", "fresh"):
        out = checked.folder / kind / "yolo"
        pictures = [json.loads(line) for line in (out / "pictures.jsonl").read_text().splitlines()]
        by_file = {str(out / one["file"]): one["picture"] for one in pictures}
        for split in ("train", "val"):
            folders = (str(out / "images" / split), str(out / "labels" / split))
            dataset = DetectionDataset.from_yolo(*folders, str(out / "data.yaml"), force_masks=True)
            checked.same("names", dataset.classes, labels_of(kind))
            for file, _, found in dataset:
                named = zip(found.class_id, found.mask, strict=True)
                # It draws polygons at the picture's size, borders and bridges too, so thin masks grow.
                checked.masks(by_file[file], [(dataset.classes[number], mask) for number, mask in named], 0.7)
        checked.finish(f"supervision {version('supervision')}", f"{kind}: DetectionDataset.from_yolo")


def pycocotools(checked: Checked) -> None:
    """Its reader and its evaluation of the masks against themselves, which needs ``info`` before 2.0.11."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    for kind in ("source", "fresh"):
        truth = COCO(str(checked.folder / kind / "coco.json"))
        truth.info()
        names = {number: entry["name"] for number, entry in truth.cats.items()}
        checked.same("names", list(names.values()), labels_of(kind))
        if kind == "fresh":
            checked.same("lowest ids", [min(truth.anns), min(truth.imgs), min(truth.cats)], [1, 1, 1])
        for number, image in truth.imgs.items():
            found = truth.loadAnns(truth.getAnnIds(number))
            masks = [(names[one["category_id"]], truth.annToMask(one).astype(bool)) for one in found]
            checked.masks(image["file_name"], masks)
        keys = ("image_id", "category_id", "segmentation")
        results = [{key: one[key] for key in keys} | {"score": 0.9} for one in truth.anns.values()]
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        checked.same("average precision", round(float(evaluation.stats[0]), 6), 1.0)
        checked.finish(f"pycocotools {version('pycocotools')}", f"{kind}: COCO, loadRes and COCOeval")


def datumaro(checked: Checked) -> None:
    """Its readers of CVAT's XML and of COCO."""
    import shutil

    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    files = (("cvat.xml", "cvat"), ("coco.json", "coco_instances"))
    for kind, (file, reader) in product(("source", "fresh"), files):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            # Where each of them looks.
            targets = {"cvat": "annotations.xml", "coco_instances": "annotations/instances_default.json"}
            target = folder / targets[reader]
            target.parent.mkdir(exist_ok=True)
            # It knows pictures by their names without the ending, so a.jpg needs another than a.png.
            text = (checked.folder / kind / file).read_text(encoding="utf-8")
            target.write_text(text.replace('"a.jpg"', '"a_jpg.jpg"'), encoding="utf-8")
            shutil.copytree(checked.folder / "data", folder / "images" / ("" if reader == "cvat" else "default"))
            picture = next(folder.rglob("a.jpg"))
            picture.rename(picture.with_name("a_jpg.jpg"))
            dataset = Dataset.import_from(str(folder), reader)
            names = [label.name for label in dataset.categories()[AnnotationType.label]]
            checked.same("names", names, labels_of(kind))
            pictures = {str(Path(name).with_suffix("")): name for name in PICTURES} | {"a": "a.png", "a_jpg": "a.jpg"}
            for item in dataset:
                found = [
                    (names[one.label], np.asarray(one.image).astype(bool))
                    for one in item.annotations
                    if one.type == AnnotationType.mask
                ]
                checked.masks(pictures[item.id], found)
            checked.finish(f"datumaro {version('datumaro')}", f"{kind}: {reader}")


def label_studio(checked: Checked) -> None:
    """Its converter: brush regions to arrays, and the numbers that its COCO export gives to labels."""
    from urllib.parse import unquote

    from label_studio_sdk.converter import Converter

    for kind in ("source", "fresh"):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            tasks = json.loads((checked.folder / kind / "tasks.json").read_text())
            for number, task in enumerate(tasks):
                # What Label Studio itself adds when it imports them.
                task["id"] = number
                task.setdefault("annotations", [])
                for annotation in task["annotations"]:
                    annotation |= {"id": number, "completed_by": 1, "created_at": "2020"}
            (folder / "in.json").write_text(json.dumps(tasks))
            (folder / "npy").mkdir()
            config = (checked.folder / kind / "tasks.config.xml").read_text(encoding="utf-8")
            converter = Converter(config, str(folder), download_resources=False)
            converter.convert(str(folder / "in.json"), str(folder / "npy"), "BRUSH_TO_NUMPY", is_dir=False)
            converter.convert(str(folder / "in.json"), str(folder / "coco"), "COCO", is_dir=False)
            categories = json.loads((folder / "coco" / "result.json").read_text(encoding="utf-8"))["categories"]
            expected = list(enumerate(labels_of(kind)))
            # Behind them comes what it makes of the key points.
            checked.same("categories", [(one["id"], one["name"]) for one in categories][: len(expected)], expected)
            for number, task in enumerate(tasks):
                picture = unquote(task["data"]["image"].partition("?d=")[2])
                files = {file.name: file for file in (folder / "npy").glob(f"task-{number}-annotation-*.npy")}
                found = []
                for label, _ in masks_of(PICTURES.index(picture)):
                    named = [name for name in files if name.endswith(f"-mask-{label.replace('/', '-')}-0.npy")]
                    found += [(label, np.load(files.pop(name)) > 0) for name in named]
                checked.same("regions of other labels", list(files), [])
                checked.masks(picture, found)
            checked.finish(f"label-studio-sdk {version('label-studio-sdk')}", f"{kind}: Converter")


READERS = {
    "ultralytics": ultralytics,
    "supervision": supervision,
    "pycocotools": pycocotools,
    "datumaro": datumaro,
    "label-studio": label_studio,
}


def main() -> int:
    """Make or read; 1 where something was read wrongly."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", *READERS):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[2]).resolve()
    if sys.argv[1] == "make":
        make(folder)
        return 0
    checked = Checked(folder)
    READERS[sys.argv[1]](checked)
    print("\n".join(f"WRONG {line}" for line in checked.wrong) or "all right")
    return int(bool(checked.wrong))


if __name__ == "__main__":
    sys.exit(main())
