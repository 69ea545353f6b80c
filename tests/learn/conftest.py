"""Fixtures of the tests about exercises."""

from pathlib import Path

import pytest

from minillama.learn.chapters import texts
from minillama.learn.chapters.catalogue import chapter_packages
from minillama.learn.workspace.folder import start


@pytest.fixture(scope="session")
def solved(tmp_path_factory):
    """A folder with every solution in it; not to be written to."""
    folder = tmp_path_factory.mktemp("learner") / "mine"
    before = Path.home()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(before / ".cache" / "minillama" / "tests"))
        start(folder)
    for package in chapter_packages():
        (folder / texts.file_name(package)).write_text(texts.solution_file(package))
    return folder
