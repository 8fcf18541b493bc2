"""`energan studio`: a page in the browser over the runs in a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.options import parse
from energan.errors import SettingError


@dataclass
class Studio:
    """Open a page on this machine over the runs in a folder: train, watch, sample, judge and label.
    It also answers programs (POST /api/score, /api/classify, /api/sample). It reads files in the
    folder, in those of --data, and what is uploaded; nothing else."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs")
    """the folder of runs; it is created if there is none"""
    data: tuple[Path, ...] = ()
    """further folders of images that may be read: to train on, and as the data of older runs"""
    address: str = "127.0.0.1"
    """where to listen; any other than this machine's own address needs a token"""
    port: int = 7860
    """the port; 0 for any that is free"""
    token: str | None = None
    """what requests must bring; for another address than this machine's own one is made up and
    printed"""
    api_only: tyro.conf.FlagCreatePairsOff[bool] = False
    """only the routes for programs, without the page"""


def studio(args: list[str]) -> int:
    options = parse(Studio, args, "energan studio")
    if not 0 <= options.port < 2**16:
        raise SettingError(f"--port {options.port}: give 0 to 65535")
    for folder in options.data:
        if not folder.is_dir():
            raise SettingError(f"--data {folder} is not a folder")
    if options.folder.exists() and not options.folder.is_dir():
        raise SettingError(f"{options.folder} is not a folder; name the one that holds your runs")
    try:
        from energan.studio.server import ServerOptions, serve, token_for
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "energan":
            raise
        raise SettingError(
            f"the studio needs {error.name}, which is not installed: pip install 'energan[studio]'"
        ) from None
    options.folder.mkdir(parents=True, exist_ok=True)
    token = token_for(options.address, options.token)
    serve(
        options.folder,
        options.data,
        ServerOptions(options.address, options.port, token, options.api_only),
    )
    return 0
