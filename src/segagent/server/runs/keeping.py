"""Runs that clients have asked for: folders on disk, one of them worked on at a time, the others in line."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from segagent.annotation.batch import Models, Run, RunConfig, open_run, run_job
from segagent.annotation.batch.models import MakeModels
from segagent.annotation.batch.summary import read_summary, write_summary
from segagent.core import InputError, SegAgentError
from segagent.core.texts import read_json
from segagent.datasets import Dataset
from segagent.imaging.writing import made_folder, write_bytes
from segagent.runs.progress import Progress
from segagent.search import SearchConfig
from segagent.server.mcp.inputs import Inputs
from segagent.server.runs.telling import counted, counts_of, told_of, told_result
from segagent.server.runs.wire import ResumeAsked, RunAsked, State
from segagent.server.worker import Patience

ASKED_FILE = "asked.json"
"""In a run's folder: what it was asked for, and how it stood last."""
MOST_WAITING = 16

_log = logging.getLogger(__name__)


class NoRunError(SegAgentError):
    """There is no run of that name."""


class RunBusyError(SegAgentError):
    """What was asked for does not go with how the run stands, or too many wait."""


class _StoppedError(SegAgentError):
    """A client has stopped the run."""


@dataclass(eq=False)
class _Job:
    """A run that is worked on or waits. ``number`` rises with everything that changes."""

    asked: dict[str, Any]
    state: State = "waiting"
    error: str | None = None
    told: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    patience: Patience = field(default_factory=Patience)
    """The run's own: once it is gone, no model is asked for it any more."""


