"""Whether an event is normal: energies of normal ones, a threshold, percentiles, heat maps."""

from energan.anomaly.calibration import Calibration, Scores
from energan.anomaly.detection import Detection, detect, detection_table

__all__ = ["Calibration", "Detection", "Scores", "detect", "detection_table"]
