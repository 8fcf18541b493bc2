"""Options that are read before the rest, and files that commands write to."""

from pathlib import Path

import pytest

from energan.cli.options import check_file, take_option, take_positional, without_options
from energan.errors import SettingError


def test_an_option_is_taken_with_its_value_in_either_form() -> None:
    assert take_option(["a", "--scale", "1/6", "b"], "--scale") == ("1/6", ["a", "b"])
    assert take_option(["a", "--scale=1/6", "b"], "--scale") == ("1/6", ["a", "b"])
    assert take_option(["a", "--scale"], "--scale") == (None, ["a", "--scale"])  # no value
    assert take_option(["--scaled", "2"], "--scale") == (None, ["--scaled", "2"])


def test_the_recipe_is_a_first_word_that_is_no_option() -> None:
    assert take_positional(["ebgan-digits", "--seed", "1"]) == ("ebgan-digits", ["--seed", "1"])
    assert take_positional(["--seed", "1"]) == (None, ["--seed", "1"])
    assert take_positional([]) == (None, [])


def test_options_go_wherever_and_however_often_they_stand() -> None:
    words = ["--out", "a", "x", "--seed=3", "--out=b", "--steps", "5"]
    assert without_options(words, ["--out", "--seed"]) == ["x", "--steps", "5"]


def test_a_file_to_be_written_has_the_suffix_and_is_no_folder(tmp_path: Path) -> None:
    check_file(None, ".csv")
    check_file(tmp_path / "new" / "scores.csv", ".csv")
    check_file(tmp_path / "SCORES.CSV", ".csv")
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "scores.txt", tmp_path / "folder.csv", tmp_path):
        with pytest.raises(SettingError, match=r"^--table .*: name a \.csv file$"):
            check_file(path, ".csv", "--table")
