"""Restoring images with known pixels held."""

import pytest
import torch

from energan.core import DataError, Domain, SettingError
from energan.data import open_data
from energan.inference.restoration import read_mask, restore
from energan.inference.run import Run


@pytest.mark.parametrize("start", ["noise", "mean"])
def test_known_pixels_stay_to_the_bit(start: str, runs: dict[str, Run]) -> None:
    g = torch.Generator().manual_seed(8)
    x = 2 * torch.rand(5, 1, 8, 8, generator=g) - 1
    unknown = torch.rand(5, 1, 8, 8, generator=g) < 0.4
    made = restore(runs["ebgan"], x, unknown=unknown, steps=15, start=start)  # type: ignore[arg-type]
    assert torch.equal(made.x[~unknown], x[~unknown])
    assert torch.equal(made.start[~unknown], x[~unknown])
    assert (made.x[unknown] != made.start[unknown]).float().mean() > 0.9
    assert (made.energy < made.energy_start).all()
    assert torch.allclose(made.energy, runs["ebgan"].energy(made.x), atol=1e-5)
    again = restore(runs["ebgan"], x, unknown=unknown, steps=15, start=start)  # type: ignore[arg-type]
    assert torch.equal(made.x, again.x)


def test_cleaning_stays_within_the_noise_and_lowers_the_energy(runs: dict[str, Run]) -> None:
    x = 2 * torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1)) - 1
    made = restore(runs["ebgan"], x, noise_std=0.2, steps=15)
    change = (made.x - x).flatten(1).square().mean(1).sqrt()
    assert (change <= 0.2 + 1e-5).all()
    assert (made.energy < made.energy_start).all()
    unknown = torch.zeros(1, 8, 8, dtype=torch.bool)
    unknown[:, :4] = True
    both = restore(runs["ebgan"], x, unknown=unknown, noise_std=0.2, steps=15)
    change = (both.x - x)[..., 4:, :].flatten(1).square().mean(1).sqrt()
    assert (change <= 0.2 + 1e-5).all()


def test_the_mean_that_unknown_pixels_start_from_is_the_datas(runs: dict[str, Run]) -> None:
    run = runs["ebgan"]
    x = torch.zeros(1, 1, 8, 8)
    unknown = torch.ones(1, 8, 8, dtype=torch.bool)
    made = restore(run, x, unknown=unknown, steps=1, start="mean")
    data = open_data(run.job.settings.data)
    mean = data.gather(torch.arange(len(data))).x.mean(0)
    assert torch.allclose(made.start[0], mean, atol=1e-5)


def test_restoring_needs_to_be_told_what(runs: dict[str, Run]) -> None:
    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(SettingError, match="nothing to restore"):
        restore(runs["ebgan"], x)
    with pytest.raises(SettingError, match="give a number above 0"):
        restore(runs["ebgan"], x, noise_std=0.0)
    with pytest.raises(DataError, match="shape"):
        restore(runs["ebgan"], torch.zeros(2, 64), noise_std=0.1)
    with pytest.raises(DataError, match="x is empty"):
        restore(runs["ebgan"], x[:0], noise_std=0.1)
    for mask in (
        torch.ones(2, 1, 8, 8),
        torch.ones(3, 8, 8).bool(),
        torch.ones(5, 2, 1, 8, 8).bool(),
    ):
        with pytest.raises(SettingError, match="a bool mask that fits"):
            restore(runs["ebgan"], x, unknown=mask)
    with pytest.raises(SettingError, match=r"integers \(2,\)"):
        restore(runs["labels"], x, noise_std=0.1, labels=torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10), (5, 7)])
def test_regions_of_a_mask(height: int, width: int, runs: dict[str, Run]) -> None:
    settings = runs["ebgan"].job.settings.data
    domain = Domain((3, height, width), -1.0, 1.0)
    masks = {
        n: read_mask(n, settings, domain) for n in ("left", "right", "top", "bottom", "centre")
    }
    everything = torch.ones(1, height, width, dtype=torch.bool)
    assert torch.equal(masks["left"] ^ masks["right"], everything)
    assert torch.equal(masks["top"] ^ masks["bottom"], everything)
    assert masks["left"][0, :, 0].all()
    assert masks["top"][0, 0].all()
    centre = masks["centre"][0]
    assert torch.equal(centre, centre.flip(0))
    assert torch.equal(centre, centre.flip(1))
    assert 0 < int(centre.sum()) < height * width / 2


def test_energies_that_were_not_trained_for_it_are_told(
    runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    x = torch.zeros(1, 1, 8, 8)
    restore(runs["labels"], x, noise_std=0.1, steps=1)
    assert "trained for restoring" not in capsys.readouterr().err
    restore(runs["ebgan"], x, noise_std=0.1, steps=1)
    told = capsys.readouterr().err
    assert "energy of ebgan was not trained for restoring" in told
    assert "igebm" in told
