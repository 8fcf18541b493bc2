"""A classifier from 100 labels: the ladder network on scikit-learn's digits.

python examples/few_labels.py        about two minutes on two cores
"""

import torch

import energan
from energan.data import DataSettings, open_data


def main(scale: str = "1/10", out: str = "runs/few-labels-example") -> float:
    source = {"source": "digits", "size": None, "held_out": 300, "range": "unit"}
    run = energan.train(
        "few-labels",
        data={**source, "labelled": 100},  # of 1,497 digits to train on, 100 keep their label
        model={"labelled": 50},
        scale=scale,  # of the recipe's 20,000 steps, with its schedules
        out=out,
    )
    held_out = open_data(DataSettings(**source)).held_out
    assert held_out is not None
    x = held_out.gather(torch.arange(len(held_out))).x  # (300, 1, 8, 8) in [0, 1]
    accuracy = (run.classify(x).labels == held_out.labels).double().mean().item()
    print(f"{100 * accuracy:.1f} % of {len(x)} held-out digits are classified correctly")
    return accuracy


if __name__ == "__main__":
    main()
