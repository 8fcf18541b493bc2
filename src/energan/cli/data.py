"""`energan data`: what there is, what it looks like, and decoding it beforehand."""

import shlex
import time
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.options import Options, check_file, parse, take_positional
from energan.cli.settings_options import parse_with_settings
from energan.data import DataSettings, open_data
from energan.data.description import describe_data, near_duplicate_lines, pair_lines
from energan.data.sources.detect import folder_facts, open_source
from energan.data.sources.named import NAMED, folder_of
from energan.data.thumbnails import thumbnails
from energan.errors import DataError, EnerganError, MixedSizes
from energan.experiment.settings import checked
from energan.io.console import show, table_of
from energan.io.files import aside
from energan.io.text import plural

USAGE = """usage: energan data [COMMAND] ...

> (none), list list the named sources and what is found of them
  show SOURCE        number of examples, shape, range and classes; --out grid.png draws some
  prepare SOURCE     decode into the cache before training, for example with --size 64

SOURCE is a name from the list, hub:OWNER/NAME, or a path. `energan data show --help` lists the
options. They may also be written as for training: --size is --data.size.
"""


@dataclass
class List:
    """The named sources, and what is found of them."""


@dataclass(kw_only=True)
class Show:
    """What a source holds once it is prepared as options."""

    out: Path | None = None
    """draw training images in a grid and write it to this .png; if there are few classes, one row
    each"""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    """number of images to draw"""


@dataclass(kw_only=True)
class Prepare:
    """Decode a source into the cache, so that training starts at once."""


def data(args: list[str]) -> int:
    verbs = {"list": _list, "show": _show, "prepare": _prepare}
    if args and args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if args and args[0] not in verbs:
        meant = get_close_matches(args[0], verbs, 1)
        words = [*meant, *args[1:]] if meant else ["show", *args]
        raise EnerganError(
            f"no such command: energan data {args[0]!r}; the commands are list, show and "
            f"prepare: did you mean `energan data {shlex.join(words)}`?"
        )
    return verbs[args[0] if args else "list"](args[1:])


def _list(args: list[str]) -> int:
    parse(List, args, "energan data list")
    table = table_of("source", "examples", "found", "what", "form")
    for name, found in NAMED.items():
        folder = folder_of(name)
        where = "included in energan" if found.form is None else str(folder or "not found")
        count = "" if where == "not found" else _count(name)
        table.add_row(name, count, where, found.about, found.form or "")
    show(table)
    print(
        "Put named sources in folders of these names in $ENERGAN_DATA. Any folder of images, "
        "Parquet or Arrow table, .npy, .npz, .mat or IDX file is a source too: give its path. "
        "hub:OWNER/NAME is a data set on the Hugging Face hub."
    )
    return 0


def _count(name: str) -> str:
    """How many examples of the training part the source `name` holds; none is decoded."""
    try:
        return f"{open_source(DataSettings(source=name), 'train').count:,}"
    except DataError:
        return "unsuitable"  # `energan data show` tells why


def _show(args: list[str]) -> int:
    options, settings = _parse(Show, args, "show")
    check_file(options.out, ".png")
    if options.n < 1:
        raise EnerganError(f"-n {options.n}: give at least 1")
    try:
        found = open_data(settings)
    except MixedSizes as error:
        if options.out is not None or not (facts := folder_facts(settings)):
            raise
        print("\n".join([*map(str, facts), f"shape: not known yet: {error}"]))
        return 0
    lines = (*describe_data(found, settings), *pair_lines(found, settings))
    for line in (*lines, *near_duplicate_lines(found, settings)):
        print(line)
    if options.out is not None:
        with aside(options.out) as made:
            thumbnails(found, options.n).save(made)
        print(f"drawn: {options.out}")
    return 0


def _prepare(args: list[str]) -> int:
    _, settings = _parse(Prepare, args, "prepare")
    begun, clock = time.time(), time.perf_counter()
    found = open_data(settings.model_copy(update={"storage": "cache"}))
    if found.path is None:
        print(f"{found.name} is read into memory directly: it needs no decoding")
        return 0
    took = time.perf_counter() - clock
    held_out = 0 if found.held_out is None else len(found.held_out)
    there = (found.path.parent / "index.json").stat().st_mtime < begun
    print(
        f"{found.name}: {plural(len(found) + held_out, 'image')} of "
        f"{tuple(found.events.shape[1:])}, {found.path.stat().st_size / 2**20:.0f} MiB in "
        f"{found.path}, {'were already there' if there else f'decoded in {took:.1f} s'}; "
        f"{len(found.skipped)} could not be read"
    )
    print("to use them, train with the same settings and --data.storage cache")
    return 0


def _parse(command: type[Options], args: list[str], verb: str) -> tuple[Options, DataSettings]:
    """The command's own options, and the data settings: the first word is the source."""
    source, rest = take_positional(args)
    if source is None and not {"-h", "--help"} & set(args):
        raise EnerganError(f"name a source: `energan data {verb} mnist`; `energan data` lists them")
    # messages, which training gives too, name settings in full: --data.size
    rest = [
        f"--{word.removeprefix('--data.')}" if word.startswith("--data.") else word for word in rest
    ]
    defaults = checked(DataSettings, {"source": source or "digits"})
    prog = f"energan data {verb} SOURCE"
    options, changes = parse_with_settings(command, defaults, rest, prog)
    return options, checked(DataSettings, {**defaults.model_dump(), **changes})
