"""The words people use for what is in photographs: nouns of COCO's categories, places, extremes, clothes."""

from __future__ import annotations

import re
from collections.abc import Collection
from types import MappingProxyType

COCO_NOUNS = MappingProxyType(
    {
        "person": (
            "person", "man", "woman", "guy", "lady", "girl", "boy", "kid", "child", "player", "dude", "people", "baby",
            "adult",
        ),
        "bicycle": ("bicycle", "bike"),
        "car": ("car", "vehicle"),
        "motorcycle": ("motorcycle", "motorbike", "bike", "scooter", "moped"),
        "airplane": ("airplane", "plane", "aircraft", "jet"),
        "bus": ("bus", "vehicle"),
        "train": ("train", "engine"),
        "truck": ("truck", "van", "vehicle", "pickup"),
        "boat": ("boat", "ship", "canoe"),
        "traffic light": ("traffic light", "light", "signal"),
        "fire hydrant": ("hydrant", "fire hydrant"),
        "stop sign": ("stop sign", "sign"),
        "parking meter": ("parking meter", "meter"),
        "bench": ("bench", "seat"),
        "bird": ("bird", "animal", "duck"),
        "cat": ("cat", "kitty", "animal"),
        "dog": ("dog", "puppy", "animal"),
        "horse": ("horse", "animal"),
        "sheep": ("sheep", "lamb", "animal"),
        "cow": ("cow", "bull", "animal", "cattle", "calf"),
        "elephant": ("elephant", "animal"),
        "bear": ("bear", "animal"),
        "zebra": ("zebra", "animal"),
        "giraffe": ("giraffe", "animal"),
        "backpack": ("backpack", "bag"),
        "umbrella": ("umbrella", "parasol"),
        "handbag": ("handbag", "purse", "bag"),
        "tie": ("tie", "necktie"),
        "suitcase": ("suitcase", "luggage", "bag", "case"),
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
        "bottle": ("bottle", "beer"),
        "wine glass": ("wine glass", "glass", "glass of wine", "wine", "drink"),
        "cup": ("cup", "mug", "glass", "drink", "coffee", "cup of coffee"),
        "fork": ("fork",),
        "knife": ("knife",),
        "spoon": ("spoon",),
        "bowl": ("bowl", "dish", "bowl of food", "plate"),
        "banana": ("banana", "bananas", "fruit", "bunch of bananas"),
        "apple": ("apple", "fruit"),
        "sandwich": ("sandwich", "food", "half of sandwich", "burger"),
        "orange": ("orange", "fruit"),
        "broccoli": ("broccoli", "vegetable", "food", "piece of broccoli", "green stuff"),
        "carrot": ("carrot", "vegetable", "food"),
        "hot dog": ("hot dog", "food"),
        "pizza": ("pizza", "food", "slice of pizza", "pizza slice", "pie"),
        "donut": ("donut", "doughnut", "food", "pastry"),
        "cake": ("cake", "food", "piece of cake", "dessert"),
        "chair": ("chair", "seat", "stool"),
        "couch": ("couch", "sofa", "seat", "loveseat"),
        "potted plant": ("plant", "potted plant", "flowers"),
        "bed": ("bed", "mattress"),
        "dining table": ("table", "dining table", "desk", "tabletop"),
        "toilet": ("toilet",),
        "tv": ("tv", "television", "monitor", "screen"),
        "laptop": ("laptop", "computer", "screen"),
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
        "vase": ("vase", "pot", "jar"),
        "scissors": ("scissors",),
        "teddy bear": ("teddy bear", "teddy", "bear", "stuffed animal", "toy"),
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
            "{} on the left side", "{} on left side of picture", "{} left", "{} to the far left", "left hand {}",
        ),
        "right": (
            "right {}", "{} on the right", "{} on right", "{} at right", "{} to the right", "right side {}",
            "{} on the right side", "{} on right side of photo", "{} right", "{} to the far right", "right hand {}",
        ),
        "top": ("top {}", "{} at the top", "{} on top", "upper {}", "{} at the top of the image", "{} top"),
        "bottom": (
            "bottom {}", "{} at the bottom", "{} on bottom", "lower {}", "{} at the bottom of the picture", "{} bottom",
        ),
        "center": (
            "middle {}", "center {}", "{} in the middle", "{} in middle", "{} in the center", "{} in center",
            "{} in centre", "{} middle",
        ),
        "top left": ("top left {}", "{} at top left", "{} in the top left corner", "upper left {}", "{} on upper left",
            "{} top left"),
        "top right": (
            "top right {}", "{} at top right", "{} in the top right corner", "upper right {}", "{} on upper right",
            "{} top right",
        ),
        "bottom left": (
            "bottom left {}", "{} at bottom left", "{} in the bottom left corner", "lower left {}", "{} on lower left",
            "{} bottom left",
        ),
        "bottom right": (
            "bottom right {}", "{} at bottom right", "{} in the bottom right corner", "lower right {}",
            "{} on lower right", "{} bottom right",
        ),
    }
)  # fmt: skip

