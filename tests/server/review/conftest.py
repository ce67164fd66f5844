from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from served_runs import Served, made_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path)


@pytest.fixture
def served(run: Path) -> Iterator[Served]:
    one = Served(run)
    yield one
    one.close()
