"""Features and tags of images in a .npz: the user's own, or made by `energan features`.

features  (N, F) floats, one row an image
tags      (N, T) bool, which images have which tags
names     (T,) strings
vectors   (T, V) floats, a vector of each tag; optional: by default they come of the tags
held_out  (N,) bool, the images that are kept from training; optional: by default a tenth
about     a string of JSON on where the features come from; optional
"""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.sources.arrays.numpy_files import Array, load_arrays
from energan.io.files import aside, open_regular


@dataclass(frozen=True, eq=False)
class TagFile:
    """The arrays of one file, checked; tags (N, 0) and names () of one with features alone.

    about: what made the features, {} where nothing tells. facts: what was done to the images, where
    they were made here.
    """

    path: Path
    features: NDArray[np.float32]
    tags: NDArray[np.bool_]
    names: tuple[str, ...]
    vectors: NDArray[np.float64] | None = None
    held_out: NDArray[np.bool_] | None = None
    about: dict[str, Any] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()

    @property
    def maker(self) -> str | None:
        """sha256 of the network that made the features, where the file tells."""
        found = self.about.get("extractor")
        sha256 = found.get("sha256") if isinstance(found, dict) else None
        return sha256 if isinstance(sha256, str) else None

    def write(self) -> None:
        """Write it to its path, aside and renamed. Raises OSError if that cannot be done."""
        parts: dict[str, Array] = {"features": self.features}
        if self.names:
            parts |= {"tags": self.tags, "names": np.array(self.names)}
        if self.vectors is not None:
            parts["vectors"] = self.vectors.astype(np.float32)
        if self.held_out is not None:
            parts["held_out"] = self.held_out
        if self.about:
            parts["about"] = np.array(json.dumps(self.about))
        with aside(self.path) as made, made.open("wb") as file:
            np.savez(file, allow_pickle=False, **parts)


def is_tag_file(source: str) -> bool:
    """Whether a source is a .npz with features and tags."""
    if not source.lower().endswith(".npz"):
        return False
    path = Path(os.path.expanduser(source))  # a ~user that does not exist stays as it is
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as packed:
            return {"features.npy", "tags.npy"} <= set(packed.namelist())
    except Exception:  # zipfile raises whatever it stumbles over
        return False  # whoever opens it says what is wrong


def read_tag_file(path: Path, *, tagged: bool = True) -> TagFile:
    """The file's arrays. tagged: whether it must hold tags, not features alone.

    Raises DataError, naming the file and the remedy, for one that is torn, lacks an array, or holds
    arrays that are not of the shapes and types above.
    """
    parts = _load(path)
    lacking = [name for name in ("features", "tags", "names") if name not in parts]
    if "features" in lacking or (tagged and lacking):
        raise DataError(
            f"{path} lacks {' and '.join(lacking)}: save features (N, F), bool tags (N, T) and "
            "names (T,) with numpy.savez"
        )
    features = parts["features"]
    if features.ndim != 2 or features.dtype.kind not in "fiu" or features.size == 0:
        raise DataError(
            f"{path}: features must be numbers of shape (N, F), and are {features.dtype} "
            f"{features.shape}"
        )
    count = len(features)
    tags: NDArray[np.bool_] = np.zeros((count, 0), bool)
    names: tuple[str, ...] = ()
    if not lacking:
        tags, names = _tags(parts["tags"], parts["names"], count, path)
    return TagFile(
        path,
        _finite(features, "features", path).astype(np.float32),
        tags,
        names,
        None if "vectors" not in parts else _vectors(parts["vectors"], names, path),
        None if "held_out" not in parts else _held_out(parts["held_out"], count, path),
        _about(parts.get("about")),
    )


def _load(path: Path) -> dict[str, Array]:
    known = ("features", "tags", "names", "vectors", "held_out", "about")
    found: list[str] = []

    def pick(names: Sequence[str]) -> list[str]:
        if list(names) == [""]:
            raise ValueError("it holds one array")
        found.extend(name for name in known if name in names)
        return found

    return dict(zip(found, load_arrays(path, pick, "features and tags"), strict=True))


def _tags(
    tags: Array, names: Array, count: int, path: Path
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    if tags.ndim != 2 or len(tags) != count or tags.dtype.kind not in "biu":
        raise DataError(
            f"{path}: tags must be bool of shape ({count}, T), one row per image, and are "
            f"{tags.dtype} {tags.shape}"
        )
    if tags.dtype.kind != "b" and not np.isin(tags, (0, 1)).all():
        raise DataError(f"{path}: tags must be true or false, or 1 or 0, and hold other numbers")
    if names.shape != (tags.shape[1],) or names.dtype.kind != "U":
        raise DataError(
            f"{path}: names must be {tags.shape[1]} strings, one per column of tags, and are "
            f"{names.dtype} {names.shape}"
        )
    found = tuple(str(name) for name in names)
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise DataError(f"{path}: the tag {twice!r} occurs twice: merge its columns")
    return tags.astype(bool), found


def _vectors(vectors: Array, names: tuple[str, ...], path: Path) -> NDArray[np.float64]:
    if vectors.ndim != 2 or len(vectors) != len(names) or vectors.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: vectors must be numbers of shape ({len(names)}, V), one row per tag, and "
            f"are {vectors.dtype} {vectors.shape}"
        )
    found = _finite(vectors, "vectors", path).astype(np.float64)
    for name, row in zip(names, found, strict=True):
        if not row.any():
            raise DataError(f"{path}: the vector of the tag {name!r} is 0: remove that tag")
    return found


def _held_out(held_out: Array, count: int, path: Path) -> NDArray[np.bool_]:
    if held_out.shape != (count,) or held_out.dtype.kind != "b":
        raise DataError(
            f"{path}: held_out must be bool of shape ({count},), and is {held_out.dtype} "
            f"{held_out.shape}"
        )
    return held_out


def _finite(values: Array, what: str, path: Path) -> Array:
    with np.errstate(over="ignore"):  # a number too large for float32 becomes inf, and is refused
        bad = int((~np.isfinite(values.astype(np.float32))).sum())
    if bad:
        raise DataError(f"{path}: {bad} of the {what} are NaN or infinite: remove those rows")
    return values


def _about(stored: Array | None) -> dict[str, Any]:
    """What the file tells of itself; what is no JSON tells nothing."""
    try:
        found = {} if stored is None else json.loads(str(stored))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
