"""Losses, penalties and augmentations of a GAN: an exact resume, a cohort, a finite step."""

from typing import Any

import pytest
import torch

from energan import models
from energan.core import Config, Domain, Model, place_seed
from energan.training import checkpoint
from energan.training.loop import Loop
from support.helpers import assert_identical, make_loop, small_data, snapshot

EVERY = ("colour", "translation", "cutout")
IMAGES = Domain((1, 8, 8), -1.0, 1.0, classes=10)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "relativistic": ("gan", {"loss": "relativistic", "r1": 0.5, "r2": "linear(1, 0, 8)"}),
    "hinge, augmented": ("cgan", {"loss": "hinge", "augment": EVERY}),
    "WGAN-GP": ("r3gan", {"loss": "wasserstein", "gradient_penalty": 10.0, "r1": 0.0, "r2": 0.0}),
    "DCGAN, augmented": ("dcgan", {"augment": EVERY, "r1": 0.5}),
    "EBGAN, augmented": ("ebgan_conv", {"augment": EVERY, "r1": 0.1, "r2": 0.1}),
    "ADA": ("gan", {"augment": ("adaptive",), "augment_images": 40, "r1": 0.5}),
    "ADA of pairs": (
        "r3gan",
        {"augment": ("adaptive",), "augment_images": 40, "r1": 0.5, "r2": 0.5},
    ),
    "R3GAN of labels": ("r3gan", {"conditional": True, "r1": 0.5, "r2": 0.5}),
    "EBGAN, recomputed": ("ebgan_imagenet", {"augment": ("translation",), "r1": 0.1}),
}


def loop_of(case: str, *seeds: int, dtype: str = "32") -> Loop:
    name, changes = CASES[case]
    found = models.find(name)
    tiny: Config = found.config.tiny()  # type: ignore[attr-defined]
    config = tiny.model_copy(update={"output": "linear", **changes})

    def build(seed: int) -> Model:
        with torch.random.fork_rng():
            torch.manual_seed(place_seed(seed, "init"))
            return found.build(config, IMAGES)

    return make_loop(build, small_data(IMAGES), seeds or (0,), steps=6, dtype=dtype)


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_an_uninterrupted_one(case: str, tmp_path) -> None:
    whole = loop_of(case)
    whole.run()
    read = whole.flush_figures()
    assert all(v.isfinite().all() for _, f in read for v in f.values())
    asked = CASES[case][1]
    penalties = {n for n in ("r1", "r2", "gradient_penalty") if asked.get(n)}
    assert penalties <= read[-1][1].keys()
    interrupted = loop_of(case)
    for _ in range(3):
        interrupted.advance()
    resumed = loop_of(case)
    checkpoint.restore(checkpoint.save(tmp_path, interrupted), resumed)
    resumed.run()
    assert_identical(snapshot(whole), snapshot(resumed))
    assert_identical(dict(whole.objective_state), dict(resumed.objective_state))
    if "adaptive" in asked.get("augment", ()):
        assert 0 <= float(whole.objective_state["augment_p"]) <= 1
        assert "augment_r" in read[-1][1]


@pytest.mark.parametrize("case", ["relativistic", "hinge, augmented", "ADA"])
def test_a_cohort_equals_its_single_runs(case: str) -> None:
    together = loop_of(case, 3, 4, dtype="64")
    together.run()
    whole = snapshot(together)
    for i, seed in enumerate((3, 4)):
        alone = loop_of(case, seed, dtype="64")
        alone.run()
        for key, value in snapshot(alone).items():
            torch.testing.assert_close(whole[key][i], value, rtol=1e-9, atol=1e-12)
