"""A data set in words, a line for each of its parts: what there is, and what was left out."""

import os
import shlex
from pathlib import Path

from energan.core import Domain
from energan.data.dataset import DataSet
from energan.data.few_label_batches import choose_labelled
from energan.data.near_duplicates import MOST as MOST_COMPARED
from energan.data.near_duplicates import is_comparable, near_duplicates
from energan.data.open import open_test_part
from energan.data.settings import DataSettings
from energan.data.sources.named import NAMED, folder_of
from energan.data.sources.pair_files import likely_pairs
from energan.data.tagged import TagSet
from energan.errors import DataError
from energan.io.text import kind_of, plural

MOST = 20
"""Number of classes or tags to list."""


def describe_data(found: DataSet, settings: DataSettings) -> list[str]:
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


def pair_lines(found: DataSet, settings: DataSettings) -> list[str]:
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


def near_duplicate_lines(found: DataSet, settings: DataSettings) -> list[str]:
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
