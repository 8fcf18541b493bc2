from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.sources.splits import fixed_order
from support.image_files import encoded, noise

COUNT = 25
IMAGES = noise(COUNT)
LABELS = np.random.default_rng(0).integers(0, 3, COUNT)


def opened(source: object, split: str = "train", **settings: object) -> DataSet:
    given = DataSettings.model_validate({"source": str(source), **settings})
    return open_data(given, split)  # type: ignore[arg-type]


def whole(data: DataSet) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Images (N, H, W, C), labels and attributes of both parts, in the source's order."""
    parts = [data] if data.held_out is None else [data, data.held_out]
    back = fixed_order(sum(map(len, parts))).argsort()
    images = torch.cat([p.raw() for p in parts])[back].permute(0, 2, 3, 1).numpy()
    labels = None
    if data.labels is not None:
        labels = torch.cat([p.labels for p in parts if p.labels is not None])[back].numpy()
    attributes = None
    if data.attributes is not None:
        attributes = torch.cat([p.attributes for p in parts if p.attributes is not None])
        attributes = attributes[back].numpy()
    return images, labels, attributes


def write(path: Path, rows: int = 10, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def cells(images: np.ndarray = IMAGES) -> list[bytes]:
    return [encoded(image) for image in images]


@pytest.mark.parametrize("column", ["image", "img", "odd name"])
@pytest.mark.parametrize("form", ["bytes", "struct", "path"])
def test_plain_parquet(tmp_path: Path, column: str, form: str) -> None:
    values: list[Any] = cells()
    if form == "struct":
        values = [{"bytes": raw, "path": "x.png"} for raw in values]
    if form == "path":
        for i, raw in enumerate(values):
            (tmp_path / f"{i}.png").write_bytes(raw)
        values = [{"bytes": None, "path": f"{i}.png"} for i in range(COUNT)]
    marks = {"Smiling": LABELS > 1, "odd": LABELS == 1}
    path = write(tmp_path / "a.parquet", 7, id=list(range(COUNT)), **{column: values},
                 label=LABELS, **marks)  # fmt: skip
    data = opened(path)
    images, labels, attributes = whole(data)
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, LABELS)
    assert data.attribute_names == ("Smiling", "odd")
    assert np.array_equal(attributes, np.stack(list(marks.values()), 1))


