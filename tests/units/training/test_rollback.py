"""Where a run goes back to: among its checkpoints."""

from pathlib import Path

import pytest

from energan.core import BlowUpError, DivergenceError
from energan.io.run_folder import RunFolder
from energan.training import checkpoint_folder
from energan.training.hooks import Rollback


def write(folder: RunFolder, step: int) -> None:
    """A checkpoint that verifies, with nothing in it."""
    about = {"format": checkpoint_folder.FORMAT, "seeds": [0], "rate_scale": [1.0], "diverged": {}}
    checkpoint_folder.write(folder.checkpoints, {}, {}, {**about, "step": step})


def folder_with(tmp_path: Path, *steps: int) -> RunFolder:
    """A run whose checkpoints verify, with nothing in them."""
    folder = RunFolder(tmp_path)
    for step in steps:
        write(folder, step)
    return folder


def chosen(folder: RunFolder, error: DivergenceError) -> int:
    return checkpoint_folder.step_of(Rollback(folder, 5, print)._choose(error))


NAN = DivergenceError("loss_energy is not finite at step 350")


def test_it_goes_to_the_newest_and_if_it_was_there_before_to_the_one_before_it(
    tmp_path: Path,
) -> None:
    folder = folder_with(tmp_path, 100, 200, 300)
    assert chosen(folder, NAN) == 300
    folder.append("rollback", step=300, rate_scale=0.5)
    assert chosen(folder, NAN) == 200
    folder.append("rollback", step=200, rate_scale=0.5)
    checkpoint_folder.discard(folder.checkpoints, 200)
    assert chosen(folder, NAN) == 100
    # once new checkpoints were reached from there, they are as good as any
    write(folder, 300)
    assert chosen(folder, NAN) == 300


def test_it_goes_to_before_a_blow_up_began(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 100, 200, 300)
    assert chosen(folder, BlowUpError("dead", since=299)) == 200
    assert chosen(folder, BlowUpError("dead", since=300)) == 300
    assert chosen(folder, BlowUpError("dead", since=120)) == 100
    folder.append("rollback", step=300, rate_scale=0.5)
    assert chosen(folder, BlowUpError("dead", since=320)) == 200


@pytest.mark.parametrize("since", [0, 99])
def test_the_newest_is_better_than_none(tmp_path: Path, since: int) -> None:
    folder = folder_with(tmp_path, 100)
    assert chosen(folder, BlowUpError("dead", since)) == 100
    folder.append("rollback", step=100, rate_scale=0.5)
    assert chosen(folder, NAN) == 100


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 100, 200, 300)
    (folder.checkpoints / "step-000300" / checkpoint_folder.WEIGHTS).unlink()
    assert chosen(folder, NAN) == 200
