"""Which folder a run is written to."""

from pathlib import Path

import pytest

from energan.core import RunError
from energan.experiment.compatibility import jobs_of
from energan.experiment.folders import check_free, claim, endings, seed_endings, seed_folders
from energan.experiment.settings import load


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for path in (file, file / "s0", file / "deep" / "s0"):
        with pytest.raises(RunError, match=r"notes\.txt is a file; name a folder"):
            check_free([path])
    (tmp_path / "free").mkdir()
    check_free([tmp_path / "free", tmp_path / "new" / "s0"])
    assert not (tmp_path / "new").exists()


def test_new_folders_are_of_one_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = load("ebgan-ring")
    two = jobs_of(job.changed({"seed": 4}), 2)
    assert (endings([job]), endings(two)) == ([""], seed_endings(two))
    assert [claim(job.recipe, None, [""]) for _ in range(2)] == [
        [Path("runs/ebgan-ring")],
        [Path("runs/ebgan-ring-2")],
    ]
    (tmp_path / "runs" / "ebgan-ring-s5").mkdir()
    assert claim(job.recipe, None, endings(two)) == [
        Path("runs/ebgan-ring-2-s4"),
        Path("runs/ebgan-ring-2-s5"),
    ]
    assert not (tmp_path / "runs" / "ebgan-ring-s4").exists()
    chosen = seed_folders("out", two)
    assert claim(job.recipe, chosen, endings(two)) == [Path("out/s4"), Path("out/s5")]


def test_a_folder_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    """A name that is too long cannot be made by anyone, root or not."""
    folder = tmp_path / ("x" * 300)
    with pytest.raises(
        RunError, match=r"x: this folder cannot be made \(.*\); choose another place"
    ):
        claim("ebgan-ring", [folder], [""])
