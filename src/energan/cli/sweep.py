"""`energan sweep`: the trials of a search, done where they are missing, and what they found.

Without a name it lists the sweeps, and loads no torch.
"""

from energan.cli.options import take_positional
from energan.errors import EnerganError
from energan.io.console import show, table_of
from energan.sweep import SWEEPS

USAGE = """usage: energan sweep NAME [OPTIONS]

`energan sweep` lists the named sweeps; `energan sweep NAME --help` explains every option.
NAME may also be a file, .json or .py, with a sweep of your own.
"""


def sweep(args: list[str]) -> int:
    word, rest = take_positional(args)
    if word is None:
        return _without_name(rest)
    from energan.cli.sweep_options import options_of
    from energan.cli.sweep_run import run

    return run(options_of(word, rest), ["sweep", *args])


def _without_name(args: list[str]) -> int:
    if args and args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if args:
        raise EnerganError(
            "the sweep comes first, as in `energan sweep ebgan-grid --sample 24`; `energan sweep` "
            "lists them"
        )
    table = table_of("sweep", "trials", "recipe", "axes", "what")
    for one in SWEEPS.values():
        axes = ", ".join(f"{axis} {len(its)}" for axis, its in one.axes.items() if len(its) > 1)
        table.add_row(one.name, f"{one.count:,}", one.recipe, axes, one.summary)
    show(table)
    return 0
