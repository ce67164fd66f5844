"""Things from outside: what is imported, what is refused, and what an error says."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import EntryPoint, EntryPoints, version
from pathlib import Path

import pytest
from rich.console import Console

from segagent.annotation.batch import RunConfig, make_models, open_run, run_job
from segagent.annotation.presets import load_preset
from segagent.core import InputError, SpecError, extensions
from segagent.core.extensions import TOOL, extension_versions, from_record
from segagent.core.versions import package_versions
from segagent.datasets import open_dataset
from segagent.learning.sft import load_annotator_set
from segagent.learning.trajectories import generate_dataset
from segagent.policies import make_policy
from segagent.tools import make_tool

MODULE = """
from segagent.tools.fake import DiscTool
from segagent.policies import CentrePolicy
from segagent.datasets import open_dataset
from segagent.core import InputError

class Disc(DiscTool):
    def __init__(self, radius="4"):
        super().__init__(float(radius))
        self.name = f"python:{__name__}:Disc:radius={radius}"

def silent(radius): return DiscTool(float(radius))
def nothing(): return {}
def nameless():
    tool = DiscTool()
    tool.name = ""
    return tool
def policy(): return CentrePolicy()
def data(num="2"): return open_dataset(f"scenes:{num}:size=64,sentences=1")
def refuses(): raise InputError("the file lacks a column")
class Slots:
    __slots__ = ()
    name, accepts_box, embed, segment = "slots", False, None, None
CONSTANT = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of its own in the current folder, which is not on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = "outside_" + "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


