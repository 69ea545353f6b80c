"""Documents from the Hugging Face Hub: which files of a dataset repository hold a split, and getting them.

The library `huggingface_hub` does the transfer, so HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE mean what they
mean everywhere, and files stay in its own cache. Which file belongs to which configuration and split is said by the
repository's README, or by the usual names; repositories with a script have their files on the branch
`refs/convert/parquet`, where the Hub itself puts them. Without a network what is in the cache is used.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .errors import DocumentError
from .formats import ENDINGS, parquet_library
from .places import complete

CONVERTED = "refs/convert/parquet"


class HubName(NamedTuple):
    """REPO[@REVISION][:SUBSET], as "allenai/ai2_arc:ARC-Easy" has it."""

    repo: str
    revision: str | None = None
    subset: str = ""


def parse_hub(name: str) -> HubName:
    """The parts of a dataset's name on the Hub."""
    repo, _, subset = name.partition(":")
    repo, _, revision = repo.partition("@")
    return HubName(repo, revision or None, subset)


def hub_files(name: str, split: str) -> list[Path]:
    """The files of a split in the Hub's cache, downloaded where they are not there yet.

    Raises
    ------
    DocumentError
        Where the repository has no such split, or cannot be reached; Parquet files without pyarrow, before anything is
        downloaded.
    """
    hub = parse_hub(name)
    for revision in [hub.revision] if hub.revision else [None, CONVERTED]:
        try:
            names = _listed(hub, revision)
        except DocumentError:
            if revision == CONVERTED:  # few repositories have that branch
                break
            raise
        readme = _metadata(hub, revision) if "README.md" in names else {}
        if found := split_files(names, readme, split, hub.subset):
            complete(Path(file) for file in found)
            if any(file.endswith(".parquet") for file in found):
                parquet_library(f"{hub.repo} ({split})")
            return _of_one_commit(hub, {file: _fetched(hub, file, revision) for file in found})
    raise DocumentError(
        f"https://huggingface.co/datasets/{hub.repo} has no {' or '.join(ENDINGS)} file of {hub.subset or 'its data'} "
        f"({split}); download the files yourself and give their folder"
    )


def split_files(names: list[str], metadata: dict[str, Any], split: str, subset: str) -> list[str]:
    """Those files of a repository that hold a split, in order.

    Parameters
    ----------
    names : list of str
    metadata : dict
        Of its README: `configs` says which files belong where.
    split : str
    subset : str
        The configuration's name; "" for a repository with a single one.
    """
    readable = sorted(name for name in names if name.endswith(ENDINGS))
    for pattern in _patterns(metadata, split, subset):
        if found := [name for name in readable if fnmatch.fnmatchcase(name, pattern)]:
            return found
    folders = [f"{subset}/", f"data/{subset}/", f"{subset}/{split}/"] if subset else ["", "data/", "default/"]
    for folder in folders:
        if found := [name for name in readable if _is_split(name, folder, split)]:
            return found
    return []


def _patterns(metadata: dict[str, Any], split: str, subset: str) -> list[str]:
    """The README's patterns of a split."""
    configs = metadata.get("configs")
    found: list[str] = []
    for config in configs if isinstance(configs, list) else []:
        if not isinstance(config, dict) or str(config.get("config_name", "default")) not in (subset or "default",):
            continue
        files = config.get("data_files")
        for entry in files if isinstance(files, list) else []:
            if isinstance(entry, dict) and str(entry.get("split")) == split:
                path = entry.get("path")
                found += [str(part) for part in (path if isinstance(path, list) else [path]) if part]
    return found


def _is_split(name: str, folder: str, split: str) -> bool:
    """Whether a file has one of the usual names of a split: SPLIT.parquet, SPLIT-00000-of-00001.parquet, SPLIT/0000…"""
    if not name.startswith(folder):
        return False
    rest = name.removeprefix(folder)
    if "/" in rest:
        return rest.startswith(f"{split}/") and rest.count("/") == 1
    return any(rest == split + ending for ending in ENDINGS) or fnmatch.fnmatchcase(rest, f"{split}-*-of-*")


def _listed(hub: HubName, revision: str | None) -> list[str]:
    """The files of a revision, from the Hub or, without a network, from its cache."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = _ask(hub, HfApi().dataset_info, repo_id=hub.repo, revision=revision)
        return [sibling.rfilename for sibling in info.siblings or []]
    except DocumentError as error:
        try:
            folder = Path(snapshot_download(hub.repo, repo_type="dataset", revision=revision, local_files_only=True))
        except (OSError, ValueError):  # nothing of it is in the cache
            raise error from None
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _metadata(hub: HubName, revision: str | None) -> dict[str, Any]:
    """What the README says of the repository's files; {} where it says nothing that can be read."""
    from huggingface_hub import metadata_load

    path = _fetched(hub, "README.md", revision)
    try:
        return metadata_load(path) or {}
    except Exception:  # the usual names are left
        return {}


def _fetched(hub: HubName, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    found = _ask(hub, hf_hub_download, repo_id=hub.repo, filename=file, revision=revision, repo_type="dataset")
    return Path(found)


def _of_one_commit(hub: HubName, paths: dict[str, Path]) -> list[Path]:
    """The files, which the library keeps in a folder for each commit."""
    if len({path.parents[file.count("/")] for file, path in paths.items()}) > 1:
        raise DocumentError(f"{hub.repo} was changed while it was downloaded; try again")
    return list(paths.values())


def _ask(hub: HubName, function: Callable[..., Any], **arguments: Any) -> Any:
    """Call the library; whatever it raises becomes a DocumentError that says what to do."""
    try:
        return function(**arguments)
    except Exception as error:
        # The chain would show a screen of HTTP internals before the one sentence that helps.
        raise DocumentError(_explain(hub, error)) from None


def _explain(hub: HubName, error: Exception) -> str:
    """What went wrong with the Hub and what to do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "not in the cache either" hides the reason
    page, status = f"https://huggingface.co/datasets/{hub.repo}", _status(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{hub.repo} is not in the Hub's cache and HF_HUB_OFFLINE is set"
    if isinstance(error, errors.GatedRepoError) or status in (401, 403):
        return f"the Hub refused {hub.repo}: accept its licence at {page} and set HF_TOKEN, or look whether it is gone"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{hub.repo} has no revision {hub.revision}; look at {page}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the Hub has no dataset {hub.repo} (any more); look for its new name at {page}"
    if status is not None:
        return f"the Hub answered HTTP {status} for {hub.repo}; wait a little and try again"
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{hub.repo} could not be downloaded ({type(error).__name__}: {reason}); check the network and HF_ENDPOINT"


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
