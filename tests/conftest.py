"""One thread a test: two processes with two threads each on two cores are many times slower."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

from energan.errors import messages_for_commands
from energan.experiment.callbacks import curves
from energan.io.files import aside
from support.forks import forked  # noqa: F401, the fixture

torch.set_num_threads(1)
# how long an example takes says nothing on a machine that does other things too; the examples are
# the same each time, but for `make fuzz`
settings.register_profile("energan", deadline=None, derandomize="ENERGAN_FUZZ" not in os.environ)
settings.load_profile("energan")


@pytest.fixture(autouse=True)
def _default_generator() -> None:
    """A test that uses torch's own generator draws the same numbers alone and in the suite."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _messages_for_commands() -> Iterator[None]:
    """Messages are compared as they are written; units/test_errors.py reads them from Python."""
    with messages_for_commands():
        yield


@pytest.fixture(autouse=True, scope="module")
def _curves_drawn_once() -> Iterator[None]:
    """Of a file's trainings the first draws its curves; the others, for which that would take as
    long as fifty steps, have a copy of the picture."""
    draw: Callable[..., Path] = curves.save_curves
    first: list[bytes] = []

    def save_curves(path: Path, *figures: Any) -> Path:
        if not first:
            first.append(draw(path, *figures).read_bytes())
        with aside(path) as made:
            Path(made).write_bytes(first[0])
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "save_curves", save_curves)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in tests/e2e and tests/examples is marked so."""
    for item in items:
        if {"e2e", "examples"} & set(item.path.parts):
            item.add_marker("e2e")
