"""A wijk of the real program for each test."""

import shutil

import pytest
from world import Server


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path)
    yield one
    one.stop()
    shutil.rmtree(tmp_path, ignore_errors=True)
