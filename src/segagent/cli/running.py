"""The options of every command that works through a data set: declared once, handed over as one value."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from segagent.cli.console import EXIT_SOME_FAILED, counting_parts, warn
from segagent.cli.models import parse_prices
from segagent.cli.options import given

if TYPE_CHECKING:
    from segagent.runs.progress import Progress, Watch
    from segagent.runs.session import How, Shard

MAX_LISTED = 20
"""So many failures are told one by one."""

_KEPT = "what is done so far is in {out}; give the same command again to go on"


@dataclass(frozen=True)
class RunOptions:
    """Where a run is carried out, how far, and at what cost; see :class:`segagent.runs.session.Session`."""

    PANEL: ClassVar[str] = "Run"

    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Processes, each with its own models. [default: cores, or GPUs for models that need one]. "
            "Left out, an openai: policy is asked about many images at once from one process.",
            show_default=False,
        ),
    ] = None
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS|local", help="Work on a Ray cluster; needs the extra 'ray'.")
    ] = None
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Only part I of N, into a folder of its own; images in turn.")
    ] = "1/1"
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only so many first images; a larger limit goes on.")
    ] = None
    batch_images: Annotated[
        int, typer.Option("--batch-images", min=1, help="Images that a process works on at once; changes no record.")
    ] = 1
    batch_episodes: Annotated[
        int,
        typer.Option(
            "--batch-episodes",
            min=1,
            help="Episodes of theirs that models are asked about together; one that ends makes room for the next.",
        ),
    ] = 16
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed in earlier sessions; the rest stays as it is.")
    ] = False
    budget_seconds: Annotated[
        float | None, typer.Option("--budget-seconds", help="Most seconds of computing for the run.")
    ] = None
    budget_calls: Annotated[
        int | None, typer.Option("--budget-calls", min=1, help="Most states asked about for the run.")
    ] = None
    budget_money: Annotated[float | None, typer.Option("--budget-money", help="Most money for the run.")] = None
    price: Annotated[
        str | None,
        typer.Option(
            "--price",
            metavar="IN,OUT[,CACHED]",
            help="Of a million tokens read and written, for limits of money where the server tells no cost.",
        ),
    ] = None

    def given(self) -> dict[str, object]:
        """The options that were given, by name; the price left out, which single pictures may have too."""
        return {name: value for name, value in given(self).items() if name != "price"}

    def part(self) -> Shard:
        """The shard. Raises ``InputError``."""
        from segagent.runs.session import Shard

        return Shard.parse(self.shard)

    def how(self, specs: tuple[str, ...], num_images: int) -> How:
        """What the function that makes the run takes. ``specs``: of the models, the tool's last."""
        from segagent.core.budget import Budget
        from segagent.distributed.ray_workers import ray_workers

        return {
            "workers": self.processes(specs, num_images),
            "open_workers": None
            if self.ray is None
            else functools.partial(ray_workers, address=self.ray, workers=self.workers),
            "limit": self.limit,
            "budget": Budget(self.budget_seconds, self.budget_calls, self.budget_money, parse_prices(self.price)),
            "retry_failed": self.retry_failed,
        }

    def processes(self, specs: tuple[str, ...], num_images: int) -> int | None:
        """How many worker processes; None for one that asks a policy's server about many images at once, or vLLM.

        Large models have a process for each GPU, others and those without a GPU one for each core.
        """
        from segagent.core import InputError
        from segagent.distributed import available_cores, gpus

        policies = specs[:-1]
        if self.workers is None and policies and all(spec.startswith("openai:") for spec in policies):
            return None
        if any(spec.startswith("vllm:") for spec in specs):
            if (self.workers or 1) > 1:
                raise InputError("vllm: spreads one model over its GPUs itself (?gpus=N); leave --workers out")
            return None
        large = any(spec.startswith(("hf:", "sam", "simpleclick:")) for spec in specs)
        default = (len(gpus()) if large else 0) or available_cores()
        return min(self.workers or default, max(num_images, 1))


@contextmanager
def watching(what: str, total: int, part: str, out: Path, *, quiet: bool) -> Iterator[Watch]:
    """Progress of a run on stderr: images, and the ``part`` they consist of. Where the run is interrupted, ``out`` is
    told, where what was done stays.
    """
    from segagent.core import SegAgentError

    begun = False
    with counting_parts(what, total, unit="images", part=part, quiet=quiet) as update:

        def watch(progress: Progress) -> None:
            nonlocal begun
            begun = True
            update(progress.num_images, progress.num_samples, progress.note())

        try:
            yield watch
        except (KeyboardInterrupt, SegAgentError):
            if begun:
                warn(_KEPT.format(out=out))
            raise


@contextmanager
def told_where(out: Path) -> Iterator[None]:
    """Where what is done inside is interrupted, say that it is kept and can be resumed."""
    try:
        yield
    except KeyboardInterrupt:
        warn(_KEPT.format(out=out))
        raise


def tell_failures(failures: Sequence[tuple[str, str]], part: str, listed: str) -> None:
    """Warn of failed samples, each with its reason: the first ones, and where all are ``listed``."""
    for sample_id, reason in failures[:MAX_LISTED]:
        warn(f"{part} {sample_id} failed: {reason}")
    if len(failures) > MAX_LISTED:
        warn(f"and {len(failures) - MAX_LISTED} more failed {part}s; {listed}")


@contextmanager
def stopping() -> Iterator[None]:
    """Where a budget ends a run that something else was to be made of, say so, and end with exit code 1."""
    from segagent.runs.session import StoppedError

    try:
        yield
    except StoppedError as error:
        tell_stopped(str(error))
        raise typer.Exit(EXIT_SOME_FAILED) from error


def tell_stopped(stopped: str) -> None:
    """Warn that a budget ended the run, where one did."""
    if stopped:
        warn(f"{stopped}; give a larger budget to the same command to go on")
