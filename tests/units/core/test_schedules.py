"""Schedules: every form at and around its corners, and what is refused."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from energan.core import Config, Optimiser
from energan.core.schedules import Decay, Schedule, SignedSchedule, parse, scaled_settings

NUMBERS = st.floats(-1e3, 1e3)


@pytest.mark.parametrize("written", [0.25, "0.25", " 0.25 ", "2.5e-1"])
def test_a_number_is_constant(written):
    """As a number or as text, from the first step to the last."""
    assert [parse(written)(t) for t in (0, 1, 10**9)] == [0.25] * 3
    assert parse(3)(7) == 3


@pytest.mark.parametrize(
    ("written", "points"),
    [
        ("linear(16, 0, 60000)", {0: 16, 15000: 12, 30000: 8, 60000: 0, 60001: 0, 10**9: 0}),
        ("linear(0.5, 0.7, 100)", {0: 0.5, 50: 0.6, 100: 0.7, 500: 0.7}),
        ("linear(2, 0, 10, 20)", {0: 2, 19: 2, 20: 2, 25: 1, 30: 0, 99: 0}),
        ("linear(2, 5, 0)", {0: 5, 9: 5}),
        ("linear(2, 5, 0, 3)", {0: 2, 2: 2, 3: 5, 9: 5}),
        ("  linear( -1 ,1, 4 )  ", {0: -1, 1: -0.5, 4: 1}),
        ("cosine(2, 0, 10)", {0: 2, 5: 1, 10: 0, 99: 0}),
        ("cosine(0, 4, 6, 10)", {0: 0, 10: 0, 12: 1, 14: 3, 16: 4, 99: 4}),
        ("geometric(8, 2, 1)", {0: 8, 1: 4, 2: 2, 3: 1, 4: 1, 10**9: 1}),
        ("geometric(8, 2)", {0: 8, 10: 8 / 1024, 10**9: 0}),
    ],
)
def test_the_forms_have_the_documented_values(written, points):
    """Each form of the table in the module's docstring."""
    f = parse(written)
    assert {t: f(t) for t in points} == pytest.approx(points)


@given(NUMBERS, NUMBERS, st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 3000))
def test_linear_is_the_line_between_its_ends(a, b, n, start, t):
    """Against the piecewise definition, for any ends."""
    expected = a if t < start else b if t >= start + n else a + (b - a) * (t - start) / n
    found = parse(f"linear({a!r}, {b!r}, {n}, {start})")(t)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.floats(1e-3, 10), st.floats(1.0, 1.5), st.floats(0, 1e-2), st.integers(0, 500))
def test_geometric_is_a_power_with_a_floor(a, r, floor, t):
    """max(a / r^t, floor), where that power can be computed plainly."""
    found = parse(f"geometric({a!r}, {r!r}, {floor!r})")(t)
    assert found == pytest.approx(max(a / r**t, floor), rel=1e-9)


def test_geometric_of_goodfellow_2014():
    """0.1 divided by 1.000004 an update reaches its floor of 1e-6 at ln(1e5) / ln(1.000004)."""
    f = parse("geometric(0.1, 1.000004, 1e-6)")
    reached = math.ceil(math.log(1e5) / math.log(1.000004))
    assert f(1) == pytest.approx(0.1 / 1.000004, rel=1e-12)
    assert f(125_000) == pytest.approx(0.1 * math.exp(-125_000 * math.log(1.000004)), rel=1e-9)
    assert f(reached - 10) > 1e-6
    assert f(reached + 10) == 1e-6


@pytest.mark.parametrize("r", [1.000004, 1.5, 1e6])
def test_geometric_does_not_overflow(r):
    """At step 1e9 r^t is beyond any float; the value is the floor."""
    with pytest.raises(OverflowError):
        _ = max(r, 1.5) ** 10**9
    assert parse(f"geometric(0.1, {r}, 1e-6)")(10**9) == 1e-6
    assert parse(f"geometric(0.1, {r})")(10**9) == pytest.approx(0, abs=1e-300)


