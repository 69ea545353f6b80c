"""Weights from the Hugging Face Hub, kept in the Hub's own cache and checked against what the Hub says of them.

The library `huggingface_hub` does the transfer, so HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE mean what they
mean everywhere. Nothing is copied out of its cache: models may take gigabytes. It is imported only where it is used.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...files.parts import part_names
from .downloads import (
    POLL_SECONDS,
    DownloadError,
    DownloadProgress,
    bytes_on_disk,
    check_free_space,
    check_sha256,
    disk_errors,
    file_sha256,
    is_disk_full,
    shortened,
)
from .registry import HubSource

# The configuration comes first: its arrival tells the commit that all the other files are then taken from.
NEEDED_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
# Of the weights only the first kind that a repository has, in the order in which transformers and
# checkpoints/huggingface/weights.py look; the first name of each says that it is there.
WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
)


class RemoteFile(NamedTuple):
    """One file of a repository as the Hub describes it."""

    name: str
    n_bytes: int | None
    blob: str  # its name in the Hub's cache: the sha256 of large files, git's hash of small ones
    sha256: str | None  # None for files that are small enough to be in git itself


def needed_files(names: Iterable[str]) -> list[str]:
    """Those files of a model's folder that minillama reads, the configuration first and the weights last."""
    found = list(names)
    weights = next((kind for kind in WEIGHTS if kind[0] in found), ())
    patterns = (*NEEDED_FILES, *weights)
    return [name for pattern in patterns for name in sorted(found) if fnmatch.fnmatchcase(name, pattern)]


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds a configuration, a tokenizer and all the weights that its index names."""
    if not (folder / "config.json").is_file():
        return False
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        return False
    weights = next((kind for kind in WEIGHTS if (folder / kind[0]).is_file()), ())
    if len(weights) < 2:
        return bool(weights)
    index = folder / weights[0]
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8-sig"))["weight_map"].values())
        return bool(shards) and all((folder / shard).is_file() for shard in shards)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return False


def find_in_hub_cache(source: HubSource) -> Path | None:
    """The file or the complete folder in the Hub's cache, or None; never uses the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, source.filename or "config.json")
    if not isinstance(found, str):  # None, or a mark that the repository has no such file
        return None
    path = Path(found)
    if source.filename is not None:
        return path if all(path.with_name(part).is_file() for part in part_names(path.name)) else None
    return path.parent if is_complete(path.parent) else None


