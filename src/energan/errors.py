"""The exception tree, and how values stand in its messages. It needs no torch."""

import unicodedata


class EnerganError(Exception):
    """Something went wrong that the user can mend; the message says what and how, on one line."""

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))  # names of files, columns and arrays may hold anything


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
