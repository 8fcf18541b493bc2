"""A user's own labels: a CSV beside a folder of images, class folders beside an unlabelled one."""

import unicodedata
from pathlib import Path

import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.folders.label_csv import read_labels

FILES = ("a.png", "b.png", "x/c 1.png", "x/d.png", "y/d.png", "y/ü,e.png")


def opened(folder: Path, labels: str | Path | None = None, split: str = "train", **more) -> DataSet:
    told = {"labels": None if labels is None else str(labels), "held_out": 0, **more}
    settings = DataSettings.model_validate({"source": str(folder), **told})
    return open_data(settings, split)  # type: ignore[arg-type]


def draw(folder: Path, files: tuple[str, ...] = FILES) -> Path:
    """An image for each file; the i-th is of grey 10 i."""
    for i, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 10 * i).save(folder / file)
    return folder


def told(data: DataSet) -> dict[int, str | None]:
    """The class of each image, by its number in `draw`."""
    assert data.labels is not None
    assert data.class_names is not None
    greys = (data.raw()[:, 0, 0, 0] // 10).tolist()
    names = [*data.class_names, None]
    return {g: names[k] for g, k in zip(greys, data.labels.tolist(), strict=True)}


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.png,cat\nx/c 1.png,dog\n\"y/ü,e.png\",cat\n",
        "\ufefffile,label\r\na.png,cat\r\nx/c 1.png,dog\r\n\"y/ü,e.png\",cat\r\n",
        ' File , LABEL \n\n a.png , cat \n"x/c 1.png","dog"\n"ü,e.png",cat\nb.png,\n',
        "who;label;file\nme;cat;a.png\nyou;dog;c 1.png\nme;cat;y/ü,e.png\n",
        "label\tfile\ncat\ta.png\ndog\tx\\c 1.png\ncat\ty/ü,e.png\ncat\ta.png\n",
    ],
)  # fmt: skip
def test_forms_of_the_same_csv(tmp_path: Path, text: str) -> None:
    folder = draw(tmp_path / "images")
    csv = tmp_path / "labels.csv"
    csv.write_bytes(text.encode())
    data = opened(folder, csv)
    assert data.class_names == ("cat", "dog")
    assert data.domain.classes == 2
    assert told(data) == {0: "cat", 1: None, 2: "dog", 3: None, 4: None, 5: "cat"}


def test_images_without_a_label_can_be_left_out(tmp_path: Path) -> None:
    folder = draw(tmp_path / "images")
    csv = tmp_path / "labels.csv"
    csv.write_text('file,label\na.png,cat\nx/c 1.png,dog\n"y/ü,e.png",cat\nb.png,bird\n')
    data = opened(folder, csv, unlabelled=False)
    assert told(data) == {0: "cat", 1: "bird", 2: "dog", 5: "cat"}
    assert "unlabelled: 2 images left out (--data.unlabelled)" in map(str, data.facts)
    cats = opened(folder, csv, unlabelled=False, classes=["cat"], held_out=1)
    assert cats.held_out is not None
    assert sorted([*told(cats), *told(cats.held_out)]) == [0, 5]


def test_where_paths_start_from(tmp_path: Path) -> None:
    folder = draw(tmp_path / "images")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "lists").mkdir()
    csv = tmp_path / "lists" / "l.csv"
    csv.write_text(
        f"file,label\n{folder}/a.png,1\n../images/b.png,2\nx/d.png,10\n{tmp_path}/link/y/d.png,2\n"
    )
    data = opened(folder, csv)
    assert data.class_names == ("1", "2", "10")  # whole numbers are sorted as such
    assert told(data) == {0: "1", 1: "2", 2: None, 3: "10", 4: "2", 5: None}
    (folder / "own.csv").write_text("file,label\na.png,1\nb.png,2\n")
    assert told(opened(folder, "own.csv"))[1] == "2"  # the CSV may lie in the folder


