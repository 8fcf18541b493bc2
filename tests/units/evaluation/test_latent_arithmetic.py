"""Arithmetic of latents: concepts, what is wanted, rates, and a generator whose answer is known."""

import math
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from energan.core import Domain, SettingError
from energan.evaluation import latent_arithmetic
from energan.evaluation.latent_arithmetic import (
    SuccessRate,
    concept_margin,
    parse_concept,
    target_concept,
)
from energan.inference import latents

NAMES = ("Smiling", "Male", "Eyeglasses", "-odd")


def test_concepts_are_read_whatever_their_case() -> None:
    assert parse_concept("Smiling, -male", NAMES) == {"Smiling": True, "Male": False}
    assert parse_concept("-odd", NAMES) == {"-odd": True}  # an attribute of that very name
    wrong = {"Smilin": "choose from Smiling", "Male,-Male": "named twice", " , ": "names no"}
    for bad, told in wrong.items():
        with pytest.raises(SettingError, match=told):
            parse_concept(bad, NAMES)


@pytest.mark.parametrize("values", list(product((False, True), repeat=3)))
def test_what_is_wanted_is_the_sum_where_it_is_yes_or_no(values: tuple[bool, bool, bool]) -> None:
    a, b, c = ({"Male": value} for value in values)
    total = values[0] - values[1] + values[2]
    if total in (0, 1):
        assert target_concept(a, b, c) == {"Male": bool(total)}
    else:
        with pytest.raises(SettingError, match="neither yes nor no"):
            target_concept(a, b, c)


def test_what_one_concept_alone_names_stays_and_what_b_shares_goes() -> None:
    assert target_concept({"7": True}, {"1": True}, {"1": True}) == {"7": True}
    assert target_concept({"Male": True}, {}, {"Smiling": False}) == {
        "Male": True,
        "Smiling": False,
    }
    smile = target_concept({"Smiling": True}, {"Smiling": False}, {"Male": True})
    assert smile == {"Smiling": True, "Male": True}
    young = target_concept({"Smiling": True}, {"Male": True}, {"Young": True})
    assert young == {"Smiling": True, "Male": False, "Young": True}
    with pytest.raises(SettingError, match="nothing to look for"):
        target_concept({"1": True}, {"1": True}, {})
    with pytest.raises(SettingError, match="nothing to look for"):
        target_concept({"1": True}, {}, {"1": False})  # they disagree, and b is silent


def test_sureness_is_the_least_margin() -> None:
    logits = torch.tensor([[2.0, -3.0, 0.5, 0.0], [-1.0, -3.0, 9.0, 0.0], [4.0, 0.1, 9.0, 0.0]])
    found = concept_margin(logits, NAMES, {"Smiling": True, "Male": False})
    torch.testing.assert_close(found, torch.tensor([2.0, -1.0, -0.1]))


@given(st.integers(1, 300), st.data())
def test_the_interval_is_wilsons(draws: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, draws))
    p, z = hits / draws, 1.959963984540054
    middle = (p + z * z / (2 * draws)) / (1 + z * z / draws)
    half = z / (1 + z * z / draws) * math.sqrt(p * (1 - p) / draws + z * z / (4 * draws**2))
    low, high = SuccessRate(hits, draws).interval
    assert low == pytest.approx(max(middle - half, 0), abs=1e-9)
    assert high == pytest.approx(min(middle + half, 1), abs=1e-9)


# --- a generator of two attributes that are directions of z ---------------------------------------


class Directions:
    """Attribute k is there where z_k > 0: what the classifier of a perfect world says of G(z)."""

    names = NAMES[:2]

    def logits(self, images: Tensor) -> Tensor:
        return images[:, :2]


class Perfect:
    """A run whose image is z."""

    classes = None
    path = "run"


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def drawn(run: Any, count: int, seed: int = 0) -> Tensor:
        return 2 * torch.rand(count, 5, generator=torch.Generator().manual_seed(seed)) - 1

    monkeypatch.setattr(latents, "draw", drawn)
    monkeypatch.setattr(latents, "generate", lambda run, z: z)
    monkeypatch.setattr(latent_arithmetic, "check_latents", lambda run: None)
    return Perfect()


A, B, C = {"Smiling": True, "Male": False}, {"Smiling": False, "Male": False}, {
    "Smiling": False, "Male": True
}  # fmt: skip


def found(run: Any, **options: Any) -> latent_arithmetic.ArithmeticResult:
    view = cast(Any, lambda x: x)
    wanted = target_concept(A, B, C)
    assert wanted == {"Smiling": True, "Male": True}
    return latent_arithmetic.latent_arithmetic(
        run, cast(Any, Directions()), view, (A, B, C), wanted, **options
    )


def test_where_attributes_are_directions_the_sum_has_what_is_wanted(perfect: Any) -> None:
    made = found(perfect, candidates=1000)
    assert made.result.share == 1
    assert made.start.share == 0  # the average of c alone is not smiling
    assert made.plain.share == pytest.approx(0.25, abs=0.05)
    assert sum(made.candidates) == pytest.approx(750, abs=80)
    assert made.chosen.shape == (3, 3, 5)
    torch.testing.assert_close(made.means, made.chosen.mean(1))
    v = made.means[0] - made.means[1] + made.means[2]
    torch.testing.assert_close(made.around[4], v)
    others = made.around[[0, 1, 2, 3, 5, 6, 7, 8]] - v
    assert bool((others.abs() <= 0.25 + 1e-6).all())
    assert float(others.abs().max()) > 0.15


def test_the_picture_shows_the_surest_and_draws_take_others(perfect: Any) -> None:
    made = found(perfect, candidates=400, pick=2)
    z = latents.draw(perfect, 400)
    sure = concept_margin(z[:, :2], Directions.names, A)
    torch.testing.assert_close(made.chosen[0], z[sure.argsort(descending=True)[:2]])
    assert found(perfect, candidates=400, pick=2).result == made.result
    few = found(perfect, candidates=400, pick=2, among=2, draws=20, noise=0)
    assert few.result == few.neighbours  # without noise there is nothing but the sum
    assert few.result.draws == 20


def test_too_few_that_show_a_concept_are_refused(perfect: Any) -> None:
    with pytest.raises(SettingError, match="draw more"):
        found(perfect, candidates=3)


def test_names_that_differ_in_case_alone_are_told_apart() -> None:
    assert parse_concept("A,-a", ("A", "a")) == {"A": True, "a": False}
    assert parse_concept("-A", ("A", "a")) == {"A": False}


def test_of_two_classes_an_image_is_only_one() -> None:
    three, five, eight = ({name: True} for name in "358")
    both = {"3": True, "5": False, "8": True}  # attributes may well be both
    assert target_concept(three, five, eight) == both
    with pytest.raises(SettingError, match="one class: give --wanted"):
        target_concept(three, five, eight, exclusive=True)
    assert target_concept(three, five, five, exclusive=True) == {"3": True}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"classes": 10}, "takes labels"),
        ({"given": (7,)}, "takes conditions"),
        ({"domain": Domain((2,))}, "makes points"),
    ],
)
def test_samples_that_are_not_of_z_alone_are_refused(
    changes: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latents, "draw", lambda run, count: torch.zeros(count, 3))
    plain = {"classes": None, "given": None, "domain": Domain((1, 8, 8)), "path": "run"}
    job = SimpleNamespace(model="dcgan")
    latent_arithmetic.check_latents(cast(Any, SimpleNamespace(job=job, **plain)))
    with pytest.raises(SettingError, match=says):
        latent_arithmetic.check_latents(cast(Any, SimpleNamespace(job=job, **{**plain, **changes})))
