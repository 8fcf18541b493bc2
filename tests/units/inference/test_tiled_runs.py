"""Runs that train on windows and judge whole images."""

from pathlib import Path

import pytest
import torch

import energan
from energan.core import DataError, SettingError
from energan.data import open_data
from energan.energies.tiled import Tiled
from energan.inference.run import Run
from support.commands import run as command

SMALL = {"generator": [16], "encoder": [16], "latent": 4}


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """On windows of 4x4 of the 8x8 digits."""
    return train(tmp_path_factory.mktemp("runs") / "run", "ebgan-digits", SMALL)


def train(out: Path, recipe: str, model: dict[str, object]) -> Run:
    return energan.train(
        recipe, steps=10, out=out, model=model, progress=False,
        data={"source": "digits", "tile": 4, "held_out": 99}, output={"sample_every": 0},
        training={"batch_size": 16}, engine={"threads": 1},
    )  # fmt: skip


def test_networks_see_windows_and_verdicts_are_of_whole_images(tiled: Run) -> None:
    assert tiled.domain.shape == (1, 4, 4)
    assert tiled.domain.whole.shape == (1, 8, 8)
    assert tiled.sample(2).shape == (2, 1, 4, 4)
    x = open_data(tiled.job.settings.data).whole.gather(torch.arange(5)).x
    assert x.shape == (5, 1, 8, 8)
    known = Tiled(tiled.energy_network, 4, 1)(x, stream="eval")
    assert known.map is not None
    torch.testing.assert_close(tiled.energy(x), known.energy)
    torch.testing.assert_close(tiled.heatmap(x), known.map)
    torch.testing.assert_close(tiled.heatmap(x).flatten(1).amax(1), tiled.energy(x))
    assert tiled.reconstruct(x).shape == x.shape
    of_windows = tiled.energy_network(x[..., :4, :4], stream="eval").energy
    torch.testing.assert_close(tiled.energy(x[..., :4, :4]), of_windows)
    assert tiled.judged == (
        "the maximum of its map, stitched from 9 windows of 4x4 that share 1 pixels or more"
    )


def test_the_threshold_is_that_of_whole_images(tiled: Run) -> None:
    calibration = tiled.calibrate(None, 0.1)
    held_out = open_data(tiled.job.settings.data).held_out
    assert held_out is not None
    energies = tiled.energies(held_out.whole)
    assert calibration.count == len(held_out)
    assert float((energies > calibration.threshold).double().mean()) <= 0.1
    x = held_out.whole.gather(torch.arange(4)).x
    assert torch.equal(tiled.score(x).energy, tiled.energy(x))
    with pytest.raises(DataError, match=r"shape \(1, 8, 8\)"):
        tiled.score(x[..., :4, :4])


def test_score_tells_the_rule(tiled: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("score", tiled.path, "digits") == 0
    said = capsys.readouterr().out
    assert "energy of an image: the maximum of its map, stitched from 9 windows of 4x4" in said
    assert tiled.config["resolved"]["chosen"]["energy of an image"] == tiled.judged
    facts = [fact["text"] for fact in tiled.config["resolved"]["data"]["facts"]]
    assert "training uses random windows of 4x4 from images of 8x8" in facts


def test_what_has_no_meaning_for_whole_images_is_refused(tiled: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"windows \(data.tile\)"):
        tiled.check_encodes()
    with pytest.raises(
        SettingError, match=r"data.tile does not apply to models that learn classes"
    ):
        train(tmp_path / "classes", "ladder-mnist-100", {"hidden": [16]})


def test_runs_on_windows_and_on_whole_images_share_no_chains(
    tiled: Run, runs: dict[str, Run]
) -> None:
    with pytest.raises(SettingError, match="energies that share chains"):
        tiled + runs["ebgan"]
    both = tiled + tiled
    x = open_data(tiled.job.settings.data).whole.gather(torch.arange(3)).x
    torch.testing.assert_close(both.energy(x), 2 * tiled.energy(x))
