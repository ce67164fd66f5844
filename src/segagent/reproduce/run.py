"""The miniature experiment from end to end: train, play, read off, write down.

Everything slow leaves its result in the folder as it goes (trajectories, models, one journal per model and way of
playing), so a run that was stopped goes on where it was. What is computed from these is quick and made anew.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segagent.core.settings import claim
from segagent.core.texts import read_json
from segagent.core.versions import package_versions
from segagent.imaging import MASK_COLORS
from segagent.imaging.writing import write_bytes
from segagent.learning.sft import TrainedModel
from segagent.reproduce.config import SPLITS, MiniConfig
from segagent.reproduce.episodes import Played, RunPlan, all_states, play
from segagent.reproduce.filtering import Pairs, filtering_row, fit_on
from segagent.reproduce.findings import findings
from segagent.reproduce.masks import KINDS, JudgedMask, MaskPlan, clicks_needed, judge_masks
from segagent.reproduce.models import make_annotator_set, store_calibration, train_models
from segagent.reproduce.page import make_page
from segagent.reproduce.players import NOTATIONS, Player
from segagent.reproduce.plots import draw_plots, require_matplotlib
from segagent.reproduce.reading import endless
from segagent.reproduce.tables import (
    complexity_table,
    references_table,
    search_table,
    steps_table,
    undo_table,
    variants_table,
)
from segagent.reproduce.trainings import FOLDERS, SFT, STAR_PLUS
from segagent.reproduce.work import Watch, Workers, watch_nothing
from segagent.search import SearchConfig

RES, HRES = SPLITS
RES_STEPS = 7
"""T of the paper on RES; mini-HRES uses the configured last step."""

SCHEMA = "segagent.miniature/1"

_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in ("seed", "seeds", "train_scenes", "test_scenes", "quick")}


def reproduce_miniature(
    out: str | Path, config: MiniConfig, *, workers: int = 1, watch: Watch = watch_nothing, command: str = ""
) -> dict[str, Any]:
    """Run the experiment, or go on with it, in the folder ``out``; returns what ``out/results.json`` holds.

    Also writes ``out/miniature.md`` and ``out/plots``. ``command`` is what the page says it was made by. Results do
    not depend on ``workers``. Raises ``InputError`` where ``out`` was begun with other settings, and
    ``MissingExtraError`` without matplotlib.
    """
    require_matplotlib()
    folder = Path(out).resolve()
    claim(folder / "config.json", config.to_dict(), _OPTIONS)
    with Workers(workers) as pool:
        results = _Experiment(config, folder, pool, watch).results(command)
    results["plots"] = draw_plots(results, folder / "plots")
    results = dict(finite(results))
    results["findings"] = [one.to_dict() for one in findings(results)]
    write_bytes(folder / "results.json", json.dumps(results, indent=1, allow_nan=False).encode("ascii") + b"\n")
    write_bytes(folder / "miniature.md", make_page(results).encode("utf-8"))
    return results


def finite(value: Any) -> Any:
    """``value`` for JSON: numbers that are none become null."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Experiment:
    """One experiment in its folder. Episodes are asked for by name and made where the folder lacks them."""

    def __init__(self, config: MiniConfig, folder: Path, pool: Workers, watch: Watch) -> None:
        self._config, self._folder, self._pool = config, folder, pool
        self._watch = watch
        self._models: list[dict[str, TrainedModel]] = []
        self._played: dict[str, list[Played]] = {}

    def results(self, command: str) -> dict[str, Any]:
        """Everything, for ``results.json``."""
        config = self._config
        d_0 = self._annotator_set()
        complexity = complexity_table({split: self._clicks(split) for split in SPLITS}, config.noc_clicks)
        self._models = train_models(config, self._folder / "d0.jsonl", self._folder, self._pool, self._watch)
        tables: dict[str, Any] = {"complexity": complexity, "steps": {}, "search": {}, "references": {}}
        for split, compared in ((RES, (SFT, STAR_PLUS)), (HRES, tuple(self._models[0]))):
            steps = self._budget(split)
            # A training may fail to give plain StaR a model in some seeds only; it is then left out.
            models = [name for name in compared if all(name in one for one in self._models)]
            runs = {name: (self._runs(name, "greedy", split), self._runs(name, "search", split)) for name in models}
            tables["steps"][split] = {name: steps_table(runs[name][0], config.steps) for name in (SFT, STAR_PLUS)}
            tables["search"][split] = search_table(runs, steps, config.candidates)
            tables["references"][split] = self._references(split, runs[SFT][0], steps)
        tables["undo"] = self._undo()
        tables["filtering"] = {name: self._filtering(name) for name in (SFT, STAR_PLUS)}
        colors = [Player(self._spec(SFT), color=color) for color in MASK_COLORS]
        tables["color"] = {
            split: variants_table({p.color: self._variant(p, split) for p in colors}, self._budget(split))
            for split in SPLITS
        }
        notations = {n: self._variant(Player(self._spec(SFT), notation=n), RES) for n in NOTATIONS}
        tables["notation"] = {RES: variants_table(notations, self._budget(RES))}
        tables["first_action"] = self._first_action()
        counted = {split: len(self._runs(SFT, "greedy", split)[0]) for split in SPLITS}
        return {
            "schema": SCHEMA,
            "command": command,
            "config": config.to_dict(),
            "versions": package_versions(),
            "seeds": [config.seed + number for number in range(config.seeds)],
            "counts": {"d_0": d_0, "test": counted},
            "models": {
                name: {"steps": m.steps, "examples": m.examples, "seconds": m.seconds, "losses": m.losses}
                for name, m in self._models[0].items()
            },
            "training_seconds": math.fsum(m.seconds for one in self._models for m in one.values()),
            "episode_seconds": math.fsum(one.trajectory.seconds for many in self._played.values() for one in many),
            "tables": tables,
        }

    def _budget(self, split: str) -> int:
        """T of a split."""
        return self._config.max_steps if split == HRES else min(RES_STEPS, self._config.max_steps)

    def _annotator_set(self) -> dict[str, Any]:
        note = self._folder / "d0.json"
        if not note.exists():
            made = make_annotator_set(self._config, self._folder / "d0.jsonl", self._pool.workers, self._watch)
            write_bytes(note, json.dumps(made).encode("ascii") + b"\n")
        counts: dict[str, Any] = read_json(note)
        return counts

    def _clicks(self, split: str) -> list[list[float]]:
        config, path = self._config, self._folder / "runs" / f"clicks-{split}.jsonl"
        ask = self._pool.of(config.tool)
        dataset = config.dataset("test", split)
        return clicks_needed(f"clicks, {split}", dataset, config.tool, config.noc_clicks, path, ask, self._watch)

    def _spec(self, model: str, number: int = 0) -> str:
        return self._models[number][model].spec

    def _play(self, name: str, player: Player, search: SearchConfig, dataset: str, **more: Any) -> list[Played]:
        """Episodes kept under ``name`` (a path without ending)."""
        if name in self._played:
            return self._played[name]
        seed, tool = more.get("seed", self._config.seed), more.get("tool", self._config.tool)
        plan = RunPlan(name, player, search, dataset, tool, seed, more.get("limit"))
        played = play(plan, self._folder / "runs" / f"{name}.jsonl", self._pool.of(tool), self._watch)
        self._played[name] = played
        return played

    def _search_config(self, way: str) -> SearchConfig:
        """How episodes of a kind are played; each can be read off at fewer steps or calls."""
        config = self._config
        if way == "greedy":
            return endless(config.max_steps)
        if way == "long greedy":
            return endless(config.max_calls - 1)
        best_first = way == "best first"
        return endless(config.max_calls - 1, config.candidates, best_first=best_first, max_calls=config.max_calls)

    def _runs(self, model: str, way: str, split: str) -> list[list[Played]]:
        """Test episodes of every seed's ``model``."""
        dataset, search = self._config.dataset("test", split), self._search_config(way)
        runs = []
        for number in range(self._config.seeds):
            seed = self._config.seed + number
            name = f"seed{seed}/{split}-{FOLDERS[model]}-{_slug(way)}"
            runs.append(self._play(name, Player(self._spec(model, number)), search, dataset, seed=seed))
        return runs

    def _first_seed(self, model: str, way: str, split: str) -> list[Played]:
        dataset, seed = self._config.dataset("test", split), self._config.seed
        name = f"seed{seed}/{split}-{FOLDERS[model]}-{_slug(way)}"
        return self._play(name, Player(self._spec(model)), self._search_config(way), dataset)

    def _undo(self) -> dict[str, Any]:
        config = self._config
        ways = {
            f"Alg. 2, K = {config.candidates}": "search",
            f"best first, K = {config.candidates}": "best first",
            "greedy with PRM": "long greedy",
        }
        runs = {
            model: {name: self._first_seed(model, way, HRES) for name, way in ways.items()}
            for model in (SFT, STAR_PLUS)
        }
        return undo_table(runs, [1 + config.candidates * s for s in config.steps])

    def _references(self, split: str, greedy: Sequence[Sequence[Played]], steps: int) -> dict[str, Any]:
        dataset, shipped = self._config.dataset("test", split), Player(self._config.shipped)
        once = SearchConfig(1, use_prm=False)
        return references_table(
            self._play(f"{split}-centre", Player("centre"), once, dataset),
            self._play(f"{split}-outline", Player(self._config.shipped, box="outline"), once, dataset),
            self._play(f"{split}-simulated", Player("simulated"), self._search_config("greedy"), dataset),
            greedy,
            {
                way: self._play(f"{split}-shipped-{way}", shipped, self._search_config(way), dataset)
                for way in ("greedy", "search")
            },
            steps,
        )

    def _judged(self, model: str, purpose: Any, split: str) -> list[JudgedMask]:
        config, spec = self._config, self._spec(model)
        name = f"seed{config.seed}/masks-{purpose}-{split}-{FOLDERS[model]}"
        plan = MaskPlan(name, spec, config.dataset(purpose, split), config.tool, config.mask_draws, config.seed)
        return judge_masks(plan, self._folder / "runs" / f"{name}.jsonl", self._pool.of(config.tool), self._watch)

    def _filtering(self, model: str) -> dict[str, Any]:
        """Rows by kind of mask and split; the calibration is fitted on val and stored with the model."""
        fitted: list[tuple[float, float, str]] = []
        for split in SPLITS:
            name = f"seed{self._config.seed}/val-{split}-{FOLDERS[model]}-greedy"
            dataset = self._config.dataset("val", split)
            own = self._play(name, Player(self._spec(model)), self._search_config("greedy"), dataset)
            fitted += [*_pairs(self._judged(model, "val", split), KINDS[0]), *all_states(own)]
        calibration = fit_on(fitted)
        if calibration is not None:
            note = {"masks": len(fitted), "what": "random clicks and own states, val scenes of the miniature"}
            store_calibration(self._spec(model), calibration, note)
        rows = {}
        for kind in KINDS:
            for split in SPLITS:
                pairs = _pairs(self._judged(model, "test", split), kind)
                rows[f"{split}, {kind}"] = filtering_row(pairs, calibration)
        for split in SPLITS:
            own_states = list(all_states(self._first_seed(model, "greedy", split)))
            rows[f"{split}, own states"] = filtering_row(own_states, calibration)
        return rows

    def _variant(self, player: Player, split: str) -> list[Played]:
        """The SFT model, played in one of the ways of Tables 4 and 6."""
        if player == Player(player.spec):
            return self._first_seed(SFT, "greedy", split)
        name = f"seed{self._config.seed}/{split}-{_slug(player.notation or player.color)}"
        return self._play(name, player, self._search_config("greedy"), self._config.dataset("test", split))

    def _first_action(self) -> dict[str, Any]:
        config = self._config
        search = endless(config.first_action_steps)
        tables = {}
        for tool, box in ((config.box_tool, "box"), (config.tool, "filled")):
            played = {
                name: self._play(
                    f"seed{config.seed}/first-{_slug(tool)}-{first or 'none'}",
                    Player(self._spec(SFT), box=first),
                    search,
                    config.dataset("test", RES),
                    tool=tool,
                    limit=config.first_action_scenes,
                )
                for name, first in (("none", ""), (f"own box ({'first mask' if box == 'filled' else 'action'})", box))
            }
            tables[tool] = variants_table(played, config.first_action_steps)
        return tables


def _pairs(judged: Sequence[JudgedMask], kind: str) -> Pairs:
    return [(one.predicted, one.true, one.image) for one in judged if one.kind == kind]


def _slug(text: str) -> str:
    """``text`` as part of a file name."""
    return re.sub(r"[^a-z0-9+]+", "-", text.lower()).strip("-")
