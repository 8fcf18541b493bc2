"""Synthetic defects in the images of a batch: where a trained energy of cells gets its contrast."""

from energan.samplers.synthetic_defects.sampler import DefectSettings, SyntheticDefects

__all__ = ["DefectSettings", "SyntheticDefects"]
