"""Kills runs with -9 at random moments, resumes them each time, and compares what comes out with undisturbed runs.

    python benchmarks/crash_runs.py                   200 kills of the command, 40 of single workers
    python benchmarks/crash_runs.py --kills 6 --embedded-kills 0 --worker-kills 2

Every kind of run (audit, refine, annotate, an evaluation, trajectories, rollouts, the miniature's records), with 1 and
2 processes, with models that cost next to nothing and (``--embedded-kills``) audit, refine and annotate with the
embedded ones through the command line. A run is killed again and again until it comes to its end; then its journal must
be, byte for byte, that of a run that nobody disturbed (times apart, where records tell any), and another one is begun.
Kills of single worker processes must not even end the run, but for the records of the miniature, where they end it as
the kill of the command does. Exit code 1 if anything is lost, twice there, or otherwise different.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from segagent.runs.journal import read_journal

JOBS = ("audit", "refine", "annotate")
"""Those with a folder whose journal tells no times."""

KINDS = (*JOBS, "evaluation", "trajectories", "rollouts", "scenes")
SCENES = "scenes:60:size=64,sentences=2,seed=3"
PATIENCE = 300.0


@dataclass
class Tally:
    """What was done, and what came out."""

    kills: int = 0
    worker_kills: int = 0
    runs: int = 0
    different: int = 0
    lost: int = 0
    duplicated: int = 0
    orphans: int = 0
    early: int = 0
    jobs: Counter[str] = field(default_factory=Counter)

    @property
    def sound(self) -> bool:
        return not (self.different or self.lost or self.duplicated or self.orphans)


@dataclass(frozen=True)
class Case:
    """A kind of run: its journal undisturbed, and the command that makes it."""

    job: str
    kind: str
    data: str
    whole: bytes
    workers: int

    def journal(self, out: Path) -> Path:
        """The file that a run into the folder ``out`` writes."""
        return out / ("trajectories.jsonl" if self.job == "evaluation" else "journal.jsonl")

    def command(self, out: Path) -> list[str]:
        if self.kind == "embedded":
            cli = "import sys; from segagent.cli.main import main; sys.exit(main(sys.argv[1:]))"
            options = ["--workers", str(self.workers), "--json"]
            return [sys.executable, "-c", cli, self.job, self.data, "-o", str(out), *options]
        return [sys.executable, __file__, "--work", self.job, self.data, str(out), str(self.workers)]


def work(job: str, data: str, folder: str, workers: int) -> None:
    """The cheap run itself, in a process of its own, which loads nothing that its kind does without."""
    from cheap_models import CheapPolicy, cheap_models
    from segagent.datasets import open_dataset
    from segagent.runs.models import Models
    from segagent.runs.session import Session
    from segagent.search import SearchConfig
    from segagent.tools.fake import DiscTool

    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    search, file = SearchConfig(max_steps=3, num_candidates=2), out / "journal.jsonl"
    play = partial(Models, CheapPolicy(), DiscTool())
    if job in JOBS:
        from segagent.annotation.batch import RunConfig, run_job

        config = RunConfig(job, search)  # type: ignore[arg-type]
        run_job(open_dataset(data), cheap_models, out, config, workers=workers)
    elif job == "evaluation":
        from segagent.evaluation.protocols import EvaluationConfig
        from segagent.evaluation.run import evaluate_with

        evaluate_with(open_dataset(data), play, out, EvaluationConfig("res", search), workers=workers)
    elif job == "trajectories":
        from segagent.learning.trajectories import TrajectoryConfig, generate_dataset

        generate_dataset(open_dataset(data), DiscTool, file, TrajectoryConfig(), workers=workers)
    elif job == "rollouts":
        from segagent.learning.star.config import StarConfig
        from segagent.learning.star.rollouts import roll_out

        session, star = Session(workers=workers), StarConfig(max_steps=3, tool="disc", starts=("empty", "random"))
        with session.asking(play) as ask:
            roll_out(ask, open_dataset(data), file, star, {"model": "cheap"}, session)
    else:
        from segagent.reproduce.masks import clicks_needed
        from segagent.reproduce.work import Workers, watch_nothing

        with Workers(workers) as pool:
            clicks_needed("clicks", SCENES, "disc", 5, file, pool.of("disc"), watch_nothing)


def told(file: Path) -> list[str]:
    """The records of a journal without times, as one line each."""
    apart = ("seconds", "elapsed", "crc")
    return [json.dumps({k: v for k, v in one.items() if k not in apart}) for one in read_journal(file)[1]]


def workers_of(pid: int) -> list[int]:
    """The worker processes of a run."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
        except OSError:
            pass  # It has ended meanwhile.
    return found


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def size_of(journal: Path) -> int:
    return journal.stat().st_size if journal.exists() else 0


def wait_for_growth(process: subprocess.Popen[bytes], journal: Path, size: int, patience: float) -> bool:
    """Until the journal has that size; False if the run ended before, or patience did."""
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until:
        if size_of(journal) >= size:
            return True
        time.sleep(0.0005)
    return False


