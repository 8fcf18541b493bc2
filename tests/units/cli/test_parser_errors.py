"""Wrong words on the command line: one plain sentence, exit code 2."""

import os

import pytest
from tests.support.commands import refused, run

from energan.cli.parser_errors import sentence

HELP = "; `energan sample --help` lists the options"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "x", "--sede", "3"], "no option --sede; did you mean --seed?"),
        (["train", "ebgan-digits", "--model.margn", "3"], "did you mean --model.margin?"),
        (["sample", "x", "--zzz"], f"no option --zzz{HELP}"),
        (["sample", "x", "--seed"], f"--seed needs a value{HELP}"),
        (["sample", "x", "-n", "abc"], f"-n abc: give an integer{HELP}"),
        (["sample", "x", "--anneal", "0.x"], f"--anneal 0.x: give a number{HELP}"),
        (["train", "ebgan-digits", "--model.encoder", "3", "a"], "--model.encoder 3 a: give a"),
        (["sample", "x", "--weights", "mean"], "--weights mean: choose one of ema, raw"),
        (["runs", "a", "b"], "unexpected argument 'b'; `energan runs --help` lists"),
        (["score"], "missing: the run's folder; `energan score --help` lists the options"),
        (["features", "digits"], "missing: --with; `energan features --help` lists the options"),
        (["sweep", "margin-sweep", "--cpus", "x"], "--cpus x: give a number"),
        (["data", "show", "digits", "--size", "x"], "--size x: give an integer"),
    ],
)
def test_each_wrong_word_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert says in refused(capsys, *words)


def test_a_narrow_terminal_breaks_no_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    word = "--" + "x" * 100
    assert f"no option {word};" in refused(capsys, "sample", "x", word)
    assert os.environ["COLUMNS"] == "40"


BOX = "╭─ New kind ─╮\n│ \x1b[1mThis is so\x1b[0m │\n│ ────── │\n│ Try that │\n╰────────────╯\n"
PLAIN = " New kind \n ------ \n  This is so  \n  ------\n  Try that  \n"


@pytest.mark.parametrize("box", [BOX, PLAIN])
def test_a_box_of_another_kind_is_told_as_it_is(box: str) -> None:
    assert sentence(box, "energan sample") == f"This is so{HELP}"


def test_help_is_printed_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run("sample", "--help")
    assert left.value.code == 0
    assert "--chains" in capsys.readouterr().out
