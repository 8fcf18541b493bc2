"""docs/reproduction.md: figures of ours are those of the files that they link to, published ones
those of the package, and no recipe is left out."""

import json
import re
from typing import Any

import pytest

from energan.evaluation.published import FEW_LABELS_MNIST, PARZEN
from energan.experiment.settings import load
from energan.recipes import RECIPES
from support.markdown import DOCS

TEXT = (DOCS / "reproduction.md").read_text(encoding="utf8")
FIGURE = re.compile(r'\[((?:[^][]|\[[^][]*\])+)\]\((\S+\.json) "([^"]*)"\)')
"""A figure of ours: its text, its file, and where in the file it stands."""
NUMBER = re.compile(r"[−+]?\d+(?:,\d{3})*(?:\.\d+)?")


def numbers(text: str) -> list[str]:
    """As they are written, without commas and with ASCII signs."""
    found = NUMBER.findall(text)
    return [number.replace(",", "").replace("−", "-").replace("+", "") for number in found]


def value(number: str) -> int:
    return int(number.replace(",", ""))


def rows(heading: str) -> list[list[str]]:
    """The cells of all tables below a heading, without the tables' heads."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rules = [i for i, line in enumerate(lines) if line.startswith("|---")]
    heads = {i - 1 for i in rules} | set(rules)
    return [
        [cell.strip() for cell in line[1:-1].split("|")]
        for i, line in enumerate(lines)
        if i not in heads
    ]


def recorded(file: str) -> Any:
    return json.loads((DOCS / file).read_text(encoding="utf8"))


def at(record: Any, path: str) -> Any:
    """What stands at "evaluations[step=8000].metrics[name=parzen]": the one entry that fits."""
    found = [record]
    for part in filter(None, path.split(".")):
        key, *conditions = re.split(r"\]?\[", part.removesuffix("]"))
        found = [each[key] for each in found]
        found = [one for each in found for one in (each if isinstance(each, list) else [each])]
        for condition in conditions:
            name, wanted = condition.split("=", 1)
            found = [one for one in found if str(one.get(name)) == wanted]
    (only,) = found
    return only


def sourced(file: str, place: str) -> list[float]:
    """The numbers at "path: key key", or at "path: value low high" if no keys are given."""
    path, _, keys = place.partition(": ") if not place.startswith(": ") else ("", "", place[2:])
    entry = at(recorded(file), path)
    found = [entry[key] for key in (keys or "value low high").split()]
    return [v for each in found for v in (each if isinstance(each, list) else [each])]


@pytest.mark.parametrize(("text", "file", "place"), FIGURE.findall(TEXT))
def test_a_figure_is_that_of_its_file(text: str, file: str, place: str) -> None:
    scale = 100 if re.search("%|points", text) else 1
    written, source = numbers(text), sourced(file, place)
    assert len(written) == len(source)
    for number, exact in zip(written, source, strict=True):
        decimals = len(number.partition(".")[2])
        assert number == f"{scale * exact:.{decimals}f}", f"{file}, {place}: {exact}"


def test_figures_of_ours_have_a_source() -> None:
    for row in rows("Numbers"):
        assert not numbers(FIGURE.sub("", row[2])), row[2]
    assert len(FIGURE.findall(TEXT)) > 40


def test_published_numbers_are_those_of_the_package() -> None:
    published = [*PARZEN.values(), *FEW_LABELS_MNIST.values()]
    known = {(one["value"], one["plus_minus"]) for table in published for one in table}
    cells = " ".join(row[1] for row in rows("Numbers"))
    written = re.findall(r"([\d.]+) ± ([\d.]+)", cells)
    assert {(float(mean), float(spread)) for mean, spread in written} == known


def test_costs_follow_from_seconds_and_steps() -> None:
    for row in rows("Costs"):
        seconds, steps, needed = (value(numbers(FIGURE.sub(r"\1", cell))[0]) for cell in row[1:4])
        assert row[4] == f"{seconds / steps * needed / 3600:.1f}"


def test_every_recipe_has_a_run_or_a_reason() -> None:
    named = [name for row in rows("Every recipe") for name in re.findall(r"`([\w-]+)`", row[0])]
    assert sorted(named) == sorted(RECIPES)


@pytest.mark.parametrize("row", [row for row in rows("Every recipe") if len(row) == 5])
def test_runs_are_of_their_recipe_and_length(row: list[str]) -> None:
    recipe, steps = row[0].strip("`"), value(row[2])
    assert value(row[3]) == load(recipe).settings.training.steps
    for file in re.findall(r"\((\S+\.json)\)", row[1]):
        record = recorded(file)
        if "recipe" in record:
            assert (record["recipe"], record["last"]["step"]) == (recipe, steps)
        else:  # a comparison of several recipes
            assert steps in {run["steps"] for runs in record.values() for run in runs}
