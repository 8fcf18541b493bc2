"""What was done to images so that they fit a run is counted, and said once."""

from pathlib import Path

import numpy as np

from energan.core import Domain
from energan.data import DataSettings
from energan.data.image_changes import changes_text
from energan.data.inference import open_images
from support.image_files import encoded, noise

GREY = Domain((1, 8, 8), -1.0, 1.0)
SETTINGS = DataSettings(source="digits")


def write(folder: Path, name: str, height: int, width: int, channels: int = 3) -> str:
    folder.mkdir(exist_ok=True)
    image = noise(1, height, width)[0]
    (folder / name).write_bytes(encoded(image if channels == 3 else image[..., 0]))
    return str(folder / name)


def test_each_change_is_counted_and_said_in_one_line(tmp_path: Path) -> None:
    write(tmp_path / "photos", "a.png", 20, 30)
    write(tmp_path / "photos", "b.png", 8, 12, channels=1)
    loose = [write(tmp_path, "c.png", 4, 8), write(tmp_path, "d.png", 8, 8, channels=1)]
    groups, _ = open_images([str(tmp_path / "photos"), *loose], SETTINGS, GREY)
    assert groups[0].changes == {"images": 2, "made grey": 1, "shrunk": 1, "enlarged": 0}
    assert groups[1].changes == {"images": 2, "made grey": 1, "shrunk": 0, "enlarged": 1}
    said = changes_text(group.changes for group in groups)
    assert said == "2 made grey, 1 shrunk, 1 enlarged (of 4 images)"


def test_arrays_are_counted_by_their_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", noise(5, 16, 16))
    (group,), _ = open_images([str(tmp_path / "x.npy")], SETTINGS, GREY)
    assert group.changes == {"images": 5, "made grey": 5, "shrunk": 5, "enlarged": 0}


def test_nothing_is_said_where_nothing_changes_or_of_the_runs_own_images(tmp_path: Path) -> None:
    words = [write(tmp_path, "d.png", 8, 8, channels=1), "digits"]
    groups, _ = open_images(words, SETTINGS, GREY)
    assert changes_text(group.changes for group in groups) == ""
