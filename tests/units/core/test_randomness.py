"""Draws of each sample."""

import pytest
import torch

from energan.core import PerSample, Randomness


@pytest.mark.parametrize("event", [(2,), (3, 32, 32), (1, 8, 8)])
def test_the_first_samples_are_drawn_alike_however_many_there_are(event: tuple[int, ...]) -> None:
    """Also at the second draw, and of shapes that are not the event's."""

    def drawn(count: int) -> list[torch.Tensor]:
        draws = PerSample(3, event).at("here")
        return [
            draws.normal(count, 5),
            draws.uniform(-1, 1, count, *event),
            draws.normal(count, *event),
            draws.several(4, -1, 1, count, *event).transpose(0, 1),
            draws.uniform(0, 1, count),
            draws.keep(0.5, count, 3),
        ]

    many = drawn(5000 if event == (2,) else 70)
    for count in (1, 3, 4, 16, 33):
        for few, of_many in zip(drawn(count), many, strict=True):
            assert torch.equal(few, of_many[:count])
    x = many[2]
    assert abs(float(x.mean())) < 0.05
    assert abs(float(x.std()) - 1) < 0.05
    assert len(x.flatten(1).unique(dim=0)) == len(x)  # no two alike


def test_places_and_seeds_differ_and_repeat() -> None:
    draws = PerSample(3, (4,))
    first, other = draws.at("a").normal(20, 4), draws.at("b").normal(20, 4)
    assert not torch.equal(first, other)
    assert torch.equal(draws.at("a").normal(20, 4), first)
    assert not torch.equal(PerSample(4, (4,)).at("a").normal(20, 4), first)
    assert torch.equal(draws.order(9, "x"), draws.order(9, "x"))
    assert draws.order(9, "x").sort().values.tolist() == list(range(9))
    assert not torch.equal(draws.order(9, "x"), draws.order(9, "y"))


def test_several_draws_are_those_of_one() -> None:
    """So that what trains draws as it always did."""
    draws = Randomness([1])
    together = draws.at("here").several(3, -2, 2, 5, 4)
    assert torch.equal(together.flatten(0, 1), draws.at("here").uniform(-2, 2, 15, 4))
    assert torch.equal(draws.at("x").order(7), draws.at("x").uniform(0, 1, 7).argsort())
