"""Settings in groups, as JSON has them, and by dotted names, as a command line has them."""

from collections.abc import Iterator, Mapping
from typing import Any


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, nested groups merged."""
    out = dict(base)
    for key, value in changes.items():
        old = out.get(key)
        out[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return out


def without(settings: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The settings less those that `others` has too, group by group."""
    return {
        name: without(value, others.get(name, {})) if isinstance(value, dict) else value
        for name, value in settings.items()
        if isinstance(value, dict) or name not in others
    }


def nested(name: str, value: Any) -> dict[str, Any]:
    """("model.margin", 8) -> {"model": {"margin": 8}}."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """{"model": {"margin": 8}} -> ("model.margin", 8), in order; an empty group has none."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
