"""The Swift that UniFFI wrote, the header beside it, and the library both are of."""

import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def written():
    """The folder with what was written for Swift."""
    return pathlib.Path(os.environ["SAMENSPRAAK_SWIFT"])


@pytest.fixture(scope="session")
def library():
    return pathlib.Path(os.environ["SAMENSPRAAK_LIBRARY"])


@pytest.fixture(scope="session")
def swift():
    """Our own, in the repository."""
    return pathlib.Path(__file__).parents[1]
