"""supervision: what sentences find as ``sv.Detections``, and detections of any other model put right.

``python with_supervision.py photo.jpg "the mug" "the book"`` writes photo.jpg.segagent.png."""

import sys

import cv2
import numpy as np
import supervision as sv

import segagent


def found(pixels: np.ndarray, texts: list[str], models: segagent.Models) -> sv.Detections:
    """Masks of what ``texts`` say in ``pixels``, uint8 RGB (height, width, 3); confidence is the IoU to be expected."""
    records = (segagent.annotate(pixels, text, models=models) for text in texts)
    return detections([record for record in records if record.outcome == "made" and record.mask.any()], models)


def refined(pixels: np.ndarray, given: sv.Detections, models: segagent.Models) -> sv.Detections:
    """The masks of ``given`` made better or left alone; ``data["class_name"]`` says what each of them shows."""
    pairs = zip(given["class_name"], given.mask.astype(bool), strict=True)
    return detections([segagent.refine(pixels, str(name), mask, models=models) for name, mask in pairs], models)


def detections(records: list, models: segagent.Models) -> sv.Detections:
    """One detection for each record."""
    if not records:
        return sv.Detections.empty()
    masks, names = np.stack([record.mask for record in records]), np.array([record.text for record in records])
    pairs = ((record.predicted_iou, record.doubts) for record in records)
    worth = np.array([np.nan if score is None else models.calibrated(score, doubts) for score, doubts in pairs])
    return sv.Detections(sv.mask_to_xyxy(masks), masks, worth, np.arange(len(masks)), data={"class_name": names})


if __name__ == "__main__":
    pixels = cv2.imread(sys.argv[1])
    shown = found(pixels[..., ::-1].copy(), sys.argv[2:], segagent.load_models())
    cv2.imwrite(sys.argv[1] + ".segagent.png", sv.MaskAnnotator().annotate(pixels, shown))
