"""Meta's own release: params.json and .pth shards, read without running their pickles."""

from .reading import is_meta, meta_name, read_meta

__all__ = ["is_meta", "meta_name", "read_meta"]
