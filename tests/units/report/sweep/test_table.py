"""The table of all trials: what is in it, and that both files say the same."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv

from energan.report.sweep import table
from energan.report.sweep.records import read
from support import sweep_records as made

LAST = {"value": 1.5, "low": 1.25, "high": 2.0, "better": "higher"}


def written(folders: list[Path]) -> tuple[pa.Table, pa.Table]:
    """The table as the Arrow file has it and as the CSV has it."""
    paths = table.write(folders[0], table.tabulate(read(folders)))
    with pa.ipc.open_file(paths[1]) as file:
        arrow = file.read_all()
    types = {field.name: field.type for field in arrow.schema}
    # What is null is nothing at all; an empty text is "".
    options = csv.ConvertOptions(
        column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    found = csv.read_csv(paths[0], convert_options=options,
                         parse_options=csv.ParseOptions(newlines_in_values=True))  # fmt: skip
    return arrow, found


def test_two_grids_in_one_table(tmp_path: Path) -> None:
    folders = made.grids(tmp_path, 40)
    arrow, from_csv = written(folders)
    assert arrow.equals(from_csv)
    assert len(arrow) == 80
    rows = {row["id"]: row for row in arrow.to_pylist()}
    for folder in folders:
        for path in (folder / "results").iterdir():
            record = json.loads(path.read_text())
            row = rows[record["id"]]
            assert {name: row[name] for name in record["values"]} == record["values"]
            score = record["scores"].get("modified_inception_score", {})
            ends = {"": "value", "_low": "low", "_high": "high"}
            for end, key in ends.items():
                assert row[f"modified_inception_score{end}"] == score.get(key)
            assert row["diverged"] == (record["state"] == "diverged")
            for name in ("state", "reason", "steps", "seconds", "scoring_seconds", "host", "sweep"):
                assert row[name] == record[name]
            assert (folders[0] / row["run"]).resolve() == folder / "trials" / record["id"]
    assert arrow.schema.field("dropoutD").type == pa.bool_()
    assert arrow.schema.field("lr").type == pa.float64()
    assert arrow.schema.field("sizeG").type == pa.int64()


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        ([1, 2], pa.int64(), [1, 2]),
        ([1, 0.5], pa.float64(), [1.0, 0.5]),
        ([True, False], pa.bool_(), [True, False]),
        (["a, b", 'say "c"\nd'], pa.string(), ["a, b", 'say "c"\nd']),
        (["", "NA"], pa.string(), ["", "NA"]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["auto", 2.5], pa.string(), ['"auto"', "2.5"]),
        ([[1, 2], [3]], pa.string(), ["[1, 2]", "[3]"]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
        ([None, 3], pa.int64(), [None, 3]),
    ],
)
def test_axes_of_any_values(
    tmp_path: Path, values: list[Any], kind: pa.DataType, told: list[Any]
) -> None:
    records = [
        {**made.record({"model.x": v}, "ebgan", "done", {"error": LAST}), "id": f"{i}"}
        for i, v in enumerate(values)
    ]
    folder = made.folder(tmp_path / "s", "s", {"model.x": values}, records, ["error"])
    arrow, from_csv = written([folder])
    assert arrow.schema.field("model.x").type == kind
    assert arrow["model.x"].to_pylist() == told
    assert arrow.equals(from_csv)


def test_what_one_sweep_does_not_have_is_null(tmp_path: Path) -> None:
    one = made.record({"seed": 3}, "ebgan", "done", {"error": LAST})
    two = made.record({"model.margin": 8}, "ebgan", "failed", {})
    folders = [
        made.folder(tmp_path / "a", "a", {"seed": [3]}, [one], ["error"]),
        made.folder(tmp_path / "b", "b", {"model.margin": [8]}, [two], ["modes"]),
    ]
    arrow, from_csv = written(folders)
    assert arrow.equals(from_csv)
    assert arrow["axis_seed"].to_pylist() == [3, None]  # beside the seed of the run
    assert arrow["seed"].to_pylist() == [0, 0]
    assert arrow["model.margin"].to_pylist() == [None, 8]
    assert arrow["error"].to_pylist() == [1.5, None]
    assert arrow["modes"].null_count == 2
    assert arrow["reason"].to_pylist() == [None, "out of memory"]


def test_no_records_at_all(tmp_path: Path) -> None:
    folder = made.folder(tmp_path / "s", "s", {"lr": [0.1, 0.2]}, [], ["error"], missing=2)
    arrow, from_csv = written([folder])
    assert len(arrow) == len(from_csv) == 0
    assert arrow.schema == from_csv.schema
    assert {"lr", "error", "error_low", "state", "run"} <= set(arrow.column_names)
