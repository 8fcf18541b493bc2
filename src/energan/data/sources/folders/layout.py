"""What a folder is: which of its folders are the parts, the masks, the classes, and what is left
out. Whatever reads a folder asks here."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.settings import Layouts
from energan.data.sources.archives import Archive, open_archive
from energan.data.sources.folders.archive_labels import with_labels
from energan.data.sources.folders.descriptions import (
    ImagePart,
    about_masks,
    about_part,
    inside,
    left_out,
    listed,
)
from energan.data.sources.folders.forms import CLEARLY, Form, find_form
from energan.data.sources.folders.kinds import (
    MAYBE_MASKS,
    UNLABELLED,
    Kinds,
    kinds_of,
    mask_folders,
    only_folder,
)
from energan.data.sources.folders.masks import index_masks, masks_beside, match_masks
from energan.data.sources.folders.other_files import take_instead
from energan.data.sources.folders.shards import read_shards
from energan.data.sources.splits import Split, no_test_part
from energan.data.sources.tree import SUFFIXES, Tree, list_images, scan
from energan.io.text import plural, printable


@dataclass(frozen=True, eq=False)
class Layout:
    """What a folder holds. form: what it is read as if it is no folder of images. archive: that it
    is, if it is none."""

    tree: Tree
    form: Form | None = None
    train: ImagePart | None = None
    test: ImagePart | None = None
    facts: tuple[Fact, ...] = ()
    archive: Archive | None = None

    @property
    def path(self) -> Path:
        """Of the folder, or of the archive."""
        return self.tree.path if self.archive is None else self.archive.path

    def part(self, split: Split) -> ImagePart:
        """Raises NoTestPart, or DataError for a part without images."""
        where = printable(self.tree.path)
        found = self.test if split == "test" else self.train
        if found is None:
            if split == "test":
                raise no_test_part(where)
            raise DataError(
                f"{where} holds a test part and no folder train: name the folder to train on, or "
                "set --data.layout flat to train on all images"
            )
        if not found.files:
            others = "".join(
                f"; {fact}" for fact in self.facts if fact.subject in ("left out", "masks")
            )
            raise DataError(
                f"{printable(found.root)} holds no image (searched for "
                f"{' '.join(sorted(SUFFIXES))}, also in subfolders{others}): name the folder "
                "that holds your images"
            )
        return found


def read_layout(
    folder: Path,
    choice: Layouts = "auto",
    own_labels: bool = False,
    used: Sequence[Path] = (),
) -> Layout:
    """What `folder` holds, found in one walk; no file is opened.

    choice: as `data.layout`. own_labels: whether a CSV tells the labels, so that images beside
    folders of classes are as good as those in them. used: files that are read beside the images.

    Raises DataError where two readings are possible, naming both and what chooses.
    """
    tree = scan(folder)
    form = find_form(tree, choice)
    if form is None:
        instead = () if tree.count else take_instead(tree)
        if not tree.count and (shards := read_shards(tree)) is not None:
            return Layout(tree, None, shards.train, shards.test, shards.facts, shards.archive)
        found = _Reader(tree, choice, own_labels, used).read()
        return replace(found, facts=instead + found.facts)
    facts = [Fact("source", str(form))]
    if tree.count:
        text = f"{plural(tree.count, 'image')}, beside {form}; to read them: --data.layout flat"
        facts.append(Fact("left out", text, warning=True))
    return Layout(tree, form, facts=(*facts, *left_out(tree, form.files)))


def read_archive(path: Path, choice: Layouts = "auto", own_labels: bool = False) -> Layout:
    """The same of an archive, of which only images are read."""
    archive = with_labels(open_archive(path))
    found = _Reader(archive.tree, choice, own_labels or bool(archive.labels)).read()
    facts = archive.facts + found.facts
    if any(part is not None and part.masks for part in (found.train, found.test)):
        text = "not read from an archive: unpack it, and name the folder"
        facts = (*facts, Fact("masks", text, warning=True))
    train, test = (p and replace(p, masks=None) for p in (found.train, found.test))
    return replace(found, train=train, test=test, facts=facts, archive=archive)


def class_name(name: str) -> str:
    """What a class is called whose folder has that name: é is one letter, however it is written."""
    return unicodedata.normalize("NFC", printable(name))


class _Reader:
    """Reads a folder of images, and notes what it understands on the way."""

    def __init__(
        self, tree: Tree, choice: Layouts, own_labels: bool, used: Sequence[Path] = ()
    ) -> None:
        self.tree, self.choice, self.own_labels, self.used = tree, choice, own_labels, used
        self.facts: list[Fact] = []
        self.masks: list[Tree] = []
        self.own_masks: dict[Path, Path] = {}  # image -> its mask in the same folder

    def read(self) -> Layout:
        found = dict(zip(("train", "test"), self._parts(), strict=True))
        parts = {name: part for name, part in found.items() if part is not None}
        told = [about_part(name, part, self.tree) for name, part in parts.items()]
        if self.masks or self.own_masks:
            roots = {part.root for part in parts.values()} - {self.tree.path}
            parts = {name: self._with_masks(part, roots) for name, part in parts.items()}
            told.append(about_masks(list(parts.values()), self.masks, self.own_masks, self.tree))
        facts = (*told, *self.facts, *left_out(self.tree, self.used))
        return Layout(self.tree, None, parts.get("train"), parts.get("test"), facts)

    # --- which folders are the parts --------------------------------------------------------------

    def _parts(self) -> tuple[ImagePart | None, ImagePart | None]:
        if self.choice in ("flat", "classes"):
            return self._part(self.tree, by_class=self.choice == "classes"), None
        base = self._descend(self.tree)
        kinds = kinds_of(base)
        self.masks += kinds.masks
        train, held = kinds.parts["train"], kinds.parts["test"] or kinds.parts["val"]
        if kinds.together or (train and (self.choice == "splits" or not kinds.plain)):
            return self._split(base, kinds)
        if self.choice == "splits":
            raise DataError(f"data.layout splits: {printable(base.path)} holds no folder train")
        if held and not kinds.plain:
            return self._test_alone(base, kinds)
        if held and kinds.pictures_beside_test:
            raise DataError(
                f"{printable(base.path)} holds {listed(kinds.plain)} and {listed(held)}, and no "
                "folder train: name the folder to train on, as --data "
                f"{printable(kinds.plain[0].path)}, or set --data.layout classes"
            )
        self._check_nested(base, kinds.plain)
        for part in (*train, *held):
            if part.count and kinds.plain:
                more = (
                    "; to use it as the training part: --data.layout splits"
                    if part in train
                    else ""
                )
                text = f"{self._name(part)} is read as a class, like the folders beside it{more}"
                self.facts.append(Fact("classes", text, warning=True))
        for folder in kinds.plain:
            if folder.name.lower() in MAYBE_MASKS and len(kinds.plain) > 1:
                text = (
                    f"{self._name(folder)} is read as a class; move it elsewhere if it holds masks"
                )
                self.facts.append(Fact("classes", text))
        return self._part(base, without=kinds.masks), None

    def _descend(self, tree: Tree) -> Tree:
        """The folder in which the parts stand, which may be the only one, or that of the images
        beside one of masks."""
        base, masks = tree, list[Tree]()
        kinds = kinds_of(tree)
        while len(kinds.plain) == 1 and not tree.images and not any(kinds.parts.values()):
            tree, around = kinds.plain[0], kinds
            masks += around.masks
            kinds = kinds_of(tree)
            if kinds.together or kinds.masks or (around.masks and around.only_pictures):
                base = tree
                self.masks += masks
                masks.clear()
        return base

    def _test_alone(self, base: Tree, kinds: Kinds) -> tuple[ImagePart | None, ImagePart]:
        """Images that lie beside test parts are what is trained on."""
        held = self._held(kinds)
        test = self._part(held)
        if not base.images and not kinds.unlabelled:
            return None, test
        without = (*kinds.parts["test"], *kinds.parts["val"], *kinds.masks)
        return self._part(base, without=without, by_class=False), test

    def _held(self, kinds: Kinds) -> Tree:
        """The test part: a folder test, or else of validation; further ones are left out."""
        held = [only_folder(kinds.parts["test"])] if kinds.parts["test"] else []
        for val in sorted(kinds.parts["val"], key=lambda val: not val.count):
            if held:
                self._leave(val, f"because {self._name(held[0])} is the test part")
            else:
                held = [val]
        return held[0]

    def _split(self, base: Tree, kinds: Kinds) -> tuple[ImagePart, ImagePart | None]:
        tree = only_folder(kinds.parts["train"])
        train = self._part(tree, beside=kinds.unlabelled)
        name = self._name(tree)
        for other in kinds.plain:
            self._leave(other, f"because it is beside {name}", warning=True)
        if base.images:
            self._leave_images(base, f"beside {name}")
        if not kinds.together:
            return train, None
        return train, self._part(self._held(kinds), train.classes or ())

    def _check_nested(self, base: Tree, plain: Sequence[Tree]) -> None:
        nested = [folder for folder in plain if kinds_of(folder).together]
        if nested:
            raise DataError(
                f"{printable(base.path)} holds {listed(nested)} with folders train and test: "
                f"name one of them, as --data {printable(nested[0].path)}, or use "
                "--data.layout classes to train on everything, with the folders as classes"
            )

    # --- the images of a part ---------------------------------------------------------------------

    def _part(
        self,
        root: Tree,
        known: Sequence[str] = (),
        *,
        without: Sequence[Tree] = (),
        beside: Sequence[Tree] = (),
        by_class: bool = True,
    ) -> ImagePart:
        """The images below `root` but for those in `without`, and those `beside` it.

        known: of a test part, the classes of the training part, which keep their numbers.
        """
        if self.choice not in ("flat", "classes"):
            masks, inner = mask_folders(root, without), kinds_of(root)
            if inner.masks and inner.only_pictures:
                if root.images:
                    self._leave_images(root, f"beside {self._name(inner.plain[0])}")
                root = inner.plain[0]
            without = (*without, *masks)
            self.masks += [tree for tree in masks if tree not in self.masks]
        files = self._images(root, without)
        folders = [f for f in root.folders if f.count and f not in without]
        classes = self._classes(root, folders, known) if by_class else None
        if classes is not None and root.images:
            files = [file for file in files if file.parent != root.path]
        names = [file.relative_to(root.path).as_posix() for file in files]
        for tree in beside:
            more = self._images(tree)
            files += more
            names += [file.relative_to(tree.path.parent).as_posix() for file in more]
        of = {tree.name: class_name(tree.name) for tree in (*folders, *beside)}
        firsts = None if classes is None else [of[name.partition("/")[0]] for name in names]
        return ImagePart(root.path, files, names, firsts, classes)

    def _images(self, root: Tree, without: Sequence[Tree] = ()) -> list[Path]:
        """Without those that are masks of others in their folder."""
        files = list_images(root, without)
        if self.choice == "flat":
            return files
        masks: set[Path] = set()
        for folder in root.below(without):
            for mask, image in masks_beside(folder.images).items():
                self.own_masks[folder.path / image] = folder.path / mask
                masks.add(folder.path / mask)
        return [file for file in files if file not in masks] if masks else files

    def _classes(
        self, root: Tree, folders: Sequence[Tree], known: Sequence[str]
    ) -> tuple[str, ...] | None:
        """Names of the classes in the order of their numbers; None where the folders are none."""
        folders = [f for f in folders if f.name.lower() not in UNLABELLED]
        names = sorted({class_name(f.name) for f in folders})
        classes = tuple(names) if len(names) > 1 else None
        if any(name in known for name in names):
            classes = (*known, *(name for name in names if name not in known))
        loose, inside = len(root.images), sum(folder.count for folder in folders)
        if classes is None and self.choice == "classes":
            raise DataError(
                f"data.layout classes: {printable(root.path)} does not hold two or more folders "
                "of images, which would be the classes: use --data.layout flat"
            )
        if classes is None and len(names) == 1 and not loose and not self.own_labels:
            self._hint(root, folders[0])
        if classes is None or not loose:
            return classes
        if self.own_labels:
            return None
        if self.choice == "classes" or inside >= CLEARLY * loose:
            flat = "; to use all images, without classes: --data.layout flat"
            self._leave_images(root, f"beside the folders {listed(folders)}", flat)
            return classes
        both = f"{plural(loose, 'image')} beside the folders {listed(folders)}"
        if loose >= CLEARLY * inside:
            text = f"none, because there are {both}; to leave out the former: --data.layout classes"
            self.facts.append(Fact("classes", text, warning=True))
            return None
        raise DataError(
            f"{printable(root.path)} holds {both} with {inside:,} images: --data.layout classes "
            "reads the folders as classes and leaves out the others, --data.layout flat reads "
            "all images, without classes"
        )

    def _hint(self, root: Tree, only: Tree) -> None:
        """Tell of folders that would be classes, were they not in the only folder of a part."""
        while len(below := [f for f in only.folders if f.count]) == 1 and not only.images:
            only = below[0]
        if len(below) < 2 or only.images:
            return
        if root.path == self.tree.path:
            how = f"--data {printable(only.path)} reads its subfolders as classes"
        else:
            how = f"move its subfolders to {self._name(root)} to make them classes"
        self.facts.append(Fact("classes", f"none: all images are in {self._name(only)}; {how}"))

    def _leave(self, tree: Tree, why: str, warning: bool = False) -> None:
        if tree.count:
            text = f"{self._name(tree)}, {plural(tree.count, 'image')}, {why}"
            self.facts.append(Fact("left out", text, warning))

    def _leave_images(self, tree: Tree, why: str, remedy: str = "") -> None:
        text = f"{plural(len(tree.images), 'image')} {why} ({printable(tree.images[0])}){remedy}"
        self.facts.append(Fact("left out", text, warning=True))

    def _name(self, tree: Tree) -> str:
        return inside(tree.path, self.tree)

    def _with_masks(self, part: ImagePart, roots: set[Path]) -> ImagePart:
        """roots: of the parts; masks in one of these are of no other part."""
        of_others = roots - {part.root}
        masks = [tree for tree in self.masks if of_others.isdisjoint(tree.path.parents)]
        found = match_masks(part.names, part.root.name, index_masks(masks))
        pairs = zip(part.files, found, strict=True)
        own = tuple(self.own_masks.get(file, mask) for file, mask in pairs)
        return replace(part, masks=own) if any(own) else part
