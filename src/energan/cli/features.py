"""`energan features`: what a run of tagging learns from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.options import Threads, check_file, parse
from energan.cli.run_options import set_threads
from energan.data import DataSettings
from energan.evaluation.features import feature_network, make_tag_file
from energan.experiment.settings import checked
from energan.io.text import plural


@dataclass
class Features:
    """Compute features of the images of a data source, with their attributes or classes as tags.
    `energan train tagging-celeba --data FILE.npz` trains on the result."""

    source: Annotated[str, tyro.conf.Positional]
    """a data source, as for `energan train --data`"""
    made_by: Annotated[str, tyro.conf.arg(name="with")]
    """how features are computed: classifier (trained on the source's own attributes or classes,
    once, then cached), a run of an auto-encoder (its encoder's code), or a features file (the same
    way as that file)"""
    out: Path
    """the .npz to write"""
    tags: str | None = None
    """for a folder of images: a CSV of file,tag,tag,… with their tags"""
    size: int | None = None
    """with the classifier: resize images to a square of this side"""
    limit: int | None = None
    """use only the first N images"""
    held_out: int | None = None
    """number of images to hold out; if not set, as the source does"""
    threads: Threads = None


def features(args: list[str]) -> int:
    options = parse(Features, args, "energan features")
    check_file(options.out, ".npz")
    set_threads(options.threads)
    given = {"source": options.source, "tags": options.tags, "size": options.size}
    more = {"limit": options.limit, "held_out": options.held_out}
    settings = checked(DataSettings, given | more)
    made = make_tag_file(feature_network(options.made_by, settings), settings, options.out)
    made.write()
    for fact in made.facts:
        print(fact)
    count, size = made.features.shape
    kept = 0 if made.held_out is None else int(made.held_out.sum())
    tags = (
        plural(len(made.names), "tag")
        if made.names
        else ("without tags, for energan tag --features")
    )
    print(
        f"{plural(count, 'image')}, {kept:,} of them held out: {plural(size, 'feature')} each, "
        f"{tags}: {options.out}"
    )
    return 0
