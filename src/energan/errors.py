"""The exception tree, and how its messages are worded. It needs no torch.

Messages name settings and arguments as options of the commands, `--model.margin`. Whoever calls
energan from Python reads their names there, `model.margin`.
"""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager


class EnerganError(Exception):
    """Base class of errors that the user can fix. The message, one line, says what is wrong and how
    to fix it.
    """

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))  # names of files, columns and arrays may hold anything

    def __str__(self) -> str:
        return worded(str(self.args[0]))


class SettingError(EnerganError):
    """A setting, recipe or model does not exist, or does not fit the others."""


class DataError(EnerganError):
    """A data source is missing, empty, unreadable or unsuitable."""


class NoTestPart(DataError):
    """A source has no test part, or a test part without any of the wanted classes."""


class NoReadableImage(DataError):
    """None of the images of a source can be read."""


class MixedSizes(DataError):
    """Images have different sizes, and no common size was set."""


class NothingHeldOut(DataError):
    """All examples of a source were used for training."""


class RunError(EnerganError):
    """A run folder is missing, in use or already taken."""


class CheckpointError(EnerganError):
    """A checkpoint is missing, incomplete, altered or of another shape."""


class OtherRankError(EnerganError):
    """Another process of the same training failed; its own message says why."""


class DivergenceError(EnerganError):
    """A loss is no longer finite. The message names the term and the step."""

    exit_code = 3


class BlowUpError(DivergenceError):
    """The energy or its chains ran away while all numbers were still finite.

    Args:
        message: what happened.
        since: the last step before it began, as far as the log shows.
    """

    def __init__(self, message: str, since: int) -> None:
        super().__init__(message)
        self.since = since


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM stopped the work. The message says what was kept and how to continue.

    Args:
        message: what was kept.
        signal: name of the signal, "SIGINT" or "SIGTERM".
    """

    def __init__(self, message: str = "", signal: str = "SIGINT") -> None:
        super().__init__(*([printable(message)] if message else []))
        self.signal = signal


_NO_MEMORY = (
    "out of memory", "not enough memory", "allocate memory", "ALLOC_FAILED", "bad_alloc",
)  # fmt: skip
_GPU_FAILED = ("CUDA error", "HIP error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", "NCCL")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine, or its GPU, has no more memory: torch says so in many ways."""
    text = str(error)
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)


def is_gpu_failure(error: BaseException) -> bool:
    """Whether a GPU failed, after which it is lost to this process: all it does there fails too."""
    if isinstance(error, EnerganError) or is_out_of_memory(error):
        return False
    return any(words in str(error) for words in _GPU_FAILED)


def describe(value: object) -> str:
    """Shorten a value to at most 80 characters on one line, for an error message."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= 80 else text[:77] + "..."


def printable(value: object) -> str:
    """Return `value` on one line, with characters escaped that a terminal or a UTF-8 file cannot
    hold.

    Names of files may contain any bytes: line ends, terminal codes, Latin-1.
    """
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
    """Context manager within which messages name options of commands."""
    global _for_commands
    before, _for_commands = _for_commands, True
    try:
        yield
    finally:
        _for_commands = before


def worded(message: str) -> str:
    """Return a message for whoever reads it: with options in a command, arguments in Python."""
    return message if _for_commands else for_python(message)


def for_python(message: str) -> str:
    """Replace options by the arguments and settings that they stand for.

    "--data.random-crop 8" becomes "data.random_crop 8"; whole commands stay as they are.
    """
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
