"""Which of a source's events are used: the wanted classes, the held-out part, the limit."""

import difflib
import unicodedata
from dataclasses import dataclass

import torch
from torch import Tensor

from energan.core import DataError, NoTestPart
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.data.sources.splits import Split
from energan.io.text import plural


@dataclass(frozen=True)
class Selection:
    """Rows of a source, int64: those to train on (or to test on), in order, and those held out.

    labels: int64 of all the source's rows, renumbered if classes were chosen, -1 of those that are
        of no chosen class; or None.
    class_names: of these labels.
    """

    training: Tensor
    held_out: Tensor
    labels: Tensor | None
    class_names: tuple[str, ...] | None


def select(source: Source, settings: DataSettings, split: Split) -> Selection:
    """Which rows to use; events without a label belong to any choice of classes.

    Where only some events have labels, these stand first, so that data.limit keeps them, and are
    not among those held out unless data.held_out asks for some: a user's few labels are to learn
    from. A group stays together in this too: it is as one event that has a label if any of it has.

    Raises DataError for classes that are not there, and numbers that the source cannot meet.
    """
    rows = torch.arange(source.count) if source.order is None else source.order
    labels, names, kept = source.labels, source.class_names, source.held_out
    loose = None if labels is None or not bool((labels < 0).any()) else labels < 0
    if loose is not None and not settings.unlabelled:
        used = ~loose[rows]
        kept, rows, loose = round(kept * int(used.sum()) / len(rows)), rows[used], None
    if settings.classes:
        try:
            labels, names = _renumber(source, settings.classes)
        except DataError as error:
            if split == "test":  # its labels may be kept secret, or be of other classes
                raise NoTestPart(str(error)) from None
            raise
        used = labels[rows] >= 0 if loose is None else (labels[rows] >= 0) | loose[rows]
        kept = round(kept * int(used.sum()) / len(rows))
        rows = rows[used]
    if split == "test":
        return Selection(rows, rows[:0], labels, names)
    if loose is not None and settings.held_out is None:
        bare = loose if source.groups is None else _bare_groups(source.groups, loose)
        rows = _put_labelled_first(rows, bare)
        kept = min(kept, int(bare[rows].sum()))
    held_out = kept if settings.held_out is None else settings.held_out
    left, together = len(rows) - held_out, ""
    if source.groups is not None and 0 < left < len(rows):
        left = _between_groups(source.groups[rows], left)
        what = "file" if settings.groups is None else "group"
        together = f", because examples of one {what} stay together"
    if left < 1:
        raise DataError(
            f"{source.name} has {plural(len(rows), 'example')}: holding out {held_out:,} leaves "
            f"none to train on{together}; lower data.held_out"
        )
    if settings.limit is not None and settings.limit > left:
        raise DataError(
            f"{source.name} has {plural(left, 'training example')} and {len(rows) - left:,} held "
            f"out: data.limit {settings.limit:,} is too large"
        )
    training = rows[:left] if loose is None else _put_labelled_first(rows[:left], loose)
    return Selection(training[: settings.limit or left], rows[left:], labels, names)


def groups_of(source: Source, settings: DataSettings, rows: Tensor) -> Tensor | None:
    """Of the events at `rows`, where the user says that there are some (`data.groups`)."""
    return None if settings.groups is None or source.groups is None else source.groups[rows]


def _between_groups(groups: Tensor, place: int) -> int:
    """The last place up to `place` at which a group begins."""
    while place and groups[place - 1] == groups[place]:
        place -= 1
    return place


def _bare_groups(groups: Tensor, loose: Tensor) -> Tensor:
    """Of each event, bool (N,), whether no event of its group has a label."""
    return ~torch.isin(groups, groups[~loose])


def _put_labelled_first(rows: Tensor, loose: Tensor) -> Tensor:
    """The rows in their order, but those with a label before those without."""
    return torch.cat([rows[~loose[rows]], rows[loose[rows]]])


def _renumber(source: Source, wanted: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels 0, 1, … of the wanted classes in the order given, -1 elsewhere."""
    if source.labels is None:
        raise DataError(f"data.classes: {source.name} has no classes; leave it unset")
    names = source.class_names or tuple(map(str, range(int(source.labels.max()) + 1)))
    numbers = list(dict.fromkeys(_number(source.name, name, names) for name in wanted))
    where = torch.full((len(names),), -1, dtype=torch.int64)
    where[numbers] = torch.arange(len(numbers))
    labels = torch.where(source.labels < 0, -1, where[source.labels.clamp_min(0)])
    if not (labels >= 0).any():
        raise DataError(f"data.classes: {source.name} has no image of {', '.join(wanted)}")
    return labels, tuple(names[n] for n in numbers)


def _number(source: str, wanted: str, names: tuple[str, ...]) -> int:
    wanted = unicodedata.normalize("NFC", wanted)  # as the names of folders and CSVs are
    if wanted in names:
        return names.index(wanted)
    if wanted.isdigit() and int(wanted) < len(names):
        return int(wanted)
    near = difflib.get_close_matches(wanted, names, 3) or list(names[:5])
    raise DataError(
        f"data.classes: {source} has no class {wanted!r} among its {len(names)}; it has "
        f"{', '.join(near)}{', …' if len(names) > len(near) else ''}"
    )
