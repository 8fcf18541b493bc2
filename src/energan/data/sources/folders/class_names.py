"""Names of classes that may mean one class: Cat and cat, 01 and 1."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from energan.core import DataError, describe


def check_alike(
    names: Sequence[str], chosen: Sequence[str], where: str, remedy: str, noun: str = "class"
) -> None:
    """Raise DataError, as a question, for two names that differ in case, zeros or spaces alone.

    chosen: classes that the user names; of two that he names both are meant. remedy: how to say
    that the two are one.
    """
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(_key(name), name)
        two = f"name both, as --data.classes {other} {name}"
        two = two if noun == "class" else "rename one of them"
        if other != name and not {name, other} <= set(chosen):
            raise DataError(
                f"{where}: are {describe(other)} and {describe(name)} the same {noun}? If so, "
                f"{remedy}; if not, {two}"
            )


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """In the order of their numbers: of their names, or as numbers if all are whole numbers."""
    found = set(names)
    whole = all(re.fullmatch(r"-?\d{1,18}", name, re.ASCII) for name in found)
    return tuple(sorted(found, key=lambda name: (int(name) if whole else 0, name)))


def _key(name: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    number = re.fullmatch(r"([+-]?\d+)(?:[.,]0+)?", plain, re.ASCII)
    return f"{number[1].lstrip('+0') or '0'}" if number else plain
