"""Training by each kernel: an exact resume, a step size that is adapted, one state on all ranks."""

from typing import Any

import pytest
import torch
from torch import Tensor

from energan.core import Batch, Context, Domain, Model, Randomness, SettingError, place_seed
from energan.models import igebm, igebm_points
from energan.training import checkpoint
from energan.training.loop import Loop
from support.helpers import assert_identical, make_loop, small_data, snapshot

IMAGES, POINTS = Domain((1, 8, 8), 0.0, 1.0), Domain((2,))
CASES: dict[str, tuple[Any, Domain, dict[str, Any]]] = {
    "hmc": (igebm_points, POINTS, {"dynamics": "hmc", "leapfrog": 3, "target_acceptance": 0.8}),
    "mala": (igebm_points, POINTS, {"target_acceptance": 0.5}),
    "underdamped": (igebm_points, POINTS, {"dynamics": "underdamped", "friction": 2.0}),
    "hmc of images": (
        igebm, IMAGES,
        {"dynamics": "hmc", "noise": None, "clip": None, "step_size": 0.01, "leapfrog": 2},
    ),
}  # fmt: skip


def built(case: str, seed: int = 0) -> Model:
    model, domain, changes = CASES[case]
    with torch.random.fork_rng():
        torch.manual_seed(place_seed(seed, "init"))
        found: Model = model.build(model.Config.tiny().model_copy(update=changes), domain)
    return found


def loop_of(case: str) -> Loop:
    return make_loop(lambda seed: built(case, seed), small_data(CASES[case][1]), steps=6)


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_an_uninterrupted_one(case: str, tmp_path) -> None:
    whole = loop_of(case)
    whole.run()
    figures = whole.flush_figures()[-1][1]
    assert all(v.isfinite().all() for v in figures.values())
    adapts = "target_acceptance" in CASES[case][2]
    assert ("chain_step_size" in figures) == ("log_step" in whole.state) == adapts
    if adapts:
        assert float(whole.state["log_step"]) != 0
    interrupted = loop_of(case)
    for _ in range(3):
        interrupted.advance()
    resumed = loop_of(case)
    checkpoint.restore(checkpoint.save(tmp_path, interrupted), resumed)
    resumed.run()
    assert_identical(snapshot(whole), snapshot(resumed))
    empty = built(case).sampler.empty_state()
    assert {k: (v.shape, v.dtype) for k, v in empty.items()} == {
        k: (v.shape, v.dtype) for k, v in whole.state.items()
    }


def test_ranks_adapt_one_step_size() -> None:
    """Both ranks end with what one process with both batches has."""
    model = built("hmc")

    def draw(rank: int, ranks: int, gather=lambda rows: rows) -> dict[str, Tensor]:
        draws = Randomness([5], share=(rank, ranks)).at(1, split=True)
        state = model.sampler.init(Context(0, {}, Randomness([5]).at(0)))
        batch = Batch(torch.zeros(16 // ranks, 2))
        return model.sampler.draw(model.energy, batch, state, Context(1, {}, draws, gather))[1]

    rows: list[list[Tensor]] = [[], []]
    for rank in (0, 1):
        draw(rank, 2, lambda own, rank=rank: rows[rank].append(own) or own)
    each = iter([torch.cat(pair, 1) for pair in zip(*rows, strict=True)])
    found = draw(0, 2, lambda own: next(each))["log_step"]
    torch.testing.assert_close(found, draw(0, 1)["log_step"])


@pytest.mark.parametrize(
    ("model", "domain", "changes", "says"),
    [
        (igebm, IMAGES, {"dynamics": "hmc"}, "noise is √ε"),
        (igebm, IMAGES, {"dynamics": "mala"}, "does not keep chains in a range"),
        (
            igebm,
            IMAGES,
            {"target_acceptance": 0.5},
            "model.target_acceptance applies to mala and hmc",
        ),
        (igebm_points, POINTS, {"dynamics": "hmc", "noise": 0.1}, "apply to langevin"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(model, domain, changes, says) -> None:
    with pytest.raises(SettingError, match=says):
        model.build(model.Config.tiny().model_copy(update=changes), domain)
