"""The sections of the page about the miniature experiment, one per table; each gives lines of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from segagent.evaluation.report import paper
from segagent.reproduce.findings import percent, plain, points
from segagent.reproduce.tables import NO_PRM, PRM, SEARCH, STOP
from segagent.reproduce.trainings import STAR

_WAYS = (NO_PRM, STOP, PRM, SEARCH)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table as lines of Markdown, an empty line behind it."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def complexity(results: Mapping[str, Any]) -> Iterator[str]:
    """Fig. 3."""
    table = results["tables"].get("complexity")
    if not table:
        return
    yield "## Complexity (Fig. 3)"
    yield ""
    yield f"Clicks of the simulated annotator until the IoU is reached, at most {table['max_clicks']} (a failure)."
    yield ""
    rows = [
        [split, *(f"{plain(one)}, {one['failures']} of {one['objects']} fail" for one in levels.values())]
        for split, levels in table["splits"].items()
    ]
    yield from markdown_table(("split", *next(iter(table["splits"].values()))), rows)
    yield "@plot complexity@"


def _range(row: Mapping[str, Any], metric: str) -> str:
    values = row["by_seed"][metric]
    return f" ({100 * min(values):.1f} to {100 * max(values):.1f})" if len(values) > 1 else ""


def _cell(row: Mapping[str, Any], metric: str) -> str:
    return percent(row[metric]) + _range(row, metric)


def _change(row: Mapping[str, Any], metric: str) -> str:
    values = row["by_seed"][metric]
    seeds = f" ({100 * min(values):+.1f} to {100 * max(values):+.1f})" if len(values) > 1 else ""
    return points(row[metric]) + seeds


def steps(results: Mapping[str, Any]) -> Iterator[str]:
    """Table 2."""
    splits = results["tables"].get("steps")
    if not splits:
        return
    yield "## Steps with and without PRM (Table 2)"
    yield ""
    yield (
        "With PRM: the mask with the highest predicted IoU so far; without: the last mask. Both are read off the same "
        "greedy episodes."
    )
    yield ""
    for split, models in splits.items():
        for model, table in models.items():
            steps = list(table["with PRM"])
            for metric in ("mIoU", "cIoU"):
                rows = [[name, *(_cell(table[name][s], metric) for s in steps)] for name in ("without PRM", "with PRM")]
                rows.append(["difference", *(_change(table["gain"][s], metric) for s in steps)])
                yield from markdown_table((f"{split}, {model}, {metric}", *steps), rows)
            yield f"First click on the object: {percent(table['first_click_hit'])} %."
            yield ""
    rows = [[name, *(f"{value:.2f}" for value in values.values())] for name, values in paper.TABLE_2.items()]
    printed = [str(step) for step in next(iter(paper.TABLE_2.values()))]
    yield from markdown_table(("paper, RefCOCO val, mIoU", *printed), rows)
    yield "@plot steps@"


def search(results: Mapping[str, Any]) -> Iterator[str]:
    """Fig. 4."""
    splits = results["tables"].get("search")
    if not splits:
        return
    yield "## Self-training and search (Fig. 4)"
    yield ""
    yield (
        f"{NO_PRM}: greedy, the last mask; {STOP}: the PRM stops the episode; {PRM}: the best-scored of all masks; "
        f'{SEARCH}: Alg. 2. The control "SFT, trained on" is S_0 trained on D_0 again for as many steps as StaR+ '
        "gets, so that training for longer is not taken for self-training."
    )
    yield ""
    if STAR not in results["models"]:
        yield f"Plain StaR is missing: none of its rollouts reached an IoU of {results['config']['min_reward']}."
        yield ""
    for split, table in splits.items():
        for metric in ("cIoU", "mIoU"):
            rows = [[m, *(_cell(row[way], metric) for way in _WAYS)] for m, row in table["rows"].items()]
            head = f"{split}, {metric} at {table['steps']} steps"
            yield from markdown_table((head, NO_PRM, STOP, PRM, f"{SEARCH} K={table['candidates']}"), rows)
        rows = [[m, *(_change(one[way], "cIoU") for way in _WAYS)] for m, one in table["same_way"].items()]
        yield from markdown_table(("cIoU points, played in the same way", *_WAYS), rows)
        rows = [[m, *(f"{row[way]['calls']:.1f}" for way in _WAYS)] for m, row in table["rows"].items()]
        yield from markdown_table(("model calls per episode", *_WAYS), rows)
        most = table["calls_per_step"]
        yield f"Model calls per search step: mean {most['mean']:.2f}, most {most['most']:.0f}."
        yield ""
    rows = [
        [f"{model}, {way}", *("-" if value is None else f"{value:.2f}" for value in values)]
        for (model, way), values in paper.FIGURE_4.items()
    ]
    yield from markdown_table(("paper, cIoU", "ThinObject5K", "DIS5K"), rows)
    yield "@plot search@"


def undo(results: Mapping[str, Any]) -> Iterator[str]:
    """Stepping back at equal model calls."""
    table = results["tables"].get("undo")
    if not table:
        return
    yield "## Stepping back (beyond the paper)"
    yield ""
    yield (
        "Alg. 2 always goes on from its newest mask. Best-first search goes on from the best-scored mask that it has "
        "not gone on from yet, so it can undo. mIoU on mini-HRES at equal numbers of model calls per episode."
    )
    yield ""
    for model, one in table["models"].items():
        budgets = [str(b) for b in table["budgets"]]
        rows = [[way, *(percent(row[b]["mIoU"]) for b in budgets)] for way, row in one["rows"].items()]
        rows += [
            [f"{way}, difference", *(points(row[b]["mIoU"]) for b in budgets)] for way, row in one["over_first"].items()
        ]
        yield from markdown_table((f"{model}, calls", *budgets), rows)
    yield "@plot undo@"


def filtering(results: Mapping[str, Any]) -> Iterator[str]:
    """Table 3."""
    models = results["tables"].get("filtering")
    if not models:
        return
    yield "## Annotation filtering (Table 3)"
    yield ""
    yield (
        "Predicted against true IoU. Random clicks: masks from one to three random clicks in the target's box, as in "
        "the paper; damaged: these masks grown, shrunk, shifted, cut or spilt; own states: the masks of the model's "
        "greedy episodes. Accepted: the largest share, best-scored first, of which 95 % truly reach the IoU. ECE: "
        "calibration error before and after the isotonic calibration fitted on val scenes (own states and random "
        "clicks together), which is stored with the model."
    )
    yield ""
    columns: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("MAE", lambda r: plain(r["mae"], 1)),
        ("MSE", lambda r: plain(r["mse"], 0)),
        ("Pearson", lambda r: plain(r["pearson"])),
        ("Spearman", lambda r: plain(r["spearman"])),
        ("accepted @80", lambda r: percent(r["accepted@0.8"])),
        ("accepted @90", lambda r: percent(r["accepted@0.9"])),
        ("truly @80, @90", lambda r: f"{100 * r['share_good']['0.8']:.0f}, {100 * r['share_good']['0.9']:.0f}"),
        (
            "ECE",
            lambda r: f"{r['ece']:.3f} -> {r['calibrated']['ece']:.3f}" if "calibrated" in r else f"{r['ece']:.3f}",
        ),
    ]
    for model, kinds in models.items():
        rows = [[f"{n} ({r['count']})", *(show(r) for _, show in columns)] for n, r in kinds.items() if r]
        yield from markdown_table((f"{model}: masks", *(name for name, _ in columns)), rows)
    rows = [[name, *(f"{value:.2f}" for value in row.values())] for name, row in paper.TABLE_3.items()]
    yield from markdown_table(("paper, RefCOCO val", "MAE", "MSE", "Pearson", "Spearman"), rows)
    yield "@plot reliability@"


def variants(results: Mapping[str, Any]) -> Iterator[str]:
    """Tables 4, 5 and 6."""
    tables = results["tables"]
    for key, title, words in (
        (
            "color",
            "Mask colour (Table 4)",
            "The SFT model, trained on green, is shown masks in another colour. In the paper each colour was trained; "
            "here the same weights are used, which is a harder question.",
        ),
        (
            "notation",
            "Coordinate format (Table 6)",
            "The SFT model's replies are written in each chat format and read again. This measures what the notation "
            "rounds away and nothing else: whether a language model finds one notation easier to learn cannot be asked "
            "of the embedded model. Two decimals are coarser than anything in the paper.",
        ),
    ):
        if tables.get(key):
            yield from (f"## {title}", "", words, "")
        for split, table in tables.get(key, {}).items():
            yield from _variant_rows(table, f"{split}, {table['steps']} steps, PRM")
    if tables.get("color"):
        rows = [[f"{v:.3f}" for v in (*paper.TABLE_4.values(), *paper.TABLE_6.values())]]
        yield from markdown_table((*(f"paper: {k}" for k in (*paper.TABLE_4, *paper.TABLE_6)),), rows)
    actions = tables.get("first_action")
    if actions:
        yield from ("## First action (Table 5)", "")
        yield (
            "None: clicks only. Own box: a box around the object that the model takes to be meant; a tool that takes "
            "boxes is given it as the first action, for one that does not the filled box is the first mask. The box of "
            "another model (paper: Qwen's) has no counterpart here. The model was trained with the embedded tool, also "
            "where it plays with another."
        )
        yield ""
        for tool, table in actions.items():
            yield from _variant_rows(table, f"mini-RES, tool {tool}, {table['steps']} steps, PRM")
        names = list(next(iter(paper.TABLE_5.values())))
        rows = [[split, *(f"{row[n]:.2f}" for n in names)] for split, row in paper.TABLE_5.items()]
        yield from markdown_table(("paper, cIoU", *names), rows)


def _variant_rows(table: Mapping[str, Any], head: str) -> Iterator[str]:
    rows = [
        [
            name,
            percent(row["mIoU"]),
            percent(row["cIoU"]),
            points(table["over_first"][name]["mIoU"]) if name in table["over_first"] else "-",
            f"{100 * table['same_clicks'][name]:.0f}",
        ]
        for name, row in table["rows"].items()
    ]
    yield from markdown_table(
        (head, "mIoU", "cIoU", "mIoU over the first", "% of episodes with the same actions"), rows
    )


def references(results: Mapping[str, Any]) -> Iterator[str]:
    """Baselines and the upper bound."""
    splits = results["tables"].get("references")
    if not splits:
        return
    yield from ("## Above and below", "")
    for split, table in splits.items():
        rows = [[name, percent(row["mIoU"]), percent(row["cIoU"])] for name, row in table["rows"].items()]
        yield from markdown_table((f"{split}, at most {table['steps']} steps", "mIoU", "cIoU"), rows)
