"""Sources of files that hold many images each: videos, HDF5."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch

from energan.core import DataError, NoReadableImage, describe
from energan.data.facts import Fact
from energan.data.images.checksums import content_of
from energan.data.images.values import Unreadable
from energan.data.settings import DataSettings
from energan.data.source import Encoded, Part, Piece, Source
from energan.data.sources.containers import hdf5, video
from energan.data.sources.containers.container import Container
from energan.data.sources.containers.pages import spread
from energan.data.sources.splits import fixed_order, held_out
from energan.data.sources.tree import suffix_of
from energan.io.text import plural, printable

CONTAINERS: dict[str, Callable[[Path, DataSettings], Container]] = {
    **dict.fromkeys(video.SUFFIXES, video.open_video),
    **dict.fromkeys(hdf5.SUFFIXES, hdf5.open_hdf5),
}
FRAME, ROW = "#frame=", "#row="


def open_container(path: Path, settings: DataSettings) -> Source:
    """The images of one file. Those of an HDF5 file have nothing to do with each other, and a tenth
    is held out; the frames of a video have, and none is, unless `data.held_out` asks for some.

    Raises DataError for a file that cannot be read.
    """
    file = Source(
        path.name,
        parts=(Part(0, 1, lambda: [None]),),
        where=lambda row: path.name,
        content=lambda: content_of([path], [path.name]),
    )
    found = with_their_images(file, [path], settings)
    if suffix_of(path.name) in video.SUFFIXES:
        return found
    count = found.count
    return replace(found, order=fixed_order(count), held_out=held_out(count), groups=None)


def with_their_images(source: Source, files: Sequence[Path], settings: DataSettings) -> Source:
    """The source, of these files, with a row for each of their images.

    Files that cannot be read are left out, and told. Raises DataError if none can be.
    """
    opened: list[Container] = []
    facts: list[Fact] = []
    for row, path in enumerate(files):
        try:
            opened.append(CONTAINERS[suffix_of(path.name)](path, settings))
        except DataError:
            raise
        except Exception as error:  # the libraries raise whatever they stumble over
            why = str(error) if isinstance(error, Unreadable) else describe(error)
            opened.append(Container(0, lambda first, n: []))
            text = f"{printable(source.where(row))} cannot be read: {why}"
            facts.append(Fact("left out", text, warning=True))
    if not any(found.count for found in opened):
        name = "" if len(files) == 1 else f"{source.name} holds no readable image: "
        raise NoReadableImage(f"{name}{facts[0].text}")
    counts = torch.tensor([found.count for found in opened])
    film = suffix_of(files[0].name) in video.SUFFIXES
    every = settings.frames_every if film else 1
    found = spread(source, counts, tuple(_parts(opened)), FRAME if film else ROW, every)
    labels = [one.labels for one in opened if one.count]
    if found.labels is None and all(one is not None for one in labels):
        found = replace(found, labels=torch.cat([one for one in labels if one is not None]))
    facts.append(_about(found, len(files) - len(facts), film, every))
    return replace(
        found,
        content=lambda: f"{source.content()} {every} {settings.image_column}",
        facts=(*source.facts, *facts),
    )


def _parts(opened: Sequence[Container]) -> list[Part]:
    starts = accumulate((found.count for found in opened), initial=0)
    return [
        Part(start + first, number, partial(_read, found, first, number))
        for found, start in zip(opened, starts, strict=False)
        for first in range(0, found.count, found.chunk)
        for number in [min(found.chunk, found.count - first)]
    ]


def _read(found: Container, first: int, number: int) -> list[Encoded | None]:
    try:
        images = found.read(first, number)
    except Exception:  # of a part of the file that is damaged, or a file that is gone
        return [None] * number
    return [None if one is None else Piece(one) for one in images]


def _about(source: Source, files: int, film: bool, every: int) -> Fact:
    if not film:
        return Fact("images", f"{source.count:,} in {plural(files, 'HDF5 file')}")
    rate = f", every {every}th (--data.frames-every)" if every > 1 else ""
    text = (
        f"{source.count:,} of {plural(files, 'video')}{rate}; frames of one video are all "
        "trained on or all held out"
    )
    if files == 1:
        text += ", so none is held out of a single video"
    elif not source.held_out:
        text += "; none is held out unless you set --data.held-out"
    return Fact("frames", text)
