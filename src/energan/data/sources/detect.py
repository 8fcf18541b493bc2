"""Finding out what a source is: a name, a file of some form, a folder of something."""

import difflib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from energan.core import DataError, describe
from energan.data.facts import Fact
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.data.sources.archives import is_archive
from energan.data.sources.arrays.arrays import read_arrays
from energan.data.sources.arrays.idx import is_idx, open_idx_file, open_idx_folder
from energan.data.sources.arrays.mat import read_mat
from energan.data.sources.containers.frames import CONTAINERS, open_container
from energan.data.sources.containers.pages import with_all_pages
from energan.data.sources.folders.images import from_files, open_layout
from energan.data.sources.folders.label_csv import find_csv
from energan.data.sources.folders.layout import Layout, read_archive, read_layout
from energan.data.sources.named import NAMED, open_named
from energan.data.sources.pair_layout import read_pair_layout
from energan.data.sources.splits import Split, no_test_part
from energan.data.sources.table_files import (
    HUB,
    open_arrow,
    open_hub,
    open_parquet,
    open_parquet_part,
)
from energan.data.sources.tables import from_table
from energan.data.sources.tree import SUFFIXES, suffix_of

PHOTOS = "PHOTOS"
"""Placeholder in a recipe for the user's own images."""
FEATURES = "FEATURES.npz"
"""Placeholder in a recipe for the user's own features and tags."""
PACKED = {".bz2", ".xz", ".7z", ".rar", ".zst"}
READERS: dict[str, Callable[[Path, DataSettings, Split], Source]] = {
    ".mat": lambda path, _, split: read_mat(path, split),
    ".npy": lambda path, *_: read_arrays(path),
    ".npz": lambda path, *_: read_arrays(path),
    ".parquet": lambda path, settings, split: from_table(
        open_parquet([path], path.name), settings, split
    ),
    ".arrow": lambda path, settings, split: from_table(
        open_arrow(path, split, path.name), settings, split
    ),
    **dict.fromkeys(CONTAINERS, lambda path, settings, _: open_container(path, settings)),
}
"""Suffixes of files that hold many examples. Of these only .mat may have a test part in it."""
TABLES = (".parquet", ".arrow")


def open_source(settings: DataSettings, split: Split) -> Source:
    """What `settings.source` names. A name wins over a file of that name: write ./digits for it.

    Raises DataError for a source that is unknown, unreadable, empty or of no form that is known.
    """
    found = _open(settings, split)
    return with_all_pages(found) if settings.pages == "all" and found.parts else found


def _open(settings: DataSettings, split: Split) -> Source:
    source = settings.source
    if source.startswith(HUB):
        _check_no_labels(settings, table=True)
        return from_table(
            open_hub(source.removeprefix(HUB), split, settings.download), settings, split
        )
    try:
        if source in NAMED:
            _check_no_labels(settings)
            return _warn_of_same_name(open_named(source, settings, split), source)
        path = Path(source).expanduser()
        if path.is_dir():
            return _folder(path, settings, split)
        if not path.exists():
            if source == FEATURES:
                raise DataError(
                    "name your features and tags, for example `energan train tagging-celeba "
                    "--data faces.npz`; `energan features` makes such a file from tagged images"
                )
            looks_like_a_path = path.suffix or len(path.parts) > 1
            raise DataError(
                f"{describe(source)} does not exist" if looks_like_a_path else _unknown(source)
            )
        if is_archive(path):
            return open_layout(_archive(path, settings), split, settings)
        return _file(path, settings, split)
    except (OSError, RuntimeError) as error:  # RuntimeError: a ~user that does not exist
        raise DataError(f"{describe(source)} cannot be read: {describe(error)}") from error


def _warn_of_same_name(named: Source, name: str) -> Source:
    """With a warning where data here has that name too; a run's folder is none."""
    path = Path(name)
    if not path.exists() or (path / "config.json").exists():
        return named
    said = f"{name} is the built-in data set; write ./{name} for what has that name here"
    return replace(named, facts=(*named.facts, Fact("source", said, warning=True)))


