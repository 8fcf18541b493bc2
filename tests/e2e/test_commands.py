"""The commands as a user types them, on small networks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import BaseModel

import energan
from energan.experiment.model_checks import CHECKS
from energan.experiment.settings import load
from energan.io.run_folder import RunFolder
from energan.recipes import RECIPES, TASKS
from support.commands import SMALL, refused, run
from support.helpers import weight_files
from support.markdown import modules

OWN_DATA = ("PHOTOS", "PAIRS", "FEATURES.npz")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# --- without torch --------------------------------------------------------------------------------


def said_by_fresh_python(commands: list[list[str]], before: str = "", after: str = "") -> list[str]:
    """What commands print, one after the other in a Python started for them; `before` runs before
    energan is imported, `after` after each command."""
    code = (
        f"import json, sys; {before}\nfrom energan.cli.main import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    assert main(words) == 0, words\n"
        f"    {after}\n"
        "    print('\\0', end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\0")[:-1]


def test_light_commands_do_not_import_torch() -> None:
    commands = [["--help"], ["--version"], ["recipes"], ["runs", "."]]
    said = said_by_fresh_python(commands, after="assert 'torch' not in sys.modules, words")
    assert len(said) == len(commands)
    assert all(said)


def test_recipes_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recipes") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in RECIPES)
    # by task, the demo or one's own data before the papers
    places = [out.index(f"{task}:\n") for task in (*TASKS, "Reproduce a paper")]
    assert places == sorted(places)
    assert places[0] < out.index("ebgan-folder") < places[1]
    assert out.index("\ngan-mnist ") > places[-1]
    assert "3,171 steps: 26 min" in " ".join(out.split())


def test_every_recipe_for_own_data_has_a_task() -> None:
    own = [r for r in RECIPES.values() if r.settings["data"]["source"] in OWN_DATA]
    assert len(own) >= 7
    assert all(recipe.task in TASKS for recipe in own)
    assert {recipe.task for recipe in RECIPES.values()} == {*TASKS, ""}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_resolves_and_dry_run_prints_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--dry-run", "--model.energy-optimiser.eps", "0.5", "--threads", "1")
    assert run("train", name, *words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["settings"]["model"]["energy_optimiser"]["eps"] == 0.5
    assert shown["resolved"]["threads"] == 1
    assert load(name).settings.model_dump(mode="json")["data"] == shown["settings"]["data"]


# --- train, sample, runs --------------------------------------------------------------------------


def test_train_writes_the_run(small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(small_run)
    config = folder.read_config()
    assert config["asked"]["training"]["steps"] == 30
    assert config["resolved"]["domain"]["shape"] == [1, 8, 8]
    assert len(config["hash"]) == 16
    steps = folder.read("step")
    assert [e["step"] for e in steps] == [5, 10, 15, 20, 25, 30]
    assert {"energy_real", "energy_fake", "loss_energy", "loss_sampler", "images_per_s"} <= {
        *steps[0]
    }
    assert [e["step"] for e in folder.read("score")] == [0, 10, 20, 30]
    assert sorted(p.name for p in folder.samples.iterdir()) == [
        "step-000010.png", "step-000020.png", "step-000030.png",
    ]  # fmt: skip
    assert (small_run / "curves.png").stat().st_size > 1000
    assert folder.state() == "finished"
    assert run("runs", small_run.parent) == 0
    out = capsys.readouterr().out
    assert "finished" in out
    assert "30/30" in out


def test_sample_writes_a_grid_an_array_and_a_folder(small_run: Path, tmp_path: Path) -> None:
    assert run("sample", small_run, "-n", "9", "--out", tmp_path / "g.png", "--seed", "3") == 0
    assert pixels(tmp_path / "g.png").shape[0] > 3 * 8
    assert run("sample", small_run, "-n", "9", "--out", tmp_path / "g.npz", "--seed", "3") == 0
    x = np.load(tmp_path / "g.npz")["x"]
    assert x.shape == (9, 1, 8, 8)
    assert x.dtype == np.float32
    assert -1 <= x.min() < x.max() <= 1
    assert run("sample", small_run, "-n", "12", "--out", tmp_path / "many") == 0
    assert sorted(p.name for p in (tmp_path / "many").iterdir())[:2] == ["00.png", "01.png"]
    assert pixels(tmp_path / "many" / "00.png").shape == (8, 8)
    assert run("sample", small_run, "-n", "9", "--out", tmp_path / "h.npz", "--seed", "4") == 0
    assert not np.array_equal(x, np.load(tmp_path / "h.npz")["x"])
    raw = ["--weights", "raw", "--checkpoint", "20"]
    assert (
        run("sample", small_run, "-n", "9", "--out", tmp_path / "r.npz", "--seed", "3", *raw) == 0
    )
    assert not np.array_equal(x, np.load(tmp_path / "r.npz")["x"])


def test_a_settings_file_works_like_a_recipe_and_gives_the_same_run(
    small_run: Path, tmp_path: Path
) -> None:
    assert run("train", small_run / "config.json", "--out", tmp_path / "again") == 0
    first, again = RunFolder(small_run).read_config(), RunFolder(tmp_path / "again").read_config()
    assert first["hash"] == again["hash"]
    assert torch.equal(
        energan.load(small_run).sample(4), energan.load(tmp_path / "again").sample(4)
    )


def test_the_hash_covers_what_changes_the_result_and_nothing_else() -> None:
    job = load("ebgan-digits")
    base = job.hash("data", "32")
    for same in (
        {"output": {"log_every": 7}},
        {"engine": {"threads": 1}},
        {"training": {"on_divergence": "rollback", "guard": False}},
    ):
        assert job.changed(same).hash("data", "32") == base
    for other in ({"seed": 1}, {"model": {"margin": 3.5}}, {"training": {"steps": 7}}):
        assert job.changed(other).hash("data", "32") != base
    assert job.hash("other data", "32") != base
    assert job.hash("data", "bf16") != base


def test_from_starts_with_the_weights_of_another_run(small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "next"
    slow = ["--model.energy-optimiser.lr", "0", "--model.sampler-optimiser.lr", "0"]
    words = ["--from", small_run, "--steps", "3", "--seed", "8", "--out", out, *SMALL, *slow]
    assert run("train", "ebgan-digits", *words) == 0
    before = energan.load(small_run, weights="raw").energy_network.state_dict()
    after = energan.load(out, weights="raw").energy_network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if "weight" in k)
    config = RunFolder(out).read_config()
    assert config["resolved"]["from"]["step"] == 30
    assert config["resolved"]["from"]["path"] == str(small_run.resolve())
    job = load(str(out))  # a run's folder stands for its settings, and for what it started from
    assert job.origin == str(small_run.resolve())
    assert job.hash("data", "32", "origin") != job.hash("data", "32")


def test_resume_trains_further_with_more_steps(tmp_path: Path) -> None:
    assert run("train", "ebgan-digits", "--steps", "12", "--out", tmp_path / "a", *SMALL) == 0
    assert run("resume", tmp_path / "a", "--steps", "24") == 0
    assert run("train", "ebgan-digits", "--steps", "24", "--out", tmp_path / "b", *SMALL) == 0
    assert torch.equal(
        energan.load(tmp_path / "a").sample(3), energan.load(tmp_path / "b").sample(3)
    )
    assert (
        RunFolder(tmp_path / "a").read_config()["hash"]
        == (RunFolder(tmp_path / "b").read_config()["hash"])
    )


def test_a_torn_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert run("train", "ebgan-digits", "--steps", "20", "--out", tmp_path / name, *SMALL) == 0
    checkpoints = tmp_path / "a" / "checkpoints"
    (checkpoints / "step-000020" / "weights.safetensors").write_bytes(b"torn")
    (checkpoints / "step-000007-copy").mkdir()  # a user's own: none of ours
    assert energan.load(tmp_path / "a").step == 10
    assert capsys.readouterr().err.count("using step-000010 instead") == 1
    assert run("sample", tmp_path / "a", "--out", tmp_path / "s.png") == 0
    assert run("resume", tmp_path / "a") == 0
    said = capsys.readouterr().err
    assert "step-000020" in said
    assert "using step-000010 instead" in said
    assert (checkpoints / "refused-step-000020").is_dir()
    assert weight_files(tmp_path / "a", 20) == weight_files(tmp_path / "b", 20)


def test_files_say_where_they_come_from(small_run: Path, tmp_path: Path) -> None:
    assert run("sample", small_run, "-n", "4", "--out", tmp_path / "x.npz", "--seed", "3") == 0
    with np.load(tmp_path / "x.npz") as file:
        said = {k: str(file[k]) for k in file.files if k != "x"}
    assert said["seed"] == "3"
    assert said["step"] == "30"
    assert said["weights"] == "ema"
    assert said["run"] == RunFolder(small_run).read_config()["hash"]
    with Image.open(small_run / "samples" / "step-000010.png") as image:
        assert image.text == {"step": "10", "seed": "0", "weights": "ema"}


def test_points_are_drawn_as_a_scatter(tmp_path: Path) -> None:
    out = tmp_path / "ring"
    words = ["--steps", "10", "--out", out, *SMALL, "--model.generator", "16", "16"]
    assert run("train", "ebgan-ring", *words) == 0
    assert (out / "samples" / "step-000010.png").exists()
    score = RunFolder(out).read("score")[-1]
    assert 0 <= score["modes"] <= 8
    assert run("sample", out, "--out", tmp_path / "s.npz", "-n", "20") == 0
    assert np.load(tmp_path / "s.npz")["x"].shape == (20, 2)


# --- Python ---------------------------------------------------------------------------------------


def test_the_python_names(tmp_path: Path) -> None:
    small = {"generator": (16,), "encoder": (16,)}
    trained = energan.train(
        "ebgan-digits", steps=5, out=tmp_path / "x", seed=0, model=small, progress=False,
        engine={"threads": 1},
    )  # fmt: skip
    assert isinstance(trained, energan.Run)
    loaded = energan.load(tmp_path / "x")
    x = loaded.sample(64, seed=0, condition=None)
    assert x.shape == (64, 1, 8, 8)
    assert x.dtype == torch.float32
    assert torch.equal(x, trained.sample(64, seed=0))
    energies = loaded.energy(x, condition=None)
    assert energies.shape == (64,)
    assert (energies >= 0).all()
    assert energan.objectives.pull_away(torch.randn(5, 3)).shape == ()
    assert energan.objectives.hinge(torch.rand(4), torch.rand(6), 1.0).shape == ()
    even = torch.full((6, 4), 0.25)
    assert energan.metrics.inception_score(even) == pytest.approx(1)
    assert energan.metrics.modified_inception_score(even) == pytest.approx(0, abs=1e-12)
    assert loaded.events("step")
    with pytest.raises(energan.EnerganError, match="shape"):
        loaded.energy(torch.zeros(2, 3))
    assert torch.equal(loaded.energy(x.numpy()), energies)
    with pytest.raises(energan.EnerganError, match="dict is not a type of image"):
        loaded.energy({"x": x})  # type: ignore[arg-type]
    with pytest.raises(energan.EnerganError, match="settings are given in groups"):
        energan.train("ebgan-digits", step=5)  # type: ignore[arg-type]
    with pytest.raises(energan.EnerganError, match=r"is unconditional .*leave the condition out"):
        loaded.sample(2, condition=torch.zeros(2))
    scores = energan.evaluate(loaded, metrics=["sliced_wasserstein"], samples=20, resamples=2)
    assert scores["sliced_wasserstein"].value > 0
    assert "step=5" in repr(loaded)


# --- what users get wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "x"], "did you mean train?"),
        (["foo"], "no command 'foo'; energan --help lists the commands"),
        (["train"], "`energan recipes` lists them"),
        (["train", "ebgan-digit"], "did you mean ebgan-digits"),
        (["train", "nothing.json"], "nothing.json cannot be read"),
        (["train", "ebgan-digits", "--model", "ebgn"], "did you mean ebgan?"),
        (["train", "ebgan-digits", "--data", "mnsit"], "mnist"),
        (["train", "ebgan-digits", "--steps", "0"], "training.steps"),
        (["train", "ebgan-digits", "--model.margin", "later"], "write linear(from, to, steps)"),
        (["train", "ebgan-digits", "--model.dropout", "1.5"], "model.dropout"),
        (["train", "ebgan-digits", "--model.margin", "-4"], "falls below 0"),
        (["train", "ebgan-digits", "--model.energy-optimiser.lr", "-1"], "falls below 0"),
        (["train", "ebgan-digits", "--training.batch-size", "100000000000"], "batch_size"),
        (["train", "ebgan-digits", "--data", "ring"], "use linear"),
        (["train", "ebgan-digits", "--device", "gpu9"], "use auto, cpu, cuda, mps, xpu"),
        (["train", "gan-mnist", "--data", "digits", "--data.range", "signed"], "use tanh"),
        (["train", "ebgan-digits", "--model.generator", "-1"], "model.generator"),
        (["train", "ebgan-digits", "--model.encoder"], "model.encoder"),
        (["train", "ebgan-digits", "--training.batch-size", "1"], "use at least 2"),
        (["train", "--steps", "3", "ebgan-digits"], "the recipe comes first"),
        (["train", "ebgan-digits", "--model", "sys"], "defines no Config"),
        (["train", "ebgan-digits", "--model", ".foo"], "cannot be imported"),
        (["resume", "nowhere"], "holds no run"),
        (["sample", "nowhere"], "holds no run"),
        (["runs", "nowhere"], "nowhere is not a folder; name the one"),
    ],
)
def test_mistakes_get_one_sentence_with_the_remedy(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words)
    assert list(tmp_path.iterdir()) == []  # and nothing is left behind


def test_more_mistakes_with_a_run(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for out in ([tmp_path / "mine"], [""]):
        assert "holds other files" in refused(capsys, "train", "ebgan-digits", "--out", *out)
    assert "holds files already" in refused(capsys, "sample", small_run, "--out", tmp_path / "mine")
    taken = refused(capsys, "train", "ebgan-digits", "--out", small_run)
    assert f"energan resume {small_run}" in taken
    assert "give --steps" in refused(capsys, "resume", small_run)
    assert "--out" in refused(capsys, "sample", small_run, "--out", tmp_path / "x.jpg")
    assert "at least 1" in refused(capsys, "sample", small_run, "-n", "0")
    for checkpoint, remedy in (
        ("7", "choose from step-000020, step-000030"),
        ("newest", "give last, best or a step"),
    ):
        assert remedy in refused(capsys, "sample", small_run, "--checkpoint", checkpoint)
    (tmp_path / "bad.json").write_text("{")
    assert "is not JSON" in refused(capsys, "train", tmp_path / "bad.json")
    (tmp_path / "other.json").write_text('{"a": 1}')
    assert "not a settings file" in refused(capsys, "train", tmp_path / "other.json")
    words = ["train", "ebgan-digits", "--from", small_run, "--out", tmp_path / "y", "--steps", "2"]
    assert "use the settings it was trained with" in refused(capsys, *words, "--threads", "1")


def test_an_unknown_option_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model.margin" in refused(capsys, "train", "ebgan-digits", "--model.margn", "3")


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        run(*words)
    assert left.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_help_explains_the_essential_settings_with_their_defaults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = help_of(capsys, "train", "ebgan-pt-mnist", "--help")
    assert "ebgan-pt-mnist" in out
    assert "--model.margin FLOAT|STR margin m: auto" in out
    assert "(default: 10.0)" in out
    # the data first, and how long; then what the recipe is made of
    order = ["data STR", "size", "steps INT", "seed", "model.margin", "out", "from RUN"]
    places = [out.index(f"--{name}") for name in order]
    assert places == sorted(places)
    assert "--help-all" in out
    assert "--model.prior" not in out


def test_help_all_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    out = help_of(capsys, "train", "ebgan-pt-mnist", "--help-all")
    for path in settings_of(load("ebgan-pt-mnist").settings):
        assert f"--{path.replace('_', '-')}" in out


def settings_of(settings: BaseModel, prefix: str = "") -> list[str]:
    found = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        inner = isinstance(value, BaseModel)
        found += settings_of(value, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return found


def test_help_without_a_recipe_shows_the_settings_of_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = help_of(capsys, "train", "--help")
    assert "energan train RECIPE" in out
    assert "`energan recipes`" in out
    assert "those of ebgan-folder" in out
    assert "--size" in out


def test_size_is_a_short_name_of_the_size_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "ebgan-folder", "--size", "32", "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["data"]["size"] == 32


def test_debug_shows_the_traceback() -> None:
    from energan.errors import RunError

    with pytest.raises(RunError):
        run("--debug", "resume", "nowhere")


# --- divergence -----------------------------------------------------------------------------------

WILD = ["--model.energy-optimiser.kind", "sgd", "--model.energy-optimiser.lr"]


def test_a_run_that_diverges_stops_with_3_at_its_last_good_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "wild"
    rate = "linear(0.001, 1e30, 1, 14)"  # well behaved until step 15
    assert run("train", "ebgan-digits", "--steps", "50", "--out", out, *SMALL, *WILD, rate) == 3
    said = capsys.readouterr().err
    assert "is not finite at step" in said
    assert "step-000010" in said
    assert "--on-divergence rollback" in said
    folder = RunFolder(out)
    assert folder.state() == "diverged"
    assert folder.read("diverged")[0]["reason"]
    assert energan.load(out).step == 10
    assert energan.load(out).sample(3).isfinite().all()


def test_rollback_goes_back_halves_the_rates_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "back"
    words = ["train", "ebgan-digits", "--steps", "40", "--out", out, *SMALL, *WILD, "40"]
    # one checkpoint to go back to: the first steps are what must become stable
    with_loss = [*words, "--model.reduction", "sum", "--output.checkpoint-every", "0"]
    assert run(*with_loss, "--on-divergence", "rollback", "--training.rollbacks", "30") == 0
    folder = RunFolder(out)
    backs = [json.loads(line) for line in folder.events.read_text().splitlines()]
    backs = [e for e in backs if e["event"] == "rollback"]
    assert backs
    assert backs[0]["rate_scale"] == 0.5
    assert "not finite" in backs[0]["reason"]
    assert [e["rate_scale"] for e in backs] == [0.5**i for i in range(1, len(backs) + 1)]
    assert energan.load(out).step == 40


def test_rollbacks_are_bounded(tmp_path: Path) -> None:
    words = [
        "train",
        "ebgan-digits",
        "--steps",
        "40",
        "--out",
        tmp_path / "r",
        *SMALL,
        *WILD,
        "1e30",
    ]
    assert run(*words, "--on-divergence", "rollback", "--training.rollbacks", "2") == 3


def test_a_diverged_run_goes_on_with_rollback(tmp_path: Path) -> None:
    out = tmp_path / "wild"
    rate = ["linear(0.01, 1e30, 1, 14)", "--model.reduction", "sum"]
    assert run("train", "ebgan-digits", "--steps", "20", "--out", out, *SMALL, *WILD, *rate) == 3
    assert run("resume", out) == 3  # the same again
    assert run("resume", out, "--on-divergence", "rollback") == 3  # 2^-5 of 1e30 is no better
    rollbacks = [e for e in RunFolder(out).events.read_text().splitlines() if '"rollback"' in e]
    assert len(rollbacks) == 5


# --- the user's own -------------------------------------------------------------------------------


def test_the_model_of_the_docs_page_is_one_file_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "python" / "own-model.md").read_text(encoding="utf8")
    (tmp_path / "hinge_gan.py").write_text(page.split("```python\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    rest = ["--steps", "20", "--model.width", "16", "--threads", "1"]
    assert run("train", "--model", "hinge_gan", "--data", "ring", "--out", "r", *rest) == 0
    assert energan.load("r").sample(5).shape == (5, 2)
    assert run("train", "ebgan-digits", "--model", "hinge_gan", "--out", "d", *rest) == 0
    assert run("resume", "d", "--steps", "25") == 0
    assert energan.load("d").sample(5).shape == (5, 1, 8, 8)


def test_the_other_models_of_the_docs_page_train_and_its_kernel_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "python" / "own-model.md").read_text(encoding="utf8")
    for name, text in modules(docs / "python" / "own-model.md").items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rest = ["--data", "ring", "--steps", "20", "--model.width", "16", "--threads", "1"]
    gamma = ["--model.gamma", "linear(1, 0.1, 2000)"]
    assert run("train", "--model", "penalty_gan", "--out", "p", *rest, *gamma) == 0
    assert run("train", "--model", "barker", "--out", "b", *rest, "--model.steps", "3") == 0
    assert run("check", "barker") == 0
    assert run("sample", "b", "--chains", "4", "--steps", "9", "--out", "x.npz") == 0
    assert "of the moves were accepted" in capsys.readouterr().out
    (shown,) = (p.split("```")[0] for p in page.split("```python\n")[1:] if "from barker" in p)
    seen: dict[str, Any] = {}
    exec(shown, seen)
    made = seen["made"]
    assert float(made.x.var()) == pytest.approx(1, abs=0.25)
    assert float(made.acceptance.mean()) == pytest.approx(0.4, abs=0.08)


def test_check_says_what_is_right_and_what_is_wrong_with_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = Path(__file__).parents[2] / "docs"
    good = (docs / "python" / "own-model.md").read_text(encoding="utf8")
    good = good.split("```python\n")[1].split("```")[0]
    unseeded = "return np.random.rand() * F.relu"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "good_gan.py").write_text(good)
    text = good.replace("return F.relu", unseeded).replace("import torch\n", "import numpy as np\n")
    (tmp_path / "unseeded_gan.py").write_text(text.replace("torch.Tensor", "'torch.Tensor'"))
    assert run("check", "good_gan") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS)
    assert all(line.startswith("ok ") for line in lines)
    assert run("check", "unseeded_gan", "--data", "digits") == 2
    out, err = capsys.readouterr()
    assert "FAILED  the same seed trains the same, another seed another run (two runs with" in out
    assert "FAILED  a resumed run equals one that never stopped" in out
    assert f"of {len(CHECKS)} have failed" in err
    assert "no model" in refused(capsys, "check", "nothing_of_that_name")
    assert "give data that the model takes" in refused(
        capsys, "check", "igebm_points", "--data", "digits"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def (", "SyntaxError"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("1 / 0", "ZeroDivisionError"),
        ("build = Config = None", "subclass of energan.core.Config"),
        (
            "from energan.core import Config\ndef build(config, domain): return 3",
            "not an energan.core.Model",
        ),
    ],
)
def test_a_broken_model_file_is_explained(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    name = f"broken_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    assert said in refused(capsys, "train", "ebgan-digits", "--model", name, "--threads", "1")


def test_a_damaged_run_does_not_end_the_listing(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, config, events in (
        ("odd", (small_run / "config.json").read_text(), '5\n{"a": 1}\n{"event": "resume"}\n'),
        ("bad", "{}", "{}"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)
        (tmp_path / name / "events.jsonl").write_text(events)
    assert run("runs", tmp_path) == 0
    out = capsys.readouterr().out
    assert "damaged" in out
    assert "0/30" in out


def test_points_of_one_number_are_drawn_too(tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.random.default_rng(0).normal(size=(300, 1)).astype("float32"))
    words = ["--data", tmp_path / "line.npy", "--steps", "10", "--out", tmp_path / "r", *SMALL]
    assert run("train", "ebgan-ring", *words) == 0
    assert (tmp_path / "r" / "samples" / "step-000010.png").exists()


def test_arrays_of_the_users(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
    np.save(tmp_path / "p.npy", points)
    out = tmp_path / "p"
    words = ["--data", tmp_path / "p.npy", "--steps", "5", "--out", out, *SMALL]
    assert run("train", "ebgan-ring", *words) == 0
    assert energan.load(out).energy(torch.from_numpy(points[:4])).shape == (4,)


def test_commands_run_where_there_is_no_fcntl(tmp_path: Path) -> None:
    """Windows has none."""
    runs = str(tmp_path)
    commands = [
        ["--help"], ["recipes"], ["runs", runs], ["sweep"], ["sweep", "--help"], ["data"],
        ["train", "ebgan-digits", "--steps", "2", "--threads", "1", "--out", f"{runs}/r"],
    ]  # fmt: skip
    said = said_by_fresh_python(commands, before="sys.modules['fcntl'] = None")
    assert len(said) == len(commands)


def test_a_best_checkpoint_without_training_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run("train", "ebgan-digits", "--steps", "10", "--out", out, *SMALL) == 0
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    for event in events:
        if event["event"] == "score":
            event["sliced_wasserstein"] = 1.0 + event["step"]
    (out / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    for checkpoint, told in (("last", 0), ("0", 0), ("best", 1)):
        capsys.readouterr()
        words = ["--checkpoint", checkpoint, "-n", "4", "--out", tmp_path / f"{checkpoint}.png"]
        assert run("sample", out, *words) == 0
        assert capsys.readouterr().err.count("step 0, which is untrained") == told
