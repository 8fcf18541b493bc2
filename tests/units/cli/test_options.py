"""Options that are read before the rest, and files that commands write to."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from energan.cli.main import COMMANDS
from energan.cli.options import (
    check_file,
    parse,
    take_option,
    take_positional,
    target_of,
    without_options,
)
from energan.errors import SettingError
from energan.report.figures import FIGURES
from support.commands import refused


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


@dataclass
class Drawn:
    """Writes a picture."""

    out: Path = Path("drawn.png")


def test_a_file_of_a_default_name_is_not_replaced_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert target_of(parse(Drawn, [], "energan drawn")) == Path("drawn.png")
    assert capsys.readouterr().err == ""
    Path("drawn.png").touch()
    Path("other.png").touch()
    options = parse(Drawn, [], "energan drawn")
    assert capsys.readouterr().err == ""  # nothing is written yet
    target_of(options)
    said = capsys.readouterr().err
    assert said == "energan: drawn.png exists and will be overwritten; --out names another file\n"
    assert target_of(parse(Drawn, ["--out", "other.png"], "energan drawn")) == Path("other.png")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "default"),
    [
        (["sample", "nowhere"], "samples.png"),
        (["sample", "nowhere", "--chains", "4"], "samples.png"),
        (["interpolate", "nowhere"], "interpolation.png"),
        (["neighbours", "nowhere"], "neighbours.png"),
        (["compare", "nowhere", "nowhere"], "compare.png"),
        (["restore", "nowhere", "digits", "--mask", "top"], "restored.png"),
        (["arithmetic", "nowhere"], "arithmetic.png"),
        (["report", "nowhere", "nowhere"], "report.html"),
        (["landscape", "nowhere"], "landscape.png"),
        (["figures", "gan1d", "nowhere"], "figure-gan1d.png"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_refused_overwrites_nothing_and_does_not_say_so(
    words: list[str],
    default: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(default).write_text("mine", encoding="utf8")
    said = refused(capsys, *words)
    assert "nowhere" in said
    assert Path(default).read_text(encoding="utf8") == "mine"


def test_no_two_commands_have_one_default_name() -> None:
    """Pictures of different commands lie beside each other in the folder one works in."""
    names = [
        value.out.name
        for command in COMMANDS
        for value in vars(import_module(f"energan.cli.{command}")).values()
        if isinstance(value, type) and value.__module__ == f"energan.cli.{command}"
        if isinstance(getattr(value, "out", None), Path)
    ]
    names += ["landscape.png", *(f"figure-{kind}.png" for kind in FIGURES)]
    assert len(names) > 8
    assert len(set(names)) == len(names)
