"""A wijk of the real program for each test, and phones in Python."""

import pathlib
import shutil

import pytest
import samenspraak
from world import Server


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def phone(tmp_path):
    """Opens phones by name; the same name twice is the same folder."""
    opened = []

    def one(name, **named):
        wijk = samenspraak.open(tmp_path / name, **named)
        opened.append(wijk)
        return wijk

    yield one
    for wijk in opened:
        wijk.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def here():
    return pathlib.Path(__file__).parent
