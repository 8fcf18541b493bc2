"""Packages of trials: what is tried again, and what is given up."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from energan.experiment.settings import load
from energan.io.processes import Pool
from energan.sweeps.executors.local import DEATHS, Package, run_packages
from energan.sweeps.store import SweepFolder, TrialOptions
from energan.sweeps.trials import Trial

OPTIONS = TrialOptions("small", ("sliced_wasserstein",))


class Silent:
    def begin(self, trials: Sequence[str], where: str) -> None:
        return

    def leave(self, trials: Sequence[str]) -> None:
        return

    def refresh(self) -> None:
        return


@pytest.mark.parametrize("kills", range(DEATHS + 1))
def test_a_trial_that_kills_its_process_is_given_up(tmp_path: Path, kills: int) -> None:
    """The package goes apart after its first death; only who died three times fails."""
    folder, job, attempts = SweepFolder(tmp_path / "sweep"), load("gan-ring"), list[list[str]]()
    folder.make()
    package = [Trial(name, {}, job) for name in "ab"]
    left = kills

    async def attempt(package: Package, place: int) -> tuple[int, str]:
        nonlocal left
        attempts.append([trial.id for trial in package])
        if left and any(trial.id == "a" for trial in package):
            left -= 1
            return 1, " of a fault"
        for trial in package:
            folder.write({"id": trial.id, "state": "done"})
        return 0, ""

    assert run_packages(Pool(), folder, [package], OPTIONS, Silent(), 1, attempt) is None
    states = {record["id"]: record["state"] for record in folder.records()}
    assert states == {"a": "failed" if kills == DEATHS else "done", "b": "done"}
    assert attempts == [["a", "b"], *[["a"]] * min(kills, DEATHS - 1), *[["b"]] * (kills > 0)]
    if kills == DEATHS:
        assert folder.records(["a"])[0]["reason"] == f"its process died {DEATHS} times of a fault"
