"""What a folder is taken for: parts, masks, classes, and what is left out."""

import os
import re
import shutil
import socket
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from energan.core import DataError, NoTestPart
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.detect import open_source
from energan.data.sources.folders.layout import read_layout
from energan.data.sources.tree import scan
from support.image_files import encoded, noise


def fill(folder: Path, count: int = 4, name: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (4, 4), 10 * i).save(folder / name.format(i))
    return folder


def make(root: Path, **folders: int) -> Path:
    """Folders of so many images; __ stands for a slash, an empty folder has 0."""
    for name, count in folders.items():
        fill(root / name.replace("__", "/"), count)
    return root


def read(folder: Path, split: str = "train", **options: object) -> DataSet:
    asked = {"source": str(folder), "held_out": 0, **options}
    return open_data(DataSettings.model_validate(asked), split)  # type: ignore[arg-type]


def names(folder: Path, split: str = "train") -> list[str]:
    return read_layout(folder).part(split).names  # type: ignore[arg-type]


def facts(folder: Path, **options: object) -> list[str]:
    return [str(fact) for fact in read(folder, **options).facts]


# --- parts ----------------------------------------------------------------------------------------

TRAIN = ["train", "train2017", "Training", "training_set", "train-set", "TRAIN_IMAGES"]
HELD = ["test", "testing", "test_set", "val", "valid", "Validation", "dev", "eval", "holdout"]


BESIDE = [None, "masks", "ground_truth", "extra"]


@pytest.mark.parametrize(
    ("train", "held", "beside"),
    [
        (train, held, BESIDE[(i + j) % len(BESIDE)])
        for i, train in enumerate(TRAIN)
        for j, held in enumerate(HELD)
    ],
)
def test_parts_together_win_over_whatever_stands_beside_them(
    tmp_path: Path, train: str, held: str, beside: str | None
) -> None:
    make(tmp_path, **{f"{train}__cat": 3, f"{train}__dog": 3, f"{held}__dog": 2})
    if beside:
        fill(tmp_path / beside, 5, "other{}.png")
    data, test = read(tmp_path), read(tmp_path, "test")
    assert (len(data), data.class_names) == (6, ("cat", "dog"))
    assert (len(test), test.class_names) == (2, ("cat", "dog"))
    assert test.labels is not None
    assert test.labels.tolist() == [1, 1]  # numbered as in training


@pytest.mark.parametrize(
    ("train", "held"),
    [("train2017", "val2017"), ("images_train", "images_val"), ("seg_train", "seg_test"),
     ("Set Train (1)", "set test (1)"), ("trainval", "test"), ("ds/ds/train", "ds/ds/test")],
)  # fmt: skip
def test_parts_by_names_that_differ_in_one_word(tmp_path: Path, train: str, held: str) -> None:
    make(tmp_path, **{f"{train}/cat": 3, f"{train}/dog": 3, f"{held}/dog": 2})
    data, test = read(tmp_path), read(tmp_path, "test")
    assert (len(data), data.class_names) == (6, ("cat", "dog"))
    assert (len(test), test.class_names) == (2, ("cat", "dog"))


@pytest.mark.parametrize("classes", [("bullet_train", "bus"), ("train_a", "test_b"), ("x", "x1")])
def test_classes_whose_names_hold_the_word_of_a_part(
    tmp_path: Path, classes: tuple[str, str]
) -> None:
    make(tmp_path, **dict.fromkeys(classes, 3))
    assert read(tmp_path).class_names == tuple(sorted(classes))


def test_parts_of_two_sets_are_asked_about(tmp_path: Path) -> None:
    make(tmp_path, a_train=3, a_test=2, b_train=3, b_test=2)
    with pytest.raises(DataError, match="a_train and b_train, which could both be the same part"):
        read(tmp_path)
    assert len(read(tmp_path, layout="classes").class_names or ()) == 4


