"""The words people use for what is in photographs: nouns of COCO's categories, places, extremes, clothes."""

from __future__ import annotations

from types import MappingProxyType

COCO_NOUNS = MappingProxyType(
    {
        "person": (
            "person", "man", "woman", "guy", "lady", "kid", "boy", "girl", "child", "player", "dude", "people",
        ),
        "bicycle": ("bicycle", "bike"),
        "car": ("car", "vehicle"),
        "motorcycle": ("motorcycle", "motorbike", "bike"),
        "airplane": ("airplane", "plane", "aircraft", "jet"),
        "bus": ("bus", "vehicle"),
        "train": ("train", "engine"),
        "truck": ("truck", "van", "vehicle"),
        "boat": ("boat", "ship"),
        "traffic light": ("traffic light", "light", "signal"),
        "fire hydrant": ("fire hydrant", "hydrant"),
        "stop sign": ("stop sign", "sign"),
        "parking meter": ("parking meter", "meter"),
        "bench": ("bench", "seat"),
        "bird": ("bird", "animal"),
        "cat": ("cat", "kitty", "animal"),
        "dog": ("dog", "puppy", "animal"),
        "horse": ("horse", "animal"),
        "sheep": ("sheep", "lamb", "animal"),
        "cow": ("cow", "bull", "animal"),
        "elephant": ("elephant", "animal"),
        "bear": ("bear", "animal"),
        "zebra": ("zebra", "animal"),
        "giraffe": ("giraffe", "animal"),
        "backpack": ("backpack", "bag"),
        "umbrella": ("umbrella",),
        "handbag": ("handbag", "purse", "bag"),
        "tie": ("tie", "necktie"),
        "suitcase": ("suitcase", "luggage", "bag"),
        "frisbee": ("frisbee", "disc"),
        "skis": ("skis", "ski"),
        "snowboard": ("snowboard", "board"),
        "sports ball": ("ball", "sports ball"),
        "kite": ("kite",),
        "baseball bat": ("baseball bat", "bat"),
        "baseball glove": ("baseball glove", "glove", "mitt"),
        "skateboard": ("skateboard", "board"),
        "surfboard": ("surfboard", "board"),
        "tennis racket": ("tennis racket", "racket"),
        "bottle": ("bottle",),
        "wine glass": ("wine glass", "glass"),
        "cup": ("cup", "mug", "glass", "drink"),
        "fork": ("fork",),
        "knife": ("knife",),
        "spoon": ("spoon",),
        "bowl": ("bowl", "dish"),
        "banana": ("banana", "fruit"),
        "apple": ("apple", "fruit"),
        "sandwich": ("sandwich", "food"),
        "orange": ("orange", "fruit"),
        "broccoli": ("broccoli", "vegetable", "food"),
        "carrot": ("carrot", "vegetable", "food"),
        "hot dog": ("hot dog", "food"),
        "pizza": ("pizza", "food"),
        "donut": ("donut", "doughnut", "food"),
        "cake": ("cake", "food"),
        "chair": ("chair", "seat"),
        "couch": ("couch", "sofa"),
        "potted plant": ("potted plant", "plant"),
        "bed": ("bed",),
        "dining table": ("table", "dining table"),
        "toilet": ("toilet",),
        "tv": ("tv", "television", "monitor", "screen"),
        "laptop": ("laptop", "computer"),
        "mouse": ("mouse",),
        "remote": ("remote", "controller"),
        "keyboard": ("keyboard",),
        "cell phone": ("cell phone", "phone"),
        "microwave": ("microwave",),
        "oven": ("oven", "stove"),
        "toaster": ("toaster",),
        "sink": ("sink",),
        "refrigerator": ("refrigerator", "fridge"),
        "book": ("book",),
        "clock": ("clock",),
        "vase": ("vase",),
        "scissors": ("scissors",),
        "teddy bear": ("teddy bear", "teddy", "bear"),
        "hair drier": ("hair drier", "hair dryer"),
        "toothbrush": ("toothbrush",),
    }
)  # fmt: skip
"""COCO's 80 categories with the nouns a sentence may use. A photograph does not tell a person's sex or age: these are
drawn at random, so the model learns them as words for a person and no more."""

_VOC_NAMES = {
    "aeroplane": "airplane", "diningtable": "dining table", "motorbike": "motorcycle", "pottedplant": "potted plant",
    "sofa": "couch", "tvmonitor": "tv",
}  # fmt: skip
"""Pascal VOC's names of what COCO calls otherwise."""


