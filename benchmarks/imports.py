"""Rooms, arrows between them, circles of modules and imports that run upwards, counted in the source as it is.

    python benchmarks/imports.py            every import counts, those within functions too

Needs import-linter (the extra "dev"), whose graph and layers (pyproject.toml) it reads. Exit code 1 for a circle or an
import that runs upwards.
"""

from __future__ import annotations

import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import grimp


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules of which each imports each other in the end (Tarjan's strong components), largest first."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(one: str) -> None:
        number[one] = low[one] = len(number)
        stack.append(one)
        for other in sorted(arrows[one]):
            if other not in number:
                visit(other)
                low[one] = min(low[one], low[other])
            elif other in stack:
                low[one] = min(low[one], number[other])
        if low[one] == number[one]:
            place = stack.index(one)
            found.append(stack[place:])
            del stack[place:]

    sys.setrecursionlimit(10_000)
    for one in sorted(arrows):
        if one not in number:
            visit(one)
    return sorted((sorted(one) for one in found if len(one) > 1), key=len, reverse=True)


def layers() -> list[list[str]]:
    """The layers, highest first, as lists of modules."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    return [line.split(" | ") for line in contract["layers"]]


def main() -> int:
    """Print what was counted."""
    graph = grimp.build_graph("segagent", exclude_type_checking_imports=True)
    arrows = {one: graph.find_modules_directly_imported_by(one) for one in graph.modules}
    height = {room: -place for place, line in enumerate(layers()) for room in line}
    assert all(height[a[0]] > height[b[0]] for a, b in pairwise(layers()))

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    upwards = sorted(
        f"{one} -> {other}"
        for one, others in arrows.items()
        for other in others
        if room(one) != room(other) and height.get(room(other), 1) >= height.get(room(one), 1) and room(one) in height
    )
    between = {
        (room(one), room(other)) for one, others in arrows.items() for other in others if room(one) != room(other)
    }
    found = circles(arrows)
    print(f"modules {len(graph.modules)}, rooms {len({room(one) for one in graph.modules})}, arrows {len(between)}")
    print(f"circles {len(found)}, of {', '.join(str(len(one)) for one in found) or 'no'} modules")
    for one in found:
        print("  " + ", ".join(one))
    print(f"imports upwards or sideways {len(upwards)}")
    for line in upwards:
        print("  " + line)
    return 1 if found or upwards else 0


if __name__ == "__main__":
    sys.exit(main())
