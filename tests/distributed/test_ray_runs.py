"""Runs over a real Ray cluster: the same journal as one process makes, whatever is lost on the way."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cheap_models import CheapPolicy, TinyDataset, cheap_models
from segagent.annotation.batch import Models, Progress, RunConfig, run_job
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.core import Observation, Proposal
from segagent.distributed.ray_workers import ray_workers
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings.

TINY = TinyDataset(24, 2)
CONFIG = RunConfig("refine", SearchConfig(2, num_candidates=2))


class Telling(CheapPolicy):
    """Takes its time, and leaves the number of its process in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def propose(self, observations: list[Observation], num_proposals: int = 1, **how: object) -> list[list[Proposal]]:  # type: ignore[override]
        (Path(self._folder) / str(os.getpid())).touch()
        time.sleep(0.05)
        return super().propose(observations, num_proposals, **how)  # type: ignore[arg-type]


def telling_models(folder: str) -> Models:
    return Models(Telling(folder), DiscTool())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("whole")
    run_job(TINY, cheap_models, out, CONFIG)
    return (out / JOURNAL_FILE).read_bytes()


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines, as far as Ray is concerned, with one CPU each."""
    ray = pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'segagent[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    store = 96 << 20
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": store})
    made.second = made.add_node(num_cpus=1, object_store_memory=store)
    runtime = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    ray.init(address=made.address, log_to_driver=False, runtime_env=runtime)
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_lost_machine_and_a_killed_actor_change_no_byte(tmp_path: Path, cluster: Any) -> None:
    folder, apart = tmp_path / "pids", tmp_path / "apart"
    folder.mkdir()
    apart.mkdir()
    # By the same policy: the journal's header tells whose code it is.
    run_job(TINY, partial(telling_models, str(apart)), tmp_path / "whole", CONFIG)
    done: list[str] = []

    def disturb(progress: Progress) -> None:
        pids = [int(path.name) for path in folder.iterdir()]
        if progress.num_images >= 4 and "killed" not in done:
            os.kill(pids[0], signal.SIGKILL)
            done.append("killed")
        if progress.num_images >= 12 and "lost" not in done:
            cluster.remove_node(cluster.second)
            done.append("lost")

    run_job(
        TINY,
        partial(telling_models, str(folder)),
        tmp_path / "run",
        CONFIG,
        open_workers=partial(ray_workers, address="auto", workers=2),
        watch=disturb,
    )
    assert done == ["killed", "lost"]
    made, whole = ((tmp_path / name / JOURNAL_FILE).read_bytes() for name in ("run", "whole"))
    assert made == whole


def test_ray_goes_on_where_processes_stopped(tmp_path: Path, whole: bytes, cluster: Any) -> None:
    def stop(progress: Progress) -> None:
        if progress.num_images >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(TINY, cheap_models, tmp_path, CONFIG, workers=2, watch=stop)
    # No number of workers: one for each CPU of the cluster.
    run_job(TINY, cheap_models, tmp_path, CONFIG, open_workers=partial(ray_workers, address="auto"))
    assert (tmp_path / JOURNAL_FILE).read_bytes() == whole
