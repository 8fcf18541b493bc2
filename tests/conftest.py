"""One thread a test: two processes with two threads each on two cores are many times slower."""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

from energan.errors import messages_for_commands
from energan.experiment.callbacks import curves
from energan.io.files import aside
from energan.report import html
from energan.training import batch_statistics
from support.forks import forked  # noqa: F401, the fixture
from support.onnx_operators import onnx_operators_listed_once  # noqa: F401, the fixture
from support.pretended_gpu import hide_gpus

hide_gpus()
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


@pytest.fixture(autouse=True, scope="session")
def _curves_of_a_kind_drawn_once() -> Iterator[None]:
    """Trainings whose events have the same figures share a picture of their curves, which takes as
    long as fifty steps."""
    draw: Callable[..., Path] = curves.save_curves
    drawn: dict[object, bytes] = {}

    def save_curves(
        path: Path, events: Sequence[dict[str, Any]], margin: Any = None, changes: Any = None
    ) -> Path:
        figures = frozenset((event["event"], name) for event in events for name in event)
        kind = figures, margin is None, tuple(changes or ())
        if kind not in drawn:
            drawn[kind] = draw(path, events, margin, changes).read_bytes()
        with aside(path) as made:
            Path(made).write_bytes(drawn[kind])
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "save_curves", save_curves)
        yield


@pytest.fixture(autouse=True, scope="session")
def _dark_figures_drawn_once() -> Iterator[None]:
    """Figures for dark pages are the light ones in other colours: all share the first."""
    render = html._render_figure
    first: list[bytes] = []

    def render_figure(draw: Any, size: tuple[float, float], theme: str, face: str) -> bytes:
        if theme == "light" or not first:
            made = render(draw, size, theme, face)
            if theme == "light":
                return made
            first.append(made)
        return first[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "_render_figure", render_figure)
        yield


@pytest.fixture(autouse=True, scope="session")
def _nothing_forced_to_the_disk() -> Iterator[None]:
    """No test loses power, against which fsync waits for milliseconds, thirty times in a test of a
    command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _few_samples_for_statistics() -> Iterator[None]:
    """Batch statistics at rest are measured on 500 events, not on 2,000, at each checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_statistics, "SAMPLES", 2 * batch_statistics.CHUNK)
        yield


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ENERGAN_CACHE in which a classifier that judges samples is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """The million objects of modules and tests stay: Python does not look for garbage among them,
    which took half the time of collecting the tests, and more than a second each time later; and
    it looks less often."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)
        gc.enable()


LONGEST = ("test_sweep_ray.py", "test_sweep_kills.py", "test_kills.py")
"""Files whose tests take a minute, of which much is waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in tests/e2e and tests/examples is marked so. The longest come first: the process
    that ran one of them last would keep the others waiting."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        if {"e2e", "examples"} & set(item.path.parts):
            item.add_marker("e2e")
