"""The web edition: the book, its exercises, glossary, the layers' docstrings and README as pages that need no network.

    python docs/build.py                 build/web/index.html
    python docs/build.py --open          and show it in a browser
    python docs/build.py --out FOLDER

Nothing is executed: chapters are the notebooks as they were built. Any warning fails, a link that leads nowhere too.
"""

from __future__ import annotations

import argparse
import sys
import time
import webbrowser
from pathlib import Path

from web.staging import stage

ROOT = Path(__file__).resolve().parents[1]


def build(out: Path) -> Path:
    """Stage the sources beside `out` and render them; the path of the first page.

    Raises
    ------
    SystemExit
        With Sphinx's own exit code, when something was wrong; it has said what.
    """
    from sphinx.cmd.build import main

    sources, trees = out.with_name(f"{out.name}-sources"), out.with_name(f"{out.name}-trees")
    stage(ROOT, sources)
    configuration = str(Path(__file__).parent / "web")
    code = main(
        ["-q", "-W", "--keep-going", "-j", "auto", "-c", configuration, "-d", str(trees), str(sources), str(out)]
    )
    if code:
        raise SystemExit(code)
    return out / "index.html"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "web", help="a folder for the pages")
    parser.add_argument("--open", action="store_true", help="show the first page in a browser")
    options = parser.parse_args()
    begin = time.perf_counter()
    page = build(options.out.resolve())
    size = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
    print(f"{page}: {size / 1e6:.1f} MB in {time.perf_counter() - begin:.0f} s")
    if options.open and not webbrowser.open(page.as_uri()):
        print("no browser was found here: open that file in one", file=sys.stderr)


if __name__ == "__main__":
    main()
