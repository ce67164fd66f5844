"""The experiment about gains from end to end; whatever is slow is kept in the folder and not done twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from segagent.core.settings import claim
from segagent.core.versions import package_versions
from segagent.imaging.writing import write_bytes
from segagent.reproduce.config import SPLITS
from segagent.reproduce.episodes import Played, RunPlan, play
from segagent.reproduce.gains.config import GainsConfig
from segagent.reproduce.gains.models import FOLDERS, GRPO, HARD, JUDGED, LONGER, SFT, SHIPPED, STAR_PLUS, Laboratory
from segagent.reproduce.gains.page import make_page
from segagent.reproduce.gains.tables import findings, gains_tables
from segagent.reproduce.masks import KINDS, JudgedMask, MaskPlan, judge_masks
from segagent.reproduce.players import Player
from segagent.reproduce.reading import endless
from segagent.reproduce.run import finite
from segagent.reproduce.work import Watch, Workers, watch_nothing
from segagent.search import SearchConfig

RES, HRES = SPLITS
SCHEMA = "segagent.gains/1"
Way: TypeAlias = Literal["greedy", "search", "sampled search", "true search"]
WAYS: tuple[Way, ...] = ("greedy", "search", "sampled search", "true search")
_OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "seed", "seeds", "d_0_scenes", "hard_scenes", "test_scenes", "max_steps", "sft_steps", "star_steps",
        "prm_steps", "updates", "quick",
    )
}  # fmt: skip


def reproduce_gains(
    out: str | Path, config: GainsConfig, *, workers: int = 1, watch: Watch = watch_nothing, command: str = ""
) -> dict[str, Any]:
    """Run the experiment, or go on with it, in the folder ``out``; returns what ``out/results.json`` holds.

    Also writes ``out/gains.md``; both after each seed, with what there is. ``command`` is what the page says it was
    made by. Raises ``InputError`` where ``out`` was begun with other settings.
    """
    folder = Path(out).resolve()
    claim(folder / "config.json", config.to_dict(), _OPTIONS)
    results: dict[str, Any] = {}
    with Workers(workers) as pool:
        made = _Experiment(config, folder, pool, watch)
        made.references()
        for number in range(config.seeds):
            made.with_seed(config.seed + number)
            results = {
                "schema": SCHEMA,
                "command": command,
                "config": config.to_dict(),
                "seeds": [config.seed + done for done in range(number + 1)],
                "versions": package_versions(),
                "tables": gains_tables(config, made.played, made.masks),
            }
            results = dict(finite(results))
            results["findings"] = [one.to_dict() for one in findings(results)]
            text = json.dumps(results, indent=1, allow_nan=False)
            write_bytes(folder / "results.json", text.encode("ascii") + b"\n")
            write_bytes(folder / "gains.md", make_page(results).encode("utf-8"))
    return results


class _Experiment:
    """One experiment in its folder. Episodes are asked for by name and made where the folder lacks them.

    ``played``: those of each seed by (split, model, way). ``masks``: judged ones by (split, model), of all seeds.
    """

    def __init__(self, config: GainsConfig, folder: Path, pool: Workers, watch: Watch) -> None:
        self._config, self._folder, self._pool, self._watch = config, folder, pool, watch
        self._models = Laboratory(config, folder, watch)
        self.played: dict[tuple[str, str, str], list[list[Played]]] = {}
        self.masks: dict[tuple[str, str], list[JudgedMask]] = {}

    def references(self) -> None:
        """What needs no training: the outline without a click, and the simulated annotator."""
        once, annotated = SearchConfig(1, use_prm=False), endless(self._config.max_steps)
        for split in SPLITS:
            outline = self._play(f"{split}-outline", Player("embedded", box="outline"), once, split, 0)
            self.played[split, "outline", ""] = [outline]
            self.played[split, "simulated", ""] = [
                self._play(f"{split}-simulated", Player("simulated"), annotated, split, 0)
            ]

    def with_seed(self, seed: int) -> None:
        """All models of one seed, and all ways of playing them."""
        ways: dict[str, tuple[Way, ...]] = {
            SFT: WAYS,
            STAR_PLUS: WAYS,
            LONGER: ("greedy",),
            GRPO: ("greedy", "search"),
            HARD: ("greedy",),
            SHIPPED: ("greedy", "search", "true search"),
        }
        for model, asked in ways.items():
            for way in asked:
                self.played.setdefault((HRES, model, way), []).append(self.play(model, seed, HRES, way))
        for model in JUDGED:
            self.played.setdefault((RES, model, "greedy"), []).append(self.play(model, seed, RES, "greedy"))
            self.masks.setdefault((HRES, model), []).extend(self.judged_masks(model, seed, HRES))

    def play(self, model: str, seed: int, split: str, way: Way) -> list[Played]:
        """Test episodes of one model."""
        spec = "embedded"
        if model != SHIPPED:
            spec = (self._models.judged if model in JUDGED else self._models.model)(model, seed).spec
        player = Player(spec, judge="truth" if way == "true search" else "")
        name = f"seed{seed}/{split}-{FOLDERS[model]}-{way.replace(' ', '-')}"
        return self._play(name, player, self._search(way), split, seed)

    def judged_masks(self, model: str, seed: int, split: str) -> list[JudgedMask]:
        """Masks of random clicks with their predicted and true IoU."""
        config, spec = self._config, self._models.judged(model, seed).spec
        name = f"seed{seed}/masks-{split}-{FOLDERS[model]}"
        plan = MaskPlan(name, spec, config.test_dataset(split), config.tool, config.mask_draws, seed)
        found = judge_masks(plan, self._journal(name), self._pool.of(config.tool), self._watch)
        return [one for one in found if one.kind == KINDS[0]]

    def _search(self, way: Way) -> SearchConfig:
        config = self._config
        if way == "greedy":
            return endless(config.max_steps)
        searched = replace(endless(config.max_steps, config.candidates), temperature=config.temperature)
        return searched if way == "sampled search" else replace(searched, diversity=config.diversity)

    def _play(self, name: str, player: Player, search: SearchConfig, split: str, seed: int) -> list[Played]:
        config = self._config
        plan = RunPlan(name, player, search, config.test_dataset(split), config.tool, seed)
        return play(plan, self._journal(name), self._pool.of(config.tool), self._watch)

    def _journal(self, name: str) -> Path:
        return self._folder / "runs" / f"{name}.jsonl"
