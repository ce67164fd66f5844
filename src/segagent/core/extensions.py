"""Tools, policies and data sets that other people wrote: named by what the user typed or installed, by nothing else.

``python:MODULE:FACTORY[:name=value,...]`` calls FACTORY, a function or class of the module, with the options as
strings; the current folder is looked through after the installed packages. ``NAME[:name=value,...]`` does the same with
what an installed package offers under an entry point. docs/extend.md shows both.

A specification that is read from a file goes through :func:`from_record` first: a run folder or a training file that
somebody sends must not decide what is imported here.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

from segagent.core.errors import SegAgentError, SpecError

SCHEME = "python"
"""What stands before the first colon of a specification that names a module."""

_ORIGIN = "_segagent_origin"
"""The attribute of a made object that says whose code made it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that can come from outside.

    ``word``: what people call it. ``group``: of its entry points. ``members``: what it must have, the first of them the
    text that names it in records.
    """

    word: str
    group: str
    members: tuple[str, ...]

    def installed(self) -> dict[str, EntryPoint]:
        """What installed packages offer, by name. Raises ``SpecError`` where two offer one name."""
        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, point.value)):
            if found.setdefault(point.name, point).value != point.value:
                raise SpecError(
                    f"two installed packages offer a {self.word} {point.name!r}: {found[point.name].value} and "
                    f"{point.value}; uninstall one, or name it as {SCHEME}:MODULE:FACTORY"
                )
        return found


TOOL = Kind("tool", "segagent.tools", ("name", "accepts_box", "embed", "segment"))
POLICY = Kind("policy", "segagent.policies", ("name", "propose"))
DATA = Kind("data set", "segagent.data", ("spec", "fingerprint", "num_images", "__iter__", "groups", "load_image"))


def make_extension(kind: Kind, spec: str) -> Any | None:
    """What ``spec`` names, made; None where it neither begins with ``python:`` nor is an installed name.

    Raises ``SpecError`` naming module and attribute, and what was expected of them; errors that the factory raises on
    purpose (``SegAgentError``) come as they are.
    """
    head, _, rest = spec.partition(":")
    if head == SCHEME:
        module_name, _, rest = rest.partition(":")
        attribute, _, options = rest.partition(":")
        if not module_name or not attribute:
            raise SpecError(
                f"{spec!r:.200}: expected {SCHEME}:MODULE:FACTORY[:name=value,...], "
                f"for example {SCHEME}:my_module:make_it"
            )
    else:
        point = kind.installed().get(head)
        if point is None:
            return None
        module_name, attribute, options = point.module, point.attr, rest
    factory = _found(spec, _imported(spec, module_name), attribute, kind)
    made = _made(kind, spec, f"{module_name}:{attribute}", factory, _options(spec, options))
    # What has __slots__ takes no attribute more; then the module of its class says whose it is.
    with contextlib.suppress(AttributeError, TypeError):
        object.__setattr__(made, _ORIGIN, module_name)
    return made


def from_record(spec: str, where: object) -> str:
    """``spec``, which was read from the file or folder ``where``. Raises ``SpecError`` if it would import a module."""
    if spec.partition(":")[0] == SCHEME:
        raise SpecError(
            f"{where}: made with {spec!r:.200}; what a file names is not imported. Where the command has an option for "
            "it, type it there; else offer it as an entry point of an installed package, see docs/extend.md"
        )
    return spec


def keep_origin(wrapper: object, one: object) -> None:
    """Have :func:`extension_versions` tell of ``wrapper`` what it tells of ``one``, which it wraps."""
    setattr(wrapper, _ORIGIN, _origin(one))


def _origin(one: object) -> str:
    """The module whose code made ``one``."""
    return str(getattr(one, _ORIGIN, type(one).__module__))


def extension_versions(*used: object) -> dict[str, str]:
    """Whose code, other than ours, made the objects ``used``: module to version.

    That of the installed distribution, "NAME VERSION"; of a module that belongs to none "source DIGEST" of its file.
    """
    found = {}
    for one in used:
        name = _origin(one)
        if name.partition(".")[0] not in ("segagent", "builtins"):
            found[name] = _version(name)
    return found


def _imported(spec: str, name: str) -> ModuleType:
    # Last, so that a file lying about here takes the place of no library; and for good, so that worker processes,
    # which are handed our path, find the module again when what it made is sent to them.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise SpecError(f"{spec!r:.200}: module {name} needs {error.name}, which is not installed") from error
        raise SpecError(
            f"{spec!r:.200}: no module {name!r:.100}; "
            f"looked among installed packages, in PYTHONPATH and in the current folder {Path.cwd()}"
        ) from error
    except (Exception, SystemExit) as error:
        raise SpecError(f"{spec!r:.200}: importing module {name} failed: {_told(error)}") from error


def _found(spec: str, module: ModuleType, attribute: str, kind: Kind) -> Callable[..., object]:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            named = ", ".join(name for name, one in vars(module).items() if callable(one) and not name.startswith("_"))
            raise SpecError(
                f"{spec!r:.200}: module {module.__name__} has no {attribute!r:.100}; "
                f"expected a function or class that makes a {kind.word}, it has: {named or 'none'}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise SpecError(
            f"{spec!r:.200}: {attribute} of module {module.__name__} is a {type(found).__name__}; "
            f"expected a function or class that makes a {kind.word}"
        )
    return found  # type: ignore[no-any-return]  # Any callable will do; what it makes is looked at.


def _options(spec: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in re.split(r",(?=[A-Za-z_]\w*=)", text) if text else []:
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier() or name in found:
            raise SpecError(f"{spec!r:.200}: {part!r:.80} is no option; expected name=value,..., each given once")
        found[name] = value
    return found


def _made(kind: Kind, spec: str, named: str, factory: Callable[..., object], options: dict[str, str]) -> object:
    try:
        signature = inspect.signature(factory)
    except ValueError:  # Of some built in ones it is not known: then the call says what is wrong.
        signature = None
    if signature is not None:
        try:
            signature.bind(**options)
        except TypeError as error:
            raise SpecError(f"{spec!r:.200}: {named} takes {signature}; {error}") from error
    try:
        made = factory(**options)
        lacks = [member for member in kind.members if not hasattr(made, member)]
        name = getattr(made, kind.members[0], "")
    except SegAgentError:
        raise
    except Exception as error:
        raise SpecError(f"{spec!r:.200}: {named} failed: {_told(error)}") from error
    if lacks:
        raise SpecError(
            f"{spec!r:.200}: {named} made a {type(made).__name__}, which is no {kind.word}: it lacks "
            f"{', '.join(lacks)}; see docs/extend.md"
        )
    member = kind.members[0]
    if not isinstance(name, str) or not name:
        raise SpecError(f"{spec!r:.200}: {named} made a {kind.word} whose {member} is {name!r:.80}; expected a text")
    # What a data set's options change, its fingerprint tells.
    untold = [f"{key}={value}" for key, value in options.items() if value not in name and kind is not DATA]
    if untold:
        raise SpecError(
            f"{spec!r:.200}: {named} made a {kind.word} whose {member} is {name!r:.200}, which does not tell "
            f"{', '.join(untold)} from another value; records go by it, so expected the whole specification"
        )
    return made


def _told(error: BaseException) -> str:
    """An error and where it was raised, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


@cache
def _version(module: str) -> str:
    distributions = packages_distributions().get(module.partition(".")[0], [])
    if distributions:
        return f"{distributions[0]} {version(distributions[0])}"
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not Path(file).is_file():
        return "unknown"
    return f"source {hashlib.blake2b(Path(file).read_bytes(), digest_size=8).hexdigest()}"
