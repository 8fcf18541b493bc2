"""JSON files of runs and sweeps, read as pydantic models: a damaged or edited one is one sentence.

A document is a regular UTF-8 file of a bounded size and nesting. Extra keys stay, since other
versions write them.
"""

import os
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from energan.errors import EnerganError, RunError, describe, printable
from energan.io.files import open_regular

MOST_BYTES = 256 * 2**20
PLAIN = {
    ", unable to parse.*": "",
    ".* should be ": "must be ",
    ".* should have ": "must have ",
    " after validation, not .*": "",
    "a valid (tuple|list)": "a list",
    "a valid dictionary": "an object of names and values",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}
"""What pydantic says of a value, as a pattern, and what is said to a user."""


class Document(BaseModel):
    """A part of a document: types are not converted, keys that it does not name are kept."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


SomeDocument = TypeVar("SomeDocument", bound=BaseModel)


def read_document(
    path: Path,
    kind: type[SomeDocument],
    *,
    error: type[EnerganError] = RunError,
    remedy: str = "restore it",
) -> SomeDocument:
    """The document at `path`.

    Raises `error` with the file, the field and the remedy if it cannot be read or does not fit.
    """
    return as_document(
        read_json(path, error=error, remedy=remedy), kind, path, error=error, remedy=remedy
    )


def as_document(
    values: Any,
    kind: type[SomeDocument],
    where: object,
    *,
    error: type[EnerganError] = RunError,
    remedy: str = "restore it",
) -> SomeDocument:
    """`values`, read from `where`, as a document. Raises `error` for those that do not fit."""
    try:
        return kind.model_validate(values)
    except ValidationError as invalid:
        raise error(f"{where}: {explain(invalid)}; {remedy}") from None


def read_json(
    path: Path, *, error: type[EnerganError] = RunError, remedy: str = "restore it"
) -> Any:
    """What a JSON file holds. Raises `error` if it is none, too large, or nested over 200 deep."""
    raw = read_bytes(path, error=error, remedy=remedy)
    try:
        return from_json(raw)
    except ValueError as damage:
        raise error(f"{path} cannot be read ({damage}); {remedy}") from None


def read_bytes(
    path: Path,
    *,
    error: type[EnerganError] = RunError,
    remedy: str = "restore it",
    most: int | None = None,
) -> bytes:
    """A regular file's contents. Raises `error` for a pipe, a device, a folder, or a file of more
    than `most` bytes (256 MiB if not given)."""
    most = MOST_BYTES if most is None else most
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > most:
                raise error(f"{path} is larger than {most >> 20} MiB; {remedy}")
            return file.read()
    except OSError as refused:
        why = refused.strerror or refused
        raise error(f"{printable(path)} cannot be read ({why}); {remedy}") from None


def explain(error: ValidationError) -> str:
    """A pydantic error in a sentence: which setting, what is wrong, what was given."""
    said = []
    for e in error.errors()[:3]:
        parts = [str(p) for p in e["loc"] if p not in ("float", "str")]
        name = ".".join(p for p in parts if not p.startswith("function-after"))
        if e["type"] == "extra_forbidden":
            said.append(f"{name}: there is no such setting; --help-all lists them")
        elif e["type"] == "too_large":  # of a group: its message names the setting
            said.append(f"{name}.{e['msg']}".removeprefix("."))
        elif e["type"] == "missing":
            said.append(f"{name} is missing")
        elif e["type"] == "value_error" and isinstance(e["input"], dict):
            said.append(e["msg"].removeprefix("Value error, "))  # of a group: it names its settings
        else:
            message = e["msg"].removeprefix("Value error, ")
            if e["type"] != "value_error":
                for pattern, words in PLAIN.items():
                    message = re.sub(pattern, words, message)
            said.append(f"{name}: {message} (given: {describe(e['input'])})".removeprefix(": "))
    return "; ".join(dict.fromkeys(said))
