"""What a studio may read: names and sources that lead elsewhere are refused."""

from pathlib import Path

import pytest

pytest.importorskip("energan.studio.workspace")

from energan.errors import DataError, RunError
from energan.io.run_summary import DAMAGED
from energan.studio.workspace import Workspace


def make_run(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "events.jsonl").write_text("")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Runs beside what is none of the studio's business."""
    make_run(tmp_path / "runs" / "a")
    make_run(tmp_path / "runs" / "deep" / "b")
    make_run(tmp_path / "secret")
    (tmp_path / "secret" / "photo.png").write_bytes(b"x")
    return tmp_path


def test_runs_are_found_by_their_names(place: Path) -> None:
    workspace = Workspace(place / "runs")
    assert workspace.run("a").path == place / "runs" / "a"
    assert workspace.run("deep/b").path == place / "runs" / "deep" / "b"
    assert {workspace.name(run.path) for run in workspace.runs()} == {"a", "deep/b"}


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../secret", "a/../../secret", "a/..", "{secret}", "/etc", "//etc", "a\x00",
        "~", "a/config.json", "deep", "link", "inner/link", "%2e%2e/secret", "..\\secret",
        "a" * 5_000, "loop", "\udc80",
    ],
)  # fmt: skip
def test_other_names_are_no_runs(place: Path, name: str) -> None:
    runs = place / "runs"
    (runs / "link").symlink_to(place / "secret")
    (runs / "loop").symlink_to(runs / "loop")
    (runs / "inner").mkdir()
    (runs / "inner" / "link").symlink_to(place / "secret")
    with pytest.raises(RunError, match="there is no run"):
        Workspace(runs).run(name.replace("{secret}", str(place / "secret")))


def test_a_run_with_a_link_that_leads_out_is_broken_and_the_others_are_there(place: Path) -> None:
    (place / "runs" / "a" / "samples").symlink_to(place)
    workspace = Workspace(place / "runs")
    found = {workspace.name(run.path): run for run in workspace.runs()}
    assert found["a"].state == DAMAGED
    assert "samples is a link that leads outside" in found["a"].reason
    assert set(found) == {"a", "deep/b"}
    with pytest.raises(RunError, match="leads outside"):
        workspace.run("a")


def test_sources_lie_in_the_folders_or_have_names(place: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "1.png").write_bytes(b"x")
    workspace = Workspace(place / "runs", [photos])
    assert workspace.source("digits") == "digits"
    assert workspace.source(str(photos)) == str(photos)
    assert workspace.source(str(photos / "1.png")) == str(photos / "1.png")
    for word in ("", str(place / "secret"), f"{photos}/../secret", "hub:someone/data", "photos",
                 str(photos / "none"), "/", "/etc/passwd", f"{photos}\x00"):  # fmt: skip
        with pytest.raises(DataError, match="not in a folder that the studio may read"):
            workspace.source(word)
    (photos / "link.png").symlink_to(place / "secret" / "photo.png")
    with pytest.raises(DataError, match=r"link\.png is a link that leads outside"):
        workspace.source(str(photos))