class Runs:
    """All runs in ``folder``. Safe to use from several threads.

    Args:
        folder: made where it is missing.
        inputs: what data sets may be named; None: generated scenes alone.
        shared: the server's own models for one asker, by whether it brings masks.
        make: models of its own for a worker process.
    """

    def __init__(
        self,
        folder: Path,
        inputs: Inputs | None,
        shared: Callable[[Patience, bool], Models],
        make: MakeModels | None,
    ) -> None:
        """Raises ``InputError`` for a folder that cannot be made."""
        self.folder = made_folder(folder)
        self._inputs, self._shared, self._make = inputs, shared, make
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._closed = False

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "run")

    def start(self, asked: RunAsked) -> dict[str, Any]:
        """Begin a run, or put it in line. Raises ``InputError``, ``RunBusyError``."""
        dataset = self._dataset(asked.dataset)
        name = asked.name or secrets.token_hex(6)
        folder = self.folder / name
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise RunBusyError(f"there is a run {name!r}; choose another name, or resume that one") from error
        except OSError as error:
            raise InputError(f"the run's folder cannot be made ({error.strerror})") from error
        told = {**asked.model_dump(exclude={"limit", "retry_failed", "workers"}), "images": dataset.num_images}
        try:
            return self._begin(name, told, asked, dataset)
        except SegAgentError:
            with contextlib.suppress(OSError):  # It has something in it only if the run had begun.
                folder.rmdir()
            raise

    def resume(self, name: str, asked: ResumeAsked) -> dict[str, Any]:
        """Go on with a run where it stopped. Raises ``NoRunError``, ``RunBusyError``, ``InputError``."""
        told = self._asked(name)
        return self._begin(name, told, asked, self._dataset(str(told["dataset"])))

    def stop(self, name: str) -> dict[str, Any]:
        """Have a run end soon; what is done stays. Raises ``NoRunError``; one that has ended is left as it is."""
        self._asked(name)
        with self._lock:
            job = self._jobs.get(name)
            if job is not None and job.state in ("waiting", "running"):
                job.patience.gone = True
        return self.told(name)

    def told(self, name: str) -> dict[str, Any]:
        """How a run stands. Raises ``NoRunError``."""
        return self.news(name)[1]

    def news(self, name: str) -> tuple[int, dict[str, Any]]:
        """How a run stands, and a number that rises with every change. Raises ``NoRunError``."""
        asked = self._asked(name)
        with self._lock:
            job = self._jobs.get(name)
            if job is not None:
                shown = {**told_of(name, asked, job.state, job.error), **job.told}
                return job.number, shown
        return 0, self._stored(name, asked)

    def all(self) -> list[dict[str, Any]]:
        """How all runs stand, the latest first."""
        found = [path.parent for path in self.folder.glob(f"*/{ASKED_FILE}")]
        found.sort(key=lambda path: (path.stat().st_ctime, path.name), reverse=True)
        return [self.told(path.name) for path in found]

    def results(self, name: str, after: int, most: int) -> dict[str, Any]:
        """``most`` results behind the first ``after``. Raises ``NoRunError``."""
        self._asked(name)
        run = self._run(name)
        if run is None:
            return {"results": [], "next": None}
        found = [told_result(run, record) for record in islice(run.records(), after, after + most + 1)]
        return {"results": found[:most], "next": after + most if len(found) > most else None}

    def summary(self, name: str) -> dict[str, Any]:
        """What came of a run that has ended. Raises ``NoRunError``, ``RunBusyError``."""
        told = self.told(name)
        if told["state"] in ("waiting", "running"):
            raise RunBusyError("the run has not ended; its summary is made then")
        run = self._run(name)
        if run is None:
            raise RunBusyError("the run has ended before anything was done")
        if not (run.folder / "summary.json").is_file():
            write_summary(run, "the server ended")
        return {"summary": read_summary(run.folder)}

    def close(self) -> None:
        """Stop all runs, and wait for the one that is worked on."""
        with self._lock:
            self._closed = True
            for job in self._jobs.values():
                job.patience.gone = True
        self._threads.shutdown(wait=True)

    @property
    def closed(self) -> bool:
        """Whether nothing changes any more."""
        return self._closed

    def ending(self) -> None:
        """Let those who follow a run know that the server ends."""
        self._closed = True

    def _begin(
        self, name: str, told: dict[str, Any], asked: RunAsked | ResumeAsked, dataset: Dataset
    ) -> dict[str, Any]:
        if asked.workers is not None and self._make is None:
            raise InputError("this server's models cannot be made anew, so a run has no workers of its own")
        with self._lock:
            active = [one for one in self._jobs.values() if one.state in ("waiting", "running")]
            if (old := self._jobs.get(name)) is not None and old.state in ("waiting", "running"):
                raise RunBusyError(f"the run {name!r} is {old.state}; stop it first")
            if self._closed or len(active) >= MOST_WAITING:
                raise RunBusyError(f"{len(active)} runs are waiting, or the server ends; try again later")
            job = _Job(told, number=0 if old is None else old.number + 1)
            self._jobs[name] = job
        self._write(name, job)
        self._threads.submit(self._work, name, job, asked, dataset)
        return self.told(name)

    def _work(self, name: str, job: _Job, asked: RunAsked | ResumeAsked, dataset: Dataset) -> None:
        """Carry a run out, in the thread of all runs."""
        told, folder = job.asked, self.folder / name

        def watch(progress: Progress) -> None:
            with self._lock:
                job.told, job.number = counts_of(progress), job.number + 1
            if job.patience.gone:
                raise _StoppedError

        def models() -> Models:
            return self._shared(job.patience, told["job"] != "annotate")

        try:
            if job.patience.gone:
                raise _StoppedError
            self._change(name, job, "running", None)
            config = RunConfig(
                told["job"],
                SearchConfig(max_steps=told["steps"], num_candidates=told["candidates"]),
                found=told["found"],
                seed=told["seed"],
            )
            make = self._make if asked.workers is not None and self._make is not None else models
            progress = run_job(
                dataset, make, folder, config, watch=watch, limit=asked.limit, retry_failed=asked.retry_failed,
                workers=asked.workers,
            )  # fmt: skip
            ended = progress.num_images >= dataset.num_images
            self._change(name, job, "done" if ended else "stopped", progress.stopped or None)
        except Exception as error:  # noqa: BLE001 - it is the run's, and told to those who ask
            if job.patience.gone:
                self._change(name, job, "stopped", None)
                self._sum_up(name)
                return
            if not isinstance(error, SegAgentError):
                _log.exception("a run failed")
            self._change(name, job, "failed", f"{error!s:.500}" or type(error).__name__)
            self._sum_up(name)

    def _sum_up(self, name: str) -> None:
        """The summary of a run that did not come to its end."""
        try:
            if (run := self._run(name)) is not None:
                write_summary(run, "stopped")
        except SegAgentError as error:
            _log.warning("run %s: %s", name, error)

    def _change(self, name: str, job: _Job, state: State, error: str | None) -> None:
        with self._lock:
            job.state, job.error = state, error
        try:
            self._write(name, job)
        except SegAgentError as problem:
            _log.warning("run %s: %s", name, problem)
        with self._lock:
            job.number += 1

    def _write(self, name: str, job: _Job) -> None:
        content = json.dumps({"asked": job.asked, "state": job.state, "error": job.error})
        write_bytes(self.folder / name / ASKED_FILE, content.encode("ascii"))

    def _asked(self, name: str) -> dict[str, Any]:
        path = self.folder / name / ASKED_FILE
        if not path.is_file():
            raise NoRunError(f"there is no run {name!r}")
        content = read_json(path)
        asked = content.get("asked") if isinstance(content, dict) else None
        if not isinstance(asked, dict):
            raise InputError(f"{path.name} of the run {name!r} is damaged")
        return asked

    def _stored(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        """How a run stands that an earlier server left."""
        kept = read_json(self.folder / name / ASKED_FILE)
        state, error = kept.get("state"), kept.get("error")
        if state in ("waiting", "running"):  # It was, when that server ended.
            state, error = "stopped", "the server ended"
        run = self._run(name)
        return {**told_of(name, asked, state, error), **({} if run is None else counted(run))}

    def _run(self, name: str) -> Run | None:
        try:
            return open_run(self.folder / name)
        except InputError:
            return None  # Nothing has been done yet.

    def _dataset(self, spec: str) -> Dataset:
        if self._inputs is None and spec.partition(":")[0] != "scenes":
            raise InputError("data sets of files are taken where the server was started with --root DIR alone")
        return (self._inputs or Inputs(self.folder)).dataset(spec)
