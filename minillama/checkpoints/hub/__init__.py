"""Models by name: where they come from, fetching and verifying them once."""

from .downloads import DownloadError, DownloadProgress
from .locate import cached_models, fetch, import_file, resolve
from .registry import KNOWN_MODELS

__all__ = ["KNOWN_MODELS", "DownloadError", "DownloadProgress", "cached_models", "fetch", "import_file", "resolve"]