BAD = [
    "",
    "fast",
    "linear",
    "linear()",
    "linear(1, 2)",
    "linear(1, 2, 3, 4, 5)",
    "linear(1, 2, three)",
    "linear(1, 2, 3",
    "linear 1, 2, 3",
    "linear(1,, 2)",
    "geometric(1)",
    "geometric(1, 2, 3, 4)",
    "sine(1, 0, 100)",
    "linear(1, 2, 3) + 1",
    "linear(linear(1, 2, 3), 2, 3)",
    "__import__('os')",
    "0.1.2",
]


@pytest.mark.parametrize("written", BAD)
def test_what_is_no_schedule_is_refused_with_the_forms(written):
    """The message repeats what was written and says what may be."""
    with pytest.raises(ValueError, match="not a number or a schedule") as error:
        parse(written)
    message = str(error.value)
    assert repr(written) in message
    for form in ("linear(from, to, steps)", "linear(from, to, steps, start)", "geometric(from,"):
        assert form in message


@pytest.mark.parametrize(
    "written", ["geometric(1, 0.99)", "geometric(1, 0, 0)", "geometric(1, -2, 0)"]
)
def test_a_divisor_that_is_no_divisor_is_refused_at_once(written):
    """Not at the first step that needs it."""
    with pytest.raises(ValueError, match=r"geometric.*at least 1"):
        parse(written)


@pytest.mark.parametrize(
    "written", ["nan", "inf", "-inf", float("nan"), float("inf"), "linear(nan, 0, 10)"]
)
def test_a_value_that_is_not_finite_is_refused(written):
    """A rate of NaN would only be seen as a diverged run."""
    with pytest.raises(ValueError, match=r"schedule|finite"):
        parse(written)


class Settings(BaseModel):
    rate: Schedule = 0.1
    decay: Decay = 0.9


def test_a_decay_stays_below_one() -> None:
    """A schedule may come near; a number stays a number."""
    assert Settings(decay="cosine(0.9, 0.99, 10)").decay == "cosine(0.9, 0.99, 10)"
    assert Settings(decay="0.5").decay == 0.5
    for written in (1.0, "linear(0.9, 1, 10)", "geometric(1, 2)", -0.1):
        with pytest.raises(ValidationError, match=r"decay"):
            Settings(decay=written)


@pytest.mark.parametrize("written", [0.1, 1, "linear(1, 0, 10)", "geometric(1, 2, 0)", "0.5"])
def test_a_schedule_survives_json(written):
    """A settings file gives back what was written, and it still parses to the same function."""
    settings = Settings(rate=written)
    again = Settings.model_validate_json(settings.model_dump_json())
    assert again.rate == settings.rate
    assert [parse(again.rate)(t) for t in (0, 5, 50)] == [parse(written)(t) for t in (0, 5, 50)]


@pytest.mark.parametrize("written", ["fast", "linear(1, 2)"])
def test_a_bad_schedule_is_an_error_of_its_setting(written):
    """Settings name the field and keep the message; also in the product's own settings."""
    with pytest.raises(ValidationError, match=r"rate[\s\S]*linear\(from, to, steps\)"):
        Settings(rate=written)
    with pytest.raises(ValidationError, match=r"lr[\s\S]*linear\(from, to, steps\)"):
        Optimiser(lr=written)


def test_a_setting_may_allow_values_below_0() -> None:
    class Own(Config):
        tilt: SignedSchedule = 0.0
        weight: Schedule = 0.0

    own = Own(tilt="linear(-2, 1, 30)")
    assert [parse(own.tilt)(t) for t in (0, 20, 40)] == [-2, 0, 1]
    assert scaled_settings(own, Fraction(1, 3)) == {"tilt": "linear(-2, 1, 10)"}
    for wrong in ({"weight": "linear(-2, 1, 30)"}, {"tilt": "up(1)"}, {"tilt": "linear(1, 2, -3)"}):
        with pytest.raises(ValidationError):
            Own(**wrong)
