"""Files of corrections with anything changed in them: they are read or refused in words, never anything else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interop_runs import folder_data_set, make_run

from segagent.annotation.batch import Run
from segagent.annotation.interop import export_run
from segagent.annotation.interop.corrections import Matcher
from segagent.annotation.interop.matching import read_corrections
from segagent.core import InputError

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, str], Path]:
    folder = tmp_path_factory.mktemp("run")
    run = make_run(folder_data_set(folder / "data"), folder / "run", "annotate")
    for kind in ("coco", "label-studio", "cvat"):
        export_run(run, kind, folder / kind)
    tasks = json.loads((folder / "label-studio").read_text())
    point = {
        "id": "k",
        "type": "keypointlabels",
        "original_width": 32,
        "original_height": 24,
        "value": {"x": 9, "y": 9},
    }
    for number, task in enumerate(tasks):
        task["annotations"] = [
            {"id": number, "completed_by": 1, "updated_at": "t", "result": [*prediction["result"], point]}
            for prediction in task.pop("predictions", [])
        ]
    texts = {"coco": (folder / "coco").read_text(), "label-studio": json.dumps(tasks)}
    return run, {**texts, "cvat": (folder / "cvat").read_text()}, folder


def places(value: Any) -> list[Callable[[Any], None]]:
    """Setters of every value within ``value``."""
    found: list[Callable[[Any], None]] = []
    if isinstance(value, list) and len(value) > 8 and isinstance(value[0], int):
        # Run lengths would take nearly all draws; one of them will do.
        return [lambda new: value.__setitem__(len(value) // 2, new)]
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found.append(lambda new, key=key: value.__setitem__(key, new))
        found += places(value[key])
    return found


def read(run: Run, path: Path, kind: str) -> int:
    try:
        matcher = Matcher(run, read_corrections(path, kind), unchanged_counts=True)
        return len(list(matcher.corrections()))
    except InputError:
        return 0


@pytest.mark.parametrize("kind", ["coco", "label-studio"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_json(files: tuple[Run, dict[str, str], Path], kind: str, data: st.DataObject) -> None:
    run, texts, folder = files
    content = json.loads(texts[kind])
    for _ in range(data.draw(st.integers(1, 2))):
        setters = places(content)
        setters[data.draw(st.integers(0, len(setters) - 1))](data.draw(anything))
    (folder / "mutated").write_text(json.dumps(content))
    assert read(run, folder / "mutated", kind) <= 4


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_xml(files: tuple[Run, dict[str, str], Path], data: st.DataObject) -> None:
    run, texts, folder = files
    text = texts["cvat"]
    begin = data.draw(st.integers(text.index("<image"), len(text)))
    cut = data.draw(st.integers(0, 6))
    new = data.draw(st.text(alphabet='0123456789,.-"<>/= aeimr\0é', max_size=4))
    (folder / "mutated").write_text(text[:begin] + new + text[begin + cut :], encoding="utf-8")
    assert read(run, folder / "mutated", "cvat") <= 4


def test_unchanged_files_are_read(files: tuple[Run, dict[str, str], Path]) -> None:
    run, texts, folder = files
    for kind, text in texts.items():
        (folder / "same").write_text(text)
        assert read(run, folder / "same", kind) == 3
