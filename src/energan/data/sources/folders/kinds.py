"""What folders are by their names: parts, masks, images without labels, or anything else."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from energan.core import DataError
from energan.data.sources.splits import SPLITS, splits_among
from energan.data.sources.tree import Tree
from energan.io.text import printable

UNLABELLED = ("unlabelled", "unlabeled")
"""Names, in any case, of a folder of unlabelled images among class folders."""
MASKS = ("ground_truth", "groundtruth", "ground-truth")
"""Endings of the names of mask folders, wherever they are."""
MAYBE_MASKS = (
    "gt", "mask", "masks", "label", "labels", "segmentation", "segmentations", "annotations",
    "segmentationclass", "segmentationclassaug", "segmentationobject", "trimaps",
)  # fmt: skip
"""Names of mask folders only beside train and test folders, beside a folder of images, or if they
hold as many files as there are images; elsewhere they may be classes."""
PICTURES = ("images", "image", "imgs", "img", "jpegimages")


@dataclass(eq=False)
class Kinds:
    """What the folders in a folder are by their names; empty ones count only as parts."""

    parts: dict[str, list[Tree]] = field(default_factory=lambda: {name: [] for name in SPLITS})
    masks: list[Tree] = field(default_factory=list)
    unlabelled: list[Tree] = field(default_factory=list)
    plain: list[Tree] = field(default_factory=list)

    @property
    def together(self) -> bool:
        """Whether a training part stands beside another one."""
        return bool(self.parts["train"] and (self.parts["test"] or self.parts["val"]))

    @property
    def only_pictures(self) -> bool:
        """Whether all images but those of masks lie in one folder that is called images."""
        others = any(self.parts.values()) or self.unlabelled
        return not others and self._called_pictures

    @property
    def pictures_beside_test(self) -> bool:
        """Whether a folder that is called images stands beside test parts alone."""
        return not self.parts["train"] and self._called_pictures

    @property
    def _called_pictures(self) -> bool:
        return len(self.plain) == 1 and self.plain[0].name.lower() in PICTURES


def kinds_of(tree: Tree) -> Kinds:
    found = Kinds()
    maybe: list[Tree] = []
    splits = splits_among([folder.name for folder in tree.folders])
    for folder in tree.folders:
        name = folder.name.lower()
        if split := splits.get(folder.name):
            found.parts[split].append(folder)
        elif not folder.count:
            continue
        elif name in UNLABELLED:
            found.unlabelled.append(folder)
        elif name.endswith(MASKS):
            found.masks.append(folder)
        elif name in MAYBE_MASKS:
            maybe.append(folder)
        else:
            found.plain.append(folder)
    sure = found.parts["train"] or any(f.name.lower() in PICTURES for f in found.plain)
    for folder in maybe:
        of_images = sure or len(tree.images) >= folder.count
        (found.masks if of_images else found.plain).append(folder)
    return found


def mask_folders(tree: Tree, without: Collection[Tree] = ()) -> list[Tree]:
    """The folders of masks in a folder and below."""
    found: list[Tree] = []
    waiting = [tree]
    while waiting:
        folder = waiting.pop()
        masks = kinds_of(folder).masks
        found += [mask for mask in masks if mask not in without]
        waiting += [below for below in folder.folders if below not in (*masks, *without)]
    return sorted(found, key=lambda mask: mask.path)


def only_folder(trees: Sequence[Tree]) -> Tree:
    """The one folder of a part. Raises DataError if two hold images."""
    full = [tree for tree in trees if tree.count] or trees
    if len(full) > 1:
        raise DataError(
            f"{printable(full[0].path.parent)} holds {printable(full[0].name)} and "
            f"{printable(full[1].name)}, which could both be the same part: rename one of them, "
            "or move it elsewhere"
        )
    return full[0]
