"""metrics.json: what cannot be used in it is named, left out, and never lost."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from energan.evaluation import metrics_file

SCORE = {"name": "l1", "value": 0.5}
GOOD = {"step": 10, "metrics": [SCORE]}


@pytest.mark.parametrize(
    ("whole", "says"),
    [
        ("{", "cannot be read"),
        ("[" * 1000, "recursion limit"),
        ([], "holds no evaluations"),
        ({"evaluations": {}}, "evaluations is not a list"),
        ({"evaluations": [1]}, r"evaluations\.0"),
        ({"evaluations": [{"step": 1}]}, r"evaluations\.0: metrics is missing"),
        ({"evaluations": [{**GOOD, "step": "x"}]}, r"evaluations\.0: step"),
        ({"evaluations": [{**GOOD, "reference": "x"}]}, r"evaluations\.0: reference"),
        ({"evaluations": [{"metrics": [{"name": 1}]}]}, r"metrics\.0\.name"),
        ({"evaluations": [{"metrics": [{**SCORE, "value": "x"}]}]}, r"metrics\.0\.value"),
        ({"out_of_distribution": [{"sets": ["x"]}]}, r"out_of_distribution\.0: sets\.0"),
        ({"classification": [{"confusion": 3}]}, r"classification\.0: confusion"),
        ({"defects": [{"kinds": ["x"]}]}, r"defects\.0: kinds\.0"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_remedy(
    tmp_path: Path, whole: Any, says: str
) -> None:
    text = whole if isinstance(whole, str) else json.dumps(whole)
    (tmp_path / "metrics.json").write_text(text)
    (fault,) = metrics_file.read(tmp_path).faults
    assert "metrics.json" in fault
    assert "evaluate again" in fault
    assert re.search(says, fault)


def test_the_good_entries_of_a_file_are_read_beside_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"evaluations": [GOOD, {"metrics": 1}]}))
    found = metrics_file.read(tmp_path)
    assert found.evaluations == [GOOD]
    assert len(found.faults) == 1


def test_a_run_without_the_file_has_nothing_and_no_fault(tmp_path: Path) -> None:
    assert metrics_file.read(tmp_path) == metrics_file.Stored([], [], [], [])
