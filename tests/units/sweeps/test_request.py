"""`sweep.json`: what commands ask for adds up, and what does not belong together is kept apart."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from energan.cli import main as cli
from energan.errors import RunError, SettingError
from energan.evaluation.evaluate import evaluate
from energan.inference.run import Run
from energan.metrics.catalogue import METRICS
from energan.sweeps.grid import Sweep, Values
from energan.sweeps.store import DEFINITION, Definition, SweepFolder
from energan.sweeps.validation import ranking

SWEEP = Sweep("small", "a small one", "gan-ring", {"model.margin": (1, 2), "seed": (0, 1, 2)})


def id_of(values: Values) -> str:
    return "-".join(f"{value}" for value in values.values())


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "small")
    made.make()
    return made


def asked(values: list[Values], sweep: Sweep = SWEEP, **more: Any) -> Definition:
    return {
        "name": sweep.name,
        "recipe": sweep.recipe,
        "axes": {axis: list(its) for axis, its in sweep.axes.items()},
        "count": sweep.count,
        "metrics": ["sliced_wasserstein"],
        "samples": 100,
        "words": "small",
        "example": {"id": id_of(values[0]), "values": values[0]},
        "trials": [id_of(v) for v in values],
        **more,
    }


def ask(folder: SweepFolder, asked: Definition) -> None:
    folder.check(asked, id_of)
    folder.write_definition(asked)


def test_trials_add_up_in_the_order_in_which_they_were_asked_for(folder: SweepFolder) -> None:
    every = list(SWEEP.values())
    assert folder.definition() is None
    ask(folder, asked(every[3:5]))
    ask(folder, asked(every[:4]))
    found = folder.definition()
    assert found is not None
    assert found["trials"] == [id_of(every[i]) for i in (3, 4, 0, 1, 2)]
    assert (found["count"], found["axes"]) == (6, {"model.margin": [1, 2], "seed": [0, 1, 2]})


def test_an_axis_may_get_more_values(folder: SweepFolder) -> None:
    ask(folder, asked(list(SWEEP.values())))
    wider = replace(SWEEP, axes={"model.margin": (0.5, 1, 2, 4), "seed": (0, 1, 2)})
    ask(folder, asked(list(wider.values()), wider))
    found = folder.definition()
    assert found is not None
    assert len(found["trials"]) == found["count"] == 12


def test_what_is_another_sweep_is_refused(folder: SweepFolder) -> None:
    ask(folder, asked(list(SWEEP.values())))
    before = (folder.path / DEFINITION).read_bytes()
    every = list(SWEEP.values())
    with pytest.raises(RunError, match="holds the sweep small, not other"):
        folder.check(asked(every, name="other"), id_of)
    for changed in ({"recipe": "gan-line"}, {"axes": {"model.margin": [1, 2]}}):
        with pytest.raises(RunError, match="another recipe or other axes"):
            folder.check(asked(every, **changed), id_of)
    with pytest.raises(RunError, match="other settings or other data"):
        folder.check(asked(every), lambda values: f"longer {id_of(values)}")
    for scored in ({"samples": 200}, {"metrics": ["modes"]}):
        with pytest.raises(RunError, match="scored by sliced_wasserstein of 100 samples"):
            folder.check(asked(every, **scored), id_of)
    assert (folder.path / DEFINITION).read_bytes() == before


@pytest.mark.parametrize("text", ['{"name": "small"', "[]", '{"name": "small"}'])
def test_what_is_damaged_is_named(folder: SweepFolder, text: str) -> None:
    (folder.path / DEFINITION).write_text(text)
    with pytest.raises(RunError, match=r"sweep\.json"):
        folder.definition()


def _ask_ten(path: str, begin: int) -> None:
    for i in range(begin, begin + 10):
        SweepFolder(path).write_definition(asked([{"seed": i}]))


def test_commands_that_begin_at_once_do_not_lose_each_others_trials(folder: SweepFolder) -> None:
    context = multiprocessing.get_context("fork")
    several = [context.Process(target=_ask_ten, args=(str(folder.path), 10 * i)) for i in range(4)]
    for process in several:
        process.start()
    for process in several:
        process.join()
    found = json.loads((folder.path / DEFINITION).read_text(encoding="utf8"))
    assert sorted(map(int, found["trials"])) == list(range(40))


def test_which_score_is_better_is_what_evaluations_say(tmp_path: Path) -> None:
    words = ["--steps", "2", "--model.generator", "16", "--model.encoder", "16", "--threads", "1"]
    assert cli.main(["train", "ebgan-digits", "--out", str(tmp_path / "run"), *words]) == 0
    made = evaluate(Run(tmp_path / "run"), samples=300, resamples=10)
    assert len(made.results) > 8
    for result in made.results:
        if result.better is not None:
            assert METRICS[result.name].better == result.better
            assert not METRICS[result.name].scored or ranking([result.name])[0] == result.name
        else:
            with pytest.raises(SettingError, match="cannot rank"):
                ranking([result.name])


def test_densities_in_the_plane_rank_trials() -> None:
    assert ranking(["energy_log_likelihood"]) == ("energy_log_likelihood",)
    with pytest.raises(SettingError, match=r"put one of .*energy_log_likelihood"):
        ranking(["memorisation"])
