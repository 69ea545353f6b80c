"""Models by name: where they come from, fetching and verifying them once."""

from ...files.home import cache_dir
from .downloads import DownloadError, DownloadProgress
from .models import CachedModel, ResolvedModel, cached_models, fetch, import_file, locate, resolve
from .registry import KNOWN_MODELS, KnownModel

__all__ = [
    "KNOWN_MODELS",
    "CachedModel",
    "DownloadError",
    "DownloadProgress",
    "KnownModel",
    "ResolvedModel",
    "cache_dir",
    "cached_models",
    "fetch",
    "import_file",
    "locate",
    "resolve",
]
