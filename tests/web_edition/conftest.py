"""The web edition, built once, and a browser to look at it."""

import importlib.util
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = ("sphinx", "myst_nb", "sphinx_book_theme", "latex2mathml")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the pages, and the CPU seconds that building them took."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the web edition is not built here: {', '.join(missing)} (pip install .[web])")
    folder = tmp_path_factory.mktemp("web") / "site"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, str(ROOT / "docs" / "build.py"), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-4000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return SimpleNamespace(folder=folder, seconds=seconds)


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium from the system's packages; where there is none, what is left out is said."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("the pages are not looked at: Chromium is not installed (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the pages are not looked at: pip install .[web]")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(site):
    """Paths of the pages that a reader opens, relative to the folder."""
    found = (str(path.relative_to(site.folder)) for path in site.folder.rglob("*.html"))
    return sorted(name for name in found if not name.startswith(("_modules", "_static")))
