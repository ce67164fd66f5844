from collections.abc import Iterator

import pytest

from segagent.policies.openai import ServedModel


@pytest.fixture
def made() -> Iterator[list[ServedModel]]:
    """Models that a test makes and puts here; they are closed after it."""
    models: list[ServedModel] = []
    yield models
    for model in models:
        model.close()
