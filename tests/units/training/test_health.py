"""Warnings: on figures of runs that went well and of runs that did not (docs/guides/health.md)."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest

from energan import models
from energan.core import DivergenceError, Optimiser
from energan.io.run_folder import RunFolder
from energan.training import health
from energan.training.health import LASTING, Evidence, Health
from energan.training.loop import Loop

Log = dict[str, float]


def seen(
    steps: list[Log] | None = None, scores: list[Log] | None = None, margin: float | None = None,
    every: int = 100, nonnegative: bool | None = None,
) -> Evidence:  # fmt: skip
    made = Evidence(nonnegative=margin is not None if nonnegative is None else nonnegative)
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


def score(held: float, train: float, variance: float = 0.9, similarity: float = 0.1) -> Log:
    return {
        "held_out_energy": held, "train_energy": train, "variance_ratio": variance,
        "code_similarity": similarity, "code_similarity_real": 0.08,
    }  # fmt: skip


# Figures logged by real runs of the recipes named, at the steps where they look most alarming.
WELL: dict[str, Any] = {
    "ebgan-digits": seen([log(1.98, 2.33, 1.67, 2.24)] * 20, margin=2.5),
    "ebgan-mnist": seen([log(10.3, 9.48, 9.23, 9.07)] * 20, margin=10),
    "ebgan-ring, at its equilibrium": seen([log(1.761, 2.04, 1.757, 2.01)] * 20, margin=2),
    "gan-mnist, while D is far ahead": seen([log(0.239, 5.1, -10.3, 4.0)] * 20),
    # as at step 420 of 1,500, logged every 10: a state of so few steps is no verdict
    "gan-mnist, logged often": seen([log(0.1, 8, -16.5, 3.98)] * 30, every=10),
    "gan-ring": seen([log(0.87, 1.68, -1.16, 1.39)] * 20),
}
SICK: dict[str, tuple[str, Any]] = {
    "a frozen G": ("d-wins", seen([log(0.4797, 5.79, 0.4797, 5.75)] * 12, margin=2.5)),
    "a frozen G, logistic": ("d-wins", seen([log(0.0142, 8.44, -15.5, 8.4)] * 12)),
    "the 2014 GAN with Adam": ("d-wins", seen([log(0.203, 4.06, -16.9, 3.7)] * 12)),
    "m = 0.2": ("margin-too-small", seen([log(0.566, 0.37, 0.5625, 0.285)] * 12, margin=0.2)),
    "no margin": (
        "exploding",
        seen(
            [
                *(log(1, u, u, u) for u in (2.75, 5.39, 9.5, 12.34, 12.87)),
                *[log(-1, 57.6, 50, 51.1)] * 3,
            ],
            [score(6.78, 6.76)],
            nonnegative=True,
        ),
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
    figures = deepcopy(SICK["a frozen G"][1])
    well = log(1.98, 2.33, 1.67, 2.24)
    figures.steps[-LASTING] = (100, well)
    assert health.d_wins(figures) is None


def test_a_margin_that_falls_by_plan_is_no_alarm() -> None:
    figures = deepcopy(SICK["m = 0.2"][1])
    figures.margins[0] = 2.0
    assert health.margin_too_small(figures) is None


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        ([score(2.17, 1.49)] * 5, None),  # ebgan-digits after 10,000 steps
        ([score(-1.76, -1.58)] * 5, None),  # gan-mnist
        ([score(0.10, 0.03)] * 5, None),  # logits of a D that cannot tell lie near 0
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
    logits = abs(scores[0]["held_out_energy"]) < 0.2 or scores[0]["held_out_energy"] < 0
    figures = seen(scores=scores, nonnegative=not logits)
    told = [k for k, rule in health.RULES.items() if rule(figures)]
    assert told == ([] if kind is None else [kind])


class Sparse:
    """What a Health reads of a loop: a margin that fell by plan to 0 at step 1000."""

    step = 7

    class energy:
        nonnegative = True

    def scheduled(self, name: str, step: int) -> float:
        return max(2.5 - step / 400, 0.0)


def test_each_warning_is_said_once_also_after_a_resume(tmp_path: Path) -> None:
    folder, said, loop = RunFolder(tmp_path), list[str](), cast(Loop, Sparse())
    for _ in range(2):  # the second is a resume
        watch = Health(folder, said.append)
        watch.start(loop)
        for step in range(0, 9000, 1000):
            watch(step, score(4.02, 0.642))
    assert len(said) == 1
    assert said[0].startswith("health: the discriminator overfits")
    (event,) = folder.read("health")
    assert event["kind"] == "drift"
    assert event["step"] == 1000
    assert said[0].endswith(event["says"])


def test_a_resumed_run_remembers_how_it_began(tmp_path: Path) -> None:
    folder, said, loop = RunFolder(tmp_path), list[str](), cast(Loop, Sparse())
    for step in range(100, 1300, 100):
        folder.append("step", step=step, **log(1.0, 0.3, 0.5, 0.3))
    watch = Health(folder, said.append)
    watch.start(loop)
    assert (len(watch.seen.steps), watch.seen.margins[0]) == (12, 2.25)
    for step in range(1300, 3000, 100):
        watch(step, log(0.4, 0.2, 0.372, 0.197))  # above the margin 0, which is the plan
    assert said == []


def test_what_a_rollback_undid_is_forgotten() -> None:
    made = seen([log(1, 1, 1, 1)] * 20, [score(1, 1)] * 3, margin=2.5)
    made.add(1100, log(9, 9, 9, 9), 2.0)
    made.add(2000, score(2, 2), None)
    assert [s for s, _ in made.steps] == [*range(100, 1101, 100)]
    assert made.margins == [2.5] * 10 + [2.0]
    assert [s for s, _ in made.scores] == [0, 1000, 2000]


@pytest.mark.parametrize(
    ("figures", "model"),
    [
        (seen([log(1, 1, 1, 1)], [score(4.8, 4.7, 0.03)] * 4, margin=10), "ebgan"),
        (seen(scores=[{"variance_ratio": 0.03}] * 4), "gan"),
        (SICK["a frozen G"][1], "ebgan"),
        (SICK["a frozen G, logistic"][1], "gan"),
        (SICK["m = 0.2"][1], "ebgan"),
    ],
)
def test_the_settings_named_exist_in_the_model_at_hand(figures: Evidence, model: str) -> None:
    config: Any = models.find(model).config
    said = " ".join(told for rule in health.RULES.values() if (told := rule(figures)))
    named = re.findall(r"--model\.([\w-]+)(?:\.([\w-]+))?", said)
    assert named
    for name, inner in named:
        assert name.replace("-", "_") in config.model_fields
        assert not inner or inner in Optimiser.model_fields


def labelled(fake: float | None, loss: float = 30.0) -> Log:
    """As a model that learns from few labels logs; without fakes once its generator rests."""
    figures = {"loss_energy": loss, "energy_real": 1.9, "cross_entropy": 0.7}
    return figures if fake is None else {**figures, "energy_fake": fake, "loss_sampler": fake}


def test_a_margin_that_vanishes_and_a_generator_that_rests_are_no_alarm() -> None:
    """Figures as of a run of digits: fakes far beyond a margin that is 0, then none at all."""
    falling = seen([labelled(5.0)] * 20 + [labelled(4.3)] * 5 + [labelled(None)] * 30, margin=0.0)
    falling.margins = [16.0 * max(0, 1 - i / 25) for i in range(55)]
    falling.scores = [(1000 * i, score(0.9, 0.8, variance=0.05)) for i in range(5)]
    for upto in range(1, 56):
        part = Evidence(falling.steps[:upto], [], falling.margins[:upto], nonnegative=True)
        assert not [kind for kind, rule in health.RULES.items() if rule(part)]
    assert health.collapse(falling) is None  # what could be done?
    ladder = seen([labelled(None)] * 40, [score(0.9, 0.8)] * 4, nonnegative=True)
    assert not [kind for kind, rule in health.RULES.items() if rule(ladder)]


def test_advice_to_models_with_labels_names_settings_that_they_have() -> None:
    fields = models.find("ebgan_ln").config.model_fields
    collapsed = seen([labelled(5.0)] * 20, [{"variance_ratio": 0.03}] * 4, margin=16)
    exploded = seen([labelled(5.0)] * 5 + [labelled(5.0, 1e5)] * 3, margin=16)
    for told in (health.collapse(collapsed), health.exploding(exploded)):
        assert told is not None
        named = re.findall(r"--model\.([\w-]+)", told)
        assert named
        assert all(name.replace("-", "_") in fields for name in named)


def test_a_divergence_is_told_in_words_and_left_to_others(tmp_path: Path) -> None:
    said: list[str] = []
    watch = Health(RunFolder(tmp_path), said.append)
    for _ in range(2):  # rolled back, and again
        error = DivergenceError("loss_energy is not finite at step 7")
        assert watch.rescue(cast(Loop, Sparse()), error) is False
    assert len(said) == 1
    assert "loss_energy is not finite at step 7" in said[0]
    assert RunFolder(tmp_path).read("health")[0]["kind"] == "not-finite"


def test_models_of_chains_get_no_advice_on_a_generator() -> None:
    """They have none: their energies may lie apart, and what helps a collapse is another thing."""
    far = {"energy_real": 0.0, "energy_fake": 40.0, "loss_energy": 1.0, "chain_gradient": 1.0}
    steps = [dict(far) for _ in range(3 * LASTING)]
    assert health.d_wins(seen(steps)) is None
    scores = [{"variance_ratio": 0.01} for _ in range(5)]
    said = health.collapse(seen(steps, scores))
    assert said is not None
    assert "--model.steps" in said
    assert "sampler-optimiser" not in said
    without = [{k: v for k, v in f.items() if k != "chain_gradient"} for f in steps]
    assert health.d_wins(seen(without)) is not None


def test_a_wasserstein_critic_may_lie_far_apart() -> None:
    """Its slope is near 1, so that its energies are as far apart as data and fakes."""
    far = {"energy_real": 0.0, "energy_fake": 40.0, "loss_energy": -40.0}
    steps = [dict(far) for _ in range(3 * LASTING)]
    assert health.d_wins(seen(steps)) is not None
    assert health.d_wins(seen([{**f, "gradient_penalty": 0.1} for f in steps])) is None


def test_an_energy_by_regression_has_no_scale_and_no_generator_to_advise_on() -> None:
    """Its held-out energy may lie far above that of training data; a collapse is of its samples."""
    seen = Evidence()
    for step in (2000, 3000):
        seen.add(step, {"loss_energy": 1.0, "regression": 1.0}, None)
        scores = {"train_energy": 0.0, "held_out_energy": 50.0, "variance_ratio": 0.0}
        seen.add(step, scores, None)
    assert health.drift(seen) is None
    said = health.collapse(seen)
    assert said is not None
    assert "sampler-optimiser" not in said
    assert "steps of a sample" in said
