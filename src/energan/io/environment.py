"""Numbers in environment variables, which launchers and users set."""

import os

from energan.errors import SettingError, describe


def whole_number(name: str, least: int, most: int, *, listed: bool = False) -> int | None:
    """What a variable says; None if it is not set. listed: of several with commas, the first.

    Raises SettingError for anything but a whole number from `least` to `most`.
    """
    text = os.environ.get(name, "").strip()
    if listed:
        text = text.partition(",")[0].strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 18 and least <= int(text) <= most:
        return int(text)
    raise SettingError(
        f"the environment variable {name} is {describe(text)!r}: set it to an integer from "
        f"{least} to {most}, or unset it"
    )
