# SPDX-License-Identifier: MIT
"""VGG16 and ResNet18 through Delve (Python), to hold our numbers against; see README.md.

vgg16 FOLDER          writes parameters and batches, and what Delve finds with them
resnet18 FOLDER       the same with TorchScript files, for a model that is being trained
compare FOLDER TABLE  sets what Delve found beside our table, layer by layer
"""

import collections
import copy
import csv
import json
import pathlib
import sys

THRESHOLD = 0.99
# Nearer to the threshold than this, rounding decides between one number and the next. While a model
# trains, the two sides' weights drift apart by rounding as well.
MARGIN = {"eval": 1e-6, "train": 1e-5}


class Tracked:
    """A model under Delve, its last-batch defect mended."""

    def __init__(self, folder, model):
        from delve import SaturationTracker
        from delve.torch_utils import TorchCovarianceMatrix

        class Mended(collections.OrderedDict, TorchCovarianceMatrix):
            """Delve asks whether the dictionary of its accumulators is an accumulator, and where it
            is not makes new ones at every batch, so that only the last batch counts. This one is."""

        self.folder = folder
        self.tracker = SaturationTracker(str(folder / "delve"), "csv", model, stats=["lsat", "idim"],
                                         device="cpu", sat_threshold=THRESHOLD)
        self.tracker.logs = {key: Mended() for key in self.tracker.logs}

    def report(self):
        """Writes delve.json: what Delve found, and how far from the threshold."""
        import torch

        found = {}
        for mode in MARGIN:
            for layer, accumulator in self.tracker.logs[f"{mode}-covariance-matrix"].items():
                values = torch.linalg.eigvalsh(accumulator.fix()).flip(0).clamp_min(0)
                explained = values.cumsum(0) / values.sum()
                found[f"{mode}-intrinsic-dimensionality_{layer}"] = {
                    "mode": mode,
                    "margin": (explained - THRESHOLD).abs().min().item(),
                }
        self.tracker.add_saturations()
        self.tracker.close()
        with open(self.folder / "delve.csv", newline="") as table:
            row = next(csv.DictReader(table, delimiter=";"))
        for column in found:
            found[column]["idim"] = int(float(row[column]))
        (self.folder / "delve.json").write_text(json.dumps(found))


def save_batches(folder, batches):
    import numpy

    for i, batch in enumerate(batches):
        numpy.save(folder / f"input.{i}.npy", batch.numpy())


def vgg16(folder):
    import numpy
    import torch
    import torchvision

    torch.manual_seed(1)
    model = torchvision.models.vgg16(num_classes=10).eval()
    batches = [torch.randn(32, 3, 32, 32) for _ in range(4)]
    save_batches(folder, batches)
    for name, parameter in model.named_parameters():
        numpy.save(folder / f"param.{name}.npy", parameter.detach().numpy())
    tracked = Tracked(folder, model)
    with torch.no_grad():
        for batch in batches:
            model(batch)
    tracked.report()


def resnet18(folder):
    import torch
    import torchvision

    torch.manual_seed(2)
    model = torchvision.models.resnet18(num_classes=10).train()
    batches = [torch.randn(64, 3, 32, 32) for _ in range(4)]
    save_batches(folder, batches)
    torch.jit.script(model).save(str(folder / "scripted.pt"))
    # Tracing runs the model, and batch normalisation remembers that.
    torch.jit.trace(copy.deepcopy(model), batches[0]).save(str(folder / "traced.pt"))
    tracked = Tracked(folder, model)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    for i, batch in enumerate(batches):
        sgd.zero_grad()
        labels = (torch.arange(len(batch)) + i) % 10
        torch.nn.functional.cross_entropy(model(batch), labels).backward()
        sgd.step()
    tracked.report()


def compare(folder, path):
    found = json.loads((folder / "delve.json").read_text())
    with open(path, newline="") as table:
        row = next(csv.DictReader(table, delimiter=";"))
    differing = 0
    print(f"{'value':55} {'Delve':>6} {'ours':>6}  distance of Delve's to the threshold")
    for column, its in found.items():
        ours = int(float(row[column]))
        is_sure = its["margin"] > MARGIN[its["mode"]]
        verdict = ""
        if ours != its["idim"]:
            verdict = "  differs" if is_sure else "  differs, within rounding"
            differing += is_sure
        print(f"{column:55} {its['idim']:6} {ours:6}  {its['margin']:.2e}{verdict}")
    print(f"{len(found)} values, {differing} of them differ")
    return 1 if differing or not found else 0


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "compare":
        sys.exit(compare(pathlib.Path(arguments[0]), arguments[1]))
    sys.exit({"vgg16": vgg16, "resnet18": resnet18}[command](pathlib.Path(*arguments)))
