"""Hundreds of damaged annotation files: a clear error, or a data set that works; nothing runs, nothing hangs."""

import copy
import json
import os
import pickle
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import formats
import pytest

from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.datasets.plain_pickle import load_plain_pickle
from segagent.datasets.published import read_published_predictions, read_published_trajectories

MUTATIONS_PER_FORMAT = 75
ODD: tuple[Any, ...] = (
    None,
    -1,
    0,
    10**30,
    -2.5,
    True,
    "",
    "../../etc/passwd",
    "\0",
    [],
    {},
    [[]],
    [[[1]]],
    "x" * 5000,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(value: Any, rng: random.Random) -> Any:
    """A deep copy with one place deleted, replaced by something odd, or doubled."""
    result = copy.deepcopy(value)
    *path, last = rng.choice([place for place in places(result) if place])
    holder = result
    for key in path:
        holder = holder[key]
    match rng.randrange(4):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        case _:
            holder[last] = rng.choice(ODD)
    return result


def torn(content: bytes, rng: random.Random) -> bytes:
    """Cut short, or with some bytes replaced."""
    if rng.random() < 0.5:
        return content[: rng.randrange(len(content))]
    damaged = bytearray(content)
    for _ in range(rng.randrange(1, 5)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


def use(spec: str) -> None:
    for sample in open_dataset(spec):
        assert sample.text
        sample.load_target()


def complaint(read: Callable[[], Any]) -> str | None:
    """What the ``InputError`` says, None if all could be read; any other exception goes through."""
    try:
        read()
    except InputError as error:
        return str(error)
    return None


FORMATS: dict[str, tuple[Callable[[Path], Path], Callable[[], Any], Callable[[Path], Any]]] = {
    "refcoco refs": (formats.write_refer, formats.references, lambda root: use(f"refcoco:{root}")),
    "refcoco instances": (
        lambda root: formats.write_refer(root).with_name("instances.json"),
        formats.instances,
        lambda root: use(f"refcoco:{root}"),
    ),
    "grefcoco": (
        formats.write_grefcoco,
        lambda: [entry | {"ann_id": [1, 3], "no_target": False} for entry in formats.references()],
        lambda root: use(f"grefcoco:{root}"),
    ),
    "reasonseg": (formats.write_reasonseg, formats.shapes, lambda root: use(f"reasonseg:{root}")),
    "lvis": (
        lambda root: root / "lvis.json",
        formats.lvis,
        lambda root: use(f"lvis:{root / 'lvis.json'}"),
    ),
    "published trajectories": (
        lambda root: root / "t.json",
        formats.published_trajectories,
        lambda root: list(read_published_trajectories(root / "t.json")),
    ),
    "published predictions": (
        lambda root: root / "p.json",
        formats.published_predictions,
        lambda root: list(read_published_predictions(root / "p.json")),
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_annotations(tmp_path: Path, name: str) -> None:
    write, content, read = FORMATS[name]
    file = write(tmp_path)
    rng = random.Random(name)
    refused = 0
    dump: Callable[[Any], bytes] = pickle.dumps if file.suffix == ".p" else lambda value: json.dumps(value).encode()
    for number in range(MUTATIONS_PER_FORMAT + 1):
        whole = dump(content() if number in {0} or number % 3 == 0 else changed(content(), rng))
        file.write_bytes(whole if number % 3 or number == 0 else torn(whole, rng))
        started = time.process_time()
        message = complaint(lambda: read(tmp_path))
        if message is not None:
            refused += 1
            assert number > 0, message
            assert str(tmp_path) in message
            assert "\n" not in message
            assert len(message) < 1000
        assert time.process_time() - started < 20
    assert refused > MUTATIONS_PER_FORMAT // 3


@pytest.mark.parametrize("name", ["xml", "mat", "list"])
def test_mutated_voc_and_sbd(tmp_path: Path, name: str) -> None:
    write, scheme = (formats.write_sbd, "sbd") if name == "mat" else (formats.write_voc, "voc")
    file = write(tmp_path)
    file = tmp_path / "ImageSets" / "Segmentation" / "val.txt" if name == "list" else file
    content = file.read_bytes()
    rng = random.Random(name)
    for _ in range(25):
        file.write_bytes(torn(content, rng))
        message = complaint(lambda: use(f"{scheme}:{tmp_path}"))
        if message is not None:
            assert str(tmp_path) in message
            assert "\n" not in message
    if name == "xml":
        file.write_text('<!DOCTYPE a [<!ENTITY b "bb">]><annotation/>')
        with pytest.raises(InputError, match="document types"):
            use(f"voc:{tmp_path}")


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(trace: Path) -> dict[str, bytes]:
    touch = f"open({str(trace)!r}, 'w').close()"
    found = {
        f"{name} {protocol}": pickle.dumps([{"ref_id": call}], protocol)
        for protocol in range(6)
        for name, call in {
            "system": Calls(os.system, f"touch {trace}"),
            "eval": Calls(eval, touch),
            "exec": Calls(exec, touch),
            "getattr": Calls(getattr, "", "upper"),
            "class": Calls(Path, str(trace)),
            "bytes": b"abc",
            "set": {1},
            "complex": 1j,
        }.items()
    }
    touching = str(trace).encode()
    return found | {
        "global": b"cos\nsystem\n(S'touch " + touching + b"'\ntR.",
        "inst": b"(S'touch " + touching + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch " + touching + b"'\no.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        "build": b"}}b.",
        "newobj": b"cbuiltins\nobject\n)\x81.",
        "persistent": b"P1\n.",
        "extension": b"\x82\x01.",
        "buffer": b"\x80\x05\x97.",
        "huge memo": b"\x80\x02]r\xff\xff\xff\x7fK\x01a.",
        "huge text": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fabc.",
        "huge frame": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.",
        "long number": b"I" + b"9" * 1_000_000 + b"\n.",
        "deep key": b"}()" + b"".join(b"q\x00h\x00h\x00\x86" for _ in range(64)) + b"K\x01u.",
        "deep": b"]" * 100_000 + b"a" * 99_999 + b".",
        "laughs": b"]" + b"".join(b"q\x00]h\x00ah\x00a" for _ in range(64)) + b".",
        "itself": b"]q\x00h\x00a.",
        "empty": b"",
        "pops": b"0000.",
        "marks": b"((((.",
    }


def test_hostile_pickles_run_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    file = formats.write_refer(tmp_path)
    files = hostile(trace)
    started = time.process_time()
    for name, content in files.items():
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"refs\(unc\)\.p") as error:
            open_dataset(f"refcoco:{tmp_path}")
        assert len(str(error.value)) < 1000, name
        assert not trace.exists(), name
    assert time.process_time() - started < 60
    for protocol in range(6):
        value = [{"a": [1, -2.5, "\u00e9", None, True, 10**40], "b": (1, (2,), ())}]
        read = load_plain_pickle(pickle.dumps(value, protocol))
        assert read == [{"a": [1, -2.5, "\u00e9", None, True, 10**40], "b": [1, [2], []]}]
