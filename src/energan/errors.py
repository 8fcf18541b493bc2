"""The exception tree, and how its messages are worded. It needs no torch.

Messages name settings and arguments as options of the commands, `--model.margin`. Whoever calls
energan from Python reads their names there, `model.margin`.
"""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager


class EnerganError(Exception):
    """Something went wrong that the user can mend; the message says what and how, on one line."""

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))  # names of files, columns and arrays may hold anything

    def __str__(self) -> str:
        return worded(str(self.args[0]))


class SettingError(EnerganError):
    """A setting, recipe or model that does not exist or does not fit."""


class DataError(EnerganError):
    """A data source that is missing, empty, unreadable or unsuitable."""


class NoTestPart(DataError):
    """A source without a test part, or whose test part has none of the wanted classes."""


class NoReadableImage(DataError):
    """A source none of whose images can be read."""


class MixedSizes(DataError):
    """Images of different sizes, where no size was set that all are brought to."""


class NothingHeldOut(DataError):
    """A source all of whose events were trained on."""


class RunError(EnerganError):
    """A run folder that is missing, in use or already taken."""


class CheckpointError(EnerganError):
    """A checkpoint that is missing, torn, altered or of another shape."""


class OtherRankError(EnerganError):
    """The first of several processes failed and has said why; this one ends with it, silently."""


class DivergenceError(EnerganError):
    """A loss stopped being finite; the message names the term and the step."""

    exit_code = 3


class BlowUpError(DivergenceError):
    """Chains, or the energy they walk on, went wild while all numbers were finite.

    since: the last step before it began, as far as the log tells.
    """

    def __init__(self, message: str, since: int) -> None:
        super().__init__(message)
        self.since = since


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended the work; the message says what is kept and how to go on.

    signal: the name of the one that came.
    """

    def __init__(self, message: str = "", signal: str = "SIGINT") -> None:
        super().__init__(*([printable(message)] if message else []))
        self.signal = signal


def describe(value: object) -> str:
    """`value` as it may stand in an error message: short, on one line."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= 80 else text[:77] + "..."


def printable(value: object) -> str:
    """`value` on one line, with what no terminal or UTF-8 file can hold escaped: names of files are
    any bytes, such as line ends, codes for the terminal, and Latin-1."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in UNPRINTABLE else c for c in text)


UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, halves of characters, and separators of lines and paragraphs."""


def _escaped(character: str) -> str:
    code = ord(character)
    # Python keeps a byte that is no UTF-8 as half of a character
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(character)[1:-1]


# --- for commands, and for Python -----------------------------------------------------------------

_for_commands = False
_COMMAND = re.compile(r"`[^`]*`|\benergan [a-z]+\b[^`;,)]*")
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*(?:\.[a-z][a-z0-9_-]*)*)")
_NAMES = {
    "from": "from_run", "ood": "other_data", "size": "data.size", "limit": "data.limit",
    "keep-best": "output.keep_best", "on-divergence": "training.on_divergence",
    "precision": "engine.precision", "device": "engine.device", "threads": "engine.threads",
}  # fmt: skip
"""Options whose arguments or settings have other names."""


@contextmanager
def messages_for_commands() -> Iterator[None]:
    """Within it messages name the options of commands."""
    global _for_commands
    before, _for_commands = _for_commands, True
    try:
        yield
    finally:
        _for_commands = before


def worded(message: str) -> str:
    """A message for whoever reads it: a command's user, or a caller from Python."""
    return message if _for_commands else for_python(message)


def for_python(message: str) -> str:
    """Options as the arguments and settings that they are: "--data.random-crop 8" becomes
    "data.random_crop 8". Whole commands stay."""
    parts, end = [], 0
    for command in _COMMAND.finditer(message):
        parts += [_OPTION.sub(_name, message[end : command.start()]), command[0]]
        end = command.end()
    return "".join([*parts, _OPTION.sub(_name, message[end:])])


def _name(option: re.Match[str]) -> str:
    group, dot, name = option[1].rpartition(".")
    if dot and name.startswith("no-"):
        return f"{group}.{name.removeprefix('no-')} False".replace("-", "_")
    return _NAMES.get(option[1], option[1].replace("-", "_"))