def test_tool_policy_and_data_set_are_made(module: str) -> None:
    assert make_tool(f"python:{module}:Disc:radius=7").name == f"python:{module}:Disc:radius=7"
    assert make_policy(f"python:{module}:policy").name == "centre"
    assert open_dataset(f"python:{module}:data:num=3").num_images == 3


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("", "expected python:MODULE:FACTORY"),
        (":", "expected python:MODULE:FACTORY"),
        ("no_such_module_here:make", "no module 'no_such_module_here'.*current folder"),
        ("{}:absent", "has no 'absent'; expected a function or class that makes a tool, it has: .*Disc"),
        ("{}:CONSTANT", "CONSTANT of module .* is a int; expected a function or class that makes a tool"),
        ("{}:Disc:colour=red", r"takes \(radius='4'\); got an unexpected keyword argument 'colour'"),
        ("{}:silent", "missing a required argument: 'radius'"),
        ("{}:Disc:radius", "'radius' is no option"),
        ("{}:Disc:radius=1,radius=2", "'radius=2' is no option"),
        (
            "{}:Disc:radius=wide",
            r"Disc failed: ValueError: could not convert .*'wide' \(\w+.py, line \d+",
        ),
        ("{}:nothing", "made a dict, which is no tool: it lacks name, accepts_box, embed, segment"),
        ("{}:nameless", "whose name is ''"),
        ("{}:silent:radius=3", "whose name is 'disc', which does not tell radius=3"),
        ("{}:policy", "made a CentrePolicy, which is no tool: it lacks accepts_box"),
    ],
)
def test_errors_name_module_attribute_and_what_was_expected(module: str, rest: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make_tool("python:" + rest.format(module))


def test_what_a_factory_says_to_people_is_shown_as_it_is(module: str) -> None:
    with pytest.raises(InputError, match=r"^the file lacks a column$"):
        open_dataset(f"python:{module}:refuses")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys\nsys.exit(3)", "importing module .* failed: SystemExit: 3"),
        ("1 / 0", r"importing module .* failed: ZeroDivisionError: division by zero \(\w+.py, line 1\)"),
        ("import no_such_library", "needs no_such_library, which is not installed"),
        ("def broken(:", "failed: SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported(module: str, text: str, words: str) -> None:
    Path(f"{module}.py").write_text(text)
    with pytest.raises(SpecError, match=words):
        make_policy(f"python:{module}:make")


def test_text_template_and_crowds_are_refused_for_it(module: str) -> None:
    with pytest.raises(SpecError, match="the text template goes with"):
        open_dataset(f"python:{module}:data", "the {category}")


def _install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    def installed(group: str) -> EntryPoints:
        return EntryPoints(point for point in points if point.group == group)

    monkeypatch.setattr(extensions, "entry_points", installed)


def test_an_installed_package_adds_names(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(
        monkeypatch,
        EntryPoint("round", f"{module}:Disc", "segagent.tools"),
        EntryPoint("middle", f"{module}:policy", "segagent.policies"),
        EntryPoint("drawn", f"{module}:data", "segagent.data"),
        EntryPoint("grabcut", f"{module}:Disc", "segagent.tools"),
    )
    assert make_tool("round:radius=5").name.endswith("radius=5")
    assert make_tool("round").name.endswith("radius=4")
    assert make_policy("middle").name == "centre"
    assert open_dataset("drawn:num=1").num_images == 1
    assert make_tool("grabcut").name == "grabcut"  # Ours keep their names.
    assert type(make_tool("grabcut")).__module__.startswith("segagent.")
    Path("drawn").mkdir()
    with pytest.raises(InputError, match="drawn: holds none of"):  # A folder of that name goes before it.
        open_dataset("drawn")
    for make in (make_tool, make_policy, open_dataset):
        with pytest.raises(InputError, match=r"round|middle|drawn"):
            make("unheard-of")


def test_two_packages_that_offer_one_name(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("round", f"{where}:Disc", "segagent.tools") for where in (module, "another")]
    _install(monkeypatch, *points)
    with pytest.raises(SpecError, match="two installed packages offer a tool 'round'"):
        TOOL.installed()


def test_versions_tell_whose_code_it_was(module: str) -> None:
    tool = make_tool(f"python:{module}:Disc")
    digest = extension_versions(tool)[module]
    assert digest.startswith("source ")
    # Ours made by a module of somebody's is still somebody's.
    assert package_versions(make_policy(f"python:{module}:policy"), make_tool("disc"))[module] == digest
    assert module not in package_versions(make_policy("centre"), make_tool("disc"))
    assert extension_versions(make_tool(f"python:{module}:Slots")) == {module: digest}


def test_version_of_an_installed_distribution() -> None:
    assert extension_versions(Console()) == {"rich.console": f"rich {version('rich')}"}


def test_what_a_file_names_is_not_imported(module: str) -> None:
    assert from_record("scenes:3", "run") == "scenes:3"
    with pytest.raises(SpecError, match=f"run: made with 'python:{module}:data'; what a file names is not imported"):
        from_record(f"python:{module}:data", "run")
    assert module not in sys.modules


def test_a_preset_file_imports_nothing(module: str) -> None:
    text = f'[policy]\n[tool]\nkind = "disc"\n[first_action]\nbox = "python:{module}:policy"\n[search]\n'
    Path("mine.toml").write_text(text)
    with pytest.raises(SpecError, match="not imported"):
        load_preset("mine.toml")
    assert module not in sys.modules


def test_a_run_and_a_training_file_import_nothing(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset("scenes:1:size=64,sentences=1")
    monkeypatch.setattr(type(dataset), "spec", f"python:{module}:data")
    run_job(dataset, lambda: make_models("centre", "disc"), Path("run"), RunConfig("annotate"))
    generate_dataset(dataset, lambda: make_tool("disc"), "traj.jsonl")
    with pytest.raises(SpecError, match=r"^run: made with .* not imported"):
        open_run("run").dataset()
    with pytest.raises(SpecError, match=r"^traj\.jsonl: made with .* not imported"):
        load_annotator_set("traj.jsonl")
    assert module not in sys.modules


def test_workers_make_it_from_the_specification(module: str) -> None:
    dataset = open_dataset(f"python:{module}:data:num=2")
    make = partial(make_models, f"python:{module}:policy", f"python:{module}:Disc:radius=3")
    run_job(dataset, make, Path("run"), RunConfig("annotate"), workers=2)
    run = open_run("run")
    assert run.notes["versions"][module].startswith("source ")
    assert {one.trajectory.tool for one in run.objects()} == {f"python:{module}:Disc:radius=3"}