def test_folders_that_would_be_classes_are_pointed_to(tmp_path: Path) -> None:
    make(tmp_path / "a", x__y__cat=3, x__y__dog=3)
    assert (
        f"classes: none: all images are in x/y/; --data {tmp_path / 'a'}/x/y reads its "
        "subfolders as classes"
    ) in facts(tmp_path / "a")
    make(tmp_path / "b", train__y__cat=3, train__y__dog=3, test__cat=2)
    assert (
        "classes: none: all images are in train/y/; move its subfolders to train/ to make them "
        "classes"
    ) in facts(tmp_path / "b")
    make(tmp_path / "c", good=3)
    assert not any(fact.startswith("classes") for fact in facts(tmp_path / "c"))


EMPTY = [".ipynb_checkpoints", "__MACOSX", ".cache", "masks", "@eaDir", ".thumbnails", "anything"]


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("form", ["parts", "classes", "flat", "train alone"])
def test_an_empty_folder_changes_nothing(tmp_path: Path, empty: str, form: str) -> None:
    folders = {"parts": ["train", "test"], "classes": ["cat", "dog"], "flat": ["."]}
    for name in folders.get(form, ["train"]):
        fill(tmp_path / name)
    before = read(tmp_path)
    (tmp_path / empty / "deeper").mkdir(parents=True)
    after = read(tmp_path)
    assert (len(after), after.class_names) == (len(before), before.class_names)
    assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", ".ipynb_checkpoints", ".cache", ".thumbs"])
@pytest.mark.parametrize("where", [".", "cat", "deep/er"])
def test_images_of_hidden_and_system_folders_count_for_nothing(
    tmp_path: Path, name: str, where: str
) -> None:
    make(tmp_path, cat=3, dog=3)
    fill(tmp_path / where / name, 9)
    assert len(read(tmp_path)) == 6
    assert read(tmp_path).class_names == ("cat", "dog")
    assert any("hidden or system" in fact for fact in facts(tmp_path))


