"""Counts in messages: one has the singular, of noun and verb."""

import pytest

from energan.io.text import agree, plural


@pytest.mark.parametrize(
    ("count", "noun", "says"),
    [
        (1, "trial", "1 trial"),
        (0, "trial", "0 trials"),
        (1200, "trial", "1,200 trials"),
        (1, "energy", "1 energy"),
        (2, "energy", "2 energies"),
        (3, "linear way", "3 linear ways"),
        (2, "class", "2 classes"),
    ],
)
def test_a_noun_agrees_with_its_count(count: int, noun: str, says: str) -> None:
    assert plural(count, noun) == says


@pytest.mark.parametrize(
    ("verb", "one"), [("are", "is"), ("have", "has"), ("do", "does"), ("lie", "lies")]
)
def test_a_verb_agrees_with_its_count(verb: str, one: str) -> None:
    assert agree(1, verb) == one
    assert agree(0, verb) == agree(2, verb) == verb
