"""Chat templates in files of their own, as newer Hugging Face folders keep them.

    chat_template.jinja                     the default one
    additional_chat_templates/NAME.jinja    further ones

Where there are any, those that tokenizer_config.json holds do not count, as in `transformers`.
"""

from __future__ import annotations

from pathlib import Path

from ...files.errors import CheckpointError
from .validation import read_bounded

DEFAULT = "chat_template.jinja"
FURTHER = "additional_chat_templates"
MAX_TEMPLATES = 64


def read_templates(folder: Path) -> dict[str, str]:
    """The templates in the files of a folder, by name; the one that counts is called "default".

    Raises
    ------
    CheckpointError
        When there are too many, or one cannot be read or is not UTF-8.
    """
    files = {path.stem: path for path in sorted((folder / FURTHER).glob("*.jinja"))}
    if len(files) > MAX_TEMPLATES:
        raise CheckpointError(
            folder / FURTHER, "folder", f"has {len(files)} templates, expected {MAX_TEMPLATES} at most"
        )
    if (folder / DEFAULT).is_file():
        files.setdefault("default", folder / DEFAULT)
    return {name: _read(path) for name, path in files.items()}


def _read(path: Path) -> str:
    """The text of a file, with line breaks as Python reads them from a text file."""
    try:
        text = read_bounded(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(path, "template", f"is not UTF-8: {error}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