def test_hidden_files_count_for_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    for name in ("Thumbs.db", ".DS_Store", "._0.png", "desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    assert len(read(tmp_path)) == 4
    assert "left out: 4 hidden or system entries (as .DS_Store)" in facts(tmp_path)


def test_a_training_folder_alone_is_read_beside_nothing_and_a_class_beside_others(
    tmp_path: Path,
) -> None:
    make(tmp_path / "a", train=4)
    assert len(read(tmp_path / "a")) == 4
    make(tmp_path / "b", train=4, other=3)
    assert read(tmp_path / "b").class_names == ("other", "train")
    (told,) = (f for f in read(tmp_path / "b").facts if f.subject == "classes")
    assert told.warning
    assert "--data.layout splits" in told.text
    parts = read(tmp_path / "b", layout="splits")
    assert (len(parts), parts.class_names) == (4, None)
    make(tmp_path / "c", train=4, ground_truth=3)  # masks are no class
    assert len(read(tmp_path / "c")) == 4


def test_two_folders_of_one_part_are_refused(tmp_path: Path) -> None:
    make(tmp_path, train=2, training=2, test=2)
    with pytest.raises(DataError, match="train and training, which could both be the same part"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "training")
    make(tmp_path, training=0)  # an empty one is none
    assert len(read(tmp_path)) == 2


def test_a_test_part_without_a_training_part_is_not_trained_on(tmp_path: Path) -> None:
    make(tmp_path, test=3, val=2)
    with pytest.raises(DataError, match=r"test part and no folder train.*--data\.layout flat"):
        read(tmp_path)
    assert len(read(tmp_path, "test")) == 3
    assert len(read(tmp_path, layout="flat")) == 5
    fill(tmp_path, 7)  # images beside it are what is trained on
    assert names(tmp_path) == [f"{i}.png" for i in range(7)]


def test_validation_beside_test_is_told(tmp_path: Path) -> None:
    make(tmp_path, train=4, val=3, test=2)
    assert len(read(tmp_path, "test")) == 2
    assert "left out: val/, 3 images, because test/ is the test part" in facts(tmp_path)


@pytest.mark.parametrize("beside", ["labels", "annotations", "masks"])
def test_images_with_parts_in_them_beside_labels(tmp_path: Path, beside: str) -> None:
    make(tmp_path, images__train=4, images__val=2)
    for part in ("train", "val"):
        (tmp_path / beside / part).mkdir(parents=True)
        (tmp_path / beside / part / "0.txt").write_text("0 1 1 1 1")
    assert (len(read(tmp_path)), len(read(tmp_path, "test"))) == (4, 2)
    for part in ("train", "val"):
        fill(tmp_path / beside / part, 2)
    source = open_source(DataSettings(source=str(tmp_path)), "train")
    assert source.count == 4
    assert source.masks is not None
    assert source.masks[:2] == tuple(tmp_path / beside / "train" / f"{i}.png" for i in (0, 1))
    assert source.masks[2:] == (None, None)


def test_parts_one_folder_down_are_found_and_many_such_folders_refused(tmp_path: Path) -> None:
    make(tmp_path / "a", data__train=4, data__test=2)
    assert (len(read(tmp_path / "a")), len(read(tmp_path / "a", "test"))) == (4, 2)
    make(tmp_path / "b", bottle__train=4, bottle__test=2, cable__train=4, cable__test=2)
    with pytest.raises(DataError, match="bottle, cable with folders train and test: name one"):
        read(tmp_path / "b")
    assert read(tmp_path / "b", layout="classes").class_names == ("bottle", "cable")


def test_images_beside_a_test_part_are_a_question(tmp_path: Path) -> None:
    make(tmp_path, images=4, masks=4, test_images=2)
    with pytest.raises(DataError, match="holds images and test_images, and no folder train: name"):
        read(tmp_path)


def test_parts_many_folders_down_are_found(tmp_path: Path) -> None:
    make(tmp_path, a__b__c__images__train=3, a__b__c__images__dev=2, a__b__c__masks__train=3)
    assert (len(read(tmp_path)), len(read(tmp_path, "test"))) == (3, 2)
    assert facts(tmp_path)[2] == "masks: 3 in a/b/c/masks/, for 3 images"


def test_a_layout_that_is_not_there_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    for layout in ("splits", "classes", "table"):
        with pytest.raises(DataError, match=rf"data\.layout {layout}"):
            read(tmp_path, layout=layout)
    with pytest.raises(DataError, match=r"data\.layout gives the parts .*digits is not one"):
        open_data(DataSettings(source="digits", layout="flat"))


# --- inspection data sets -------------------------------------------------------------------------


def inspection(root: Path, good: str = "good", mask: str = "{}_mask.png") -> Path:
    make(root, **{f"train__{good}": 6, f"test__{good}": 3, "test__crack": 4, "test__hole": 2})
    fill(root / "ground_truth" / "crack", 4, mask)
    return fill(root / "ground_truth" / "hole", 2, mask).parents[1]


@pytest.mark.parametrize("mask", ["{}_mask.png", "{}.png", "{}_GT.bmp", "{}/000.png"])
def test_the_layout_of_inspection_data_sets(tmp_path: Path, mask: str) -> None:
    if "/" in mask:
        for kind, count in (("crack", 4), ("hole", 2)):
            for i in range(count):
                (tmp_path / "ground_truth" / kind / str(i)).mkdir(parents=True)
    folder = inspection(tmp_path, mask=mask)
    data, test = read(folder), read(folder, "test")
    assert (len(data), data.labels, data.class_names) == (6, None, None)
    assert (len(test), test.class_names) == (9, ("crack", "good", "hole"))
    source = open_source(DataSettings(source=str(folder)), "test")
    assert source.masks is not None
    for row in range(9):
        kind, name = source.where(row).split("/")
        file = folder / "ground_truth" / kind / mask.format(Path(name).stem)
        assert source.masks[row] == (None if kind == "good" else file)
    said = facts(folder)
    assert said[0] == "train: 6 images in train/ (good 6)"
    assert said[1] == "test: 9 images in test/, of 3 classes (crack 4, good 3, hole 2)"
    assert said[2] == "masks: 6 in ground_truth/, for 6 images"
    assert not any(fact.warning for fact in data.facts)


def test_masks_that_lack_or_belong_to_nothing_are_told(tmp_path: Path) -> None:
    folder = inspection(tmp_path)
    (folder / "ground_truth" / "crack" / "0_mask.png").unlink()
    Image.new("L", (4, 4)).save(folder / "ground_truth" / "crack" / "77_mask.png")
    (told,) = (fact for fact in read(folder).facts if fact.subject == "masks")
    assert told.warning
    assert told.text == (
        "6 in ground_truth/, for 5 images; 1 image without one; 1 without an image that is read"
    )


def test_masks_beside_their_images_are_masks(tmp_path: Path) -> None:
    fill(tmp_path / "bad", 3)
    fill(tmp_path / "bad", 3, "{}_mask.png")
    fill(tmp_path / "good", 5)
    data = read(tmp_path)
    assert (len(data), data.class_names) == (8, ("bad", "good"))
    assert "masks: 3, for 3 images" in facts(tmp_path)
    assert len(read(tmp_path, layout="flat")) == 11
    fill(tmp_path / "good", 1, "face_mask.png")  # nothing is called face: an image like others
    assert len(read(tmp_path)) == 9


@pytest.mark.parametrize("mask", ["{}_label.png", "{}_GT.bmp", "{}-groundtruth.png"])
def test_masks_in_a_folder_beside_the_images_of_a_part(tmp_path: Path, mask: str) -> None:
    make(tmp_path, Train=8, Test=4)
    fill(tmp_path / "Train" / "Label", 3, mask)
    fill(tmp_path / "Test" / "Label", 2, mask)
    for part, count, masked in (("Train", 8, 3), ("Test", 4, 2)):
        expected = [tmp_path / part / "Label" / mask.format(i) for i in range(masked)]
        source = open_source(DataSettings(source=str(tmp_path)), part.lower())  # type: ignore[arg-type]
        assert source.masks == (*expected, *(count - masked) * [None])
    assert facts(tmp_path)[2] == (
        "masks: 5 in Train/Label/, Test/Label/, for 5 images; 7 images without one"
    )


def test_folders_of_segmentation_are_masks_beside_pictures(tmp_path: Path) -> None:
    make(tmp_path / "a", JPEGImages=6, SegmentationClass=3, SegmentationObject=3)
    make(tmp_path / "b", Task1_Input=6, Task1_GroundTruth=6)
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert (len(read(folder)), read(folder).class_names) == (6, None)


def test_a_folder_of_nothing_but_masks_says_so(tmp_path: Path) -> None:
    make(tmp_path, ground_truth=3)
    with pytest.raises(DataError, match=r"holds no image .*; masks: 3 in ground_truth/"):
        read(tmp_path)


def test_a_class_may_be_called_mask(tmp_path: Path) -> None:
    make(tmp_path, mask=3, no_mask=3)
    assert read(tmp_path).class_names == ("mask", "no_mask")
    assert "classes: mask/ is read as a class; move it elsewhere if it holds masks" in facts(
        tmp_path
    )


def test_images_beside_masks_without_parts(tmp_path: Path) -> None:
    make(tmp_path, images=5, masks=5)
    assert names(tmp_path) == [f"{i}.png" for i in range(5)]
    assert "masks: 5 in masks/, for 5 images" in facts(tmp_path)


def test_masks_further_down_are_no_images(tmp_path: Path) -> None:
    make(tmp_path / "a", data__images__good=4, data__images__bad=2, data__masks__bad=2)
    assert read(tmp_path / "a").class_names == ("bad", "good")
    assert facts(tmp_path / "a")[1] == "masks: 2 in data/masks/, for 2 images"
    for name in ("nut", "pcb"):
        make(tmp_path / "b" / name, images=3, masks=3)
    assert read(tmp_path / "b").class_names == ("nut", "pcb")
    assert len(read(tmp_path / "b")) == 6


def test_classes_may_have_names_of_masks(tmp_path: Path) -> None:
    make(tmp_path, gt=3, suv=3)
    assert read(tmp_path).class_names == ("gt", "suv")


@pytest.mark.parametrize("beside", ["masks", "labels"])
def test_masks_within_the_parts(tmp_path: Path, beside: str) -> None:
    for part in ("train", "test"):
        make(tmp_path / part, **{"images": 4, beside: 4})
    assert (len(read(tmp_path)), len(read(tmp_path, "test"))) == (4, 4)


# --- classes --------------------------------------------------------------------------------------


def test_unlabelled_images_are_told(tmp_path: Path) -> None:
    make(tmp_path, train__cat=3, train__dog=3, val__cat=1, unlabelled=2)
    assert facts(tmp_path) == [
        "train: 8 images in train/, of 2 classes (cat 3, dog 3), 2 unlabelled",
        "test: 1 image in val/, of 1 class (cat 1)",
    ]


def test_images_beside_the_folders_of_classes(tmp_path: Path) -> None:
    make(tmp_path, cat=6, dog=6)
    fill(tmp_path, 4, "loose{}.png")
    data = read(tmp_path)
    assert (len(data), data.class_names) == (12, ("cat", "dog"))
    assert any("4 images beside the folders cat, dog (loose0.png)" in f for f in facts(tmp_path))
    fill(tmp_path, 5, "loose{}.png")
    with pytest.raises(
        DataError, match=r"5 images beside the folders cat, dog with 12 images: --data\.l"
    ):
        read(tmp_path)
    assert len(read(tmp_path, layout="classes")) == 12
    assert len(read(tmp_path, layout="flat")) == 17
    fill(tmp_path, 36, "loose{}.png")  # a folder of photographs with two albums
    data = read(tmp_path)
    assert (len(data), data.class_names) == (48, None)
    assert any(f.warning and "--data.layout classes" in f.text for f in data.facts)


def test_images_beside_classes_are_labelled_by_a_csv(tmp_path: Path) -> None:
    make(tmp_path, cat=6, dog=6)
    fill(tmp_path, 1, "loose.png")
    (tmp_path / "l.csv").write_text("file,label\nloose.png,owl\ncat/0.png,cat\n")
    data = read(tmp_path, labels="l.csv")
    assert data.labels is not None
    assert (len(data), data.class_names) == (13, ("cat", "owl"))
    assert sorted(data.labels.tolist()) == [-1] * 11 + [0, 1]
    assert "labels: 2 of 13 images have one, of 2 classes, from l.csv" in facts(
        tmp_path, labels="l.csv"
    )


def test_one_class_in_two_spellings_of_its_accents(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        fill(tmp_path / unicodedata.normalize(form, "Bär"), 3, form + "{}.png")
    fill(tmp_path / "dog", 3)
    assert read(tmp_path).class_names == ("Bär", "dog")
    assert read(tmp_path, classes=("Bär",)).class_names == ("Bär",)


@pytest.mark.parametrize(
    "pair", [("Cat", "cat"), ("01", "1"), ("a b", "a  b"), ("STRASSE", "straße")]
)
def test_classes_that_may_be_one_are_a_question(tmp_path: Path, pair: tuple[str, str]) -> None:
    make(tmp_path, **{pair[0]: 3, pair[1]: 3, "other": 3})
    said = "the same class[?] If so, put the images into one folder; if not, name both"
    with pytest.raises(DataError, match=said):
        read(tmp_path)
    assert read(tmp_path, classes=pair).class_names == pair


def test_classes_are_named_however_accents_are_written(tmp_path: Path) -> None:
    make(tmp_path, **{unicodedata.normalize("NFD", "Bär"): 3, "dog": 3})
    for form in ("NFC", "NFD"):
        wanted = unicodedata.normalize(form, "Bär")
        assert read(tmp_path, classes=(wanted,)).class_names == ("Bär",)


@pytest.mark.parametrize("labels", [["b", "a", "c", "d"], [7, 5, 9, 11]])
def test_classes_of_a_table_keep_the_numbers_of_training(tmp_path: Path, labels: list) -> None:
    cells = [encoded(image) for image in noise(4)]
    table = pa.table({"image": cells, "label": labels})
    pq.write_table(table.slice(0, 3), tmp_path / "train.parquet")
    pq.write_table(table.slice(2, 2), tmp_path / "test.parquet")
    test = read(tmp_path, "test")
    assert test.class_names == tuple(map(str, [*sorted(labels[:3]), labels[3]]))
    assert test.labels is not None
    assert sorted(test.labels.tolist()) == [2, 3]
    chosen = read(tmp_path, "test", classes=(str(labels[2]),))
    assert (len(chosen), chosen.class_names) == (1, (str(labels[2]),))
    with pytest.raises(NoTestPart, match="no image of 0"):  # not the next one
        read(tmp_path, "test", classes=("0",))


def test_a_test_part_is_numbered_as_the_training_part(tmp_path: Path) -> None:
    make(tmp_path, train__cat=3, train__dog=3, train__owl=3, test__ape=2, test__cat=1, test__owl=2)
    test = read(tmp_path, "test")
    assert test.class_names == ("cat", "dog", "owl", "ape")
    assert test.labels is not None
    assert sorted(test.labels.tolist()) == [0, 2, 2, 3, 3]
    chosen = read(tmp_path, "test", classes=("2",))
    assert (len(chosen), chosen.class_names) == (2, ("owl",))
    with pytest.raises(NoTestPart, match="no image of 1"):  # not the next one
        read(tmp_path, "test", classes=("1",))


# --- strays ---------------------------------------------------------------------------------------


def stray(folder: Path, kind: str) -> str:
    """A file of another kind."""
    name = f"stray.{kind}"
    if kind == "mat":
        savemat(folder / name, {"x": np.zeros((10, 10))})
    elif kind == "npy":
        np.save(folder / name, np.zeros(5))
    elif kind == "dataset_info.json":
        name = kind
        (folder / name).write_text("{}")
    else:
        (folder / name).write_bytes(b"PAR1 torn")
    return name


@pytest.mark.parametrize("kind", ["mat", "parquet", "npy", "csv", "dataset_info.json", "zip"])
@pytest.mark.parametrize("where", [".", "cat"])
def test_a_stray_file_of_another_kind_is_told(tmp_path: Path, kind: str, where: str) -> None:
    make(tmp_path, cat=3, dog=3)
    name = stray(tmp_path / where, kind)
    data = read(tmp_path)
    assert (len(data), data.class_names, data.domain.shape) == (6, ("cat", "dog"), (1, 4, 4))
    assert any(fact.startswith("left out: 1 ") and name in fact for fact in facts(tmp_path))


def test_as_many_tables_as_images_are_a_question(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    savemat(tmp_path / "faces.mat", {"images": np.linspace(0, 1, 1000).reshape(10, 10, 10)})
    with pytest.raises(DataError, match=r"2 images and 1 \.mat file .*--data\.layout flat.* table"):
        read(tmp_path)
    assert len(read(tmp_path, layout="flat")) == 2
    table = read(tmp_path, layout="table")
    assert table.domain.shape == (1, 10, 10)
    assert [str(fact) for fact in table.facts] == [
        "source: 1 .mat file (faces.mat)",
        "left out: 2 images, beside 1 .mat file (faces.mat); to read them: --data.layout flat",
    ]


def test_two_tables_are_a_question(tmp_path: Path) -> None:
    stray(tmp_path, "mat")
    stray(tmp_path, "parquet")
    with pytest.raises(DataError, match=r"1 Parquet file .* and 1 \.mat file .*name the"):
        read(tmp_path)


def test_a_picture_beside_many_tables_is_left_out(tmp_path: Path) -> None:
    for i in range(3):
        savemat(tmp_path / f"{i}.mat", {"x": np.zeros((10, 10))})
    fill(tmp_path, 1)
    with pytest.raises(DataError, match=r"holds 3 \.mat files \(0\.mat\): name one"):
        read(tmp_path)


def test_other_suffixes_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    for i in range(6):
        (tmp_path / f"{i}.JXL").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "README").write_text("hello")
    told = {str(fact): fact.warning for fact in read(tmp_path).facts}
    assert told["left out: 6 .jxl files (as 0.JXL)"]
    assert not told["left out: 1 .txt file (notes.txt)"]
    assert not told["left out: 1 suffixless file (README)"]


def test_what_is_there_instead_of_images_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jxl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no image .*left out: 1 \.jxl file \(a\.jxl\)"):
        read(tmp_path)


# --- odd entries ----------------------------------------------------------------------------------


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    fill(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
    here = socket.socket(socket.AF_UNIX)
    here.bind(str(tmp_path / "socket.png"))
    here.close()
    (tmp_path / "null.png").symlink_to("/dev/null")
    data = read(tmp_path)
    assert len(data) == 4
    said = {str(fact) for fact in data.facts if fact.warning}
    assert "left out: 2 named pipes (as link.png)" in said
    assert "left out: 1 socket (socket.png)" in said
    assert "left out: 1 device (null.png)" in said


def test_loops_of_links_end_and_each_folder_is_read_once(tmp_path: Path) -> None:
    make(tmp_path, cat=3, dog=3)
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "dog")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    fill(tmp_path.parent / "elsewhere", 2)
    (tmp_path / "owl").symlink_to(tmp_path.parent / "elsewhere")
    data = read(tmp_path)
    assert (len(data), data.class_names) == (8, ("cat", "dog", "owl"))
    assert any("2 looping or repeated links" in fact for fact in facts(tmp_path))


def test_names_that_are_no_utf8_can_be_printed_and_stored(tmp_path: Path) -> None:
    odd = os.fsdecode(b"b\xe4r")
    make(tmp_path, **{f"{odd}": 3, "cat": 3})
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("x")
    (tmp_path / "cat" / os.fsdecode(b"torn\xff.png")).write_bytes(b"x")
    data = read(tmp_path)
    assert data.class_names == ("b\\xe4r", "cat")
    assert data.skipped[0][0] == "cat/torn\\xff.png"
    for text in [*map(str, data.facts), data.name, *data.class_names]:
        text.encode("utf8")


NAMES = st.sampled_from(
    ["train", "test", "val", "images", "masks", "ground_truth", "cat", "dog", "unlabelled", ".git",
     "__MACOSX", "0.png", "1.png", "1_mask.png", "a.jxl", "b.txt", "c"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=12))
def test_every_file_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, paths: Sequence[Sequence[str]]
) -> None:
    """Each image is in one part, a mask, or told as left out; or the folder is refused."""
    root = tmp_path_factory.mktemp("tree")
    for path in paths:
        file = root.joinpath(*path)
        if all(not p.is_file() for p in file.parents) and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
    try:
        layout = read_layout(root)
    except DataError:
        return
    parts = [part for part in (layout.train, layout.test) if part is not None]
    read = [file for part in parts for file in part.files]
    assert len(read) == len(set(read))
    counted = 0
    for fact in layout.facts:
        if fact.subject == "masks":
            counted += int(fact.text.split()[0].rstrip(","))
        elif fact.subject == "left out" and (found := re.search(r"(\d+) image", fact.text)):
            counted += int(found[1])
    assert len(read) + counted == scan(root).count
