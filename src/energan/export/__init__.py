"""A run's networks as files that work without energan: `export(run, "onnx")`."""

from energan.export.write import export

__all__ = ["export"]
