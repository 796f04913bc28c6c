# SPDX-License-Identifier: MIT
#
# Fits logistic regressions to what benchmark_probe_table stored, and prints them beside the probes:
# python3 probe_table.py FOLDER. Needs numpy, scipy and scikit-learn.
import csv
import pathlib
import sys
import warnings

import numpy
import scipy.stats
import sklearn.exceptions
import sklearn.linear_model
import sklearn.pipeline
import sklearn.preprocessing


# A regression whose strength of regularisation does best on the last fifth of the pictures.
def best_regression(x, y):
    def fitted(strength, count):
        model = sklearn.pipeline.make_pipeline(
            sklearn.preprocessing.StandardScaler(),
            sklearn.linear_model.LogisticRegression(C=strength, max_iter=200))
        return model.fit(x[:count], y[:count])

    some = len(y) * 4 // 5
    scores = {c: fitted(c, some).score(x[some:], y[some:]) for c in (1e-4, 1e-3, 1e-2, 1e-1)}
    return fitted(max(scores, key=scores.get), len(y))


def main():
    folder = pathlib.Path(sys.argv[1])
    with open(folder / "probes.csv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    labels = {split: numpy.fromfile(folder / f"labels_{split}.bin", numpy.int64) for split in ("train", "test")}
    prefix = "eval-probe-accuracy_"
    layers = [name[len(prefix):] for name in rows[-1] if name.startswith(prefix)]
    count = len(labels["test"])

    def error(share):
        return (share * (1 - share) / count) ** 0.5

    print(f"{len(labels['train'])} pictures to fit to, {count} to try on; test accuracy of the network:",
          f"{float(rows[-1]['test-accuracy']):.3f}\n")
    print("| layer | features | probe | logistic regression | border |")
    print("| --- | --- | --- | --- | --- |")
    probes, regressions, borders, stopped = [], [], [], 0
    for layer in layers:
        x = {split: numpy.fromfile(folder / f"{layer}_{split}.bin", numpy.float32).reshape(len(labels[split]), -1)
             for split in labels}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", sklearn.exceptions.ConvergenceWarning)
            model = best_regression(x["train"], labels["train"])
        stopped += bool(caught)
        probes.append(float(rows[-1][prefix + layer]))
        regressions.append(model.score(x["test"], labels["test"]))
        # Of a field that is known; the head has none.
        borders.append(any(row.get("border_" + layer) == "1" for row in rows))
        print(f"| {layer} | {x['train'].shape[1]} | {probes[-1]:.3f} ± {error(probes[-1]):.3f} |"
              f" {regressions[-1]:.3f} ± {error(regressions[-1]):.3f} | {'yes' if borders[-1] else ''} |", flush=True)
    if stopped:
        print(f"\n{stopped} of {len(layers)} regressions stopped at 200 iterations.")
    before = borders.index(True) if True in borders else len(layers)
    print(f"\nUp to the border ({before} layers): rank correlation",
          f"{scipy.stats.spearmanr(probes[:before], regressions[:before])[0]:.2f};",
          f"over all {len(layers)} layers: {scipy.stats.spearmanr(probes, regressions)[0]:.2f},",
          f"Pearson's {scipy.stats.pearsonr(probes, regressions)[0]:.2f}")


main()
