"""Is what we would release whole, and does it work away from the repository?

``python checks/dist.py contents DIST`` compares wheel and sdist in DIST with the files that git knows.
``python checks/dist.py install DIST`` installs the wheel into a fresh environment in a temporary folder, asks every
command for its help and runs the demo; ``--python`` (repeatable) says with which interpreters. Both end with exit
code 1 at the first thing that is wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LEFT_OUT = (".gitignore",)
"""What the sdist does without, beside the folder .ci."""

LIST_COMMANDS = """
import typer
from segagent.cli.main import app
def walk(command, words):
    print(" ".join(words))
    for name, one in getattr(command, "commands", {}).items():
        walk(one, [*words, name])
walk(typer.main.get_command(app), [])
"""


class WrongError(Exception):
    """What is wrong, in words."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["contents", "install"])
    parser.add_argument("dist", type=Path)
    parser.add_argument("--python", action="append", help="interpreter(s) to install with [default: this one]")
    given = parser.parse_args()
    try:
        if given.what == "contents":
            contents(given.dist)
        else:
            for python in given.python or [sys.executable]:
                install(given.dist, python)
    except WrongError as error:
        sys.exit(f"wrong: {error}")


def contents(dist: Path) -> None:
    """Compare both archives with the files that git knows. Raises ``WrongError``."""
    wheel, sdist = only(dist, "*.whl"), only(dist, "*.tar.gz")
    version = printed(sys.executable, "-c", "import segagent; print(segagent.__version__)", folder=ROOT / "src").strip()
    tracked = printed("git", "ls-files", folder=ROOT).splitlines()
    for file in (wheel, sdist):
        if not file.name.startswith(f"segagent-{version}"):
            raise WrongError(f"{file.name}: expected version {version}")

    packed = set(zipfile.ZipFile(wheel).namelist())
    info = f"segagent-{version}.dist-info"
    told = {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")}
    expected = {name.removeprefix("src/") for name in tracked if name.startswith("src/")}
    compare(wheel, packed, expected | told | {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"})

    with tarfile.open(sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in files if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    compare(sdist, files - made, {name for name in tracked if name not in LEFT_OUT and not name.startswith(".ci/")})
    print(f"{wheel.name}: {len(packed)} files, {wheel.stat().st_size / 1e6:.1f} MB; {sdist.name}: {len(files)} files")


def install(dist: Path, python: str) -> None:
    """Install the wheel somewhere else and use it. Raises ``WrongError``."""
    wheel = only(dist, "*.whl").resolve()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="segagent-dist-") as place:
        there = Path(place)
        # Nothing of this checkout may help: neither its folder nor a path that leads to it.
        surroundings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

        def run(*command: str) -> str:
            done = subprocess.run(command, cwd=there, env=surroundings, capture_output=True, text=True, check=False)
            if done.returncode:
                raise WrongError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
            return done.stdout

        run(python, "-m", "venv", "env")
        binaries = there / "env" / "bin"
        run(str(binaries / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel))
        inside, segagent = str(binaries / "python"), str(binaries / "segagent")
        found = run(inside, "-c", "import segagent; print(segagent.__file__)").strip()
        if not Path(found).resolve().is_relative_to(there.resolve()):
            raise WrongError(f"segagent was imported from {found}, not from the fresh environment")
        commands = run(inside, "-c", LIST_COMMANDS).splitlines()
        for command in commands:
            if "Usage:" not in run(segagent, *command.split(), "--help"):
                raise WrongError(f"segagent {command} --help: shows no usage")
        run(segagent, "demo", "-o", "demo")
        pictures = sorted(path.relative_to(there) for path in (there / "demo").rglob("*.png"))
        if not pictures:
            raise WrongError("segagent demo: left no picture")
        version = run(inside, "--version").strip()
        print(
            f"{version}: {run(segagent, '--version').strip()}, help of {len(commands)} commands, "
            f"demo with {len(pictures)} pictures, {time.monotonic() - began:.0f} s"
        )


def printed(*command: str, folder: Path) -> str:
    """What a command that succeeds prints."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def only(folder: Path, pattern: str) -> Path:
    """The one file. Raises ``WrongError`` where there is none or several."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise WrongError(f"{folder}: expected one {pattern}, found {len(found)}; run 'make dist'")
    return found[0]


def compare(archive: Path, packed: set[str], expected: set[str]) -> None:
    """Raise ``WrongError`` naming what is missing and what should not be there."""
    if packed != expected:
        missing, extra = sorted(expected - packed), sorted(packed - expected)
        raise WrongError(f"{archive.name}: missing {missing[:9]}, not expected {extra[:9]}")


if __name__ == "__main__":
    main()
