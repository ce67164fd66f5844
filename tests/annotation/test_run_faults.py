"""What goes wrong around a run: each time a clear message or a recorded failure, and nothing that was done is lost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from cheap_models import CheapPolicy, TinyDataset, cheap_models, write_tiny_folder
from segagent.annotation.batch import Budget, Models, Progress, RunConfig, open_run, run_job
from segagent.annotation.batch.folder import COSTS_FILE, JOURNAL_FILE
from segagent.core import Image, InputError, Observation, Proposal
from segagent.datasets import open_dataset
from segagent.imaging import save_png
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

TINY = TinyDataset(8, 3)
AUDIT = RunConfig("audit")
REFINE = RunConfig("refine", SearchConfig(3, num_candidates=2))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of an audit that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    run_job(TINY, cheap_models, out, AUDIT)
    return (out / JOURNAL_FILE).read_bytes()


def journal(out: Path) -> bytes:
    return (out / JOURNAL_FILE).read_bytes()


def stop_after(images: int) -> Budget:
    return Budget(policy_calls=images * 6)


# Fewer bytes than the run needs: the system refuses to write more, as it does where a disk is full.
FULL_DISK = """
import resource, sys
from cheap_models import TinyDataset, cheap_models
from segagent.annotation.batch import RunConfig, run_job
from segagent.core import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    run_job(TinyDataset(8, 3), cheap_models, sys.argv[1], RunConfig("audit"))
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("part", [0.001, 0.3, 0.8])
def test_a_full_disk(tmp_path: Path, whole: bytes, part: float) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "run"), str(int(len(whole) * part))]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("free some space and start again to go on"), ended.stderr
    assert whole.startswith(journal(tmp_path / "run"))
    run_job(TINY, cheap_models, tmp_path / "run", AUDIT)
    assert journal(tmp_path / "run") == whole


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for out in (tmp_path / "file", tmp_path / "file" / "run", "/proc/run"):
        with pytest.raises(InputError, match=f"{out}: cannot be made a folder"):
            run_job(TINY, cheap_models, out, AUDIT)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which may write anywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs rights of files")
def test_a_read_only_folder() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o555)
        with as_nobody(), pytest.raises(InputError, match=r"journal.jsonl: cannot be opened for writing \(Permission"):
            run_job(TINY, cheap_models, name, AUDIT)


def bomb(path: Path) -> None:
    """A small file that says it is 30,000 x 30,000 pixels."""
    PillowImage.new("1", (30000, 30000)).save(path)


def test_images_that_cannot_be_read_cost_their_objects_only(tmp_path: Path) -> None:
    data = write_tiny_folder(tmp_path / "data", 6, 2)
    whole = tmp_path / "whole"
    run_job(open_dataset(str(data)), cheap_models, whole, AUDIT)
    images = data / "images"
    good = {path.name: path.read_bytes() for path in images.iterdir()}
    (images / "1.png").write_bytes(b"no picture")
    (images / "2.png").write_bytes(good["2.png"][:-40])
    (images / "3.png").unlink()
    bomb(images / "4.png")
    (data / "masks" / "5-1.png").write_bytes(b"")
    out = tmp_path / "run"
    progress = run_job(open_dataset(str(data)), cheap_models, out, AUDIT)
    reasons = {failure.sample_id: failure.reason for failure in progress.failures}
    for name, said in {
        "1-0": "not a picture", "1-1": "not a picture", "2-0": "damaged", "2-1": "damaged", "3-0": "no such file",
        "3-1": "no such file", "4-0": "megapixels", "4-1": "megapixels", "5-1": "empty",
    }.items():  # fmt: skip
        assert said in reasons.pop(name)
    assert not reasons
    assert [record.object_id for record in open_run(out).objects()] == ["0-0", "0-1", "5-0"]
    # Mended, they are retried, and the records are those of a run that never failed.
    for name, content in good.items():
        (images / name).write_bytes(content)
    save_png(data / "masks" / "5-1.png", TinyDataset(6, 2).mask_of("5-1"))
    run_job(open_dataset(str(data)), cheap_models, out, AUDIT, retry_failed=True)
    assert not list(open_run(out).failures())
    wanted = {record.object_id: record.to_dict() for record in open_run(whole).objects()}
    assert {record.object_id: record.to_dict() for record in open_run(out).objects()} == wanted


def test_an_interrupted_retry_goes_on(tmp_path: Path) -> None:
    data = write_tiny_folder(tmp_path / "data", 8, 2)
    good = {path: path.read_bytes() for path in (data / "images").iterdir() if int(path.stem) % 2}
    for path in good:
        path.write_bytes(b"no picture")
    out = tmp_path / "run"
    assert len(run_job(open_dataset(str(data)), cheap_models, out, AUDIT).failures) == 8
    for path, content in good.items():
        path.write_bytes(content)
    rounds = 0
    while list(open_run(out).failures()):
        rounds += 1
        seen = 0

        def interrupt(progress: Progress) -> None:
            nonlocal seen
            seen += 1
            if seen == 3:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            run_job(open_dataset(str(data)), cheap_models, out, AUDIT, retry_failed=True, watch=interrupt)
        assert rounds < 5
    assert rounds == 2
    assert sorted(record.object_id for record in open_run(out).objects()) == sorted(
        f"{image}-{place}" for image in range(8) for place in range(2)
    )


class Deadly(CheapPolicy):
    """Some objects end the process."""

    def propose(self, observations: list[Observation], num_proposals: int = 1, **how: object) -> list[list[Proposal]]:  # type: ignore[override]
        if any(observation.text == "the dot number 13" for observation in observations):
            os._exit(1)
        return super().propose(observations, num_proposals, **how)  # type: ignore[arg-type]


