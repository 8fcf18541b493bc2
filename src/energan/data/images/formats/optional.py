"""Libraries that only some formats need: imported when a file of that format is met."""

import importlib
from typing import Any

from energan.data.images.values import Unreadable


def import_optional(name: str, extra: str, what: str) -> Any:
    """The module `name`. Raises Unreadable, with how to install it, if it is not there.

    extra: of energan's that brings it. what: needs it, in a message.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unreadable(
            f"{what} needs a library that is not installed: pip install 'energan[{extra}]'"
        ) from None
