"""A CUDA device that is not there, for a CPU build of torch: see device.cpp.

It is built by the compiler of the machine, once for each version of torch, and is there in every
Python process that has `environment` in its variables.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.cpp_extension import include_paths, library_paths

HERE = Path(__file__).parent
pretended: Any = sys.modules.get("pretended_device")
"""Its Python side, with what it counts; None on a real GPU."""


REAL = torch.version.cuda is not None or torch.version.hip is not None
"""Whether this build of torch has kernels for a GPU, so that it takes no pretended one."""
VISIBLE, KEPT, ON_GPU = "CUDA_VISIBLE_DEVICES", "ENERGAN_TESTS_GPUS", "ENERGAN_TESTS_ON_GPU"


def hide_gpus() -> None:
    """From this process and those it starts: tests compare with the CPU, and have the same results
    on a machine with a GPU. Those in tests/gpu see it."""
    if ON_GPU not in os.environ:
        os.environ.setdefault(KEPT, os.environ.get(VISIBLE, "all"))
        os.environ[VISIBLE] = ""


def unhidden() -> dict[str, str]:
    """Variables of a process that sees the GPUs as they were before `hide_gpus`."""
    variables = os.environ | {ON_GPU: "1"}
    seen = variables.pop(KEPT, "all")
    del variables[VISIBLE]
    return variables if seen == "all" else variables | {VISIBLE: seen}


def why_not() -> str | None:
    """Why it cannot be built here; None if it may be."""
    if not sys.platform.startswith("linux"):
        return "the pretended GPU is built on Linux alone"
    return None if shutil.which("g++") else "there is no g++ to build the pretended GPU with"


def build(folder: Path) -> Path:
    """The library, kept in `folder`. Raises CalledProcessError if it does not compile."""
    source = HERE / "device.cpp"
    known = hashlib.sha256(source.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    library = folder / f"device-{known}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        words = ["g++", "-O0", "-std=c++20", "-fPIC", "-shared", str(source), "-o", str(made)]
        words += [f"-I{path}" for path in include_paths()]
        for path in library_paths():
            words += [f"-L{path}", f"-Wl,-rpath,{path}"]
        words += ["-ltorch_cpu", "-lc10"]
        subprocess.run(words, check=True, capture_output=True, text=True)
        made.replace(library)
    return library


def environment(library: Path, *paths: Path) -> dict[str, str]:
    """Variables of a process that sees it. paths: of modules, ahead of those of PYTHONPATH."""
    known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    words = os.pathsep.join([str(HERE), *map(str, paths), *known])
    return unhidden() | {"PRETENDED_LIBRARY": str(library), "PYTHONPATH": words}