def deadly_models() -> Models:
    return Models(Deadly(), DiscTool())


@pytest.mark.slow
def test_an_object_that_ends_its_worker_is_a_failure(tmp_path: Path, whole: bytes) -> None:
    progress = run_job(TINY, deadly_models, tmp_path / "run", AUDIT, workers=2)
    assert sorted(one.sample_id for one in progress.failures) == ["4-0", "4-1", "4-2"]
    assert all("--retry-failed" in failure.reason for failure in progress.failures)
    # Without the headers: each says which module its policy is from.
    lines, wanted = journal(tmp_path / "run").splitlines()[1:], whole.splitlines()[1:]
    assert [line for line in lines if b'"unit": [4' not in line] == [
        line for line in wanted if b'"unit": [4' not in line
    ]
    # Whatever ended it is mended: all is well.
    assert not run_job(TINY, cheap_models, tmp_path / "run", AUDIT, workers=2, retry_failed=True).failures


def test_the_clock_may_jump(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter(range(10**9, -(10**9), -100_000))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    progress = run_job(TINY, cheap_models, tmp_path / "run", AUDIT, budget=Budget(seconds=600))
    assert not progress.stopped
    assert 0 <= progress.cost["seconds"] < 600
    assert journal(tmp_path / "run") == whole


def test_damage_in_the_middle_is_refused(tmp_path: Path, whole: bytes) -> None:
    place = whole.index(b'"outcome"', len(whole) // 2)
    changed = bytearray(whole)
    changed[place + 13] ^= 1
    (tmp_path / JOURNAL_FILE).write_bytes(changed)
    line = whole[:place].count(b"\n") + 1
    with pytest.raises(InputError, match=f"{JOURNAL_FILE}, line {line}: damaged"):
        run_job(TINY, cheap_models, tmp_path, AUDIT)
    with pytest.raises(InputError, match=f"line {line}: damaged"):
        list(open_run(tmp_path).records())
    assert journal(tmp_path) == changed


@pytest.mark.parametrize("cut", [1, 30, 500, 3000])
def test_a_torn_end_is_made_again(tmp_path: Path, whole: bytes, cut: int) -> None:
    run_job(TINY, cheap_models, tmp_path, AUDIT)
    (tmp_path / JOURNAL_FILE).write_bytes(whole[:-cut])
    costs = (tmp_path / COSTS_FILE).read_bytes()
    (tmp_path / COSTS_FILE).write_bytes(costs[: -cut % len(costs)])
    run_job(TINY, cheap_models, tmp_path, AUDIT)
    assert journal(tmp_path) == whole


HOLDER = """
import sys, time
from segagent.runs.journal import Journal
import json
header = json.loads(open(sys.argv[1]).readline())
with Journal(sys.argv[1], header["config"], {}):
    print("open", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks")
def test_a_run_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    run_job(TINY, cheap_models, tmp_path, AUDIT, budget=stop_after(2))
    before = journal(tmp_path)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(tmp_path / JOURNAL_FILE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="another process is writing it"):
            run_job(TINY, cheap_models, tmp_path, AUDIT)
        holder.kill()
    assert journal(tmp_path) == before
    assert run_job(TINY, cheap_models, tmp_path, AUDIT).num_samples == 24


class Renamed(CheapPolicy):
    name = "another"


@pytest.mark.parametrize("change", ["job", "search", "seed", "data", "policy"])
def test_a_changed_configuration_is_refused_by_name(tmp_path: Path, change: str) -> None:
    run_job(TINY, cheap_models, tmp_path, REFINE, budget=stop_after(2))
    before = journal(tmp_path)
    config = {
        "job": AUDIT,
        "search": RunConfig("refine", SearchConfig(4, num_candidates=2)),
        "seed": RunConfig("refine", REFINE.search, seed=1),
    }.get(change, REFINE)
    dataset = TinyDataset(9, 3) if change == "data" else TINY
    models = (lambda: Models(Renamed(), DiscTool())) if change == "policy" else cheap_models
    with pytest.raises(InputError, match=rf"other settings \(.*{change}.*use the same ones"):
        run_job(dataset, models, tmp_path, config)
    assert journal(tmp_path) == before


def test_the_number_of_processes_and_of_images_at_once_changes_nothing(tmp_path: Path, whole: bytes) -> None:
    run_job(TINY, cheap_models, tmp_path, AUDIT, budget=stop_after(1))
    run_job(TINY, cheap_models, tmp_path, AUDIT, workers=2, budget=stop_after(4))
    run_job(TINY, cheap_models, tmp_path, RunConfig("audit", batch_images=3))
    assert journal(tmp_path) == whole


def test_a_programming_error_is_not_taken_for_a_failure(tmp_path: Path) -> None:
    class Broken(DiscTool):
        def embed(self, images: list[Image]) -> list[object]:  # type: ignore[override]
            if (images[0].pixels == 3).all():
                raise RuntimeError("a bug")
            return super().embed(images)

    with pytest.raises(RuntimeError, match="a bug"):
        run_job(TINY, lambda: Models(CheapPolicy(), Broken()), tmp_path, AUDIT)
    assert open_run(tmp_path).job == "audit"
    assert len(list(open_run(tmp_path).objects())) == 9


def test_costs_and_summary_survive_any_cut(tmp_path: Path) -> None:
    run_job(TINY, cheap_models, tmp_path, AUDIT, budget=stop_after(3))
    progress = run_job(TINY, cheap_models, tmp_path, AUDIT)
    assert open_run(tmp_path).costs()["policy_calls"] == progress.cost["policy_calls"] == 48
    assert json.loads((tmp_path / COSTS_FILE).read_text().splitlines()[0])["schema"].startswith("segagent.journal/")
    assert np.isfinite(progress.cost["seconds"])
