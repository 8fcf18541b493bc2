"""Sweeps as users write them: what works, and a sentence for each mistake."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import Domain, SettingError
from energan.data import DataSet
from energan.evaluation.evaluate import parse_metrics
from energan.experiment.settings import load
from energan.sweeps import SWEEPS
from energan.sweeps.definition import find
from energan.sweeps.validation import ranking, suited
from support.helpers import small_data

WHOLE: dict[str, Any] = {
    "recipe": "ebgan-digits",
    "name": "mine",
    "summary": "margins and sizes",
    "metrics": ["swd", "is"],
    "base": {"training.steps": 50},
    "axes": {
        "model.margin": [1, 2],
        "lr": {
            "settings": ["model.energy_optimiser.lr", "model.sampler_optimiser.lr"],
            "values": [0.01, 0.001],
        },
        "size": {
            "values": {
                "small": {"model.generator": [128], "model.encoder": [64]},
                "large": {"model.generator": [256, 256]},
            }
        },
        "seed": [0, 1],
    },
}


def write(folder: Path, what: Any, name: str = "own.json") -> str:
    path = folder / name
    path.write_text(what if isinstance(what, str) else json.dumps(what))
    return str(path)


def refused(word: str) -> str:
    with pytest.raises(SettingError) as caught:
        find(word)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", SWEEPS)
def test_a_name_is_found(name: str) -> None:
    assert find(name) is SWEEPS[name]


def test_a_name_that_is_none_gets_the_near_ones() -> None:
    assert "no sweep 'ebgan-gird': did you mean ebgan-grid or " in refused("ebgan-gird")
    assert "`energan sweep` lists them" in refused("zzz")


def test_a_json_file_says_recipe_axes_and_what_else_there_is(tmp_path: Path) -> None:
    sweep = find(write(tmp_path, WHOLE))
    assert (sweep.name, sweep.summary, sweep.count) == ("mine", "margins and sizes", 16)
    assert sweep.metrics == ("sliced_wasserstein", "inception_score")
    chosen = {"model.margin": 2, "lr": 0.01, "size": "small", "seed": 1}
    assert chosen in list(sweep.values())
    job = sweep.job(chosen)
    model = job.settings.model
    assert (model.margin, job.settings.seed, job.settings.training.steps) == (2, 1, 50)
    assert (model.energy_optimiser.lr, model.sampler_optimiser.lr) == (0.01, 0.01)
    assert (model.generator, model.encoder) == ((128,), (64,))
    # what a named value does not set stays as the recipe has it
    large = sweep.job({**chosen, "size": "large"}).settings.model
    assert (large.generator, large.encoder) == ((256, 256), (256,))


@settings(deadline=None, max_examples=20)
@given(
    margins=st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True),
    widths=st.lists(
        st.lists(st.integers(1, 64), max_size=3), min_size=1, max_size=3, unique_by=tuple
    ),
)
def test_every_trial_has_its_values(
    tmp_path_factory: pytest.TempPathFactory, margins: list[int], widths: list[list[int]]
) -> None:
    axes = {"model.margin": margins, "model.generator": widths}
    folder = tmp_path_factory.mktemp("sweep")
    sweep = find(write(folder, {"recipe": "ebgan-digits", "axes": axes}))
    assert sweep.count == len(margins) * len(widths)
    models = [job.settings.model for job in sweep.jobs()]
    assert [(m.margin, list(m.generator)) for m in models] == [
        (m, w) for m in margins for w in widths
    ]


def test_a_recipe_may_be_a_settings_file_beside_the_sweep(tmp_path: Path) -> None:
    job = load("ebgan-digits").changed({"model": {"latent": 9}})
    base = {"model": job.model, "settings": job.settings.model_dump(mode="json")}
    write(tmp_path, base, "base.json")
    sweep = find(write(tmp_path, {"recipe": "base.json", "axes": {"seed": [0, 1]}}))
    assert {j.settings.model.latent for j in sweep.jobs()} == {9}


def test_a_python_file_is_run(tmp_path: Path) -> None:
    text = """
from energan.sweeps import Sweep

def settings(values):
    return {"model.generator": [values["width"]] * values["depth"]}