def coco_name(category: str) -> str:
    """COCO's name of a category of COCO or Pascal VOC; empty for any other."""
    name = _VOC_NAMES.get(category, category)
    return name if name in COCO_NOUNS else ""


PLACES = MappingProxyType(
    {
        "left": (
            "left {}", "{} on the left", "{} on left", "{} at left", "{} to the left", "left side {}",
            "{} on the left side", "{} on left side of picture", "{} left",
        ),
        "right": (
            "right {}", "{} on the right", "{} on right", "{} at right", "{} to the right", "right side {}",
            "{} on the right side", "{} on right side of photo", "{} right",
        ),
        "top": ("top {}", "{} at the top", "{} on top", "upper {}", "{} at the top of the image"),
        "bottom": ("bottom {}", "{} at the bottom", "{} on bottom", "lower {}", "{} at the bottom of the picture"),
        "center": ("middle {}", "center {}", "{} in the middle", "{} in middle", "{} in the center", "{} in center"),
        "top left": ("top left {}", "{} at top left", "{} in the top left corner", "upper left {}", "{} on upper left"),
        "top right": (
            "top right {}", "{} at top right", "{} in the top right corner", "upper right {}", "{} on upper right",
        ),
        "bottom left": (
            "bottom left {}", "{} at bottom left", "{} in the bottom left corner", "lower left {}", "{} on lower left",
        ),
        "bottom right": (
            "bottom right {}", "{} at bottom right", "{} in the bottom right corner", "lower right {}",
            "{} on lower right",
        ),
    }
)  # fmt: skip

EXTREMES = MappingProxyType(
    {
        "largest": ("biggest {}", "largest {}", "big {}", "large {}"),
        "smallest": ("smallest {}", "small {}", "little {}"),
        "larger": ("bigger {}", "larger {}"),
        "smaller": ("smaller {}",),
        "leftmost": ("leftmost {}", "far left {}", "{} on the far left", "{} on far left", "{} furthest left"),
        "rightmost": ("rightmost {}", "far right {}", "{} on the far right", "{} on far right", "{} furthest right"),
        "topmost": ("topmost {}", "highest {}"),
        "bottommost": ("lowest {}", "bottommost {}"),
        "second left": ("second {} from left", "second {} from the left", "2nd {} from left", "{} second from left"),
        "second right": (
            "second {} from right", "second {} from the right", "2nd {} from right", "{} second from right",
        ),
        "third left": ("third {} from left", "3rd {} from left"),
        "third right": ("third {} from right", "3rd {} from right"),
        "middle": ("middle {}", "{} in the middle", "center {}", "{} in between"),
        "front": (
            "front {}", "{} in front", "{} in the front", "closest {}", "{} closest to us", "{} closest to camera",
            "{} in foreground", "nearest {}",
        ),
        "back": (
            "back {}", "{} in back", "{} in the back", "{} in background", "{} in the background", "{} furthest away",
            "furthest {}", "{} behind",
        ),
    }
)  # fmt: skip

RELATIONS = MappingProxyType(
    {
        "left of": ("left of", "to the left of", "on the left of"),
        "right of": ("right of", "to the right of", "on the right of"),
        "above": ("above", "over"),
        "below": ("below", "under", "beneath"),
        "next to": ("next to", "beside", "near", "by"),
        "closest to": ("closest to", "nearest to"),
        "with": ("with", "holding", "who has", "on", "at"),
    }
)

CLOTHES = ("shirt", "jacket", "top", "sweater", "coat", "dress", "tshirt", "hoodie")
_CLOTHED = ("{noun} in {color}", "{noun} in {color} {clothes}", "{color} {clothes} {noun}", "{noun} with {color} "
            "{clothes}", "{noun} wearing {color}", "{noun} in the {color} {clothes}", "{color} {clothes}")  # fmt: skip
CLOTHED_TEMPLATES = _CLOTHED
BARE_NOUNS = ("one", "thing", "object")
COLOUR_WORDS = MappingProxyType({"gray": ("gray", "grey"), "brown": ("brown", "tan")})


def photo_vocabulary() -> tuple[str, ...]:
    """Every word that a sentence about a photograph can use, sorted."""
    texts: list[str] = ["the", "a", *BARE_NOUNS, *CLOTHES, *CLOTHED_TEMPLATES]
    for table in (COCO_NOUNS, PLACES, EXTREMES, RELATIONS, COLOUR_WORDS):
        for entries in table.values():
            texts.extend(entries)
    for hole in ("{}", "{noun}", "{color}", "{clothes}"):
        texts = [text.replace(hole, " ") for text in texts]
    return tuple(sorted({word for text in texts for word in text.split()}))
