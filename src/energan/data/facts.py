"""What was understood of a source and done to it, so that nothing happens without a word."""

from collections.abc import Iterable
from dataclasses import dataclass

from energan.errors import printable


@dataclass(frozen=True)
class Fact:
    """One line of the block that `energan data show`, `--dry-run` and config.json give.

    subject: what it is about, in a word or two: train, test, masks, labels, left out, range.
    text: what was understood or done, with counts.
    warning: whether the user should look at it: training and commands say it on stderr too.
    """

    subject: str
    text: str
    warning: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))  # names may hold anything

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


def as_records(facts: Iterable[Fact]) -> list[dict[str, object]]:
    """The facts as config.json keeps them."""
    return [{"subject": f.subject, "text": f.text, "warning": f.warning} for f in facts]
