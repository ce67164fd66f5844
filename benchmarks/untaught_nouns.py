"""Sentences with nouns that the policy was not taught, for bench_perception."""

from __future__ import annotations

from dataclasses import replace

from segagent.learning.photographs.words import COCO_NOUNS
from segagent.learning.policy.scene_store import StoredExpression
from segagent.learning.policy.train_grounding import PerceivedScene
from segagent.policies.embedded.tokens import split_words

NOUNS = {
    "person": ("gentleman", "gal", "fella", "nurse", "tourist", "teenager", "chef", "soldier", "bride", "lad"),
    "dog": ("terrier", "hound", "mutt", "collie", "spaniel", "poodle"),
    "cat": ("kitten", "feline", "tabby", "tomcat"),
    "horse": ("pony", "stallion", "mare", "colt"),
    "cow": ("heifer", "ox", "steer", "bison"),
    "sheep": ("ewe", "ram"),
    "bird": ("seagull", "pigeon", "parrot", "goose", "hawk", "penguin"),
    "elephant": ("mammoth", "pachyderm"),
    "bear": ("grizzly", "cub"),
    "car": ("taxi", "sedan", "automobile", "jeep", "cab", "convertible"),
    "bus": ("minibus", "coach"),
    "truck": ("lorry", "trailer", "firetruck"),
    "boat": ("sailboat", "kayak", "yacht", "ferry", "raft"),
    "airplane": ("airliner", "jetliner", "biplane"),
    "train": ("locomotive", "tram", "railcar"),
    "bicycle": ("cycle", "tandem"),
    "motorcycle": ("chopper", "harley"),
    "couch": ("settee", "futon", "divan"),
    "chair": ("armchair", "recliner", "rocker"),
    "dining table": ("countertop", "counter", "workbench"),
    "bed": ("bunk", "cot"),
    "toilet": ("commode", "urinal", "lavatory"),
    "bottle": ("flask", "jug", "carafe"),
    "cup": ("tumbler", "teacup", "beaker"),
    "wine glass": ("goblet", "flute"),
    "bowl": ("basin", "tureen"),
    "knife": ("dagger", "blade"),
    "tv": ("telly", "lcd"),
    "laptop": ("notebook", "macbook"),
    "cell phone": ("smartphone", "iphone", "cellphone"),
    "potted plant": ("fern", "shrub", "houseplant", "bush"),
    "book": ("novel", "textbook", "paperback"),
    "clock": ("timepiece", "watch"),
    "refrigerator": ("icebox", "freezer"),
    "oven": ("cooker", "range"),
    "handbag": ("satchel", "pocketbook"),
    "suitcase": ("briefcase", "trunk"),
    "backpack": ("rucksack", "knapsack"),
    "umbrella": ("brolly", "sunshade"),
    "sandwich": ("hamburger", "panini"),
    "cake": ("cupcake", "gateau"),
    "donut": ("bagel", "cruller"),
    "sports ball": ("basketball", "softball"),
    "teddy bear": ("plushie", "doll"),
}
"""Nouns of the categories, written down before the table that the policy reads them by was looked up for any."""
NO_WORD = "xqzvk"
"""Read as an unknown word, whatever the table."""


def with_nouns(scene: PerceivedScene, categories: tuple[str, ...], taught: frozenset[str], kind: str) -> PerceivedScene:
    """``scene`` with those of its sentences that name their target by a noun of its category, another in its place.

    ``categories``: of each thing. ``kind``: "taught" leaves the noun, "untaught" takes one of ``NOUNS`` that is not in
    ``taught``, "no word" takes ``NO_WORD``.
    """
    found: list[StoredExpression] = []
    for number, expression in enumerate(scene.expressions):
        category = categories[expression.target] if expression.target >= 0 else ""
        others = [noun for noun in NOUNS.get(category, ()) if noun not in taught]
        words = split_words(expression.text)
        noun = next((noun for noun in COCO_NOUNS.get(category, ()) if noun in words), None)
        if not others or noun is None:
            continue
        new = {"taught": noun, "untaught": others[number % len(others)], "no word": NO_WORD}[kind]
        found.append(replace(expression, text=" ".join(new if word == noun else word for word in words)))
    return replace(scene, expressions=tuple(found))
