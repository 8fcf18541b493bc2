"""`energan data`: what there is, what it looks like, and decoding it beforehand."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from energan.cli.options import parse, show, table_of
from energan.errors import DataError, EnerganError

if TYPE_CHECKING:
    from energan.data import DataSet, TagSet
import io
import math

import torch
from PIL import Image, ImageDraw, ImageFont

from energan.data import DataSet, PairSet
from energan.io.pictures import grid, is_image, scatter, strips

USAGE = """usage: energan data [COMMAND] ...

  (none), list       the named sources, and what is found of them
  show SOURCE        how many images, their shape, range and classes; --out grid.png draws some
  prepare SOURCE     decode into the cache beforehand, as with --size 64

SOURCE is a name of the list, hub:OWNER/NAME, or a path; `energan data show --help` lists options.
"""


def data(args: list[str]) -> int:
    verbs = {"list": _list, "show": _show, "prepare": _prepare}
    if args and args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if args and args[0] not in verbs:
        raise EnerganError(
            f"energan data has no {args[0]!r}; it has list, show and prepare: did you mean "
            f"`energan data show {args[0]}`?"
        )
    return verbs[args[0] if args else "list"](args[1:])


def _list(args: list[str]) -> int:
    @dataclass
    class List:
        """The named sources, and what is found of them."""

    parse(List, args, "energan data list")
    from energan.data.sources.named import NAMED, folder_of

    table = table_of("source", "images", "found", "what", "form")
    for name, found in NAMED.items():
        folder = folder_of(name)
        where = "comes with energan" if found.form is None else str(folder or "not found")
        count = "" if where == "not found" else _count(name)
        table.add_row(name, count, where, found.about, found.form or "")
    show(table)
    print(
        "Named sources lie in the folder of their name in $ENERGAN_DATA. Any folder of images, "
        "Parquet\nor Arrow table, .npy, .npz, .mat or IDX file is a source too, by its path; "
        "hub:OWNER/NAME is a\ndata set of the hub."
    )
    return 0


def _count(name: str) -> str:
    """How many events of the training part the source `name` holds; none is decoded."""
    from energan.data.settings import DataSettings
    from energan.data.sources.detect import open_source

    try:
        return f"{open_source(DataSettings(source=name), 'train').count:,}"
    except DataError:
        return "unsuitable"  # `energan data show` tells why


def _show(args: list[str]) -> int:
    import tyro

    @dataclass(kw_only=True)
    class Show:
        """What a source holds once it is prepared as asked."""

        out: Path | None = None
        """draw training images in a grid, a row for each class if they are few, as a .png"""
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
        """how many to draw"""

    asked, settings = _parse(Show, args, "show")
    if asked.out is not None and asked.out.suffix != ".png":
        raise EnerganError(f"--out {asked.out}: name a .png file")
    if asked.n < 1:
        raise EnerganError(f"-n {asked.n}: draw at least one")
    from energan.data import open_data

    found = open_data(settings)
    for line in _about(found, settings):
        print(line)
    if asked.out is not None:
        pass  # DROPPED

        asked.out.parent.mkdir(parents=True, exist_ok=True)
        thumbnails(found, asked.n).save(asked.out)
        print(f"drawn: {asked.out}")
    return 0


def _about_tags(found: "TagSet") -> list[str]:
    kept = 0 if found.kept is None else len(found.kept.tags)
    shares = found.tags.mean(0)
    most = [f"{found.names[i]} {shares[i]:.1%}" for i in (-shares).argsort(kind="stable")[:20]]
    more = f", … {len(shares) - 20} more" if len(shares) > 20 else ""
    return [
        f"images: {len(found.tags)} for training, {kept} held out, {found.features.shape[1]} "
        "features each; each tag of an image is an event, its vector the point",
        f"tags: {len(shares)}: {', '.join(most)}{more}",
    ]


def _about_labels(found: "DataSet", told: int) -> str:
    kept = found.held_out
    more = 0 if kept is None or kept.labels is None else int((kept.labels >= 0).sum())
    line = f"labels: {told} of {len(found)} training events have one, and {more} held out"
    if found.labelled is None:
        return line
    from energan.data.few_label_batches import chosen

    assert found.labels is not None
    assert found.domain.classes
    chosen(found.labels, found.domain.classes, found.labelled, 0, found.class_names)
    return f"{line}; {found.labelled} of them are kept, of each class alike, chosen by the seed"


def _about(found: Any, settings: Any) -> list[str]:
    from energan.data import TagSet

    domain = found.domain
    held_out = 0 if found.held_out is None else len(found.held_out)
    bounds = "unbounded" if domain.low is None else f"[{domain.low:g}, {domain.high:g}] in training"
    if len(domain.shape) == 3:
        channels, height, width = domain.shape
        kind = {1: "grey", 3: "colour"}[channels]
        shape = f"{width}x{height}, {kind}"
    else:
        shape = f"points of {domain.shape[0]} numbers"
    lines = [
        f"{found.name}: {len(found)} for training, {held_out} held out",
        f"shape: {shape} {tuple(domain.shape)}",
        f"range: {bounds}",
    ]
    if domain.paired:
        sides = ", ".join(map(str, domain.condition_shape))
        lines.append(f"pairs: each of these is a target, made of a source of shape ({sides})")
    if isinstance(found, TagSet):
        lines += _about_tags(found)
    if found.labels is not None and domain.classes:
        names = found.class_names or tuple(map(str, range(domain.classes)))
        told = found.labels[found.labels >= 0]
        counts = told.bincount(minlength=domain.classes).tolist()
        pairs = [f"{name} {count}" for name, count in zip(names, counts, strict=True)]
        more = f", … {len(pairs) - 20} more" if len(pairs) > 20 else ""
        lines.append(f"classes: {len(pairs)}: {', '.join(pairs[:20])}{more}")
        if len(told) < len(found) or found.labelled is not None:
            lines.append(_about_labels(found, len(told)))
    if found.attributes is not None and found.attribute_names:
        shares = found.attributes.float().mean(0).tolist()
        pairs = [f"{n} {s:.1%}" for n, s in zip(found.attribute_names, shares, strict=True)]
        lines.append(f"attributes: {len(pairs)}: {', '.join(pairs)}")
    if found.skipped:
        lines.append(f"skipped: {len(found.skipped)} left out")
        lines += [f"  {where}: {reason}" for where, reason in found.skipped[:10]]
    size = found.events.numel() * found.events.element_size() / 2**20
    streamed = settings.storage == "stream"
    where = "memory, of the first; the rest is streamed" if streamed else found.path or "memory"
    lines.append(f"storage: {size:.1f} MiB in {where}")
    lines.append(f"fingerprint: {found.fingerprint[:16]}")
    return lines


def _prepare(args: list[str]) -> int:
    import time

    @dataclass(kw_only=True)
    class Prepare:
        """Decode a source into the cache, so that training starts at once."""

    _, settings = _parse(Prepare, args, "prepare")
    from energan.data import open_data

    begun, clock = time.time(), time.perf_counter()
    found = open_data(settings.model_copy(update={"storage": "cache"}))
    if found.path is None:
        print(f"{found.name} is held in memory as it is: there is nothing to decode")
        return 0
    took = time.perf_counter() - clock
    held_out = 0 if found.held_out is None else len(found.held_out)
    there = (found.path.parent / "index.json").stat().st_mtime < begun
    print(
        f"{found.name}: {len(found) + held_out} images of {tuple(found.events.shape[1:])}, "
        f"{found.path.stat().st_size / 2**20:.0f} MiB in {found.path}, "
        f"{'were there already' if there else f'decoded in {took:.1f} s'}; "
        f"{len(found.skipped)} could not be read"
    )
    print("train on them with the same settings and --data.storage cache")
    return 0


def _parse(command: type[Any], args: list[str], verb: str) -> tuple[Any, Any]:
    """The command's own options, and the data settings: the first word is the source."""
    from energan.cli.settings_options import changes
    from energan.cli.settings_options import parse as parse_settings
    from energan.data.settings import DataSettings
    from energan.experiment.settings import checked

    source = args[0] if args and not args[0].startswith("-") else None
    rest = args[1:] if source is not None else args
    if source is None and not {"-h", "--help"} & set(args):
        raise EnerganError(f"name a source: `energan data {verb} mnist`; `energan data` lists them")
    defaults = DataSettings(source=source or "digits")
    asked = parse_settings(command, defaults, rest, f"energan data {verb} SOURCE")
    found = changes(defaults, asked.settings)
    return asked, checked(DataSettings, {**defaults.model_dump(), **found})


