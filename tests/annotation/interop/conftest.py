import pytest
from interop_runs import folder_data_set, make_run

from segagent.annotation.batch import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An annotated folder, one for the tests of a file; others have a run of their own."""
    folder = tmp_path_factory.mktemp("run")
    return make_run(folder_data_set(folder / "data"), folder / "run", "annotate")