def _check_no_labels(settings: DataSettings, *, table: bool = False) -> None:
    """Raise DataError for what is told of images in a folder; groups are told of a `table` too."""
    for name in _ABOUT:
        if table and name == "groups":
            continue
        if getattr(settings, name) != type(settings).model_fields[name].default:
            of = "a folder of image files" + (" or a table" if name == "groups" else "")
            raise DataError(
                f"data.{name} gives {_ABOUT[name]} of {of}, and {describe(settings.source)} is "
                "not one: leave it unset"
            )


_ABOUT = {
    "labels": "the labels", "tags": "the tags", "groups": "the groups", "layout": "the parts",
}  # fmt: skip


def folder_facts(settings: DataSettings) -> tuple[Fact, ...]:
    """What the folder `settings.source` is taken for, and what of it is left out; () for a source
    that is none. Nothing is decoded. Raises DataError as `open_source` does."""
    path = Path(os.path.expanduser(settings.source))
    if settings.source in NAMED or not (path.is_dir() or (is_archive(path) and path.exists())):
        return ()
    try:
        if not path.is_dir():
            return _archive(path, settings).facts
        if settings.direction is not None:
            return read_pair_layout(path, settings.layout).facts
        layout = _read(path, settings)
        return layout.facts if layout.form else open_layout(layout, "train", settings).facts
    except OSError as error:
        raise DataError(f"{describe(settings.source)} cannot be read: {describe(error)}") from error


def _archive(path: Path, settings: DataSettings) -> Layout:
    return read_archive(path, settings.layout, settings.labels is not None)


def _read(path: Path, settings: DataSettings) -> Layout:
    used = [find_csv(word, path, f"data.{name}") for name, word in settings.csvs.items()]
    inside = [path / os.path.relpath(csv, path) for csv in used]
    return read_layout(path, settings.layout, settings.labels is not None, inside)


def _folder(path: Path, settings: DataSettings, split: Split) -> Source:
    layout = _read(path, settings)
    form = layout.form
    if form is None:
        return open_layout(layout, split, settings)
    is_table = form.kind not in ("idx", "mat")
    _check_no_labels(settings.model_copy(update={"layout": "auto"}), table=is_table)
    if form.kind == "idx":
        found = open_idx_folder(path, split)
    elif form.kind == "arrow":
        found = from_table(open_arrow(path, split, path.name), settings, split)
    elif form.kind == "mat":
        found = read_mat(form.files[0], split)
    else:
        table = open_parquet_part(path, form.files, split)
        if table is None:
            raise no_test_part(path)
        found = from_table(table, settings, split)
    return replace(found, facts=layout.facts + found.facts)


def _file(path: Path, settings: DataSettings, split: Split) -> Source:
    suffix = suffix_of(path.name)
    _check_no_labels(settings, table=suffix in TABLES)
    if split == "test" and suffix != ".mat":
        raise no_test_part(path)
    if suffix in READERS:
        return READERS[suffix](path, settings, split)
    if suffix in SUFFIXES:
        return from_files(path.name, [path], [path.name])
    if suffix in PACKED:
        raise DataError(f"{path} is compressed: unpack it, and name the resulting folder")
    if path.is_file() and is_idx(path):
        return open_idx_file(path)
    raise DataError(
        f"{path} has an unknown format: give a folder of images, .zip, .tar, "
        f"{', '.join(READERS)} or IDX"
    )


def holds_many(path: Path) -> bool:
    """Whether a file's form is one of many events, so that it is no image."""
    suffix = suffix_of(path.name)
    if suffix in SUFFIXES:
        return False
    return suffix in READERS or suffix in PACKED or is_archive(path) or is_idx(path)


def _unknown(source: str) -> str:
    if source == PHOTOS:
        return "this recipe is for your own images: name them, for example --data my_photos"
    near = difflib.get_close_matches(source.lower(), NAMED, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"there is no data source, file or folder {describe(source)!r}{hint}: give a path, or "
        f"one of {', '.join(NAMED)}"
    )
