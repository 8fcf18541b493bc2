"""`energan data`: what there is, what it looks like, and decoding it beforehand."""

import os
import shlex
import time
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.data_pictures import thumbnails
from energan.cli.options import Options, check_file, parse, take_positional
from energan.cli.settings_options import parse_with_settings
from energan.core import Domain
from energan.data import DataSet, DataSettings, TagSet, open_data, open_test_part
from energan.data.few_label_batches import choose_labelled
from energan.data.near_duplicates import MOST as MOST_COMPARED
from energan.data.near_duplicates import is_comparable, near_duplicates
from energan.data.sources.detect import folder_facts, open_source
from energan.data.sources.named import NAMED, folder_of
from energan.data.sources.pair_files import likely_pairs
from energan.errors import DataError, EnerganError, MixedSizes
from energan.experiment.settings import checked
from energan.io.console import show, table_of
from energan.io.files import aside
from energan.io.text import kind_of, plural

MOST = 20
"""Number of classes or tags to list."""
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
    lines = (*_about(found, settings), *_about_pairs(found, settings))
    for line in (*lines, *_about_near_duplicates(found, settings)):
        print(line)
    if options.out is not None:
        with aside(options.out) as made:
            thumbnails(found, options.n).save(made)
        print(f"drawn: {options.out}")
    return 0


def _about(found: DataSet, settings: DataSettings) -> list[str]:
    """What a source holds, a line for each of its parts."""
    domain = found.domain
    held_out = 0 if found.held_out is None else len(found.held_out)
    bounds = "unbounded" if domain.low is None else f"[{domain.low:g}, {domain.high:g}] in training"
    lines = [
        f"{found.name}: {len(found)} for training, {held_out} held out",
        f"shape: {_shape(domain)} {tuple(domain.shape)}",
        f"range: {bounds}",
        *map(str, found.facts),
    ]
    if domain.condition_shape is not None and domain.paired:
        sides = ", ".join(map(str, domain.condition_shape))
        lines.append(f"pairs: these are the targets; their sources have shape ({sides})")
    if isinstance(found, TagSet):
        lines += _about_tags(found)
    lines += _about_classes(found)
    if found.attributes is not None and found.attribute_names:
        shares = found.attributes.float().mean(0).tolist()
        pairs = [f"{n} {s:.1%}" for n, s in zip(found.attribute_names, shares, strict=True)]
        lines.append(f"attributes: {len(pairs)}: {', '.join(pairs)}")
    if found.skipped:
        lines.append(f"skipped: {len(found.skipped)} left out")
        lines += [f"  {where}: {reason}" for where, reason in found.skipped[:10]]
    size = found.events.numel() * found.events.element_size() / 2**20
    streamed = settings.storage == "stream"
    place = "memory (the first part; the rest is streamed)" if streamed else found.path or "memory"
    return [
        *lines,
        f"storage: {size:.1f} MiB in {place}",
        f"fingerprint: {found.fingerprint[:16]}",
    ]


def _about_pairs(found: DataSet, settings: DataSettings) -> list[str]:
    """That a folder which was not opened as pairs probably holds some, and what is for those."""
    folder: Path | None = Path(os.path.expanduser(settings.source))
    if settings.source in NAMED:
        folder = folder_of(settings.source)
    if found.domain.paired or folder is None or not folder.is_dir():
        return []
    why, name = likely_pairs(folder), shlex.quote(settings.source)
    if not why:
        return []
    return [
        f"pairs?: {why}; if they are pairs, `energan data show {name} --direction left-to-right` "
        f"shows them and `energan train pix2pix-folder --data {name}` trains on them"
    ]


def _about_near_duplicates(found: DataSet, settings: DataSettings) -> list[str]:
    """Of how many images that are not trained on nearly the same is."""
    if len(found.domain.shape) != 3 or found.domain.paired or settings.storage == "stream":
        return []
    if not is_comparable(found):
        return [
            f"near-duplicates: not checked, because there are more than {MOST_COMPARED:,} large "
            "images"
        ]
    try:
        test = open_test_part(settings)
    except DataError as error:
        return [f"near-duplicates: not checked: {error}"]
    parts, counts = {"held out": found.held_out, "of the test part": test}, []
    for name, part in parts.items():
        if part is not None and is_comparable(part):
            near = int((near_duplicates(found, part) >= 0).sum())
            counts.append(f"{near:,} of {plural(len(part), 'image')} {name}")
    if not counts:
        return []
    line = f"near-duplicates of training images: {', '.join(counts)}"
    if any(not count.startswith("0 ") for count in counts):
        line += (
            "; scores on these look better than they are (use --data.groups to keep similar "
            "images together)"
        )
    return [line]


def _shape(domain: Domain) -> str:
    if len(domain.shape) != 3:
        return f"points of {plural(domain.shape[0], 'number')}"
    channels, height, width = domain.shape
    return f"{width}x{height}, {kind_of(channels)}"


def _about_tags(found: TagSet) -> list[str]:
    kept = 0 if found.kept is None else len(found.kept.tags)
    shares = found.tags.mean(0)
    frequent = (-shares).argsort(kind="stable")
    return [
        f"images: {len(found.tags)} for training, {kept} held out, {found.features.shape[1]} "
        "features each; each tag of an image is one example, its word vector",
        f"tags: {_listed([f'{found.names[i]} {shares[i]:.1%}' for i in frequent])}",
    ]


def _about_classes(found: DataSet) -> list[str]:
    """Events of each class, and of data that are partly labelled how many have one."""
    if found.labels is None or not found.domain.classes:
        return []
    classes = found.domain.classes
    names = found.class_names or tuple(map(str, range(classes)))
    labels = found.labels[found.labels >= 0]
    counts = labels.bincount(minlength=classes).tolist()
    each = [f"{name} {count}" for name, count in zip(names, counts, strict=True)]
    lines = [f"classes: {_listed(each)}"]
    if len(labels) == len(found) and found.labelled is None:
        return lines
    kept = found.held_out
    more = 0 if kept is None or kept.labels is None else int((kept.labels >= 0).sum())
    whole = plural(len(found), f"training {found.domain.noun}")
    line = f"labels: {len(labels)} of {whole}, and {more} held out"
    if found.labelled is not None:
        choose_labelled(
            found.labels, classes, found.labelled, 0, found.class_names
        )  # raises if too few
        line += (
            f"; {found.labelled} of them used, the same number of each class, chosen by the seed"
        )
        line += "" if found.groups is None else ", from as few groups as possible"
    return [*lines, line]


def _listed(each: list[str]) -> str:
    """Their number, and the first of them."""
    more = f", … {len(each) - MOST} more" if len(each) > MOST else ""
    return f"{len(each)}: {', '.join(each[:MOST])}{more}"


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
