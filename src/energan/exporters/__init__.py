"""A run's networks as files that work without energan: `export(run, "onnx")`."""

from energan.exporters.files import ExportedFile
from energan.exporters.write import export

__all__ = ["ExportedFile", "export"]
