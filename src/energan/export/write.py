"""A run's networks as files that work without energan: safetensors, ONNX, TorchScript.

Each file says where it comes from, and is loaded again and compared with the run before it gets
its name. `energan.export.formats` tells of the formats.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from energan.core import EnerganError, RunError, SettingError, describe
from energan.export.formats import FORMATS, Check, ExportedNetwork
from energan.export.modules import PARTS, parts_of
from energan.inference.run import Run
from energan.io.documents import Document, read_document
from energan.io.files import aside, sha256_of, write_atomically

TOLERANCE = 1e-4
"""Largest difference of a file's outputs from the run's, relative to the largest output."""
MANIFEST = "export.json"
INSTALL = "pip install 'energan[export]'"


class _Manifest(Document):
    """export.json: an entry for each file by its name."""

    files: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class ExportedFile:
    """One file that was written. check: None if nothing that is installed could load it."""

    path: Path
    part: str
    format: str
    bytes: int
    sha256: str
    check: Check | None

    def __str__(self) -> str:
        """The file, its size and how it was checked, in a line."""
        size = f"{self.bytes / 1e6:.1f} MB" if self.bytes >= 1e6 else f"{self.bytes / 1e3:.1f} kB"
        if self.check is None:
            checked = f"not checked: onnxruntime is not installed ({INSTALL})"
        elif self.check.error == 0:
            checked = f"equals the run ({self.check.by})"
        else:
            checked = f"as the run, relative error {self.check.error:.1e} ({self.check.by})"
        return f"{self.path}: {size}, {checked}"


def export(
    run: Run,
    format: str,
    out: str | Path | None = None,
    *,
    part: str = "all",
    force: bool = False,
) -> list[ExportedFile]:
    """Write a run's networks, with the checkpoint and the weights that `run` uses.

    format: "safetensors", "onnx" or "torch". out: a folder, RUN/export by default; its export.json
    lists its files with their provenance and sha256. part: "generator", "energy", "classifier", or
    "all" that the run has: no generator if its samples are not one pass of a network
    (`no_generator` says why), a classifier only if it learns classes.
    force: replace files that are there.

    Raises SettingError for an unknown format or part, a missing package or files in the way, and
    EnerganError if a network cannot be written that way or the file differs from the run.
    """
    _check_known("format", format, list(FORMATS))
    _check_packages(format)
    _check_known("part", part, [*PARTS, "all"])
    folder = run.path / "export" if out is None else Path(out)
    wanted = parts_of(run) if part == "all" else [part]
    paths = {name: folder / f"{name}.{FORMATS[format].suffix}" for name in wanted}
    listed = _read_manifest(folder, force)
    there = [str(path) for path in paths.values() if path.exists()]
    if there and not force:
        raise SettingError(f"{' and '.join(there)} would be overwritten: --force, or another --out")
    parts = [PARTS[name](run) for name in wanted]
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for made in parts:
        result = _write(made, format, paths[made.name])
        results.append(result)
        entry = {**asdict(result), **made.about}
        listed[entry.pop("path").name] = entry
        write_atomically(folder / MANIFEST, json.dumps({"files": listed}, indent=2) + "\n")
    return results


# --- one file -------------------------------------------------------------------------------------


def _write(part: ExportedNetwork, format: str, path: Path) -> ExportedFile:
    """Write aside, check, flush, rename: a file that has its name is whole and like the run."""
    what = f"the {part.name} of {part.about['model']} as {format}"
    with aside(path) as made:
        try:
            FORMATS[format].write(part, made)
            check = FORMATS[format].check(part, made)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # a network of the user's may fail in any way
            raise EnerganError(f"{what}: it cannot be written ({describe(error)})") from error
        if check is not None and not check.error <= TOLERANCE:
            raise EnerganError(
                f"{what}: the file differs from the run (relative error {check.error:.1e}, "
                f"{check.by}), so it was not kept; another format may do"
            )
        digest, size = sha256_of(made), made.stat().st_size
    return ExportedFile(path, part.name, format, size, digest, check)


def _check_known(what: str, given: str, known: Sequence[str]) -> None:
    if given in known:
        return
    near = get_close_matches(given, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known[:-1])} or {known[-1]}"
    raise SettingError(f"{what} {describe(given)}: there is no such {what}; {hint}")


def _check_packages(format: str) -> None:
    missing = [name for name in FORMATS[format].needs if find_spec(name) is None]
    if missing:
        raise SettingError(f"{format} files need {' and '.join(missing)}: {INSTALL}")


def _read_manifest(folder: Path, force: bool) -> dict[str, Any]:
    """What the folder's export.json says of files that are still there."""
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"--out {folder} is a file; name a folder")
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        files = read_document(path, _Manifest).files
    except RunError:
        if force:
            return {}
        raise SettingError(
            f"{path} is no list of exports: --force replaces it, or name another --out"
        ) from None
    return {name: entry for name, entry in files.items() if (folder / name).exists()}
