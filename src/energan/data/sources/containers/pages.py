"""Files of several pages, each of which is an image of its own."""

from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from energan.data.facts import Fact
from energan.data.images.decoder import Block, over_parts, select_parts
from energan.data.images.reading import header_of
from energan.data.source import Encoded, Part, Piece, Source
from energan.io.text import plural

PAGE = "#page="
"""Separator of a file's name and a page number."""


def with_all_pages(source: Source) -> Source:
    """The source with a row for each page of its files; as it is if all hold one image."""
    counts = _count_pages(source)
    files = int((counts > 1).sum())
    if not files:
        return source
    starts = [0, *accumulate(counts.tolist())]

    def part(old: Part) -> Part:
        own = counts[old.start : old.start + old.count].tolist()

        def read() -> list[Encoded | None]:
            pairs = zip(old.read(), own, strict=True)
            return [_page(raw, page) for raw, count in pairs for page in range(count)]

        return Part(starts[old.start], sum(own), read)

    pages = int(counts[counts > 1].sum())
    text = f"{plural(pages, 'page')} of {plural(files, 'file')}, each read as an image"
    found = spread(source, counts, tuple(map(part, source.parts)), PAGE)
    return replace(
        found,
        content=lambda: f"{source.content()} pages",
        facts=(*source.facts, Fact("pages", text)),
    )


def spread(
    source: Source, counts: Tensor, parts: tuple[Part, ...], mark: str, step: int = 1
) -> Source:
    """The source with `counts` rows, int64, for each of its own, read from `parts`.

    Those of a file stay together, with its label, and are held out together. mark: between the
    name of a file that has several and their numbers, which count by `step`.
    """
    starts = [0, *accumulate(counts.tolist())]
    file_of = torch.repeat_interleave(torch.arange(len(counts)), counts)
    order = torch.arange(len(counts)) if source.order is None else source.order
    held_out = counts[order[len(order) - source.held_out :]].sum()

    def where(row: int) -> str:
        file = int(file_of[row])
        name = source.where(file)
        return name if counts[file] == 1 else f"{name}{mark}{(row - starts[file]) * step + 1}"

    def of_files(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[file_of]

    return replace(
        source,
        parts=parts,
        labels=of_files(source.labels),
        attributes=of_files(source.attributes),
        masks=None if source.masks is None else tuple(source.masks[f] for f in file_of.tolist()),
        order=torch.cat([torch.arange(starts[file], starts[file + 1]) for file in order.tolist()]),
        held_out=int(held_out) if source.held_out else 0,
        groups=file_of if source.groups is None else source.groups[file_of],
        where=where,
    )


def _page(raw: Encoded | None, number: int) -> Encoded | None:
    return Piece(raw, page=number) if isinstance(raw, bytes) else raw


def _count_pages(source: Source) -> Tensor:
    """Of each file, int64; 1 of one that cannot be read."""
    counts = torch.ones(source.count, dtype=torch.int64)

    def look_at(block: Block) -> None:
        for row, raw in block:
            header = None if raw is None else header_of(raw)
            counts[row] = 1 if header is None else header.pages

    parts = list(select_parts(source, torch.arange(source.count)))
    over_parts(f"pages of {source.name}", parts, look_at, lambda part, rows, made: None)
    return counts
