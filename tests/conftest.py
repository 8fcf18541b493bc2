"""One thread a test: two processes with two threads each on two cores are many times slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# how long an example takes says nothing on a machine that does other things too
settings.register_profile("energan", deadline=None)
settings.load_profile("energan")


@pytest.fixture(autouse=True)
def _default_generator() -> None:
    """A test that uses torch's own generator draws the same numbers alone and in the suite."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in tests/e2e and tests/examples is marked so."""
    for item in items:
        if {"e2e", "examples"} & set(item.path.parts):
            item.add_marker("e2e")
