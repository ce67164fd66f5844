import pytest

from segagent.cli.main import main


@pytest.fixture(scope="package")
def d_0(tmp_path_factory):
    """Annotator trajectories on four generated scenes, with the embedded tool's own mistakes."""
    path = tmp_path_factory.mktemp("d_0") / "traj.jsonl"
    scenes = "scenes:4:seed=31,split=train,sentences=1"
    assert main(["trajectories", scenes, "-o", str(path), "--workers", "1", "--max-steps", "4", "--json"]) == 0
    return path
