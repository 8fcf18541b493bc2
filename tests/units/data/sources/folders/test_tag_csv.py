"""Tags of images from a CSV of `file,tag,tag,…`, or of yes and no."""

from pathlib import Path

import pytest
from PIL import Image

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.folders.tag_csv import read_tags


def folder_of(
    path: Path, names: tuple[str, ...] = ("a.png", "b.png", "x/c.png", "x/d.png")
) -> Path:
    for i, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 10 * i).save(path / name)
    return path


def opened(folder: Path, text: str, split: str = "train", encoding: str = "utf8") -> DataSet:
    (folder / "t.csv").write_bytes(text.encode(encoding))
    settings = DataSettings(source=str(folder), tags="t.csv", held_out=0)
    return open_data(settings, split)  # type: ignore[arg-type]


def told(data: DataSet) -> list[set[str]]:
    """The tags of each image, in the order of its grey."""
    assert data.attributes is not None
    assert data.attribute_names is not None
    rows = sorted(zip(data.raw()[:, 0, 0, 0].tolist(), data.attributes.tolist(), strict=True))
    return [{n for n, m in zip(data.attribute_names, marks, strict=True) if m} for _, marks in rows]


EXPECTED = [{"sea", "sky"}, {"sea"}, {"sky", "sun"}, set()]


@pytest.mark.parametrize(
    "text",
    [
        "file,tag,tag\na.png,sea,sky\nb.png,sea\nx/c.png,sun,sky\n",
        "file;tags\r\nb.png;sea;;\r\nc.png;sky;sun;sky\r\na.png;sky;sea\r\nd.png;;\r\n",
        "sep=;\nfile;tag\na.png;sea\na.png;sky\nb.png;sea\nx/c.png;sun\nx/c.png;sky\n",
        "file,sea,sky,sun\na.png,1,1,0\nb.png,1,0,0\nx/c.png,0,1,1\nd.png,0,0,0\n",
        "File,sea,sky,sun\na.png,1,1,-1\nb.png,1,-1,-1\nx/c.png,-1,1,1\n",
        "file\tsea\tsky\tsun\na.png\tYes\tTRUE\nb.png\ttrue\tno\nx/c.png\tno\tyes\tyes\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf8", "utf-16"])
def test_forms_of_the_same_tags(tmp_path: Path, text: str, encoding: str) -> None:
    data = opened(folder_of(tmp_path), text, encoding=encoding)
    assert data.attribute_names == ("sea", "sky", "sun")
    assert told(data) == EXPECTED
    assert "tags: 3 of 4 images have some, of 3, from t.csv" in map(str, data.facts)


def test_names_of_columns_keep_their_case(tmp_path: Path) -> None:
    data = opened(folder_of(tmp_path), "file,Eyeglasses,Male\na.png,1,0\nb.png,1,1\n")
    assert data.attribute_names == ("Eyeglasses", "Male")


def test_tags_of_parts(tmp_path: Path) -> None:
    folder_of(tmp_path, ("train/a.png", "train/b.png", "test/c.png"))
    text = "file,tag\ntrain/a.png,sea\nb.png,sky\ntest/c.png,sun\n"
    assert told(opened(tmp_path, text)) == [{"sea"}, {"sky"}]
    assert told(opened(tmp_path, text, "test")) == [{"sun"}]
    assert opened(tmp_path, "file,tag\na.png,sea\nb.png,sky\n", "test").attributes is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,tag\na.png,sea\n", "must begin with file"),
        ("", "is empty"),
        ("file,tag\n", "holds no tags"),
        ("file,sea,sky\na.png,0,0\n", "holds no tags"),
        ("file,tag\n,sea\n", "line 2: tags without a file"),
        ("file,sea,sea\na.png,1,0\n", "names a tag more than once"),
        ("file,sea\na.png,1,0\n", "line 2: 3 fields for 2 columns"),
        (
            "file,sea,sky\na.png,1,0\nb.png,true,x\n",
            "line 3: x is not a yes or no for sky: write",
        ),
        ("file,tag\na.png,sea\nz.png,sky\n", r"line 3: .* holds no image z\.png"),
        (
            "file,tag\na.png,Sky\nb.png,sky\n",
            r"are Sky and sky the same tag\? .*; if not, rename one",
        ),
        (
            'file,tag\na.png,"sea\nb.png"\n',
            "line 3: a quote opened in an earlier line is not closed",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        opened(folder_of(tmp_path), text)


def test_only_folders_of_images_take_tags(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data\.tags gives the tags of a folder.*digits is not one"
    ):
        open_data(DataSettings(source="digits", tags="t.csv"))
    with pytest.raises(DataError, match=r"data\.tags: there is no file gone\.csv"):
        open_data(DataSettings(source=str(folder_of(tmp_path)), tags="gone.csv"))


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=,\n\nfile,tag\n\na.png,sea\n")
    lines, _ = read_tags(tmp_path / "t.csv")
    assert [(line.number, line.file, line.tags) for line in lines] == [(5, "a.png", ("sea",))]
