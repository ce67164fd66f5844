"""Weights by a name on the Hugging Face hub, or on ModelScope, at a fixed revision: found here, or fetched once.

A name of ModelScope is written ``modelscope://OWNER/NAME``. What is about to be fetched is told beforehand, with its
size and licence; the hub's own client shows how far it is. Nothing is fetched offline (``--offline``,
``HF_HUB_OFFLINE=1``).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.core.errors import MissingExtraError, WeightsError
from segagent.core.texts import read_json

MODELSCOPE = "modelscope://"
_PINNED = re.compile(r"[0-9a-f]{40}")
_WANTED = (".json", ".safetensors", ".txt", ".jinja", ".model", ".tiktoken")


@dataclass(frozen=True, slots=True)
class Listing:
    """What the hub says of a model: its commit, the files that are needed with their bytes, its licence."""

    revision: str
    files: tuple[tuple[str, int], ...]
    licence: str


def is_pinned(revision: str) -> bool:
    """Whether a revision names one commit for good."""
    return _PINNED.fullmatch(revision) is not None


def offline() -> bool:
    """Whether nothing may be fetched."""
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        return bool(constants.HF_HUB_OFFLINE)
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def go_offline() -> None:
    """Fetch nothing from now on, in this process and those that it starts."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


def located(name: str, revision: str) -> str:
    """The folder of a model's weights on this machine: ``name`` itself if it is one, else as :func:`fetch` gives it."""
    return name if Path(name).is_dir() else str(fetch(name, revision, lambda told: print(told, file=sys.stderr)))


def here(name: str, revision: str) -> Path | None:
    """The folder of a model that has been fetched; None where it has not, or not wholly."""
    if name.startswith(MODELSCOPE):
        try:
            return _from_modelscope(name, revision, local=True)
        except (MissingExtraError, WeightsError):
            return None
    try:
        found = _client().try_to_load_from_cache(name, "config.json", revision=revision)
    except (MissingExtraError, ValueError):  # Nothing can be here, or a name that cannot be one.
        return None
    return Path(found).parent if isinstance(found, str) and _whole(Path(found).parent) else None


def fetch(name: str, revision: str, tell: Callable[[str], None]) -> Path:
    """The folder of a model at ``revision`` (a commit, a branch or a tag), fetched if it is not here.

    ``tell`` is told what is about to be fetched. Raises ``WeightsError`` where it cannot be had, saying why and what to
    do, and ``MissingExtraError`` without the client.
    """
    if name.startswith(MODELSCOPE):
        found = here(name, revision)
        if found is None and offline():
            raise WeightsError(f"{name}: not on this machine, and nothing is fetched offline")
        if found is None:
            tell(f"fetching {name} (revision {revision})")
        return found or _from_modelscope(name, revision, local=False)
    found = here(name, revision)
    if found is not None and (is_pinned(revision) or offline()):
        return found
    if offline():
        raise WeightsError(
            f"{name}: revision {revision:.40} is not on this machine, and nothing is fetched offline; fetch it where "
            f"there is a connection: hf download {name} --revision {revision}"
        )
    try:
        listed = look_up(name, revision)
    except WeightsError:
        if found is None:
            raise
        tell(f"{name}: the hub cannot be asked for its present {revision!r}; the copy on this machine is used")
        return found
    hub = _client()
    missing = [
        size
        for file, size in listed.files
        if not isinstance(hub.try_to_load_from_cache(name, file, revision=listed.revision), str)
    ]
    if missing:
        cache = Path(hub.constants.HF_HUB_CACHE)
        tell(
            f"fetching {name}: {_size(sum(missing))}, licence {listed.licence}, revision {listed.revision}, "
            f"into {cache}"
        )
        _require_space(cache, sum(missing), name)
    names = [file for file, _ in listed.files]
    try:
        # By its own name, so that the client remembers which commit a branch was.
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=names))
    except hub.errors.GatedRepoError as error:
        raise _gated(name) from error
    except Exception as error:
        # What the client's HTTP library raises changes with its version, and has no common base.
        raise WeightsError(f"{name}: could not be fetched ({_short(error)}); run the command again to go on") from error


def look_up(name: str, revision: str) -> Listing:
    """What the hub says of ``name`` at ``revision`` now. Raises ``WeightsError`` where it says nothing or refuses."""
    hub = _client()
    try:
        info = hub.HfApi().model_info(name, revision=revision, files_metadata=True)
    except hub.errors.GatedRepoError as error:
        raise _gated(name) from error
    except hub.errors.RevisionNotFoundError as error:
        raise WeightsError(f"{name}: the hub has no revision {revision:.40}") from error
    except hub.errors.RepositoryNotFoundError as error:
        raise WeightsError(f"{name}: the hub knows no such model, or shows it only after 'hf auth login'") from error
    except hub.errors.OfflineModeIsEnabled as error:
        raise WeightsError(f"{name}: the hub is not asked offline") from error
    except Exception as error:
        raise WeightsError(
            f"{name}: the hub cannot be asked ({_short(error)}); with the weights on this machine: --offline"
        ) from error
    files = {one.rfilename: int(one.size or 0) for one in info.siblings or [] if "/" not in one.rfilename}
    wanted = {file: size for file, size in files.items() if file.endswith(_WANTED)}
    if not any(file.endswith(".safetensors") for file in wanted):
        wanted |= {file: size for file, size in files.items() if file.endswith(".bin")}
    card = info.card_data or {}
    licence = card.get("license_name") or card.get("license") or "not stated"
    return Listing(str(info.sha), tuple(sorted(wanted.items())), str(licence))


def _gated(name: str) -> WeightsError:
    place = f"{_client().constants.ENDPOINT}/{name}"
    return WeightsError(
        f"{name}: its owners let in only whom they know; ask for access at {place}, then 'hf auth login'"
    )


def _client() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise MissingExtraError("weights by name need huggingface_hub: pip install 'segagent[hf]'") from error
    return huggingface_hub


def _whole(folder: Path) -> bool:
    """Whether a snapshot has weights, and all files that its index of weights names."""
    for index in folder.glob("*.index.json"):
        listed = read_json(index)
        shards = listed.get("weight_map", {}) if isinstance(listed, dict) else {}
        if not all((folder / shard).is_file() for shard in set(shards.values())):
            return False
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))


def _require_space(cache: Path, needed: int, name: str) -> None:
    existing = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise WeightsError(
            f"{name}: {_size(needed)} are to be fetched and {existing} has {_size(free)} left; "
            "make room, or set HF_HOME to another disk"
        )


def _from_modelscope(name: str, revision: str, *, local: bool) -> Path:
    try:
        from modelscope import snapshot_download  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError(
            f"{name}: lies on ModelScope, whose client is missing: pip install modelscope, or download the folder and "
            "give it as weights"
        ) from error
    try:
        root = Path(snapshot_download(name.removeprefix(MODELSCOPE), revision=revision, local_files_only=local))
    except Exception as error:
        # The client has no common base for its errors, and all that can be done is to tell them.
        raise WeightsError(f"{name}: ModelScope gives no such folder ({_short(error)})") from error
    found = [path.parent for path in (root / "config.json", *sorted(root.glob("*/config.json"))) if path.is_file()]
    if not found:
        raise WeightsError(
            f"{name}: fetched into {root}, which has no config.json; give the folder that has as weights"
        )
    return found[0]


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