@pytest.fixture(scope="module")
def hub_forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One data set in all the forms that the library gives it."""
    root = tmp_path_factory.mktemp("hub")
    features = datasets.Features(
        {"picture": datasets.Image(), "cls": datasets.ClassLabel(names=["zebra", "ant", "cat"])}
    )
    rows = {"picture": [{"bytes": raw, "path": None} for raw in cells()], "cls": LABELS.tolist()}
    data = datasets.Dataset.from_dict(rows, features=features)
    (root / "parquet" / "data").mkdir(parents=True)
    (root / "parquet" / "README.md").write_text("a data set")
    datasets.disable_progress_bars()
    data.to_parquet(root / "parquet" / "data" / "train-00000-of-00001.parquet")
    data.select(range(5)).to_parquet(root / "parquet" / "data" / "test-00000-of-00001.parquet")
    data.save_to_disk(root / "saved")
    both = {"train": data, "test": data.select(range(5))}
    datasets.DatasetDict(both).save_to_disk(root / "dictionary")
    data.select(range(COUNT - 1, -1, -1)).save_to_disk(root / "selected")
    return {
        "parquet": root / "parquet",
        "hub": f"hub:{root / 'parquet'}",
        "saved": root / "saved",
        "dictionary": root / "dictionary",
        "arrow": next((root / "saved").glob("*.arrow")),
        "selected": root / "selected",
    }


@pytest.mark.parametrize("form", ["parquet", "hub", "saved", "dictionary", "arrow", "selected"])
def test_what_the_library_writes(hub_forms: dict[str, Any], form: str) -> None:
    data = opened(hub_forms[form])
    images, labels, _ = whole(data)
    back = slice(None, None, -1) if form == "selected" else slice(None)
    assert np.array_equal(images, IMAGES[back])
    assert np.array_equal(labels, LABELS[back])
    assert data.class_names == ("zebra", "ant", "cat")
    chosen = opened(hub_forms[form], classes=["cat", "zebra"])
    assert chosen.class_names == ("cat", "zebra")


@pytest.mark.parametrize("form", ["parquet", "hub", "dictionary"])
def test_the_test_part(hub_forms: dict[str, Any], form: str) -> None:
    data = opened(hub_forms[form], "test")
    assert sorted(map(bytes, data.raw().permute(0, 2, 3, 1).numpy())) == sorted(
        map(bytes, IMAGES[:5])
    )


def test_validation_stands_in_only_where_there_is_no_test(tmp_path: Path) -> None:
    for name, count in (("train", 5), ("validation", 6)):
        write(tmp_path / "data" / f"{name}-0.parquet", image=cells(noise(count)))
    assert len(opened(tmp_path, "test")) == 6
    write(tmp_path / "data" / "test-0.parquet", image=cells(noise(7)))
    assert (len(opened(tmp_path, "test")), len(opened(tmp_path))) == (7, 5)


@pytest.mark.parametrize("name", ["nobody/nothing", "nobody/nothing/config", "nobody"])
def test_a_hub_name_is_not_downloaded_unasked(name: str) -> None:
    with pytest.raises(DataError, match=r"not downloaded before; to download it: --data\.download"):
        opened(f"hub:{name}")


@pytest.mark.parametrize("storage", ["memory", "cache"])
def test_rows_without_an_image_are_left_out_and_listed(tmp_path: Path, storage: str) -> None:
    values: list[Any] = cells()
    values[3], values[7], values[8] = None, b"", b"junk"
    data = opened(write(tmp_path / "a.parquet", 5, image=values, label=range(COUNT)),
                  storage=storage)  # fmt: skip
    assert [where for where, _ in data.skipped] == [f"a.parquet row {i}" for i in (3, 7, 8)]
    parts = [data] if data.held_out is None else [data, data.held_out]
    assert sum(map(len, parts)) == COUNT - 3
    for part in parts:
        assert part.labels is not None
        images = part.raw().permute(0, 2, 3, 1).numpy()
        assert np.array_equal(images, IMAGES[part.labels.numpy()])


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", front=cells(), back=cells()[::-1],
                 kind=["b", "a", "b", "c", "b"] * 5, score=[-1, 1, 0, 2, None] * 5)  # fmt: skip
    data = opened(path, image_column="back", label_column="kind", attributes=["score"])
    images, labels, attributes = whole(data)
    assert np.array_equal(images, IMAGES[::-1])
    assert data.class_names == ("a", "b", "c")
    assert labels is not None
    assert labels.tolist() == [1, 0, 1, 2, 1] * 5
    assert attributes is not None
    assert attributes[:, 0].tolist() == [0, 1, 0, 1, 0] * 5


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such image column": ({"image_column": "bck"}, "no column 'bck'; choose from front, kind"),
    "no such label column": ({"label_column": "x"}, "data.label_column: .* no column 'x'"),
    "no such attribute": ({"attributes": ["x"]}, "data.attributes: .* no column 'x'"),
    "numbers for images": ({"image_column": "n"}, "n of a.parquet holds int values"),
    "fractions for labels": ({"label_column": "f"}, "f of a.parquet holds neither"),
    "images for labels": ({"label_column": "front"}, "front of a.parquet holds neither"),
    "holes in labels": ({"label_column": "holes"}, "holes is missing in 13 rows"),
    "texts for attributes": (
        {"attributes": ["kind"]},
        "kind of a.parquet holds neither truth values",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_do_not_suit_are_refused_by_name(tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "a.parquet", front=cells(), kind=["b"] * COUNT, n=range(COUNT),
                 f=[0.5] * COUNT, holes=[None, 1] * 12 + [None])  # fmt: skip
    settings, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        opened(path, **settings)


def test_a_guessed_label_column_with_holes_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", image=cells(), label=[None, *range(COUNT - 1)])
    assert opened(path).labels is None


def test_tables_that_hold_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column of images \(its columns: n\)"):
        opened(write(tmp_path / "a.parquet", n=[1]))
    with pytest.raises(DataError, match="is empty: it has no rows"):
        opened(write(tmp_path / "b.parquet", image=pa.array([], pa.binary())))
    with pytest.raises(DataError, match="no readable image"):
        opened(write(tmp_path / "c.parquet", image=[b"x", None]))


def test_torn_and_unlike_files_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "train-0.parquet", image=cells())
    raw = bytearray(path.read_bytes())
    write(tmp_path / "train-1.parquet", image=cells(), other=range(COUNT))
    with pytest.raises(DataError, match=r"train-1.parquet has other columns than train-0"):
        opened(tmp_path)
    raw[50:2000] = bytes(1950)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"train-0.parquet is damaged"):
        opened(path)
    for keep in (0, 10):
        path.write_bytes(raw[:keep])
        with pytest.raises(DataError, match=r"train-0.parquet cannot be read as Parquet"):
            opened(path)
    (tmp_path / "a.arrow").write_bytes(b"xx")
    with pytest.raises(DataError, match=r"a.arrow cannot be read as Arrow data"):
        opened(tmp_path / "a.arrow")
