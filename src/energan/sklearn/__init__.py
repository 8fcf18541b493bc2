"""Estimators that work as scikit-learn's own: in pipelines, searches and cross-validation.

    AnomalyDetector().fit(normal).predict(new)         +1 for normal, -1 for anomalous
    FewLabelClassifier().fit(X, y).predict(new)        y: -1 where there is no label

They train in memory and write no run. `energan.train` does, and is the way to images on disk.
"""

from energan.sklearn.anomaly_detector import AnomalyDetector
from energan.sklearn.few_label_classifier import FewLabelClassifier

__all__ = ["AnomalyDetector", "FewLabelClassifier"]
