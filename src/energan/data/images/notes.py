"""What was done to a set's images, told in a line each."""

from collections.abc import Iterable

from energan.data.facts import Fact
from energan.data.images.decoding import Decoding, Notes, width_and_height
from energan.io.text import agree, plural

ENLARGED, SHRUNK = 1.2, 2.0
"""Largest factor of enlarging or shrinking without a warning: recipes for pairs enlarge images by
less, to cut windows out of them."""


def facts_of(notes: Notes, asked: Decoding, how: Decoding, count: int) -> tuple[Fact, ...]:
    """Facts of `count` images that were decoded as `how`. asked: the same before it was resolved,
    since nobody needs to be told what he asked for."""
    return (
        *_told(notes, count),
        *_pages(notes),
        *_transparency(notes, how, count),
        *_channels(notes, asked, how, count),
        *_depth(notes, how, count),
        *_cut(notes, how, count),
        *_size(notes, how, count),
    )


def _numbers(notes: Notes, kind: str) -> dict[int, int]:
    """Number -> count, of notes as "pages 10"."""
    told = {key: count for key, count in notes.items() if key.startswith(f"{kind} ")}
    return {int(key.split()[1].rstrip("%")): count for key, count in told.items()}


def _between(numbers: Iterable[int]) -> str:
    low, high = min(found := list(numbers)), max(found)
    return str(low) if low == high else f"{low} to {high}"


def _told(notes: Notes, count: int) -> list[Fact]:
    """What readers of formats did."""
    facts = []
    for key, found in sorted(notes.items()):
        if key.startswith("told "):
            subject, _, text = key.removeprefix("told ").partition(": ")
            facts.append(Fact(subject, f"{found} of {plural(count, 'image')}: {text}"))
    return facts


def _pages(notes: Notes) -> list[Fact]:
    found = _numbers(notes, "pages")
    if not found:
        return []
    text = (
        f"first of {_between(found)} pages in {plural(sum(found.values()), 'file')}; to read all "
        "pages: --data.pages all"
    )
    return [Fact("pages", text, warning=True)]


def _transparency(notes: Notes, how: Decoding, count: int) -> list[Fact]:
    found, blank = notes["transparent"], notes["blank"]
    if not found:
        return []
    text = (
        f"{found} of {plural(count, 'image')} with transparency, laid on {how.background} "
        "(--data.background)"
    )
    if not blank:
        return [Fact("transparency", text)]
    text += f"; {blank} of them are all one colour on this background: choose another"
    return [Fact("transparency", text, warning=True)]


def _channels(notes: Notes, asked: Decoding, how: Decoding, count: int) -> list[Fact]:
    guessed = asked.channels == "auto"
    if found := notes["colour"]:
        text = f"{found} of {plural(count, 'image')} in colour, converted to grey"
        remedy = " as the others are; to keep colours: --data.channels colour"
        return [Fact("channels", text + (remedy if guessed else ""), warning=guessed)]
    if (found := notes["grey"]) and how.channels == "colour":
        return [Fact("channels", f"{found} of {plural(count, 'image')} grey, converted to colour")]
    return []


def _depth(notes: Notes, how: Decoding, count: int) -> list[Fact]:
    facts = []
    if how.intensity is not None and (found := notes["clipped"]):
        low, high = how.intensity
        share = notes["clipped values"] / notes["values"]
        text = (
            f"{share:.2%} of all values, in {found} of {plural(count, 'image')}, are outside "
            f"{low:g} to {high:g} and are clipped"
        )
        facts.append(Fact("intensity", text, warning=True))
    if found := notes["shallow"]:
        text = (
            f"{found} of {plural(count, 'image')} with more than 8 bits, reduced to 8 bits as "
            "the others are"
        )
        facts.append(Fact("depth", text, warning=True))
    return facts


def _cut(notes: Notes, how: Decoding, count: int) -> list[Fact]:
    found = _numbers(notes, "cut")
    if not found:
        return []
    many = sum(found.values())
    them = "it" if many == 1 else "them"
    width, height = width_and_height(how.size or 1)
    shape = "square" if width == height else f"of the aspect ratio of {width}x{height}"
    text = (
        f"{many:,} of {plural(count, 'image')} {agree(many, 'are')} not {shape}; "
        f"{_between(found)}% of {them} is cut off; to keep everything: --data.fit pad or stretch"
    )
    return [Fact("cut off", text, warning=True)]


def _size(notes: Notes, how: Decoding, count: int) -> list[Fact]:
    facts, (side, height) = [], width_and_height(how.size or 0)
    across = "a side" if side == height else "across"
    for kind in ("enlarged", "shrunk"):
        if found := _numbers(notes, kind):
            text = (
                f"{sum(found.values()):,} of {plural(count, 'image')} {kind} to {side}x{height}, "
                f"from {_between(found)} pixels {across} (data.size)"
            )
            much = side > ENLARGED * min(found) or max(found) >= SHRUNK * side
            facts.append(Fact("size", text, warning=much))
    return facts
