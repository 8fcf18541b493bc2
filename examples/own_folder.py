"""Train an EBGAN on a folder of your own images.

python examples/own_folder.py PHOTOS        twenty minutes or more on two cores
"""

import sys

import energan
from energan.data import DataSettings, open_data


def main(folder: str, steps: int = 3000, size: int = 64, out: str = "runs/own-folder") -> None:
    data = open_data(DataSettings(source=folder, size=size))
    print(f"{len(data)} images of {data.domain.shape}, {len(data.skipped)} left out")
    for where, reason in data.skipped[:5]:
        print(f"  {where}: {reason}")
    run = energan.train(
        "ebgan-folder",
        data={"source": folder, "size": size},
        steps=steps,
        out=out,
        output={"sample_every": 500},  # a grid of samples in out/samples every 500 steps
    )
    print(f"samples: {run.path / 'samples'}")


if __name__ == "__main__":
    main(sys.argv[1])