def test_the_source_goes_before_the_csvs_folder(tmp_path: Path) -> None:
    folder = draw(tmp_path, ("a.png", "b.png", "x/a.png"))
    (tmp_path / "x" / "l.csv").write_text("file,label\na.png,cat\nb.png,dog\n")
    assert told(opened(folder, tmp_path / "x" / "l.csv")) == {0: "cat", 1: "dog", 2: None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.png,cat\nb.pmg,dog\nz.png,dog", r"line 3: .*no image b\.pmg.*1 more lines"),
        ("file,label\na.png,cat\nb.png,dog\n./a.png,dog", "a.png is cat in line 2 and dog in line"),
        (
            "file,label\nd.png,cat\na.png,dog",
            "line 2: 2 images have the name d.png.*write its path",
        ),
        ("name,label\na.png,cat", "first line is name,label, and must name the columns"),
        ("a.png,cat\nb.png,dog", "and must name the columns"),
        ("", "is empty"),
        ("file,label\n", "holds no label"),
        ("file,label\na.png,\n", "holds no label"),
        ("file,label\na.png,cat\nb.png,cat", "every label is cat"),
        ("file,label\na.png,cat\nb.png", "line 3: 1 field for 2 columns"),
        ("file,label\na.png,cat,dog", "line 2: 3 fields for 2 columns"),
        ("file,label\n,cat", "line 2: a label without a file"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    folder = draw(tmp_path / "images")
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError, match=said) as raised:
        opened(folder, tmp_path / "l.csv")
    assert "l.csv" in str(raised.value)


def test_a_csv_that_is_used_is_not_left_out(tmp_path: Path) -> None:
    folder = draw(tmp_path / "images")
    for name in ("l.csv", "other.csv"):
        (folder / name).write_text("file,label\na.png,cat\nb.png,dog\n")
    for word in ("l.csv", str(folder / "l.csv")):
        told = [str(fact) for fact in opened(folder, word).facts if fact.subject == "left out"]
        assert told == [
            "left out: 1 .csv file (other.csv); --data.labels other.csv takes labels from it"
        ]


def test_a_csv_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    folder = draw(tmp_path / "images")
    with pytest.raises(DataError, match=r"no file gone\.csv"):
        opened(folder, "gone.csv")
    (tmp_path / "l.csv").write_bytes(b"file,label\n\xff\xfe\x00,cat\n")
    with pytest.raises(DataError, match="not a text file"):
        read_labels(tmp_path / "l.csv")


@pytest.mark.parametrize("source", ["mnist", "ring", "a.npy"])
def test_only_folders_of_images_take_a_csv(tmp_path: Path, source: str) -> None:
    (tmp_path / "a.npy").touch()
    with pytest.raises(DataError, match=r"data\.labels .*is not one: leave it unset"):
        opened(Path(source) if source != "a.npy" else tmp_path / source, "l.csv")


def test_a_csv_overrules_folders_and_serves_splits(tmp_path: Path) -> None:
    files = ("train/1/a.png", "train/2/b.png", "train/2/c.png", "test/2/d.png", "test/10/e.png")
    folder = draw(tmp_path / "images", files)
    csv = tmp_path / "l.csv"
    csv.write_text("file,label\n1/a.png,10\nb.png,2\n")
    assert told(opened(folder, csv)) == {0: "10", 1: "2", 2: None}
    # the test part has folders of these classes, and is numbered as the CSV numbers them
    assert told(opened(folder, csv, "test")) == {3: "2", 4: "10"}
    csv.write_text("file,label\n1/a.png,10\ntrain/2/b.png,2\ntest/2/d.png,10\n")
    assert told(opened(folder, csv)) == {0: "10", 1: "2", 2: None}
    assert told(opened(folder, csv, "test")) == {3: "10", 4: None}


@pytest.mark.parametrize("name", ["unlabelled", "unlabeled", "Unlabelled", "UNLABELED"])
def test_class_folders_beside_an_unlabelled_one(tmp_path: Path, name: str) -> None:
    files = ("cat/a.png", "dog/b.png", f"{name}/c.png", f"{name}/deep/d.png")
    data = opened(draw(tmp_path, files))
    assert told(data) == {0: "cat", 1: "dog", 2: None, 3: None}


def test_an_unlabelled_folder_beside_the_splits(tmp_path: Path) -> None:
    files = ("train/cat/a.png", "train/dog/b.png", "test/cat/c.png", "test/dog/d.png",
             "unlabeled/e.png")  # fmt: skip
    folder = draw(tmp_path, files)
    assert told(opened(folder)) == {0: "cat", 1: "dog", 4: None}
    assert told(opened(folder, split="test")) == {2: "cat", 3: "dog"}


def test_one_class_beside_unlabelled_is_no_class(tmp_path: Path) -> None:
    assert opened(draw(tmp_path, ("cat/a.png", "unlabelled/b.png"))).labels is None


def many(folder: Path) -> Path:
    """40 images; 8 of them labelled."""
    draw(folder, tuple(f"{i:02}.png" for i in range(40)))
    lines = [f"{i:02}.png,{'cat' if i % 2 else 'dog'}" for i in range(0, 40, 5)]
    (folder / "l.csv").write_text("\n".join(["file,label", *lines]))
    return folder


def counts(data: DataSet) -> tuple[int, int]:
    """Events, and those with a label."""
    assert data.labels is not None
    return len(data), int((data.labels >= 0).sum())


def test_own_labels_are_not_held_out_unless_asked_for(tmp_path: Path) -> None:
    folder = many(tmp_path)
    data = opened(folder, "l.csv", held_out=None)
    assert counts(data) == (36, 8)
    assert data.held_out is not None
    assert counts(data.held_out) == (4, 0)
    asked = opened(folder, "l.csv", held_out=30)
    assert asked.held_out is not None
    both = counts(asked), counts(asked.held_out)
    assert [both[0][0], both[1][0]] == [10, 30]
    assert both[0][1] + both[1][1] == 8
    assert both[1][1] > 0


def test_a_limit_keeps_the_labels(tmp_path: Path) -> None:
    assert counts(opened(many(tmp_path), "l.csv", held_out=None, limit=10)) == (10, 8)


def test_chosen_classes_keep_unlabelled_images(tmp_path: Path) -> None:
    folder = draw(tmp_path, ("cat/a.png", "dog/b.png", "owl/c.png", "unlabelled/d.png"))
    assert told(opened(folder, classes=["owl", "cat"])) == {0: "cat", 2: "owl", 3: None}


def test_the_labels_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    folder = many(tmp_path)
    before = opened(folder, "l.csv").fingerprint
    text = (folder / "l.csv").read_text()
    (folder / "l.csv").write_text(text.replace("00.png,dog", "00.png,cat"))
    assert opened(folder, "l.csv").fingerprint != before
    (folder / "l.csv").write_text(text.replace("00.png", "01.png"))
    assert opened(folder, "l.csv").fingerprint != before
    (folder / "l.csv").write_text(text)
    assert opened(folder, "l.csv").fingerprint == before


def test_gathered_conditions_tell_who_has_none(tmp_path: Path) -> None:
    data = opened(many(tmp_path), "l.csv")
    found = data.gather(torch.arange(len(data)), conditions=True).condition
    assert found is not None
    assert int((found == -1).sum()) == 32


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_match_however_they_are_written(tmp_path: Path, forms: tuple[str, str]) -> None:
    on_disk, in_csv = ([unicodedata.normalize(form, name) for name in ("Bär/ü.png", "é.png")]
                       for form in forms)  # fmt: skip
    folder = draw(tmp_path / "images", (*on_disk, "c.png"))
    (tmp_path / "l.csv").write_text(f"file,label\n{in_csv[0]},Käse\n{in_csv[1]},cat\n")
    data = opened(folder, tmp_path / "l.csv")
    assert data.class_names == ("Käse", "cat")
    assert told(data) == {0: "Käse", 1: "cat", 2: None}
    both = "\n".join(
        f"{n}.png,{unicodedata.normalize(f, 'Käse')}" for n, f in zip("cé", forms, strict=True)
    )
    (tmp_path / "l.csv").write_text(f"file,label\n{in_csv[0]},cat\n{both}\n")
    assert opened(folder, tmp_path / "l.csv").class_names == ("Käse", "cat")


@pytest.mark.parametrize("pair", [("Cat", "cat"), ("01", "1"), ("1", "1.0"), ("two w", "two  w")])
def test_labels_that_may_be_one_class_are_a_question(tmp_path: Path, pair: tuple[str, str]) -> None:
    folder = draw(tmp_path / "images")
    csv = tmp_path / "l.csv"
    csv.write_text(f"file,label\na.png,{pair[0]}\nb.png,{pair[1]}\nx/d.png,other\n")
    with pytest.raises(
        DataError, match=r"the same class\? If so, write it the same in all lines; if not"
    ):
        opened(folder, csv)
    assert opened(folder, csv, classes=pair).class_names == pair


def test_lines_of_files_that_are_no_images_are_counted(tmp_path: Path) -> None:
    folder = draw(tmp_path / "images")
    (folder / "z.jxl").write_bytes(b"x")
    csv = tmp_path / "l.csv"
    csv.write_text("file,label\na.png,cat\nb.png,dog\nz.jxl,dog\n")
    (fact,) = (fact for fact in opened(folder, csv).facts if fact.subject == "labels")
    assert fact.text == (
        "2 of 6 images have one, of 2 classes, from l.csv; 1 line of it is about other files"
    )


def test_a_quote_that_is_left_open_loses_no_line(tmp_path: Path) -> None:
    folder = draw(tmp_path / "images")
    csv = tmp_path / "l.csv"
    csv.write_text('file,label\na.png,"cat\nb.png,dog"\nx/d.png,dog\n')
    with pytest.raises(DataError, match="line 3: a quote opened in an earlier line is not closed"):
        opened(folder, csv)
