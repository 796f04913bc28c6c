# SPDX-License-Identifier: MIT
"""VGG16 through Delve (Python), to hold our numbers against; see README.md.

prepare FOLDER        writes parameters and batches, and what Delve finds with them
compare FOLDER TABLE  sets what Delve found beside our table, layer by layer
"""

import collections
import csv
import json
import pathlib
import sys

BATCHES = 4
THRESHOLD = 0.99
# Nearer to the threshold than this, rounding decides between one number and the next.
MARGIN = 1e-6


def prepare(folder):
    import numpy
    import torch
    import torchvision
    from delve import SaturationTracker
    from delve.torch_utils import TorchCovarianceMatrix

    class Mended(collections.OrderedDict, TorchCovarianceMatrix):
        """Delve asks whether the dictionary of its accumulators is an accumulator, and where it is
        not makes new ones at every batch, so that only the last batch counts. This one is."""

    torch.manual_seed(1)
    model = torchvision.models.vgg16(num_classes=10).eval()
    batches = [torch.randn(32, 3, 32, 32) for _ in range(BATCHES)]

    tracker = SaturationTracker(str(folder / "delve"), "csv", model, stats=["lsat", "idim"], device="cpu",
                            sat_threshold=THRESHOLD)
    tracker.logs = {key: Mended() for key in tracker.logs}
    with torch.no_grad():
        for batch in batches:
            model(batch)
        found = {}
        for layer, accumulator in tracker.logs["eval-covariance-matrix"].items():
            values = torch.linalg.eigvalsh(accumulator.fix()).flip(0).clamp_min(0)
            explained = values.cumsum(0) / values.sum()
            found[layer] = {"margin": (explained - THRESHOLD).abs().min().item()}
        tracker.add_saturations()
    tracker.close()

    with open(folder / "delve.csv", newline="") as table:
        row = next(csv.DictReader(table, delimiter=";"))
    for layer in found:
        found[layer]["idim"] = int(float(row[f"eval-intrinsic-dimensionality_{layer}"]))
    (folder / "delve.json").write_text(json.dumps(found))

    for name, parameter in model.named_parameters():
        numpy.save(folder / f"param.{name}.npy", parameter.detach().numpy())
    for i, batch in enumerate(batches):
        numpy.save(folder / f"input.{i}.npy", batch.numpy())


def compare(folder, path):
    found = json.loads((folder / "delve.json").read_text())
    with open(path, newline="") as table:
        row = next(csv.DictReader(table, delimiter=";"))
    differing = 0
    print(f"{'layer':14} {'Delve':>6} {'ours':>6}  distance of Delve's to the threshold")
    for layer, its in found.items():
        ours = int(float(row[f"eval-intrinsic-dimensionality_{layer}"]))
        verdict = ""
        if ours != its["idim"]:
            verdict = "  differs" if its["margin"] > MARGIN else "  differs, within rounding"
            differing += its["margin"] > MARGIN
        print(f"{layer:14} {its['idim']:6} {ours:6}  {its['margin']:.2e}{verdict}")
    print(f"{len(found)} layers, {differing} of them differ")
    return 1 if differing or len(found) != 16 else 0


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "prepare":
        sys.exit(prepare(pathlib.Path(*arguments)))
    sys.exit(compare(pathlib.Path(arguments[0]), arguments[1]))
