"""Every import and every file of the package that a person is shown (README, book, hints, errors) is really there."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import minillama

PACKAGE = Path(minillama.__file__).parent
ROOT = PACKAGE.parent

IMPORT = re.compile(r"from (minillama[\w.]*) import (\([^)]*\)|[\w, ]+)")
DOTTED = re.compile(r"(?<![\w./-])minillama(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"(?<![\w/-])minillama/[\w/]+\.\w+")
NAMES_OF_FILES = ("minillama.json", "minillama.egg")  # a checkpoint's own description; setuptools'


def shown(path: Path) -> str:
    """The text of a file as people read it; of the package only its string literals, docstrings among them."""
    text = path.read_text(encoding="utf-8")
    if PACKAGE not in path.parents or path.suffix != ".py":
        return text
    nodes = ast.walk(ast.parse(text))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def pages() -> list[Path]:
    """What is printed to people: in a clone the documents and the book, everywhere the package's own texts."""
    folders = ("notebooks/[0-9]*.py", "exercises/**/*.py", "notebooks/*.svg", "benchmarks/*.md")
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(p for glob in folders for p in ROOT.glob(glob))]
    return [path for path in [*documents, *PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.md")] if path.is_file()]


def resolve(name: str) -> object:
    """The module, or what stands in one, that a dotted name means."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise
            continue
        for attribute in parts[end:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


PAGES = [path for path in pages() if "minillama" in shown(path)]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_printed_can_be_imported(path):
    text = shown(path)
    for module, names in IMPORT.findall(text):
        found = importlib.import_module(module)
        for name in (part.split()[0] for part in names.strip("()").split(",") if part.strip()):
            assert hasattr(found, name) or resolve(f"{module}.{name}"), f"{module} has no {name}"
    for name in DOTTED.findall(text):
        if not name.startswith(NAMES_OF_FILES):
            resolve(name)
    for name in FILE.findall(text):
        if "NN" in name:  # any chapter
            continue
        assert (ROOT / name).exists(), f"{name} is not there"


def test_pages_are_found():
    """The test above has something to look at."""
    printed = "\n".join(shown(path) for path in PAGES)
    assert len(IMPORT.findall(printed)) > 50
    assert len(DOTTED.findall(printed)) > 50
