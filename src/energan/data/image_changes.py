"""How many images are made grey, shrunk or enlarged to be as a run takes them."""

from collections import Counter
from collections.abc import Iterable, Iterator

from torch import Tensor

from energan.data.images.decoder import select_parts
from energan.data.images.reading import header_of
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.io.text import plural

LOOKED_AT = 10_000
"""Images of a source whose headers are read, at most."""


def count_changes(source: Source, rows: Tensor, settings: DataSettings) -> Counter[str]:
    """What is done to the first LOOKED_AT of `rows`: {"images": …, "made grey": …, "shrunk": …}.

    settings: with channels and size as the run's images have them.
    """
    done = Counter[str]()
    for width, height, colour in _looks(source, rows[:LOOKED_AT]):
        if settings.crop is not None:
            left, top, right, bottom = settings.crop
            width, height = right - left, bottom - top
        side = min(width, height) if settings.fit == "crop" else max(width, height)
        size = settings.size or side
        done["images"] += 1
        done["made grey"] += colour and settings.channels == "grey"
        done["shrunk"] += side > size
        done["enlarged"] += side < size
    return done


def changes_text(each: Iterable[Counter[str]]) -> str:
    """ "3 made grey, 1 shrunk (of 3 images)" of all sources; empty where nothing was changed."""
    done = sum(each, Counter[str]())
    parts = [f"{n:,} {what}" for what, n in done.items() if n and what != "images"]
    return f"{', '.join(parts)} (of {plural(done['images'], 'image')})" if parts else ""


def _looks(source: Source, rows: Tensor) -> Iterator[tuple[int, int, bool]]:
    """Width, height, and whether it can hold colour, of each image, by its header."""
    if source.events is not None:
        channels, height, width = source.events.shape[1:]
        for _ in range(len(rows)):
            yield width, height, channels == 3
        return
    for part, wanted in select_parts(source, rows):
        raws = part.read()
        for raw in (raws[row - part.start] for row in wanted):
            header = header_of(raw) if raw else None
            if header is not None:
                yield *header.size, header.bands == 3