MOST_CLASSES = 20
"""Classes that get a row of their own."""
POINTS = 5000
MARGIN, GAP = 6, 4


def thumbnails(data: DataSet, count: int) -> Image.Image:
    """About `count` training events, spread over the set: by class where there are few, else in
    a square. Points are plotted. Raises DataError for what cannot be drawn."""
    if not is_image(data.domain):
        return _plot(data)
    if isinstance(data, PairSet):
        return _pairs(data, count)
    classes = data.domain.classes or 0
    if data.labels is None or not 1 < classes <= min(MOST_CLASSES, count):
        return grid(data.gather(_spread(torch.arange(len(data)), count)).x, data.domain)
    each, rows = count // classes, []
    columns = min(each, math.ceil(math.sqrt(count)))
    names = data.class_names or tuple(map(str, range(classes)))
    for label, name in [*enumerate(names), (-1, "(no label)")]:
        members = _spread((data.labels == label).nonzero().flatten(), each)
        if len(members):
            images = data.gather(members).x
            rows.append((name, grid(images, data.domain, columns)))
    return _stacked(rows)


def _pairs(data: PairSet, count: int) -> Image.Image:
    """Each source before its target."""
    batch = data.gather(_spread(torch.arange(len(data)), count))
    assert batch.condition is not None
    x, domain = strips([batch.condition, batch.x], data.domain)
    return grid(x, domain, 2 * math.ceil(math.sqrt(len(batch.x) / 2)))


def _spread(indices: torch.Tensor, count: int) -> torch.Tensor:
    """`count` of the indices at equal distances, or all of them."""
    count = min(count, len(indices))
    return indices[torch.arange(count) * len(indices) // max(count, 1)]


def _stacked(rows: list[tuple[str, Image.Image]]) -> Image.Image:
    """Rows of images below one another, each after its name."""
    font = ImageFont.load_default(12)
    left = max(int(font.getlength(_short(name))) for name, _ in rows) + 2 * MARGIN
    width = left + max(row.width for _, row in rows)
    height = sum(row.height + GAP for _, row in rows)
    sheet = Image.new("RGB", (width, height), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for name, row in rows:
        sheet.paste(row, (left, top))
        pen.text((MARGIN, top + row.height // 2), _short(name), "black", font, anchor="lm")
        top += row.height + GAP
    return sheet


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _plot(data: DataSet) -> Image.Image:
    if len(data.domain.shape) != 1:
        raise DataError(f"{data.name} has events of shape {data.domain.shape}: no picture of them")
    points = data.gather(_spread(torch.arange(len(data)), POINTS)).x
    drawn = io.BytesIO()
    figure = scatter(points)
    legend = figure.axes[0].get_legend()
    if legend is not None:
        legend.remove()  # there are only data
    figure.savefig(drawn, dpi=100)
    return Image.open(drawn)
