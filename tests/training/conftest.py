"""Fixtures of the training tests."""

import pytest
from tiny_run import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder
