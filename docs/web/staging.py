"""The sources of the web edition, laid out for Sphinx in a folder of their own.

Every text keeps the place that it has in the repository, so that links between texts work as they stand; README.md is
the first page. Pages that are made here: the exercises of each chapter, and the layers.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from minillama.learn.chapters.catalogue import catalogue, chapter_packages
from minillama.learn.chapters.texts import file_name
from minillama.learn.course import Chapter, course
from minillama.learn.exercises.exercise import Exercise

TEXTS = (
    "notebooks/README.md",
    "notebooks/glossary.md",
    "notebooks/symbols.md",
    "docs/teachers.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "benchmarks/results/align_story_seed0.md",
    "minillama/alignment/README.md",
    "minillama/stories/README.md",
    "minillama/stories/stories3M-chat.md",
    "notebooks/stages/README.md",
)
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(#[^)\s]*)?(?=\))")
_ANCHOR = re.compile(r'^<a id="([^"]+)"></a>', re.MULTILINE)
_KOREAN, _KOREAN_README = "docs/ko", "README.ko.md"
_PICTURE = "#picture-"


def stage(root: Path, target: Path) -> None:
    """Write everything that Sphinx reads into `target`, a folder that is emptied first.

    Parameters
    ----------
    root : Path
        The repository.
    target : Path
    """
    shutil.rmtree(target, ignore_errors=True)
    chapters = course(root / "notebooks")
    for text in _texts(root):
        page = _linked(root, target, text, (root / text).read_text(encoding="utf-8"))
        if text == f"{_KOREAN}/index.md":
            page += f"\n{_toctree(_korean_contents(root), '한국어판')}"
        _write(target / text, _front(text) + _ANCHOR.sub(r"(\1)=\n\n", page))
    readme = _linked(root, target, "README.md", (root / "README.md").read_text(encoding="utf-8"))
    _write(target / "index.md", f"{readme}\n{_contents(root, chapters)}")
    for chapter, package in zip(chapters, chapter_packages()):
        source = f"notebooks/{chapter.file}.ipynb"
        notebook = json.loads((root / source).read_text(encoding="utf-8"))
        _write(target / source, json.dumps(_for_the_web(root, target, source, notebook)))
        exercises = [catalogue()[id] for id in package.EXERCISES]
        _write(target / "exercises" / file_name(package).replace(".py", ".md"), _contracts(chapter, exercises))
    _write(target / "exercises" / "index.md", _index("Exercises", [chapter.file for chapter in chapters]))
    layers = sorted(path.stem for path in (root / "minillama" / "layers").glob("*.py") if path.stem != "__init__")
    for name in layers:
        _write(target / "api" / f"{name}.md", _module(f"minillama.layers.{name}"))
    _write(target / "api" / "minillama.md", _module("minillama"))
    _write(target / "api" / "index.md", _index("The layers", ["minillama", *layers]))


def _texts(root: Path) -> Iterator[str]:
    yield from TEXTS
    yield _KOREAN_README
    for path in sorted((root / _KOREAN).rglob("*.md")):
        yield str(path.relative_to(root))


def _front(text: str) -> str:
    in_a_tree = text in TEXTS[:4] or text.startswith((_KOREAN, _KOREAN_README))
    return "" if in_a_tree else "---\norphan: true\n---\n\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _linked(root: Path, target: Path, name: str, text: str) -> str:
    """The text with links that lead to what is staged; a file that is no page is laid beside, for download.

    `NN_topic.ipynb#picture-2` is the second picture of that chapter.

    Raises
    ------
    FileNotFoundError
        For a link to a file that is not in the repository.
    """

    def link(found: re.Match[str]) -> str:
        goal, anchor = found[1], found[2] or ""
        if "://" in goal or goal.startswith("mailto:"):
            return found[0]
        path = (root / name).parent / unquote(goal)
        if not path.exists():
            raise FileNotFoundError(f"{name} links to {goal}, which is not there")
        if path.is_dir():
            path = path / "README.md"
        inside = path.resolve().relative_to(root)
        if inside == Path("README.md"):
            inside = Path("index.md")
        elif inside.suffix not in (".md", ".ipynb"):
            _copy(path, target / inside)
        elif anchor.startswith(_PICTURE):
            number = int(anchor.removeprefix(_PICTURE))
            inside, anchor = inside.with_name(f"{inside.stem}-{number}.png"), ""
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            (target / inside).write_bytes(pictures(path)[number - 1][0])
        up = len(Path(name).parent.parts)
        return "../" * up + str(inside) + anchor

    return _LINK.sub(link, text)


def pictures(notebook: Path) -> list[tuple[bytes, str]]:
    """The pictures of a chapter, in their order: each as a PNG file, with the text for who does not see it."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    return [(base64.b64decode(o["data"]["image/png"]), o["metadata"]["image/png"]["alt"]) for o in outputs]


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _for_the_web(root: Path, target: Path, name: str, notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook as the renderer wants it: the text for each picture with its cell, the book's own version folded."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _linked(root, target, name, "".join(cell["source"]))
            continue
        ours = cell["metadata"].setdefault("mystnb", {})
        tags = cell["metadata"].setdefault("tags", [])
        if "solution" in tags:
            tags.append("hide-input")
            ours["code_prompt_show"] = "Show the book's own version"
            ours["code_prompt_hide"] = "Hide the book's own version"
        for output in cell.get("outputs", []):
            for kind, metadata in output.get("metadata", {}).items():
                if kind.startswith("image/") and "alt" in metadata:
                    ours.setdefault("image", {})["alt"] = metadata["alt"]
    return notebook


def _contents(root: Path, chapters: Iterable[Chapter]) -> str:
    """The table of contents, which stands beside every page."""
    book = ["notebooks/README", *(f"notebooks/{chapter.file}" for chapter in chapters)]
    more = ["notebooks/glossary", "notebooks/symbols", "exercises/index", "api/index", "docs/teachers"]
    trees = [("The book", book), ("To look things up", more)]
    if (root / _KOREAN / "index.md").exists():
        trees.append(("한국어", [f"{_KOREAN}/index"]))
    return "\n".join(_toctree(pages, caption) for caption, pages in trees)


def _korean_contents(root: Path) -> Iterator[str]:
    yield "/README.ko"
    yield from (path.stem for path in sorted((root / _KOREAN).glob("[0-9]*.md")))
    yield "glossary"


def _toctree(pages: Iterable[str], caption: str = "") -> str:
    hidden = f":hidden:\n:caption: {caption}\n" if caption else ":maxdepth: 1\n"
    return "```{toctree}\n" + hidden + "\n" + "\n".join(pages) + "\n```\n"


def _index(title: str, pages: Iterable[str]) -> str:
    return f"# {title}\n\n{_toctree(pages)}"


def _contracts(chapter: Chapter, exercises: Iterable[Exercise]) -> str:
    """A page with what each exercise of a chapter asks for: the starter's own words, and no answer."""
    page = [
        f"# {chapter.number} · Exercises",
        f"Of [{chapter.number} · {chapter.title}](../notebooks/{chapter.file}.ipynb). In a terminal,"
        " `minillama learn start my-llama` lays out the starters, and `minillama learn watch` checks what you save.",
    ]
    for exercise in exercises:
        page += [
            f"## {exercise.title}",
            f"`{exercise.id}` · {'★' * exercise.difficulty} · {exercise.minutes} minutes",
            exercise.task,
            f"```text\n{_docstring(exercise)}\n```",
        ]
    return "\n\n".join(page) + "\n"


def _docstring(exercise: Exercise) -> str:
    return f"{exercise.id}{inspect.signature(exercise.function)}\n\n{inspect.getdoc(exercise.function)}"


def _module(name: str) -> str:
    """A page with the docstrings of a module."""
    title, also = name.removeprefix("minillama.layers."), "   :imported-members:\n" if name == "minillama" else ""
    return f"# {title}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n{also}```\n"
