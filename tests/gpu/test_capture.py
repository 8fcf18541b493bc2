"""Training steps as CUDA graphs: the numbers of eager steps, launches, and what is not captured."""

from pathlib import Path

import pytest
import torch

from energan import models
from energan.samplers.generator import Generator
from energan.training import checkpoint
from energan.training.capture import Graphs
from energan.training.loop import Loop
from support.helpers import assert_identical, make_loop, model_case, snapshot
from support.pretended_gpu import pretended

counted = pytest.mark.skipif(pretended is None, reason="counted on a pretended GPU")
NOT_CAPTURED = {"score_matching", "energy_matching", "inspect_features", "inspect"}
"""Models whose passes wait for the device."""
LAUNCHES = {"ebgan": 40, "ladder": 36, "igebm": 40, "r3gan": 60}
"""Of a captured step, at most: two graphs, their inputs, the optimisers and the figures."""


def pair(name: str, steps: int = 8, seeds: tuple[int, ...] = (0,)) -> tuple[Loop, Loop, list[str]]:
    """A loop that runs eagerly, one that captures, and what the second one says."""
    case, data = model_case(name)
    eager, captured = (
        make_loop(case, data, seeds, steps=steps, dtype="bf16", device="cuda", captures=captures)
        for captures in (False, True)
    )
    said: list[str] = []
    captured.passes.say = said.append
    return eager, captured, said


@pytest.mark.parametrize("name", models.names())
def test_captured_steps_give_the_numbers_of_eager_ones(name: str) -> None:
    eager, captured, said = pair(name)
    eager.run()
    captured.run()
    assert_identical(snapshot(eager), snapshot(captured))
    for (_, own), (_, other) in zip(eager.flush_figures(), captured.flush_figures(), strict=True):
        assert own.keys() == other.keys()
        assert all(torch.equal(own[key], other[key]) for key in own)
    assert isinstance(captured.passes, Graphs)
    assert bool(captured.passes._graphs) == (not said), said
    assert bool(said) == (name in NOT_CAPTURED), said


@pytest.mark.parametrize("name", ["ebgan", "ladder"])
def test_a_cohort_is_captured(name: str) -> None:
    eager, captured, said = pair(name, seeds=(0, 1, 2))
    eager.run()
    captured.run()
    assert_identical(snapshot(eager), snapshot(captured))
    assert not said


def test_scheduled_values_and_phases_are_those_of_each_step() -> None:
    case, data = model_case("ebgan")
    built = [case(0), case(0)]
    for model in built:
        model.hyper["margin"] = "linear(0.5, 3, 12)"
        assert isinstance(model.sampler, Generator)
        model.sampler.until = 6
    eager, captured = (
        make_loop([model], data, steps=12, dtype="bf16", device="cuda", captures=captures)
        for model, captures in zip(built, (False, True), strict=True)
    )
    eager.run()
    captured.run()
    assert_identical(snapshot(eager), snapshot(captured))
    assert len(captured.passes._graphs) == 3  # two while the generator learns, one after that


@pytest.mark.parametrize("name", ["igebm", "r3gan"])
def test_a_captured_training_goes_on_from_a_checkpoint(name: str, tmp_path: Path) -> None:
    eager, captured, _ = pair(name, steps=12)
    captured.settings = captured.settings.model_copy(update={"steps": 6})
    captured.run()
    path = checkpoint.save(tmp_path, captured)
    captured.settings = captured.settings.model_copy(update={"steps": 9})
    captured.run()
    captured.drop_figures()
    checkpoint.restore(path, captured)  # as a rollback does, into a loop that has its graphs
    captured.settings = eager.settings
    captured.run()
    eager.run()
    assert_identical(snapshot(eager), snapshot(captured))


def test_a_capture_that_fails_leaves_an_eager_training(monkeypatch: pytest.MonkeyPatch) -> None:
    eager, captured, said = pair("ebgan")

    def fail(self: torch.cuda.CUDAGraph) -> None:
        raise RuntimeError("CUDA error: out of something\nand more")

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", fail)
    eager.run()
    captured.run()
    assert_identical(snapshot(eager), snapshot(captured))
    assert said == [
        "engine.compile: CUDA error: out of something, so steps are not captured as CUDA graphs"
    ]


def test_a_graph_that_gives_other_numbers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    _, captured, said = pair("ebgan")
    assert isinstance(captured.sampler, Generator)
    forward, calls = captured.sampler.network.forward, iter(range(100))
    monkeypatch.setattr(  # it counts its calls, which a graph does not
        captured.sampler.network, "forward", lambda *words: forward(*words) * (1 + next(calls))
    )
    captured.run()
    assert said == [
        "engine.compile: a graph of this model's step gives other numbers, so steps are not "
        "captured as CUDA graphs"
    ]
    assert not captured.passes._graphs


@counted
@pytest.mark.parametrize("name", LAUNCHES)
def test_a_captured_step_is_few_launches_and_no_wait(name: str) -> None:
    _, captured, _ = pair(name, steps=60)
    for _ in range(4):
        captured.advance()
    captured.step = 4  # no norms, no averages, no new epoch
    pretended.reset()
    captured.advance()
    launches, waits = pretended.counts()
    assert launches["graph"] in (1, 2)
    assert sum(launches.values()) <= LAUNCHES[name], launches
    assert not waits
