"""Folders that are no folders of images: of IDX files, Arrow or Parquet tables, or a .mat file."""

from dataclasses import dataclass
from pathlib import Path

from energan.core import DataError
from energan.data.settings import Layouts
from energan.data.sources.tree import Tree, suffix_of
from energan.io.text import plural, printable

CLEARLY = 3
"""Factor by which one kind of file must outnumber the others for these to be ignored."""
TITLES = {"idx": "IDX", "arrow": "Arrow", "parquet": "Parquet", "mat": ".mat"}
INFO = {"dataset_info.json", "dataset_dict.json"}
"""Files that `datasets` writes beside its Arrow files."""


@dataclass(frozen=True)
class Form:
    """kind: idx, arrow, parquet or mat; files: those that it is read from."""

    kind: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        """As a message names it."""
        first = printable(self.files[0].name)
        return (
            f"{len(self.files):,} {TITLES[self.kind]} file{'s' * (len(self.files) > 1)} ({first})"
        )


def find_form(tree: Tree, choice: Layouts) -> Form | None:
    """What a folder is read as that is no folder of images; None if it is one.

    choice: as `data.layout`. A few tables among images are strays, and so are a few images among
    tables. Raises DataError where neither is clear, or two kinds of tables are there.
    """
    if choice not in ("auto", "table"):
        return None
    where = printable(tree.path)
    forms = sorted(_forms(tree), key=lambda form: -len(form.files))
    if not forms:
        if choice == "table":
            raise DataError(f"data.layout table: {where} holds no Parquet, Arrow, IDX or .mat file")
        return None
    count = sum(len(form.files) for form in forms)
    if choice == "auto" and tree.count >= CLEARLY * count:
        return None
    form, *others = forms
    if others and len(form.files) < CLEARLY * (count - len(form.files)):
        raise DataError(
            f"{where} holds {form} and {others[0]}: name the file that you want, as --data "
            f"{printable(others[0].files[0])}, or move the others elsewhere"
        )
    if choice == "auto" and len(form.files) < CLEARLY * tree.count:
        raise DataError(
            f"{where} holds {plural(tree.count, 'image')} and {form}: --data.layout flat reads "
            "the images (classes: with folders as classes), --data.layout table reads the other "
            "files"
        )
    if form.kind == "mat" and len(form.files) > 1:
        raise DataError(f"{where} holds {form}: name one, as --data {form.files[0]}")
    return form


def _forms(tree: Tree) -> list[Form]:
    idx = [name for name in tree.others if name.endswith(("-ubyte", "-ubyte.gz"))]
    mat = [name for name in tree.others if suffix_of(name) == ".mat"]
    info = sorted(INFO & set(tree.others))
    arrow = tree.files(".arrow") if info else []
    if info and not arrow and not tree.count:
        arrow = [tree.path / info[0]]  # whoever opens it says what is lacking
    found = {
        "idx": [tree.path / name for name in idx],
        "arrow": arrow,
        "parquet": tree.files(".parquet"),
        "mat": [tree.path / name for name in mat],
    }
    return [Form(kind, tuple(files)) for kind, files in found.items() if files]
