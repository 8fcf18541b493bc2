"""`energan arithmetic`: the example in its errors is one that the data takes."""

import shlex

import pytest

from energan.cli.arithmetic import Arithmetic, _concepts, _joined, example_options
from energan.cli.options import parse


@pytest.mark.parametrize(
    ("names", "one_class"),
    [
        (("0", "1", "2", "3"), True),
        (("cat", "wild dog"), True),
        (("only",), True),
        (("Bald", "Young", "Hat"), False),
        (("Bald",), False),
    ],
)
def test_the_example_is_one_that_the_command_takes(names: tuple[str, ...], one_class: bool) -> None:
    words = shlex.split(example_options(names, one_class))
    options = parse(Arithmetic, _joined(["run", *words]), "energan arithmetic")
    concepts = _concepts(options, names, one_class)
    assert {name for concept in concepts.values() for name in concept} <= set(names)
    assert all(concepts[letter] for letter in ("a", "b", "c", "wanted"))
