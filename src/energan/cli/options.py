"""Options of the command line: how they are parsed, and those that many commands have.

Nothing here needs torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

import tyro

from energan.cli.help_text import cli
from energan.cli.parser_errors import one_sentence
from energan.errors import SettingError, describe
from energan.io.console import warn

RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="the run's folder")]
ImageSources = Annotated[
    list[str],
    tyro.conf.Positional,
    tyro.conf.arg(
        help="image files, folders, or data sources (of a named source its test part, or else "
        "its held-out part)"
    ),
]
PictureTarget = Annotated[
    Path,
    tyro.conf.arg(help="a .png grid, an .npz (array x), or a folder of PNG files"),
]
Weights = Annotated[
    Literal["ema", "raw"] | None,
    tyro.conf.arg(help="averaged or raw weights; by default averaged if the run has them"),
]
Checkpoint = Annotated[str, tyro.conf.arg(help="last, best, or a step")]
Threads = Annotated[int | None, tyro.conf.arg(help="number of CPU threads; by default all cores")]
ComputeDevice = Annotated[
    str, tyro.conf.arg(help="where to compute: auto, cpu, cuda, or cuda:1 for the second GPU")
]
StepSize = Annotated[
    float | None,
    tyro.conf.arg(
        help="step size ε of chains; by default as in training, or chosen from the data's range"
    ),
]
StepNoise = Annotated[
    str | None,
    tyro.conf.arg(help="standard deviation of a step's noise; coupled: √ε, with half the gradient"),
]
GradientClip = Annotated[
    str | None,
    tyro.conf.arg(help="clip each coordinate of the gradient to ± this; none: no clipping"),
]

Options = TypeVar("Options")
MOST = 10**9
"""Largest value of an integer option; a seed may be any integer."""


def parse(command: type[Options], args: list[str], prog: str) -> Options:
    """The options of a command, a dataclass. Raises SettingError if they are not its own, and for
    numbers that no machine counts to."""
    with one_sentence(prog, args):
        options = cli(command, args, prog)
    for name, value in vars(options).items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and abs(number) > MOST and name != "seed":
                option = f"--{name.replace('_', '-')}" if len(name) > 1 else f"-{name}"
                raise SettingError(f"{option} {describe(number)}: at most {MOST:,}")
    return options


class WithTarget(Protocol):
    """Options of a command that writes `out`."""

    @property
    def out(self) -> Path: ...


def target_of(options: WithTarget) -> Path:
    """Where a command writes, asked for just before: a line if it replaces a file that --out did
    not name."""
    by_default = options.out == getattr(type(options), "out", None)
    return default_target(options.out) if by_default else options.out


def default_target(path: Path) -> Path:
    """The path that a command writes to where --out names none; a line if it replaces a file. It is
    asked for once nothing is left to refuse."""
    if path.exists():
        warn(f"{path} exists and will be overwritten; --out names another file")
    return path


def check_file(path: Path | None, suffix: str, option: str = "--out") -> None:
    """Raise SettingError if a file to be written has another suffix, or is a folder."""
    if path is not None and (path.suffix.lower() != suffix or path.is_dir()):
        raise SettingError(f"{option} {path}: name a {suffix} file")


def take_positional(args: list[str]) -> tuple[str | None, list[str]]:
    """The recipe, which stands first, since the other options depend on it."""
    return (args[0], args[1:]) if args and not args[0].startswith("-") else (None, args)


def take_option(args: list[str], name: str) -> tuple[str | None, list[str]]:
    """One option and its value, read before the rest: which others there are depends on it."""
    for i, word in enumerate(args):
        if word == name and i + 1 < len(args):
            return args[i + 1], args[:i] + args[i + 2 :]
        if word.startswith(f"{name}="):
            return word.partition("=")[2], args[:i] + args[i + 1 :]
    return None, args


def without_options(args: list[str], names: Sequence[str]) -> list[str]:
    """The words less some options and their values."""
    for name in names:
        found: str | None = ""
        while found is not None:
            found, args = take_option(args, name)
    return args