def fetch_from_hub(source: HubSource, label: str, progress: DownloadProgress) -> Path:
    """Download a repository's needed files, or its one file with the parts that belong to it, into the Hub's cache.

    Parameters
    ----------
    source : HubSource
    label : str
        What is fetched, for progress and errors.
    progress : callable

    Returns
    -------
    path : Path
        The file, or the snapshot's folder, in the Hub's cache.

    Raises
    ------
    DownloadError
        No network, no permission, no such repository, full disk, or files that differ from what the Hub promised.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download

    cache = Path(constants.HF_HUB_CACHE)
    files = _wanted_files(source, _ask(source, HfApi().model_info, repo_id=source.repo, files_metadata=True))
    blobs = cache / f"models--{source.repo.replace('/', '--')}" / "blobs"
    total = sum(file.n_bytes or 0 for file in files)
    with disk_errors(cache, "HF_HOME"):
        cache.mkdir(parents=True, exist_ok=True)
        check_free_space(cache, total - _blob_bytes(blobs, files), "HF_HOME")
    commit, paths = None, []
    with _quiet_hub(), _watched(lambda: _blob_bytes(blobs, files), total, f"downloading {label}", progress):
        # One after the other: an interrupt then ends the download at once instead of after every open file.
        for file in files:
            arguments = {"repo_id": source.repo, "filename": file.name, "revision": commit}
            paths.append(Path(_ask(source, hf_hub_download, **arguments)))
            # Without a revision the first file asks for the newest commit, and records it as "main".
            commit = commit or paths[0].parents[file.name.count("/")].name
    for file, path in zip(files, paths):
        _verify(file, path, progress, f"checking {label}")
    if source.filename is None:
        return paths[0].parent
    return paths[[file.name for file in files].index(source.filename)]


def _wanted_files(source: HubSource, info: Any) -> list[RemoteFile]:
    """What to download of a repository, the configuration first and the weights last."""
    there = {sibling.rfilename: sibling for sibling in info.siblings or []}
    if source.filename is None:
        names = needed_files(there)
        if "config.json" not in names or not any(kind[0] in names for kind in WEIGHTS):
            raise DownloadError(
                f"{source.page} has no config.json with weights as safetensors or pytorch_model.bin, "
                "which minillama reads."
            )
    else:
        names = part_names(source.filename)
        if missing := [name for name in names if name not in there]:
            raise DownloadError(f"{source.page} has no file {missing[0]} (any more).")
    wanted = []
    for name in names:
        sibling = there[name]
        sha256 = sibling.lfs.sha256 if sibling.lfs else None
        wanted.append(RemoteFile(name, sibling.size, sha256 or sibling.blob_id or "", sha256))
    return wanted


def _verify(file: RemoteFile, path: Path, progress: DownloadProgress, label: str) -> None:
    """Compare a downloaded file with the size and sha256 that the Hub reported; delete it when it differs."""
    try:
        found = path.stat().st_size
        if file.n_bytes is not None and found != file.n_bytes:
            raise DownloadError(f"{file.name}: expected {file.n_bytes} bytes, found {found}. Deleted; try again.")
        if file.sha256 is not None:
            check_sha256(file.name, file.sha256, file_sha256(path, progress, label))
    except DownloadError:
        path.resolve().unlink(missing_ok=True)  # the content, which `path` usually links to
        path.unlink(missing_ok=True)
        raise


def _blob_bytes(blobs: Path, files: list[RemoteFile]) -> int:
    """How much of `files` is in the Hub's cache by now, finished or not."""
    sizes = {file.blob: file.n_bytes or 0 for file in files if file.blob}
    done = dict.fromkeys(sizes, 0)
    for path in blobs.glob("*"):
        blob = path.name.split(".", 1)[0]  # "<blob>" or "<blob>.incomplete", with a random part in newer versions
        if blob in sizes:
            done[blob] = max(done[blob], min(bytes_on_disk(path), sizes[blob]))
    return sum(done.values())


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the library from drawing bars of its own on the terminal."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _watched(measure: Callable[[], int], total: int, label: str, progress: DownloadProgress) -> Iterator[None]:
    """Report what `measure` finds on disk while the body runs.

    The files themselves are watched because the library passes a progress class on to single files only in its newer
    versions, and the bytes on disk mean the same in all of them. An exception of the callback is raised at the end.
    """
    stop, failures = threading.Event(), []

    def report() -> None:
        done = 0
        try:
            while not stop.wait(POLL_SECONDS):
                done = max(done, measure())
                progress(done, total, label)
        except Exception as error:
            failures.append(error)

    watcher = threading.Thread(target=report, name="download-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    if failures:
        raise failures[0]
    progress(total, total, label)


def _ask(source: HubSource, function: Callable[..., Any], **arguments: Any) -> Any:
    """Call the library; whatever it raises becomes a DownloadError that says what to do."""
    try:
        return function(**arguments)
    except Exception as error:
        # The chain would show a screen of HTTP internals before the one sentence that helps.
        raise DownloadError(_explain(source, error)) from None


def _explain(source: HubSource, error: Exception) -> str:
    """What went wrong with the Hub and what to do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "not in the cache either" hides the reason
    log_in = "set HF_TOKEN or run `hf auth login` (a read token is enough)"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if is_disk_full(error):
        return f"the disk is full while downloading {source.repo}. Set HF_HOME to a folder on a larger disk."
    if isinstance(error, errors.OfflineModeIsEnabled):
        return (
            f"{source.repo} is not in the Hub's cache and HF_HUB_OFFLINE is set. Unset it, or download the model first."
        )
    if isinstance(error, errors.GatedRepoError) or (source.gated and status in (401, 403)):
        return f"{source.repo} is gated. Accept its licence at {source.page}, then {log_in}, and try again."
    if status in (401, 403):
        return f"the Hub refused {source.repo} (HTTP {status}): it is private or gone, or your token is old; {log_in}."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the Hub has no {source.repo} (any more). Look for its new name at {source.page}."
    if status is not None:
        return f"the Hub answered HTTP {status} for {source.repo}. Wait a little and try again."
    reason = shortened((str(error).strip().splitlines() or [""])[0])
    return (
        f"{source.repo} could not be downloaded ({type(error).__name__}: {reason}). Check the network, the proxy "
        "settings and HF_ENDPOINT, then try again; what has arrived whole is kept."
    )
