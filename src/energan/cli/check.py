"""`energan check`: what the package asks of its own models, asked of another."""

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from energan.cli.options import parse
from energan.errors import SettingError
from energan.experiment.model_checks import CHECKS, check_model
from energan.io.text import agree, plural


@dataclass
class Check:
    """Check a model of your own: does it train, resume exactly, and train with several seeds at
    once?

    The model is built with the settings of `Config.tiny()`, if it has that method, and trained
    for ten steps.
    """

    model: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(help="the model's module, for example my_package.my_model"),
    ]
    data: str | None = None
    """data to check it on; by default ring or digits, whichever it takes"""


def check(args: list[str]) -> int:
    options = parse(Check, args, "energan check")
    failed = 0
    for asked, wrong, remark in check_model(options.model, options.data):
        failed += bool(wrong)
        said = wrong or remark
        print(f"{'FAILED' if wrong else 'ok':<7} {asked}" + (f" ({said})" if said else ""))
        sys.stdout.flush()
    if failed:
        raise SettingError(
            f"{options.model}: {plural(failed, 'check')} of {len(CHECKS)} "
            f"{agree(failed, 'have')} failed"
        )
    return 0