def session(case: Case, out: Path, rng: random.Random, tally: Tally) -> bool:
    """Start or resume a run and kill it at a random moment; True if it came to its end before that."""
    journal = case.journal(out)
    before = size_of(journal)
    process = subprocess.Popen(case.command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    # Some are killed while they start; most somewhere on their way.
    patience = rng.uniform(0.05, 2.0) if rng.random() < 0.2 else PATIENCE
    wait_for_growth(process, journal, before + rng.randint(0, len(case.whole) // 3), patience)
    workers = workers_of(process.pid) if process.poll() is None else []
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    if process.returncode == 0:
        return True
    if process.returncode != -signal.SIGKILL:
        raise SystemExit(f"the run ended by itself: {said.decode()[-2000:]}")
    tally.kills += 1
    tally.jobs[f"{case.job} {case.kind} workers={case.workers}"] += 1
    tally.early += size_of(journal) == before
    until = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.01)
    tally.orphans += sum(map(alive, workers))
    return False


def session_with_worker_kills(case: Case, out: Path, images: int, rng: random.Random, tally: Tally) -> None:
    """A whole run during which workers are killed; it has to come to its end all the same."""
    journal = case.journal(out)
    process = subprocess.Popen(case.command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    size = rng.randint(0, len(case.whole) // 4)
    while wait_for_growth(process, journal, size, PATIENCE):
        if workers := workers_of(process.pid):
            os.kill(rng.choice(workers), signal.SIGKILL)
            tally.worker_kills += 1
        # What was under way is written before the next one: an item that is hit twice counts as the one to blame.
        # Two workers have at most six items under way; one of rollouts is eight images.
        under_way = 7 * (8 if case.job == "rollouts" else 1)
        size = size_of(journal) + under_way * len(case.whole) // images
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}: {said.decode()[-2000:]}")


def check(case: Case, whole: Path, out: Path, tally: Tally) -> None:
    tally.runs += 1
    seen, wanted = (Counter(told(case.journal(at))) for at in (out, whole))
    tally.lost += (wanted - seen).total()
    tally.duplicated += (seen - wanted).total()
    for record in map(json.loads, seen - wanted):
        print(f"{case.job}, not in the undisturbed run: {record.get('reason', record)!s:.200}", file=sys.stderr)
    if case.job in ("evaluation", "rollouts"):
        tally.different += told(case.journal(out)) != told(case.journal(whole))
    else:
        tally.different += case.journal(out).read_bytes() != case.whole


def cases(folder: Path, kind: str, jobs: tuple[str, ...], data: str) -> list[tuple[Case, Path]]:
    """Some jobs with one and two processes each, and what they make when nobody disturbs them."""
    found = []
    for job in jobs:
        out = folder / f"whole-{kind}-{job}"
        first = Case(job, kind, data, b"", 1)
        subprocess.run(first.command(out), check=True, stdout=subprocess.DEVNULL)
        whole = first.journal(out).read_bytes()
        found += [(Case(job, kind, data, whole, workers), out) for workers in (1, 2)]
    return found


def kill_and_resume(
    some: list[tuple[Case, Path]], folder: Path, kills: int, most: int, rng: random.Random, tally: Tally
) -> None:
    """All cases in turn, each killed at most ``most`` times and brought to its end, until there were so many kills."""
    wanted = tally.kills + kills
    while tally.kills < wanted:
        for case, whole in some:
            out = folder / "killed"
            shutil.rmtree(out, ignore_errors=True)
            for _ in range(most):
                if session(case, out, rng, tally):
                    break
            else:
                subprocess.run(case.command(out), check=True, stdout=subprocess.DEVNULL)
            check(case, whole, out, tally)
            print(tally, file=sys.stderr, flush=True)


def main() -> int:
    if sys.argv[1:2] == ["--work"]:
        job, data, out, workers = sys.argv[2:]
        work(job, data, out, int(workers))
        return 0
    from cheap_models import write_tiny_folder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=184, help="with cheap models")
    parser.add_argument("--embedded-kills", type=int, default=16, help="with the embedded models, by the command line")
    parser.add_argument("--worker-kills", type=int, default=40, help="of single worker processes")
    parser.add_argument("--most-kills", type=int, default=1000, help="of one run; then it is left alone")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="with cheap models; all of them")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tally = Tally()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny = write_tiny_folder(folder / "data", options.images, 5)
        cheap = cases(folder, "cheap", tuple(options.kinds), str(tiny))
        kill_and_resume(cheap, folder, options.kills, options.most_kills, rng, tally)
        if options.embedded_kills:
            embedded = cases(folder, "embedded", JOBS, "scenes:6:size=64,sentences=2")
            kill_and_resume(embedded, folder, options.embedded_kills, options.most_kills, rng, tally)
        while tally.worker_kills < options.worker_kills:
            for case, whole in cheap[1::2]:
                if case.job == "scenes":
                    continue
                shutil.rmtree(folder / "killed", ignore_errors=True)
                session_with_worker_kills(case, folder / "killed", options.images, rng, tally)
                check(case, whole, folder / "killed", tally)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s")
    for name, count in sorted(tally.jobs.items()):
        print(f"  {name:32} {count:4} kills")
    print(f"kills of the command {tally.kills} ({tally.early} before anything new was written)")
    print(f"kills of single workers {tally.worker_kills}")
    print(f"runs brought to their end {tally.runs}, lost {tally.lost}, duplicated {tally.duplicated}")
    print(f"orphaned processes {tally.orphans}")
    print(f"journals identical to the undisturbed ones: {'yes' if not tally.different else f'no, {tally.different}'}")
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
