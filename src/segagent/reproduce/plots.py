"""The experiment's pictures, from ``results.json``. Needs matplotlib (the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from segagent.core import MissingExtraError
from segagent.imaging.writing import write_bytes
from segagent.reproduce.tables import NO_PRM, PRM, SEARCH, STOP


def require_matplotlib() -> None:
    """Raises ``MissingExtraError`` where it is not installed."""
    _figure(1)


def draw_plots(results: Mapping[str, Any], folder: Path) -> list[str]:
    """Write a PNG per table that there is into ``folder``; returns the names without ending."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, draw in (
        ("complexity", _complexity),
        ("steps", _steps),
        ("search", _search),
        ("undo", _undo),
        ("reliability", _reliability),
    ):
        figure = draw(results["tables"])
        if figure is not None:
            buffer = BytesIO()
            figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
            write_bytes(folder / f"{name}.png", buffer.getvalue())
            drawn.append(name)
    return drawn


def _figure(columns: int, width: float = 4.6, rows: int = 1) -> tuple[Any, list[Any]]:
    """A figure without a window, and its axes from left to right, row by row."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib: pip install 'segagent[plots]'") from error
    figure = Figure(figsize=(width * columns, 3.6 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _bars(axes: Any, at: list[float], rows: list[Mapping[str, Any]], scale: float, **options: Any) -> None:
    """Bars with intervals; what is unknown is left out."""
    values = [_number(row, "value") * scale for row in rows]
    down = [max(0.0, v - _number(row, "low") * scale) for v, row in zip(values, rows, strict=True)]
    up = [max(0.0, _number(row, "high") * scale - v) for v, row in zip(values, rows, strict=True)]
    axes.bar(at, values, yerr=[down, up], capsize=2, **options)


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row[name] if row.get(name) is not None else row["value"]
    return 0.0 if value is None else float(value)


def _complexity(tables: Mapping[str, Any]) -> Any:
    table = tables.get("complexity")
    if not table:
        return None
    figure, (axes,) = _figure(1)
    splits = table["splits"]
    names = list(next(iter(splits.values())))
    for number, (split, levels) in enumerate(splits.items()):
        at = [place + 0.35 * number for place in range(len(names))]
        _bars(axes, at, [levels[name] for name in names], 1, width=0.33, label=split)
    axes.set_xticks([place + 0.175 for place in range(len(names))], names)
    axes.set_ylabel("clicks")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _steps(tables: Mapping[str, Any]) -> Any:
    splits = tables.get("steps")
    if not splits:
        return None
    panels = [(s, m, table) for s, models in splits.items() for m, table in models.items()]
    figure, all_axes = _figure(len(panels), 3.6)
    for axes, (split, model, table) in zip(all_axes, panels, strict=True):
        for name, color in (("with PRM", "tab:green"), ("without PRM", "tab:gray")):
            steps = [int(s) for s in table[name]]
            rows = [row["mIoU"] for row in table[name].values()]
            axes.plot(steps, [100 * _number(r, "value") for r in rows], "o-", color=color, label=name)
            low, high = ([100 * _number(r, end) for r in rows] for end in ("low", "high"))
            axes.fill_between(steps, low, high, color=color, alpha=0.15)
        axes.set_title(f"{split}, {model}", fontsize=9)
        axes.set_xlabel("steps")
        axes.set_xticks(steps)
    all_axes[0].set_ylabel("mIoU")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _search(tables: Mapping[str, Any]) -> Any:
    splits = tables.get("search")
    if not splits:
        return None
    figure, all_axes = _figure(len(splits), 5.2)
    for axes, (split, table) in zip(all_axes, splits.items(), strict=True):
        for number, way in enumerate((NO_PRM, STOP, PRM, SEARCH)):
            rows = [row[way]["cIoU"] for row in table["rows"].values()]
            _bars(axes, [place + 0.2 * number for place in range(len(rows))], rows, 100, width=0.18, label=way)
        axes.set_xticks([place + 0.3 for place in range(len(table["rows"]))], list(table["rows"]), fontsize=8)
        axes.set_title(f"{split}, {table['steps']} steps", fontsize=9)
    all_axes[0].set_ylabel("cIoU")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _undo(tables: Mapping[str, Any]) -> Any:
    table = tables.get("undo")
    if not table:
        return None
    figure, all_axes = _figure(len(table["models"]))
    for axes, (model, one) in zip(all_axes, table["models"].items(), strict=True):
        for way, row in one["rows"].items():
            axes.plot(table["budgets"], [100 * r["mIoU"]["value"] for r in row.values()], "o-", label=way)
        axes.set_title(f"mini-HRES, {model}", fontsize=9)
        axes.set_xlabel("model calls per episode, at most")
    all_axes[0].set_ylabel("mIoU")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _reliability(tables: Mapping[str, Any]) -> Any:
    models = tables.get("filtering")
    panels = [
        (m, n, row) for m, rows in (models or {}).items() for n, row in rows.items() if row and "damaged" not in n
    ]
    if not panels:
        return None
    rows = len({model for model, _, _ in panels})
    figure, all_axes = _figure(-(-len(panels) // rows), 3.2, rows)
    for axes, (model, name, row) in zip(all_axes, panels, strict=False):
        axes.plot([0, 1], [0, 1], ":", color="gray")
        for bins, label in (
            (row["reliability"], "as predicted"),
            (row.get("calibrated", {}).get("reliability"), "calibrated"),
        ):
            if bins:
                axes.plot([b["mean_predicted"] for b in bins], [b["mean_true"] for b in bins], "o-", ms=3, label=label)
        axes.set_title(f"{model}\n{name}", fontsize=8)
        axes.set_xlabel("predicted IoU")
    all_axes[0].set_ylabel("true IoU")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
