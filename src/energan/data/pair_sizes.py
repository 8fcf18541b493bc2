"""Whether the two images of each pair fit together."""

from collections.abc import Sequence
from dataclasses import replace

from energan.core import DataError
from energan.data.images.reading import size_of
from energan.data.pair_ranges import Sides
from energan.data.settings import DataSettings
from energan.data.source import Encoded, Part


def check_while_read(sides: Sides, settings: DataSettings) -> Sides:
    """The two sides, whose parts compare the sizes of each pair as they are read."""

    def part(own: Part, other: Part) -> Part:
        def read() -> Sequence[Encoded | None]:
            mine, theirs = own.read(), other.read()
            for row, pair in enumerate(zip(mine, theirs, strict=True), own.start):
                if None not in pair:
                    sizes = [size_of(raw) for raw in pair if raw is not None]
                    _check(sides[0].where(row), sizes, settings, sides[0].name)
            return mine

        return Part(own.start, own.count, read)

    first, second = sides  # each checks, since the other may come from a cache
    return (
        replace(first, parts=tuple(map(part, first.parts, second.parts))),
        replace(second, parts=tuple(map(part, second.parts, first.parts))),
    )


def _check(
    pair: str, sizes: list[tuple[int, int] | None], settings: DataSettings, name: str
) -> None:
    """Raise DataError if the two images of a pair differ in size where that would bring them out
    of step: where they stay as they are, or where a square is cut out of their middle."""
    first, second = sizes
    if first is None or second is None:  # one that cannot be read
        return
    (w, h), (v, k) = first, second
    # to the pixel that rounding costs
    alike = first == second if settings.size is None else abs(w * k - h * v) <= max(w, h, v, k)
    if not alike:
        raise DataError(
            f"{name}: the two images of a pair differ in size ({w}x{h} and {v}x{k}), those of "
            f"{pair}: set one size for both (--data.size), and --data.fit stretch if their "
            "aspect ratios differ"
        )
