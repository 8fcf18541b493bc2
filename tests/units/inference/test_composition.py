"""Energies of runs, and their sums."""

from dataclasses import replace

import pytest
import torch

from energan.core import SettingError
from energan.inference.chains import sample_chains
from energan.inference.run import Run


def test_runs_add_up(runs: dict[str, Run]) -> None:
    a, b, c = runs["ebgan"], runs["other"], runs["labels"]
    x = 2 * torch.rand(7, 1, 8, 8) - 1
    y = torch.arange(7)
    both = a + 0.5 * (b + c)
    expected = a.energy(x) + 0.5 * b.energy(x) + 0.5 * c.energy(x, y)
    assert [weight for weight, _ in both.terms] == [1, 0.5, 0.5]
    assert torch.allclose(both.energy(x, y), expected, atol=1e-5)
    assert torch.allclose(both.potential(y)(x).detach().cpu(), expected, atol=1e-5)
    assert both.classes == 10
    assert sample_chains(both, 4, steps=3).x.shape == (4, 1, 8, 8)


def test_a_sum_is_written_as_its_terms(runs: dict[str, Run]) -> None:
    a, b = runs["ebgan"], runs["other"]
    less = a - 2 * b
    assert [weight for weight, _ in less.terms] == [1, -2]
    assert repr(less) == f"1·{a!r} + -2·{b!r}"
    assert less.rule == a.rule
    assert (sum([a, b]) - a).domain == a.domain


def test_labels_reach_those_that_take_them_alone(runs: dict[str, Run]) -> None:
    x, y = 2 * torch.rand(5, 1, 8, 8) - 1, torch.arange(5)
    plain, labelled = runs["ebgan"], runs["labels"]
    both = plain + labelled
    assert torch.allclose(both.energy(x, y), plain.energy(x) + labelled.energy(x, y), atol=1e-5)
    assert torch.allclose(both.energy(x), plain.energy(x) + labelled.energy(x), atol=1e-5)
    with pytest.raises(SettingError, match="is unconditional"):
        (plain + runs["other"]).energy(x, y)


def test_runs_on_two_devices_share_no_chains(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = replace(runs["other"].engine, device=torch.device("cuda:1"))
    monkeypatch.setattr(runs["other"], "engine", there)
    with pytest.raises(SettingError, match=r"is on cpu, and .* on cuda:1: .* the same device"):
        runs["ebgan"] + runs["other"]