EXTREMES = MappingProxyType(
    {
        "largest": ("biggest {}", "largest {}", "big {}", "large {}", "main {}"),
        "smallest": ("smallest {}", "small {}", "little {}", "tiny {}"),
        "larger": ("bigger {}", "larger {}"),
        "smaller": ("smaller {}",),
        "leftmost": (
            "leftmost {}", "far left {}", "{} on the far left", "{} on far left", "{} furthest left", "{} far left",
            "left most {}", "farthest left {}", "first {} from left", "{} on left end",
        ),
        "rightmost": (
            "rightmost {}", "far right {}", "{} on the far right", "{} on far right", "{} furthest right",
            "{} far right", "right most {}", "farthest right {}", "first {} from right", "{} on right end",
        ),
        "topmost": ("topmost {}", "highest {}", "very top {}", "{} up high"),
        "bottommost": ("lowest {}", "bottommost {}", "very bottom {}"),
        "second left": (
            "second {} from left", "second {} from the left", "2nd {} from left", "{} second from left",
            "{} 2nd from the left", "second from left {}", "second {} on left",
        ),
        "second right": (
            "second {} from right", "second {} from the right", "2nd {} from right", "{} second from right",
            "{} 2nd from the right", "second from right {}", "second {} on right",
        ),
        "third left": ("third {} from left", "3rd {} from left", "{} third from the left"),
        "third right": ("third {} from right", "3rd {} from right", "{} third from the right"),
        "middle": ("middle {}", "{} in the middle", "{} in middle", "center {}", "{} in between", "{} in the center"),
        "front": (
            "front {}", "{} in front", "{} in the front", "closest {}", "{} closest to us", "{} closest to camera",
            "{} in foreground", "nearest {}", "{} in the foreground", "{} nearest us", "{} front", "{} up front",
            "foreground {}", "{} closer to us", "{} closest", "closer {}",
        ),
        "back": (
            "back {}", "{} in back", "{} in the back", "{} in background", "{} in the background", "{} furthest away",
            "furthest {}", "{} behind", "background {}", "{} far away", "farthest {}", "{} farthest away", "{} back",
            "rear {}", "{} further back",
        ),
    }
)  # fmt: skip

RELATIONS = MappingProxyType(
    {
        "left of": ("left of", "to the left of", "on the left of"),
        "right of": ("right of", "to the right of", "on the right of"),
        "above": ("above", "over"),
        "below": ("below", "under", "beneath"),
        "next to": ("next to", "beside", "near", "by", "touching", "against"),
        "closest to": ("closest to", "nearest to"),
        "with": ("with", "holding", "who has", "on", "at", "using"),
    }
)

CLOTHES = (
    "shirt",
    "jacket",
    "top",
    "sweater",
    "coat",
    "dress",
    "tshirt",
    "hoodie",
    "jersey",
    "suit",
    "uniform",
    "vest",
    "outfit",
)
CLOTHED_TEMPLATES = (
    "{noun} in {color}", "{noun} in {color} {clothes}", "{color} {clothes} {noun}", "{noun} with {color} {clothes}",
    "{noun} wearing {color}", "{noun} in the {color} {clothes}", "{color} {clothes}", "{noun} {color} {clothes}",
    "{noun} wearing a {color} {clothes}", "in {color}", "{color} {noun}", "{noun} who is wearing a {color} {clothes}",
)  # fmt: skip
ARTICLES = ("the", "a", "an")
BARE_NOUNS = ("one", "thing", "object")
SHADES = ("light", "dark", "bright")
COLOUR_WORDS = MappingProxyType({"gray": ("gray", "grey"), "brown": ("brown", "tan")})


