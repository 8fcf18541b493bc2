"""One factor for all counts of training steps."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from energan.core import Config, Optimiser, SettingError
from energan.core.schedules import (
    Margin,
    Schedule,
    Steps,
    end_of,
    factor_of,
    parse,
    scaled_schedule,
    scaled_settings,
    unfinished_settings,
)
from energan.experiment.settings import load
from energan.recipes import RECIPES

SIXTH = Fraction(1, 6)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("linear(16, 0, 60000)", "linear(16, 0, 10000)"),
        ("linear(0.0002, 0, 40000, 80000)", "linear(0.0002, 0, 6667, 13333)"),
        ("linear(0.0005, 0, 60000, 120000)", "linear(0.0005, 0, 10000, 20000)"),
        ("  linear( 1e-3 ,0, 6e4 )  ", "linear(1e-3, 0, 10000)"),
        ("linear(2, 0, 1, 600)", "linear(2, 0, 1, 100)"),
        ("linear(2, 0, 0, 600)", "linear(2, 0, 0, 100)"),
        ("linear(2, 0, 3)", "linear(2, 0, 1)"),
        ("cosine(2, 0, 600, 60)", "cosine(2, 0, 100, 10)"),
        (0.25, 0.25),
        ("0.25", "0.25"),
        ("auto", "auto"),
    ],
)
def test_counts_of_a_schedule_at_a_sixth(written: object, wanted: object) -> None:
    """Values stay as written, the way has a step at least, and a jump stays a jump."""
    assert scaled_schedule(written, SIXTH) == wanted  # type: ignore[arg-type]


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.fractions(Fraction(1, 100), Fraction(9, 2)))
def test_a_way_that_ends_with_the_training_still_does(n: int, start: int, factor: Fraction) -> None:
    """Both ends are within half a step of theirs, the last one just where training.steps is."""
    found = str(scaled_schedule(f"linear(1, 0, {n}, {start})", factor))
    length, begin = (int(a) for a in found.rstrip(")").split(",")[2:])
    assert abs(begin - start * factor) <= Fraction(1, 2)
    assert length >= 1
    assert begin + length == max(round((start + n) * factor), begin + 1)


@given(
    st.floats(1.0, 1.01), st.floats(0, 1e-3), st.fractions(Fraction(1, 50), 8), st.integers(0, 400)
)
def test_a_geometric_schedule_passes_the_same_values_at_scaled_steps(
    r: float, floor: float, factor: Fraction, k: int
) -> None:
    """f(t) before is f(factor·t) after, at all t for which factor·t is a step."""
    factor = factor.limit_denominator(60)
    t = k * factor.denominator
    written = f"geometric(0.5, {r!r}, {floor!r})"
    before, after = parse(written), parse(scaled_schedule(written, factor))
    assert after(k * factor.numerator) == pytest.approx(before(t), rel=1e-8)


def test_a_divisor_past_all_floats_leaves_the_floor() -> None:
    written = scaled_schedule("geometric(8, 2, 0.5)", Fraction(1, 10**9))
    assert [parse(written)(t) for t in (0, 1, 2)] == [8, 0.5, 0.5]


@pytest.mark.parametrize(
    ("written", "factor"),
    [("1/6", SIXTH), (" 1 / 6 ", SIXTH), (1 / 6, SIXTH), (SIXTH, SIXTH), ("0.5", Fraction(1, 2)),
     (2, Fraction(2)), ("1e-2", Fraction(1, 100)), ("2.5", Fraction(5, 2))],
)  # fmt: skip
def test_a_factor_is_a_number_or_a_fraction(written: object, factor: Fraction) -> None:
    assert factor_of(written) == factor  # type: ignore[arg-type]


WRONG = ["", "0", "-1", "1/0", "0/5", "-1/6", "half", "1/2/3", "nan", "inf", "1/inf", "1e999999999",
         "1e-999999999", "1/1e999999999"]  # fmt: skip


@pytest.mark.parametrize("written", WRONG)
def test_what_is_no_factor_is_refused_in_a_sentence(written: str) -> None:
    """Also one whose digits alone would fill the memory."""
    with pytest.raises(SettingError, match=r"^scale .*: give a number or a fraction above 0") as e:
        factor_of(written)
    assert "\n" not in str(e.value)


class Group(Config):
    until: Steps = Field(600, ge=1)
    weight: Schedule = "linear(0, 1, 60)"
    optimiser: Optimiser = Optimiser(lr="linear(1, 0, 600)", momentum="linear(0.5, 0.7, 12)")


class Whole(Config):
    group: Group = Group()
    margin: Margin = "linear(16, 0, 60)"
    width: int = 600
    every: int = 60


def test_what_is_marked_is_scaled_at_any_depth_and_nothing_else() -> None:
    assert scaled_settings(Whole(), SIXTH) == {
        "group": {
            "until": 100,
            "weight": "linear(0, 1, 10)",
            "optimiser": {"lr": "linear(1, 0, 100)", "momentum": "linear(0.5, 0.7, 2)"},
        },
        "margin": "linear(16, 0, 10)",
    }
    assert scaled_settings(Whole(), Fraction(1)) == {}


@pytest.mark.parametrize("labels", [100, 200, 1000])
def test_few_labels_at_a_sixth_are_20_000_and_30_000_steps(labels: int) -> None:
    ladder = load(f"ladder-mnist-{labels}").scaled("1/6")
    assert ladder.settings.training.steps == 20_000
    assert ladder.settings.model.energy_optimiser.lr == "linear(0.0002, 0, 6667, 13333)"
    contrast = load(f"ebgan-ln-mnist-{labels}").scaled(1 / 6)
    model = contrast.settings.model
    assert contrast.settings.training.steps == 30_000
    assert (model.margin, model.until) == ("linear(16, 0, 10000)", 10_000)
    assert model.energy_optimiser.lr == "linear(0.0005, 0, 10000, 20000)"
    assert model.sampler_optimiser.lr == 0.00025
    assert ladder.asked == contrast.asked == {"scale": "1/6"}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_scaled_and_keeps_all_but_its_counts(name: str) -> None:
    """And comes back, where its counts have the factor in them."""
    job = load(name)
    short = job.scaled("1/2")
    assert short.settings.training.steps == job.settings.training.steps // 2
    for group in ("data", "engine", "output", "seed"):
        assert getattr(short.settings, group) == getattr(job.settings, group)
    assert short.settings.model.model_dump().keys() == job.settings.model.model_dump().keys()
    assert job.scaled(1).settings == job.settings


def test_what_the_user_gives_is_taken_as_written() -> None:
    job = load("ladder-mnist-100").scaled("1/6")
    job = job.changed({"training": {"steps": 500}, "seed": 3})
    assert job.settings.training.steps == 500
    assert job.settings.model.energy_optimiser.lr == "linear(0.0002, 0, 6667, 13333)"
    assert job.asked == {"scale": "1/6", "training": {"steps": 500}, "seed": 3}


def test_a_length_out_of_bounds_names_the_scale_and_the_setting() -> None:
    with pytest.raises(SettingError, match=r"^scale 100000: training\.steps: must be at most"):
        load("ladder-mnist-100").scaled(100_000)
    assert load("ladder-mnist-100").scaled("1e-9").settings.training.steps == 1


@pytest.mark.parametrize(
    ("written", "end"),
    [
        (16, 0),
        ("linear(16, 0, 600)", 600),
        ("linear(1, 0, 40, 80)", 120),
        ("geometric(1, 1.1)", 0),
        ("auto", 0),
    ],
)
def test_the_step_from_which_a_schedule_stays(written, end):
    assert end_of(written) == end


def test_what_the_steps_end_before_is_named():
    job = load("ebgan-ln-mnist-100")
    assert unfinished_settings(job.settings.model, job.settings.training.steps) == []
    shorter = job.scaled("1/7").settings
    assert unfinished_settings(shorter.model, shorter.training.steps) == []
    assert unfinished_settings(job.settings.model, 30_000, "model.") == [
        "model.margin linear(16, 0, 60000)",
        "model.until 60000",
        "model.energy_optimiser.lr linear(0.0005, 0, 60000, 120000)",
    ]
