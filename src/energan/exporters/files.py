"""One file of an export: loaded again and compared with the run before it gets its name."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from energan.core import EnerganError, SettingError, describe
from energan.exporters.formats import FORMATS, Check, ExportedNetwork
from energan.io.files import aside, sha256_of

TOLERANCE = 1e-4
"""Largest difference of a file's outputs from the run's, relative to the largest output."""
INSTALL = "pip install 'energan[export]'"


@dataclass(frozen=True)
class ExportedFile:
    """A file that was exported.

    Attributes:
        path: the file.
        part: "generator", "energy" or "classifier".
        format: its format.
        bytes: its size.
        sha256: its checksum.
        check: how far its output is from the run's; None if nothing installed can load it.
    """

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


def write_network(part: ExportedNetwork, format: str, path: Path) -> ExportedFile:
    """Write aside, check, flush, rename: a file that has its name is whole and like the run."""
    what = f"the {part.name} of {part.about['model']} as {format}"
    with aside(path) as made:
        try:
            FORMATS[format].write(part, made)
            check = FORMATS[format].check(part, made)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # a network of the user's may fail in any way
            raise EnerganError(f"{what} cannot be written: {describe(error)}") from error
        if check is not None and not check.error <= TOLERANCE:
            raise EnerganError(
                f"{what}: the file differs from the run (relative error {check.error:.1e}, "
                f"{check.by}), so it was deleted; try another format"
            )
        digest, size = sha256_of(made), made.stat().st_size
    return ExportedFile(path, part.name, format, size, digest, check)


def check_packages(format: str) -> None:
    """Raise SettingError if packages that files of this format need are missing."""
    missing = [name for name in FORMATS[format].needs if find_spec(name) is None]
    if missing:
        raise SettingError(f"{format} files need {' and '.join(missing)}: {INSTALL}")
