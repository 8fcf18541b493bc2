"""A domain as config.json keeps it."""

from dataclasses import asdict
from typing import Any

from energan.core import Domain, LabelMap


def record_of(domain: Domain) -> dict[str, Any]:
    """All of it but the mean."""
    return {
        "shape": domain.shape,
        "low": domain.low,
        "high": domain.high,
        "classes": domain.classes,
        "condition_shape": domain.condition_shape,
        "depth": domain.depth,
        "shown": list(domain.shown),
        "image_shape": domain.image_shape,
        "label_map": None if domain.label_map is None else asdict(domain.label_map),
    }


def domain_of(record: dict[str, Any]) -> Domain:
    """The domain of such a record, of any version."""
    conditions, whole = record.get("condition_shape"), record.get("image_shape")
    return Domain(
        tuple(record["shape"]),
        record["low"],
        record["high"],
        record["classes"],
        condition_shape=None if conditions is None else tuple(conditions),
        depth=record.get("depth", 8),
        shown=tuple(record.get("shown", ())),
        label_map=_label_map(record.get("label_map")),
        image_shape=None if whole is None else tuple(whole),
    )


def _label_map(record: dict[str, Any] | None) -> LabelMap | None:
    if record is None:
        return None
    colours = tuple((red, green, blue) for red, green, blue in record["colours"])
    return LabelMap(tuple(record["values"]), colours, record["one_hot"])
