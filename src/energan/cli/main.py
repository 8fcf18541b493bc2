"""The command line: finds the command, and turns errors into a sentence and an exit code.

A command is imported when it is called, so that those without networks load no torch.
"""

import os
import signal
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from energan.errors import (
    DivergenceError,
    EnerganError,
    Interrupted,
    OtherRankError,
    describe,
    is_gpu_failure,
    is_out_of_memory,
    messages_for_commands,
)
from energan.io.console import outlast_readers
from energan.io.signals import answer_sigterm
from energan.version import __version__

GROUPS = {
    "Train": {
        "recipes": "which recipe to choose for a task, with training times",
        "train RECIPE": "train on your data; try: energan train ebgan-digits",
        "resume RUN...": "continue runs that were stopped",
        "runs [FOLDER]": "list runs with their state, step and latest metrics",
        "margin RECIPE": "estimate a margin for a recipe and your data",
        "sweep NAME": "train and score a grid of settings",
        "check MODEL": "check a model of your own",
        "studio [FOLDER]": "a page in the browser: train, watch, sample and judge",
    },
    "Make images": {
        "sample RUN...": "draw samples",
        "restore RUN IMAGE...": "fill in missing parts of images, or remove noise",
        "interpolate RUN": "samples between two latents",
        "arithmetic RUN": "a − b + c of latents, by attributes",
    },
    "Judge images": {
        "score RUN IMAGE...": "anomaly score of images, normal or not, heat maps",
        "anomaly RUN...": "how well runs detect classes they did not train on",
    },
    "Classify and tag": {
        "classify RUN IMAGE...": "class of images, with its probability",
        "features SOURCE": "features of tagged images, to train a tagging model on",
        "tag RUN IMAGE...": "tags for images",
    },
    "Image to image": {
        "translate RUN IN OUT": "translate an image, or a folder of images",
    },
    "Measure and compare": {
        "evaluate RUN...": "metrics of runs on held-out data",
        "compare RUN RUN...": "samples and metrics of several runs side by side",
        "report RUN...": "a web page about runs: curves, metrics, samples",
        "neighbours RUN": "samples beside their nearest training images",
        "landscape RUN": "a map of the energy over the plane",
        "figures KIND RUN...": "redraw a figure from the papers",
    },
    "Data and export": {
        "data [...]": "list data sources, show what one holds, decode it",
        "push RUN OWNER/NAME": "put a run on the Hugging Face hub, with a model card",
        "export RUN": "write the networks as safetensors, ONNX or TorchScript",
    },
}
"""A line of the usage for each command, by task: a function in the module of its name."""
COMMANDS = [line.split()[0] for lines in GROUPS.values() for line in lines]


def usage() -> str:
    groups = [
        f"{group}:\n" + "".join(f"  {line:<22} {summary}\n" for line, summary in lines.items())
        for group, lines in GROUPS.items()
    ]
    return (
        "usage: energan [--version] [--help] [--debug] COMMAND ...\n"
        "`energan COMMAND --help` explains a command; --debug shows tracebacks.\n\n"
        + "".join(groups)
    )


@messages_for_commands()
def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code: 0, 2 for a user's error, 3 for a divergence, 128 + signal."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    if debug:
        args.remove("--debug")
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if args[0] == "--version":
        print(f"energan {__version__}")
        return 0
    name = args[0]
    try:
        if name not in COMMANDS:
            raise EnerganError(_unknown(name))
        with answer_sigterm():
            return int(getattr(import_module(f"energan.cli.{name}"), name)(args[1:]))
    except EnerganError as error:
        if debug:
            raise
        if _reports(error):
            print(f"energan: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        came = error.signal if isinstance(error, Interrupted) else "SIGINT"
        print(f"energan: {error or f'interrupted by {came}'}", file=sys.stderr)
        return 128 + signal.Signals[came].value
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"energan: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if debug or not (is_out_of_memory(error) or is_gpu_failure(error)):
            raise
        print(f"energan: {_of_the_machine(error)}; --debug shows where", file=sys.stderr)
        return 2


def run() -> NoReturn:
    """Run one command and end the process with its exit code.

    A rank among several skips the interpreter's own end. Threads of its process group live on even
    after `destroy_process_group`, and one that drops a tensor while the interpreter comes down
    aborts the process; then torchrun takes a finished training for a failure.
    """
    streams = outlast_readers()
    code = main()
    sys.stdout.flush()
    if streams[0].lost and not code:
        print(f"energan: output cannot be written: {streams[0].lost}", file=sys.stderr)
        code = 2
    sys.stderr.flush()
    if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        sys.exit(code)
    _ended_together()
    os._exit(code)


def _of_the_machine(error: BaseException) -> str:
    """What the machine, or its GPU, could not do, and the remedy."""
    if is_out_of_memory(error):
        where = "out of memory on the GPU" if "CUDA" in str(error) else "out of memory"
        return f"{where}: use a smaller batch (--training.batch-size) or smaller networks"
    reason = describe(str(error).partition("\n")[0])
    return (
        f"the GPU failed ({reason}), and what was not saved is lost; start the command again, or "
        "`energan resume` a run, and if it fails again, on another GPU or with --device cpu"
    )


def _reports(error: EnerganError) -> bool:
    """Whether this process prints it: of several ranks the first does, for all that end with it."""
    if os.environ.get("RANK", "0") == "0":
        return True
    return not (isinstance(error, OtherRankError | DivergenceError) or _ended_together())


def _ended_together() -> bool:
    """Wait until the other ranks end too; whether they did."""
    ranks = sys.modules.get("energan.training.distributed")  # not there: they never met
    return ranks is not None and ranks.leave()


def _unknown(name: str) -> str:
    close = get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"no command {name!r}; {hint}energan --help lists the commands"
