"""Warnings: on figures of runs that went well and of runs that did not (docs/health.md)."""

from pathlib import Path
from typing import Any

import pytest

from energan.core import DivergenceError
from energan.folder import RunFolder
from energan.training import health
from energan.training.health import LASTING, Health, Seen

Log = dict[str, float]


def seen(
    steps: list[Log] | None = None, scores: list[Log] | None = None, margin: float | None = None,
    every: int = 100,
) -> Seen:  # fmt: skip
    made = Seen()
    for i, figures in enumerate(steps or [], 1):
        made.steps.append((every * i, figures))
        if margin is not None:
            made.margins.append(margin)
    made.scores = [(1000 * i, figures) for i, figures in enumerate(scores or [])]
    return made


def log(energy_loss: float, sampler_loss: float, real: float, fake: float) -> Log:
    return {
        "loss_energy": energy_loss, "loss_sampler": sampler_loss,
        "energy_real": real, "energy_fake": fake,
    }  # fmt: skip


# Figures logged by real runs of the recipes named, at the steps where they look most alarming.
WELL: dict[str, Any] = {
    "ebgan-digits": seen([log(1.98, 2.33, 1.67, 2.24)] * 20, margin=2.5),
    "ebgan-mnist": seen([log(10.3, 9.48, 9.23, 9.07)] * 20, margin=10),
    "ebgan-ring, at its equilibrium": seen([log(1.761, 2.04, 1.757, 2.01)] * 20, margin=2),
    "gan-mnist, at its worst": seen([log(0.239, 5.1, -10.3, 4.0)] * 20),
    "gan-ring": seen([log(0.87, 1.68, -1.16, 1.39)] * 20),
}
SICK: dict[str, tuple[str, Any]] = {
    "a frozen G": ("d-wins", seen([log(0.4797, 5.79, 0.4797, 5.75)] * 12, margin=2.5)),
    "a frozen G, logistic": ("d-wins", seen([log(0.0142, 8.44, -15.5, 8.4)] * 12)),
    "the 2014 GAN with Adam": ("d-wins", seen([log(0.203, 4.06, -16.9, 3.7)] * 12)),
    "m = 0.2": ("margin-too-small", seen([log(0.566, 0.37, 0.5625, 0.285)] * 12, margin=0.2)),
    "no margin": (
        "exploding",
        seen([log(2.37, 2.75, 4.57, 2.2)] * 5 + [log(-1, 23, 19, 20), log(-5, 57.7, 48, 52)]),
    ),
}


@pytest.mark.parametrize("name", WELL)
def test_runs_that_go_well_are_left_alone(name: str) -> None:
    assert {kind: rule(WELL[name]) for kind, rule in health.RULES.items() if rule(WELL[name])} == {}


@pytest.mark.parametrize("name", SICK)
def test_sick_runs_are_told_with_numbers_and_what_helps(name: str) -> None:
    kind, figures = SICK[name]
    told = {k: rule(figures) for k, rule in health.RULES.items() if rule(figures)}
    assert list(told) == [kind]
    assert "usually helps" in str(told[kind])
    assert "--model." in str(told[kind])


def test_a_state_must_last() -> None:
    _, figures = SICK["a frozen G"]
    well = log(1.98, 2.33, 1.67, 2.24)
    figures.steps[-LASTING] = (100, well)
    assert health.d_wins(figures) is None


def test_a_margin_that_falls_by_plan_is_no_alarm() -> None:
    _, figures = SICK["m = 0.2"]
    figures.margins[0] = 2.0
    assert health.margin_too_small(figures) is None


def score(held: float, train: float, variance: float = 0.9, similarity: float = 0.1) -> Log:
    return {
        "held_out_energy": held, "train_energy": train, "variance_ratio": variance,
        "code_similarity": similarity, "code_similarity_real": 0.08,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        ([score(2.17, 1.49)] * 5, None),  # ebgan-digits after 10,000 steps
        ([score(-1.76, -1.58)] * 5, None),  # gan-mnist
        ([score(4.02, 0.642)] * 3, "drift"),  # 200 training images
        ([score(4.02, 0.642)], None),  # once is not enough
        ([score(-2.0, -9.0)] * 3, "drift"),  # of logits
        ([score(0.56, 0.53, 0.104, 0.958)] * 4, "collapse"),  # a frozen G
        ([score(4.8, 4.7, 0.036, 0.1)] * 4, "collapse"),  # lr 0.1
        ([score(2.0, 1.9, 0.018, 0.97)] * 2, None),  # too early to say: step 1000
    ],
)
def test_checkpoints_tell_of_collapse_and_of_learning_by_heart(
    scores: list[Log], kind: str | None
) -> None:
    told = [k for k, rule in health.RULES.items() if rule(seen(scores=scores))]
    assert told == ([] if kind is None else [kind])


def test_each_warning_is_said_once_also_after_a_resume(tmp_path: Path) -> None:
    folder, said = RunFolder(tmp_path), list[str]()
    for _ in range(2):  # the second is a resume
        watch = Health(folder, said.append)
        watch._told = {e["kind"] for e in folder.read("health")}
        for step in range(0, 9000, 1000):
            watch(step, score(4.02, 0.642))
    assert len(said) == 1
    assert said[0].startswith("health: D learns the training data by heart")
    (event,) = folder.read("health")
    assert event["kind"] == "drift"
    assert event["step"] == 1000
    assert said[0].endswith(event["says"])


def test_a_divergence_is_told_in_words_and_left_to_others(tmp_path: Path) -> None:
    said: list[str] = []
    watch = Health(RunFolder(tmp_path), said.append)
    loop: Any = type("Loop", (), {"step": 7})
    assert watch.rescue(loop, DivergenceError("loss_energy is not finite at step 7")) is False
    assert "loss_energy is not finite at step 7" in said[0]
    assert RunFolder(tmp_path).read("health")[0]["kind"] == "not-finite"
