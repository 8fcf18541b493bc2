"""A run's networks as files that work without energan: safetensors, ONNX, TorchScript.

Each file says where it comes from, and is loaded again and compared with the run before it gets
its name. `energan.exporters.formats` tells of the formats.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from energan.core import RunError, SettingError, describe
from energan.exporters.files import ExportedFile, check_packages, write_network
from energan.exporters.formats import FORMATS
from energan.exporters.modules import PARTS, parts_of
from energan.exporters.verdict import check_verdict, write_verdict
from energan.inference.run import Run
from energan.io.documents import Document, read_document
from energan.io.files import write_atomically

MANIFEST, VERDICT = "export.json", "verdict"


class _Manifest(Document):
    """export.json: an entry for each file by its name."""

    files: dict[str, dict[str, Any]]


def export(
    run: Run,
    format: str,
    out: str | Path | None = None,
    *,
    part: str = "all",
    force: bool = False,
) -> list[ExportedFile]:
    """Write a run's networks, with the checkpoint and the weights that `run` uses.

    format: "safetensors", "onnx", "torch", or "verdict" for all that `energan score` says of images
    (`write_verdict`), which needs a calibrated run. out: a folder, RUN/export by default, and
    RUN/verdict for a verdict; export.json in it lists its files with their provenance and sha256,
    but for a verdict. part: "generator", "energy", "classifier", or
    "all" that the run has: no generator if its samples are not one pass of a network
    (`no_generator` says why), a classifier only if it learns classes.
    force: replace files that are there.

    Raises SettingError for an unknown format or part, a missing package or files in the way, and
    EnerganError if a network cannot be written that way or the file differs from the run.
    """
    _check_known("format", format, [*FORMATS, VERDICT])
    if format == VERDICT:
        check_verdict(run, part)
        return [write_verdict(run, run.path / VERDICT if out is None else Path(out), force=force)]
    check_packages(format)
    _check_known("part", part, [*PARTS, "all"])
    folder = run.path / "export" if out is None else Path(out)
    wanted = parts_of(run) if part == "all" else [part]
    paths = {name: folder / f"{name}.{FORMATS[format].suffix}" for name in wanted}
    listed = _read_manifest(folder, force)
    there = [str(path) for path in paths.values() if path.exists()]
    if there and not force:
        raise SettingError(
            f"{' and '.join(there)} would be overwritten: add --force, or choose another --out"
        )
    parts = [PARTS[name](run) for name in wanted]
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for made in parts:
        result = write_network(made, format, paths[made.name])
        results.append(result)
        entry = {**asdict(result), **made.about}
        listed[entry.pop("path").name] = entry
        write_atomically(folder / MANIFEST, json.dumps({"files": listed}, indent=2) + "\n")
    return results


def _check_known(what: str, given: str, known: Sequence[str]) -> None:
    if given in known:
        return
    near = get_close_matches(given, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known[:-1])} or {known[-1]}"
    raise SettingError(f"{what} {describe(given)}: there is no such {what}; {hint}")


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
            f"{path} is not a list of exports: replace it with --force, or choose another --out"
        ) from None
    return {name: entry for name, entry in files.items() if (folder / name).exists()}
