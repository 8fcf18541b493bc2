"""Classifiers of scikit-learn on the labels that ladder-mnist-100 learns from: test errors.

    python benchmarks/few_labels_baselines.py [--seeds 3] [--out docs/results]

Each sees the 100 labelled images of the seed and no others. Settings are scikit-learn's defaults;
C of the support vector machine (1, 10) and the number of neighbours (1, 3) are the better on the
test images, in the baselines' favour.
"""

import argparse
import json
from pathlib import Path

import sklearn
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from energan.data import DataSettings, open_data
from energan.data.few_label_batches import choose_labelled

LABELS = 100
RIVALS = {
    "logistic regression": [LogisticRegression(max_iter=2000)],
    "nearest neighbour": [KNeighborsClassifier(k) for k in (1, 3)],
    "support vector machine (RBF)": [SVC(C=c) for c in (1, 10)],
    "random forest": [RandomForestClassifier(500, random_state=0)],
}


def errors(seed: int) -> dict[str, float]:
    settings = DataSettings(source="mnist", range="unit", held_out=10_000, labelled=LABELS)
    data, test = (
        open_data(settings),
        open_data(settings.model_copy(update={"labelled": None}), "test"),
    )
    assert data.labels is not None
    assert test.labels is not None
    rows = choose_labelled(data.labels, 10, LABELS, seed, data.class_names, data.groups)
    x, y = data.gather(rows).x.flatten(1).numpy(), data.labels[rows].numpy()
    test_x = test.gather(torch.arange(len(test))).x.flatten(1).numpy()
    truth = test.labels.numpy()
    return {
        name: min(float((m.fit(x, y).predict(test_x) != truth).mean()) for m in models)
        for name, models in RIVALS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    found = [errors(seed) for seed in range(options.seeds)]
    record = {
        "data": "mnist, 100 labels, 10,000 test images",
        "how": " ".join((__doc__ or "").split("\n\n")[-1].split()),
        "scikit-learn": sklearn.__version__,
        "errors": {name: [round(f[name], 4) for f in found] for name in RIVALS},
    }
    text = json.dumps(record, indent=1)
    (options.out / "few-labels-baselines.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
