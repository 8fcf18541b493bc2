"""What is sent to the studio: counts, sizes, and what is no image."""

from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("energan.studio.uploads")

from energan.errors import DataError
from energan.studio import uploads
from energan.studio.uploads import bytes_in, check_files


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir()
    Image.new("L", (8, 6)).save(tmp_path / "uploads" / "a.png")
    Image.new("L", (8, 6)).save(tmp_path / "beside.png")
    (tmp_path / "uploads" / "b.txt").write_text("no image")
    return tmp_path / "uploads"


def test_images_are_taken_and_others_skipped_with_a_reason(place: Path) -> None:
    found = check_files([str(place / "a.png"), str(place / "b.txt")], place)
    assert found.files == (place / "a.png",)
    assert found.skipped == (("b.txt", "it is empty, or not an image"),)
    assert bytes_in(place) == sum(path.stat().st_size for path in place.iterdir())


def test_what_was_not_uploaded_is_refused(place: Path) -> None:
    (place / "link.png").symlink_to(place.parent / "beside.png")
    for path in (place.parent / "beside.png", place / "link.png", place / ".." / "beside.png"):
        with pytest.raises(DataError, match="was not uploaded"):
            check_files([str(path)], place)
    with pytest.raises(DataError, match="was not uploaded"):
        check_files([str(place / "a.png")], None)


def test_limits(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [str(place / "a.png")]
    for none in (None, []):
        with pytest.raises(DataError, match="there are no images yet"):
            check_files(none, place)
    with pytest.raises(DataError, match="none of the files can be read"):
        check_files([str(place / "b.txt")], place)
    monkeypatch.setattr(uploads, "MOST_PIXELS", 47)
    with pytest.raises(DataError, match="8x6 is more than 47 pixels"):
        check_files(given, place)
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    with pytest.raises(DataError, match="it is larger than 10 bytes"):
        check_files(given, place)
    monkeypatch.setattr(uploads, "MOST_FILES", 1)
    with pytest.raises(DataError, match="give at most 1 at once"):
        check_files(2 * given, place)
