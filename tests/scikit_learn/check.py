# SPDX-License-Identifier: MIT
"""Holds probes against scikit-learn: check.py PROGRAM

PROGRAM is fit_probe. Weights must be those of LinearDiscriminantAnalysis(solver="lsqr",
shrinkage=λ) and of Ridge(alpha=n·λ·tr Σ/d), to 1e-8 on float64 data, 1e-4 on float32; predictions on
other rows the same. Needs numpy and scikit-learn.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score


def require(condition, message):
    if not condition:
        sys.exit(f"check.py: {message}")


def fitted(program, x, y, test, what, count, shrinkage):
    """The weights (d, c), and the scores of the test's rows (n, c)."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file, array in (("x", x), ("y", y.astype(float)), ("test", test)):
            numpy.save(folder / f"{file}.npy", array)
        subprocess.run(
            [program, folder, what, str(count), repr(shrinkage)], check=True
        )
        weight = numpy.fromfile(folder / "weight.bin").reshape(x.shape[1], count)
        scores = numpy.fromfile(folder / "scores.bin").reshape(len(test), count)
    return weight, scores


def error(found, expected):
    return numpy.abs(found - expected).max() / numpy.abs(expected).max()


def centred(scores):
    return scores - scores.mean(axis=1, keepdims=True)


def drawn(random, count, width, classes, weights=None):
    y = random.choice(classes, size=count, p=weights)
    means = numpy.random.default_rng(1).normal(size=(classes, width))
    mixing = numpy.random.default_rng(2).normal(size=(width, width)) / width**0.5
    return random.normal(size=(count, width)) @ mixing + means[y] * 0.7 + 5, y


def check_classes(program, random, dtype, bound):
    largest = 0.0
    for width, classes in ((4, 2), (30, 10), (200, 5)):
        for shrinkage in (0.01, 0.1, 0.5):
            x, y = drawn(random, 1500, width, classes)
            test, labels = drawn(random, 800, width, classes)
            x, test = x.astype(dtype), test.astype(dtype)
            weight, scores = fitted(program, x, y, test, "classes", classes, shrinkage)
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
            model.fit(x.astype(float), y)
            coefficients, scores_expected = model.coef_, model.decision_function(test)
            if classes == 2:  # of which scikit-learn has the difference alone
                found = error(weight[:, 1] - weight[:, 0], coefficients[0])
                found = max(found, error(scores[:, 1] - scores[:, 0], scores_expected))
            else:
                found = error(centred(weight), centred(coefficients.T))
                found = max(found, error(centred(scores), centred(scores_expected)))
            largest = max(largest, found)
            require(found < bound, f"{dtype}, {width} features, λ = {shrinkage}: off by {found}")
            differ = (scores.argmax(axis=1) != model.predict(test)).sum()
            require(differ == 0 or dtype != "float64", f"{differ} predictions differ")
    return largest


def check_imbalance(program, random):
    weights = numpy.array([100, 1, 1]) / 102
    x, y = drawn(random, 20000, 12, 3, weights)
    test, labels = drawn(random, 20000, 12, 3, weights)
    _, scores = fitted(program, x, y, test, "classes", 3, 0.1)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1).fit(x, y)
    ours = balanced_accuracy_score(labels, scores.argmax(axis=1))
    theirs = balanced_accuracy_score(labels, model.predict(test))
    require(abs(ours - theirs) < 0.02, f"balanced accuracy is {ours}, not {theirs}")
    return ours, theirs


def check_numbers(program, random, dtype, bound):
    largest = 0.0
    for width, targets in ((3, 1), (40, 4)):
        for shrinkage in (1e-3, 0.1):
            x, _ = drawn(random, 1000, width, 4)
            y = x @ random.normal(size=(width, targets)) + random.normal(size=(1000, targets))
            x = x.astype(dtype)
            weight, scores = fitted(program, x, y, x, "targets", targets, shrinkage)
            size = x.astype(float).var(axis=0).mean()
            model = Ridge(alpha=1000 * shrinkage * size).fit(x.astype(float), y)
            expected = numpy.asarray(model.coef_).reshape(targets, width).T
            predicted = numpy.asarray(model.predict(x.astype(float))).reshape(len(x), targets)
            found = max(error(weight, expected), error(scores, predicted))
            largest = max(largest, found)
            require(found < bound, f"{dtype}, {targets} targets, λ = {shrinkage}: off by {found}")
    return largest


def main():
    program = sys.argv[1]
    random = numpy.random.default_rng(0)
    for dtype, bound in (("float64", 1e-8), ("float32", 1e-4)):
        print(f"{dtype}: classes off by {check_classes(program, random, dtype, bound):.1e},", end=" ")
        print(f"numbers by {check_numbers(program, random, dtype, bound):.1e}")
    ours, theirs = check_imbalance(program, random)
    print(f"1:100: balanced accuracy {ours:.4f}, scikit-learn's {theirs:.4f}")


main()
