"""Train an EBGAN on scikit-learn's digits, draw samples, and score them.

python examples/train_and_sample.py        about a minute on two cores
"""

import energan
from energan.io.pictures import save_samples


def main(steps: int = 2000, out: str = "runs/example") -> None:
    run = energan.train("ebgan-digits", steps=steps, out=out, seed=0)
    x = run.sample(64)  # (64, 1, 8, 8), in the range of the data, [-1, 1]
    print(f"energy of samples: {run.energy(x).mean():.3f}")
    print(f"picture: {save_samples(run.path / 'drawn.png', x, run.domain)}")


if __name__ == "__main__":
    main()
