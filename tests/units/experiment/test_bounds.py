"""Whole numbers beyond what any machine counts to are refused, in every setting and option."""

from collections.abc import Iterator
from typing import Any

import pytest

from energan import models, recipes
from energan.cli.main import main
from energan.core import Config, SettingError
from energan.core.model import MOST
from energan.experiment.settings import Job, load

HUGE = 10**30


def whole_numbers(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings that are whole numbers, or several, with a value of theirs that is too large."""
    for name, info in type(config).model_fields.items():
        value, kind = getattr(config, name), str(info.annotation)
        if isinstance(value, Config):
            yield from whole_numbers(value, f"{prefix}{name}.")
        elif "int" in kind and "Literal" not in kind:
            many = "tuple" in kind
            length = 4 if name == "crop" else 1
            yield f"{prefix}{name}", (HUGE,) * length if many else HUGE


@pytest.mark.parametrize("model", models.names())
def test_no_setting_takes_more_than_64_bits(model: str) -> None:
    job = Job("x", model, load(None, model).settings, {})
    names = dict(whole_numbers(job.settings))
    assert {"training.batch_size", "data.pad", "data.size", "engine.threads"} < set(names)
    for name, value in names.items():
        if name == "seed":
            continue
        change: Any = value
        for part in reversed(name.split(".")):
            change = {part: change}
        with pytest.raises(SettingError, match=name) as raised:
            job.changed(change)
        assert str(raised.value).startswith(f"{name}"), name


def test_the_largest_number_is_taken_and_told() -> None:
    job = load("ebgan-digits")
    assert job.changed({"data": {"limit": MOST}}).settings.data.limit == MOST
    with pytest.raises(
        SettingError, match=r"data.limit: at most 1,000,000,000 \(given: 1000000001"
    ):
        job.changed({"data": {"limit": MOST + 1}})
    assert job.changed({"seed": HUGE}).settings.seed == HUGE  # a seed may be any


def test_every_recipe_keeps_the_bounds() -> None:
    for name in recipes.RECIPES:
        assert load(name).recipe == name


@pytest.mark.parametrize(
    "words",
    [
        "sample x -n", "sample x --chains", "sample x --chains 4 --steps", "evaluate x --samples",
        "train ebgan-digits --seeds", "train ebgan-digits --threads", "restore x y --steps",
        "train ebgan-digits --model.encoder 4", "margin ebgan-digits --most-steps",
        "figures gan1d x --steps 1", "tag x y --samples", "data show digits -n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("number", [str(HUGE), f"-{HUGE}", str(2**63), "1" * 5000])
def test_no_option_takes_more_than_64_bits(
    words: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), number]) == 2
    said = capsys.readouterr().err
    assert said.startswith("energan: ")
    assert said.count("\n") == 1
