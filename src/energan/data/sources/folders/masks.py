"""Which mask belongs to which image, by their names."""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from energan.data.sources.tree import Tree, list_images

_MASK = re.compile(r"(.+?)[-_. ](?:masks?|gt|seg|labels?|ground_?truth)", re.I)
Key = tuple[str, ...]


def masks_beside(names: Sequence[str]) -> dict[str, str]:
    """Of the images in one folder those that are masks of others there, as x_mask.png of x.png.

    Mask -> image, by their names.
    """
    stems = {os.path.splitext(name)[0]: name for name in names}
    marked = [(name, found[1]) for stem, name in stems.items() if (found := _MASK.fullmatch(stem))]
    return {name: stems[stem] for name, stem in marked if stem in stems}


def index_masks(trees: Sequence[Tree]) -> dict[Key, Path]:
    """Masks by what their images may be called: a mask is called as its image, or with _mask
    behind, or lies in a folder of the image's name, where the first counts."""
    known: dict[Key, Path] = {}
    for tree in trees:
        for path in list_images(tree):
            for key in _keys(path.relative_to(tree.path)):
                known.setdefault(key, path)
    return known


def match_masks(
    names: Sequence[str], folder: str, known: Mapping[Key, Path]
) -> tuple[Path | None, ...]:
    """The mask of each image of a part by its path there: it lies at the same path below the
    folder of masks, or below a folder in it that is called as the part's `folder`."""
    found: list[Path | None] = []
    for name in names:
        places = (PurePath(name), PurePath(folder, name))
        keys = ((*map(_nfc, place.parent.parts), _nfc(place.stem)) for place in places)
        found.append(next((known[key] for key in keys if key in known), None))
    return tuple(found)


def _keys(path: PurePath) -> Iterator[Key]:
    folder, stem = tuple(map(_nfc, path.parent.parts)), path.stem
    if marked := _MASK.fullmatch(stem):
        yield (*folder, _nfc(marked[1]))
    yield (*folder, _nfc(stem))
    if folder:
        yield folder


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)
