"""Is this image normal? Train on eight kinds of digits, and score digits of the ninth and tenth.

python examples/anomaly_score.py        about a minute on two cores
"""

import torch

import energan
from energan.data import DataSettings, open_data


def main(steps: int = 2000, out: str = "runs/anomaly-example") -> None:
    normal = tuple("01234567")
    run = energan.train("ebgan-digits", data={"classes": normal}, steps=steps, out=out)
    calibration = run.calibrate(fpr=0.05)  # on the run's own held-out part
    print(f"threshold {calibration.threshold:.3f}, set on {calibration.count} normal digits")
    others = open_data(DataSettings(source="digits", classes=("8", "9")))
    x = others.gather(torch.arange(len(others))).x  # (B, 1, 8, 8) in [-1, 1]
    found = run.score(x)  # energy, percentile among normal events, yes or no; each (B,)
    print(f"flagged {100 * found.anomalous.double().mean():.0f} % of {len(x)} eights and nines")


if __name__ == "__main__":
    main()
