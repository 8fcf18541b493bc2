"""What the option parser says of wrong words, as one sentence instead of a framed box.

Nothing here needs torch.
"""

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from difflib import get_close_matches

from energan.errors import SettingError

WIDE = "100000"
"""Terminal width at which the parser breaks no line."""
KINDS = {"INT": "an integer", "FLOAT": "a number"}


@contextmanager
def one_sentence(prog: str, args: Sequence[str]) -> Iterator[None]:
    """Within it, wrong words raise SettingError where the parser would print a box and exit.

    prog: the command, as "energan sample". `--help` is printed, and exits, as ever.
    """
    if {"-h", "--help"} & set(args):
        yield
        return
    told, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDE
    try:
        with redirect_stderr(told):
            yield
    except SystemExit as end:
        if end.code != 2:
            raise
        raise SettingError(sentence(told.getvalue(), prog)) from None
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def sentence(box: str, prog: str) -> str:
    """What a box of the parser says below its title, with the remedy."""
    lines = [line.strip(" │") for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()[1:]]
    says, *more = [line for line in lines if re.search(r"[^-─╰╯]", line)] or ["wrong options"]
    remedy = f"`{prog} --help` lists the options"
    if found := re.match(r"Unrecognized options: (.+?)(, |$)", says):
        return _unknown(found[1], more, remedy)
    if says.startswith("Missing from "):
        return f"missing: {_missing(more)}; {remedy}"
    if found := re.match(r"Missing value for argument '(.*?)'", says):
        return f"{_option(found[1])} needs a value; {remedy}"
    if found := re.match(r"invalid choice '(.*)' for argument '(.*?)'.*one of \((.*)\)", says):
        choices = sorted(set(re.findall(r"'(.*?)'", found[3])) - {"None"})
        return f"{_option(found[2])} {found[1]}: choose one of {', '.join(choices)}"
    if found := re.match(r"Error parsing (\S+): (.*)", says):
        given = " ".join(re.findall(r"'(.*?)'", found[2]))
        usage = " ".join(more)
        kind = next(
            (k for sign, k in KINDS.items() if re.search(rf"\b{sign}\b", usage)), "other values"
        )
        return f"{_option(found[1])} {given}: give {kind}; {remedy}"
    return f"{says}; {remedy}"


def _unknown(word: str, more: Sequence[str], remedy: str) -> str:
    if not word.startswith("-"):
        return f"unexpected argument {word!r}; {remedy}"
    usage = " ".join(line for line in more if line.startswith("-"))
    close = get_close_matches(word.partition("=")[0], re.findall(r"--?[a-z][\w.-]*", usage), 1)
    of = ", which this model does not have" if word.startswith("--model.") else ""
    return f"no option {word}" + (f"; did you mean {close[0]}?" if close else f"{of}; {remedy}")


def _missing(more: Sequence[str]) -> str:
    """The first option that is missing, or what a word without an option means."""
    usage, about = more[0], more[1].removesuffix("(required)").strip()
    return usage.split()[0] if usage.startswith("-") else about


def _option(names: str) -> str:
    """The first of -n/--n, --steps/--training.steps."""
    return names.split("/")[0]
