"""`sweep.json`: what commands ask for adds up, and what does not belong together is kept apart."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from energan.cli import main as cli
from energan.errors import RunError, SettingError
from energan.evaluation.evaluate import evaluate
from energan.inference.run import Run
from energan.sweep.grid import Sweep, Values
from energan.sweep.request import SweepRequest, check, read, write
from energan.sweep.store import SweepFolder
from energan.sweep.validation import better_of

SWEEP = Sweep("small", "a small one", "gan-ring", {"model.margin": (1, 2), "seed": (0, 1, 2)})
ASKED = SweepRequest(SWEEP, ("sliced_wasserstein",), 100, words="small")


def id_of(values: Values) -> str:
    return "-".join(f"{value}" for value in values.values())


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "small")
    made.make()
    return made


def ask(folder: SweepFolder, asked: SweepRequest, values: list[Values]) -> None:
    check(folder, asked, id_of)
    write(folder, asked, [(id_of(v), v) for v in values])


def test_trials_add_up_in_the_order_in_which_they_were_asked_for(folder: SweepFolder) -> None:
    every = list(SWEEP.values())
    assert read(folder) is None
    ask(folder, ASKED, every[3:5])
    ask(folder, ASKED, every[:4])
    found = read(folder)
    assert found is not None
    assert found["trials"] == [id_of(every[i]) for i in (3, 4, 0, 1, 2)]
    assert (found["count"], found["axes"]) == (6, {"model.margin": [1, 2], "seed": [0, 1, 2]})


def test_an_axis_may_get_more_values(folder: SweepFolder) -> None:
    ask(folder, ASKED, list(SWEEP.values()))
    wider = replace(SWEEP, axes={"model.margin": (0.5, 1, 2, 4), "seed": (0, 1, 2)})
    ask(folder, replace(ASKED, sweep=wider), list(wider.values()))
    found = read(folder)
    assert found is not None
    assert len(found["trials"]) == found["count"] == 12


def test_what_is_another_sweep_is_refused(folder: SweepFolder) -> None:
    ask(folder, ASKED, list(SWEEP.values()))
    before = folder.definition.read_bytes()
    other = replace(SWEEP, name="other")
    with pytest.raises(RunError, match="holds the sweep small, not other"):
        check(folder, replace(ASKED, sweep=other), id_of)
    for changed in ({"recipe": "gan-line"}, {"axes": {"model.margin": (1, 2)}}):
        with pytest.raises(RunError, match="another recipe or other axes"):
            check(folder, replace(ASKED, sweep=replace(SWEEP, **changed)), id_of)
    with pytest.raises(RunError, match="other settings or other data"):
        check(folder, ASKED, lambda values: f"longer {id_of(values)}")
    for scored in ({"samples": 200}, {"metrics": ("modes",)}):
        with pytest.raises(RunError, match="scored by sliced_wasserstein of 100 samples"):
            check(folder, replace(ASKED, **scored), id_of)
    assert folder.definition.read_bytes() == before


@pytest.mark.parametrize("text", ['{"name": "small"', "[]", '{"name": "small"}'])
def test_what_is_damaged_is_named(folder: SweepFolder, text: str) -> None:
    folder.definition.write_text(text)
    with pytest.raises(RunError, match=r"sweep\.json"):
        read(folder)


def _ask_ten(path: str, begin: int) -> None:
    for i in range(begin, begin + 10):
        write(SweepFolder(path), ASKED, [(str(i), {"model.margin": 1, "seed": 0})])


def test_commands_that_begin_at_once_do_not_lose_each_others_trials(folder: SweepFolder) -> None:
    context = multiprocessing.get_context("fork")
    several = [context.Process(target=_ask_ten, args=(str(folder.path), 10 * i)) for i in range(4)]
    for process in several:
        process.start()
    for process in several:
        process.join()
    found = json.loads(folder.definition.read_text(encoding="utf8"))
    assert sorted(map(int, found["trials"])) == list(range(40))


def test_which_score_is_better_is_what_evaluations_say(tmp_path: Path) -> None:
    words = ["--steps", "2", "--model.generator", "16", "--model.encoder", "16", "--threads", "1"]
    assert cli.main(["train", "ebgan-digits", "--out", str(tmp_path / "run"), *words]) == 0
    made = evaluate(Run(tmp_path / "run"), samples=300, resamples=10)
    assert len(made.results) > 8
    for result in made.results:
        if result.better is not None:
            assert better_of(result.name) == result.better
        else:
            with pytest.raises(SettingError, match="cannot rank"):
                better_of(result.name)


def test_densities_in_the_plane_rank_trials() -> None:
    assert better_of("energy_log_likelihood") == "higher"
    with pytest.raises(SettingError, match=r"let the first be one of .*energy_log_likelihood"):
        better_of("memorisation")