YOUNG = ("kid", "boy", "girl", "child", "little boy", "little girl", "little kid", "baby", "toddler", "small child")
"""Said of the clearly smallest of several persons, as far as a photograph tells; else words for any person."""

WITH = MappingProxyType(
    {
        "skis": ("skier",),
        "snowboard": ("snowboarder", "boarder"),
        "surfboard": ("surfer",),
        "skateboard": ("skateboarder", "skater", "boarder"),
        "baseball bat": ("batter", "hitter", "baseball player"),
        "baseball glove": ("catcher", "pitcher", "baseball player"),
        "tennis racket": ("tennis player",),
        "horse": ("rider", "jockey"),
        "bicycle": ("biker", "cyclist", "rider"),
        "motorcycle": ("biker", "rider", "motorcyclist"),
    }
)
"""What a person is called who has a thing of this category in the hands, under the feet or is seated on it."""
MOUNTS = ("horse", "bicycle", "motorcycle")

ASIDES = (
    "standing", "sitting", "that is standing", "who is sitting", "sitting down", "walking", "looking at the camera",
    "facing us", "facing the camera", "facing away", "smiling", "with glasses", "with a hat", "with hat",
    "wearing a hat", "wearing glasses", "with long hair", "with blonde hair", "with beard", "playing", "riding",
    "eating", "bending over", "with arms up", "with hand up", "in jeans", "wearing shorts", "wearing a helmet",
    "crouching", "kneeling",
)  # fmt: skip
"""Said of a person besides: nothing that the training data tells, so the model learns to look past it."""
THING_ASIDES = (
    "in the picture", "in photo", "that you can see", "you can see most of", "cut off", "with writing",
    "that is open", "that is empty", "that is full", "partially hidden", "lying down", "eating", "standing", "parked",
    "in the pic", "in this image", "with stripes", "facing the camera", "on the ground", "in the water",
)  # fmt: skip
"""The same of anything else."""
PARTS_OF = ("half of {}", "part of {}", "whole {}", "half {}", "full {}", "entire {}", "piece of {}", "edge of {}")
"""Words before a noun that do not change which thing is meant."""


def photo_vocabulary() -> tuple[str, ...]:
    """Every word that a sentence about a photograph can use, sorted."""
    texts: list[str] = [
        *ARTICLES,
        *SHADES,
        *BARE_NOUNS,
        *CLOTHES,
        *CLOTHED_TEMPLATES,
        *YOUNG,
        *ASIDES,
        *THING_ASIDES,
        *PARTS_OF,
    ]
    for table in (COCO_NOUNS, PLACES, EXTREMES, RELATIONS, COLOUR_WORDS, WITH):
        for entries in table.values():
            texts.extend(entries)
    for hole in ("{}", "{noun}", "{color}", "{clothes}"):
        texts = [text.replace(hole, " ") for text in texts]
    return tuple(sorted({word for text in texts for word in text.split()}))


_NOUN = re.compile(
    r"\b(?:" + "|".join(sorted({n for nouns in COCO_NOUNS.values() for n in nouns}, key=len, reverse=True)) + r")\b"
)


def nouns_in(text: str) -> frozenset[str]:
    """The nouns of COCO's categories in a made sentence; of "hot dog" that alone, no "dog"."""
    return frozenset(_NOUN.findall(text))


def missing_nouns(there: Collection[str], told: frozenset[str]) -> frozenset[str]:
    """The nouns that surely fit nothing in a picture of things of the categories ``there``; ``told``: those of which
    it has all.
    """
    possible = {noun for name, nouns in COCO_NOUNS.items() if name in there or name not in told for noun in nouns}
    return frozenset(noun for nouns in COCO_NOUNS.values() for noun in nouns) - possible - frozenset(there)
