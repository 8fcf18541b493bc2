"""Classes in archives as webdataset writes them: key.jpg with key.cls, key.json or key.txt."""

import json
from dataclasses import replace
from itertools import compress
from operator import not_
from pathlib import Path

from energan.data.facts import Fact
from energan.data.sources.archives import LABELS, Archive
from energan.data.sources.tree import suffix_of
from energan.io.text import plural

FIELDS = ("cls", "label", "class")
"""Keys of a .json file; the first one found counts."""
MOST_LABEL = 2**20


def with_labels(archive: Archive) -> Archive:
    """With the classes that files called as the images tell, of the first suffix that tells any."""
    for suffix in LABELS:
        told: dict[Path, str] = {}
        files = 0
        for folder in archive.tree.below():
            keys = {_key(name): name for name in folder.others if suffix_of(name) == suffix}
            of = {name: keys[_key(name)] for name in folder.images if _key(name) in keys}
            files += len(of)
            for image, name in of.items():
                if (label := _label(archive.read(folder.path / name), suffix)) is not None:
                    told[folder.path / image] = label
        if told and (suffix != ".txt" or all(label.isdecimal() for label in told.values())):
            for folder in archive.tree.below():
                images = {_key(name) for name in folder.images}
                used = (
                    suffix_of(name) == suffix and _key(name) in images for name in folder.others
                )
                folder.others = list(compress(folder.others, map(not_, used)))
            text = f"of {plural(len(told), 'image')}, from the {suffix} files of the same names"
            return replace(archive, labels=told, facts=(*archive.facts, Fact("labels", text)))
    return archive


def _key(name: str) -> str:
    return name.partition(".")[0]


def _label(raw: bytes | None, suffix: str) -> str | None:
    if raw is None or len(raw) > MOST_LABEL:
        return None
    try:
        text = raw.decode("utf8").strip()
        if suffix != ".json":
            return text or None
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    values = [found[name] for name in FIELDS if name in found] if isinstance(found, dict) else []
    return str(values[0]) if values and type(values[0]) in (int, str) else None
