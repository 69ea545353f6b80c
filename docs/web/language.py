"""Pages in Korean say so: lang="ko" is what a screen reader and a browser's translation go by."""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, bool]:
    """Set the language of each page from its name: docs/ko/…, and README.ko."""
    app.connect("html-page-context", _set_language)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _set_language(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if pagename.startswith("docs/ko/") or pagename.endswith(".ko"):
        context["language"] = "ko"
