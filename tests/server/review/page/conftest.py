"""A small audited run for each test of the review page, and a page of the browser to open it in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_pages import NUM_IMAGES, Browser, audited


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return audited(tmp_path_factory.mktemp("made"), NUM_IMAGES)


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A fresh copy: what one test does is not there for another."""
    return shutil.copytree(made[1], tmp_path / "run")


@pytest.fixture
def browser(chromium: Any) -> Iterator[Browser]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    opened = Browser(context.new_page())
    yield opened
    opened.check()
    context.close()