sweep = Sweep("deep", "", "ebgan-digits", {"depth": range(1, 4), "width": (32, 64)}, settings)
"""
    sweep = find(write(tmp_path, text, "deep.py"))
    assert [j.settings.model.generator for j in sweep.jobs()] == [
        (32,), (64,), (32, 32), (64, 64), (32, 32, 32), (64, 64, 64),
    ]  # fmt: skip


def changed(**changes: Any) -> dict[str, Any]:
    return {**WHOLE, **changes}


def axes(**new: Any) -> dict[str, Any]:
    return changed(axes=new)


MISTAKES: list[tuple[Any, str]] = [
    ("{", "is not JSON"),
    ("[" * 100_000, "is not JSON"),
    ('{"recipe": "a", "recipe": "b"}', "'recipe' occurs twice"),
    ('{"recipe": "ebgan-digits", "axes": {"model.margin": [NaN]}}', "NaN is not a number"),
    ([], "write an object with recipe, axes"),
    ({}, "recipe is missing: write a recipe's name"),
    ({"recipe": "ebgan-digits"}, "axes is missing: write settings and values"),
    (changed(steps=3), "there is no 'steps': use recipe, axes"),
    (changed(recipe="ebgan-digit"), "no recipe or settings file 'ebgan-digit': did you mean ebgan"),
    (changed(recipe=3), "recipe: write a recipe's name, or a settings"),
    (changed(name="../up"), "name '../up': use letters"),
    (changed(metrics="fid"), "metrics: write a list of metrics, the first"),
    (changed(metrics=["fidd"]), "there is no fidd: did you mean"),
    (changed(base={"model.depth": 3}), "base: model.depth: there is no such"),
    (changed(base=[]), "base: write what all"),
    (changed(base={"model.margin": 3}), "base and axis model.margin both change model.margin"),
    (changed(axes=[]), "axes: write settings and"),
    (changed(axes={}), "there are no axes"),
    (axes(**{"model.margin": []}), "axis model.margin has no values"),
    (axes(**{"model.margin": 3}), "axis model.margin: values: write a list, or names"),
    (axes(**{"model.margin": [1, 2, 1]}), "axis model.margin has 1 twice"),
    (axes(**{"model.margin": [1, 1.0]}), "axis model.margin has 1 twice"),
    (axes(**{"model.generator": [[64, 64], [64, 64]]}), "axis model.generator has 64-64 twice"),
    (axes(**{"model.margin": [1, "wide"]}), "axis model.margin: 'wide' is not a"),
    (axes(**{"model.margin": [1, -1]}), "axis model.margin: -1.0 falls below 0"),
    (axes(**{"model.depth": [1]}), "axis model.depth: there is no such"),
    (axes(seed=[0, -1]), "axis seed: must be at least 0"),
    (axes(**{"model.energy_optimiser": [{"lr": 0.1}]}), "axis model.energy_optimiser: give"),
    (axes(lr={"settings": ["model.lr"]}), "axis lr: values is missing: write a list, or names"),
    (axes(lr={"values": [1], "setting": []}), "axis lr: there is no 'setting': use values"),
    (axes(lr={"values": [1], "settings": "model.margin"}), "axis lr: settings: write a list of"),
    (axes(lr={"values": 3, "settings": ["seed"]}), "axis lr: values: write a list, or names"),
    (axes(lr={"values": {"a": 3}}), "axis lr: values: write a list, or names"),
    (axes(lr={"values": {"a": {}}, "settings": ["seed"]}), "leave out settings"),
    (
        axes(**{"model.margin": [1], "m": {"settings": ["model.margin"], "values": [2]}}),
        "axis model.margin and axis m both change model.margin",
    ),
    (
        axes(**{"model.energy_optimiser.lr": [1], "o": {"values": {
            "sgd": {"model.energy_optimiser": {"kind": "sgd"}}}}}),
        "both change model.energy_optimiser.lr",
    ),
    (
        axes(**{"output.log_every": [10, 20]}),
        "log_every=10 and log_every=20 are the same trial, so their results cannot differ",
    ),
    (axes(**{"engine.threads": [1, 2]}), "threads=1 and threads=2 are the same trial"),
    (axes(**{"data.storage": ["memory", "cache"]}), "storage=cache are the same trial"),
    (axes(lr={"settings": ["model.margin", "seeds"], "values": [1]}), "axis lr: seeds: there"),
    (axes(size={"values": {"a": {"model.latent": "x"}}}), "axis size: model.latent: must be a"),
    (axes(**{"model.margin": [1], "data.range": ["x"]}), "axis data.range: must be 'signed' or"),
    (axes(size={"values": {"a": {"seed": 1}, "b": {"seed": 1}}}), "size=a and size=b are the same"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_every_mistake_gets_one_sentence_with_the_file_and_the_place(
    tmp_path: Path, what: Any, said: str
) -> None:
    word = write(tmp_path, what)
    found = refused(word)
    assert found.startswith(word)
    assert said in found


PYTHON: list[tuple[str, str]] = [
    ("1 / 0", "cannot be run: ZeroDivisionError"),
    ("raise SystemExit(3)", "cannot be run: SystemExit: 3"),
    ("def", "cannot be run: SyntaxError"),
    ("swep = 3", "defines no sweep"),
    ("sweep = 3", "defines no sweep"),
    ('sweep = Sweep("s", "", "ebgan-digits", {"seed": "012"})', "axis seed: 012 is not a list"),
    ('sweep = Sweep("s", "", "ebgan-digits", [])', "there are no axes"),
    (
        'sweep = Sweep("s", "", "ebgan-digits", {"a": (1, 2)}, lambda v: {"seed": v["b"]})',
        "trial (a=1): KeyError: 'b'",
    ),
    (
        'sweep = Sweep("s", "", "ebgan-digits", {"a": (1, 2), "b": (0, 1)}, '
        'lambda v: {"training.steps": v["a"] - v["b"]})',
        "trial (a=1 b=1): training.steps: must be at least 1 (given: 0)",
    ),
    (
        'sweep = Sweep("s", "", "ebgan-digits", {"a": (1, 2), "b": (0, 1)}, '
        'lambda v: {"seed": v["a"] + v["b"]})',
        "a=1 b=1 and a=2 b=0 are the same trial",
    ),
]


@pytest.mark.parametrize(("text", "said"), PYTHON)
def test_mistakes_in_python_are_told_too(tmp_path: Path, text: str, said: str) -> None:
    word = write(tmp_path, f"from energan.sweeps import Sweep\n{text}\n", "own.py")
    found = refused(word)
    assert found.startswith(word)
    assert said in found


def test_what_is_no_definition_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in refused(str(tmp_path / "none.json"))
    assert "cannot be read" in refused(str(tmp_path / "none.py"))
    os.mkfifo(tmp_path / "pipe.json")
    assert "is not a regular file" in refused(str(tmp_path / "pipe.json"))
    (tmp_path / "sweep.json").write_text("{}")
    assert "is a sweep's folder" in refused(str(tmp_path))
    assert "end in .json or .py" in refused(write(tmp_path, "", "own.yaml"))


def test_a_recipe_that_began_with_other_weights_is_refused(tmp_path: Path) -> None:
    job = load("ebgan-digits")
    base = {
        "model": job.model,
        "settings": job.settings.model_dump(mode="json"),
        "resolved": {"from": {"path": "runs/first"}},
    }
    write(tmp_path, base, "base.json")
    found = refused(write(tmp_path, {"recipe": "base.json", "axes": {"seed": [0, 1]}}))
    assert "starts from the weights of runs/first" in found


# --- what trials are scored by --------------------------------------------------------------------


def test_metrics_are_named_as_their_results_are() -> None:
    assert ranking(["FID", "class_kl", "modified-inception-score"]) == (
        "frechet_distance", "class_kl", "modified_inception_score",
    )  # fmt: skip
    assert ranking(["prdc", "precision"]) == ("precision", "recall", "density", "coverage")
    assert ranking([]) == ()


IMAGES = Domain((1, 8, 8), -1.0, 1.0, classes=10)
LABELS_OFF = Domain((1, 8, 8), -1.0, 1.0)


def few_labels() -> DataSet:
    data = small_data(IMAGES)
    held_out = small_data(IMAGES)
    return DataSet("images", data.events, IMAGES, data.labels, held_out=held_out)


def ring() -> DataSet:
    modes = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    return DataSet("ring", modes.repeat(9, 1), Domain((2,)), modes=modes, mode_std=0.1)


def large() -> DataSet:
    domain = Domain((3, 64, 64), -1.0, 1.0)
    return DataSet("photos", torch.zeros(4, 3, 64, 64, dtype=torch.uint8), domain)


SUITED: list[tuple[str, DataSet, str]] = [
    ("ebgan-digits", small_data(IMAGES), "modified_inception_score"),
    ("ebgan-digits", small_data(LABELS_OFF), "frechet_distance"),
    ("ebgan-folder", large(), "sliced_wasserstein"),
    ("ebgan-ring", ring(), "modes"),
    ("ebgan-ring", small_data(Domain((2,))), "sliced_wasserstein"),
    ("ladder-mnist-100", few_labels(), "error"),
    ("pix2pix-facades", small_data(Domain((1, 16, 16), -1.0, 1.0, condition_shape=(2, 16, 16))),
     "l1"),
    ("tagging-celeba", small_data(Domain((5,), condition_shape=(6,))), "precision_at_10"),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "data", "first"), SUITED)
def test_what_suits_the_data_ranks_the_trials(recipe: str, data: DataSet, first: str) -> None:
    names = suited(load(recipe), data)
    assert names[0] == first
    assert names == ranking(names)
    if first != "error":
        assert parse_metrics(names)


def test_labels_that_are_of_some_images_only_make_no_classifier() -> None:
    data = small_data(IMAGES)
    assert data.labels is not None
    labels = data.labels.clone()
    labels[3] = -1
    partly = DataSet("images", data.events, IMAGES, labels)
    assert suited(load("ebgan-digits"), partly)[0] == "frechet_distance"
