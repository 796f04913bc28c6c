# SPDX-License-Identifier: MIT
"""What tracking VGG16 or ResNet18 costs with Delve (Python) 0.1.50, to set beside vgg16.cpp: the
same models, batches, optimiser, commands and lines of JSON."""

import argparse
import collections
import csv
import json
import math
import pathlib
import tempfile
import time

import torch
import torchvision
from delve import SaturationTracker
from delve.torch_utils import TorchCovarianceMatrix

STATS = ["lsat", "idim"]


class Mended(collections.OrderedDict, TorchCovarianceMatrix):
    """Delve asks whether the dictionary of its accumulators is an accumulator, and where it is not
    makes new ones at every batch, so that only the last batch counts. This one is."""


def print_line(measurement, **values):
    line = {"measurement": measurement, "side": "Delve", "torch": torch.__version__.split("+")[0],
            "threads": torch.get_num_threads()}
    print(json.dumps({**line, **values}), flush=True)


def wait_for(device):
    if device != "cpu":
        torch.cuda.synchronize()


def seconds(action, device="cpu"):
    """With all that is left to the device."""
    wait_for(device)
    begin = time.perf_counter()
    action()
    wait_for(device)
    return time.perf_counter() - begin


class Training:
    """A model that learns random labels of random pictures."""

    def __init__(self, settings):
        make = getattr(torchvision.models, settings.model)
        self.model = make(num_classes=10).to(settings.device).train()
        # As LibTorch's Adam in C++, which takes one parameter after the other.
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-4, foreach=False)
        self.pictures = torch.randn(settings.batch, 3, settings.side,
                                    settings.side).to(settings.device)
        self.labels = torch.randint(10, (settings.batch,)).to(settings.device)

    def step(self):
        self.adam.zero_grad()
        torch.nn.functional.cross_entropy(self.model(self.pictures), self.labels).backward()
        self.adam.step()


def tracker_of(model, folder, mended, device):
    tracker = SaturationTracker(str(pathlib.Path(folder) / "delve"), "csv", model, stats=STATS,
                                device=device)
    if mended:
        tracker.logs = {key: Mended() for key in tracker.logs}
    return tracker


class HookClock:
    """Wraps the hooks that Delve has registered, and sums the time inside them."""

    def __init__(self, model, device):
        self.taken = 0
        self.device = device
        for module in model.modules():
            for key, hook in module._forward_hooks.items():
                module._forward_hooks[key] = self.timed(hook)

    def timed(self, hook):
        def run(*arguments):
            self.taken += seconds(lambda: hook(*arguments), self.device)

        return run

    def next_step(self):
        taken, self.taken = self.taken, 0
        return taken


def measure_steps(settings, folder):
    training = Training(settings)
    tracker = tracker_of(training.model, folder, not settings.released, settings.device)
    line = {"variant": "released" if settings.released else "mended", "batch": settings.batch}
    # As it was before there were others.
    if settings.model != "vgg16":
        line["model"] = settings.model
    if settings.side != 32:
        line["side_of_pictures"] = settings.side
    if settings.device != "cpu":
        line["device"] = settings.device

    plain_hooks = {module: dict(module._forward_hooks) for module in training.model.modules()}
    clock = HookClock(training.model, settings.device)
    for _ in range(1 if settings.device == "cpu" else settings.steps):
        training.step()
    clock.next_step()
    callbacks = []
    for _ in range(settings.steps):
        training.step()
        callbacks.append(clock.next_step())
    print_line("callbacks", **line, seconds=callbacks)

    for module, hooks in plain_hooks.items():
        module._forward_hooks.update(hooks)

    def steps():
        for _ in range(settings.steps_of_pair):
            training.step()

    # Which comes first alternates, so that drift favours neither.
    times = {True: [], False: []}
    warm_up = 2
    for i in range(settings.pairs + warm_up if settings.pairs else 0):
        for is_tracked in (i % 2 == 0, i % 2 != 0):
            (tracker.resume if is_tracked else tracker.stop)()
            taken = seconds(steps, settings.device) / settings.steps_of_pair
            if i >= warm_up:
                times[is_tracked].append(taken)
    if settings.pairs:
        print_line("pairs", **line, tracked=times[True], untracked=times[False])


def rows_of(n, d):
    """(n, d) of variances that fall as those of layers do, correlated throughout. The generator
    makes the same in C++, so that both sides report of the same data."""
    torch.manual_seed(d)
    scale = torch.arange(1, d + 1, dtype=torch.float32).rsqrt()
    causes = torch.randn(n, d) * scale
    mixture = torch.randn(d, d) / math.sqrt(d)
    return torch.mm(causes, mixture)


def measure_reports(settings, folder):
    model = torchvision.models.vgg16(num_classes=10).to(settings.device)
    tracker = tracker_of(model, folder, True, settings.device)
    widths = {name: getattr(layer, "out_channels", getattr(layer, "out_features", None))
              for name, layer in tracker.layers.items()}
    widths = {name: width for name, width in widths.items() if width <= settings.widest}
    rows = {width: rows_of(math.ceil(width * settings.samples_per_dimension),
                           width).to(settings.device)
            for width in sorted(set(widths.values()))}
    times = []
    for _ in range(settings.repeats):
        for name, width in widths.items():
            accumulator = TorchCovarianceMatrix(device=settings.device)
            accumulator.update(rows[width], False)
            tracker.logs["train-covariance-matrix"][name] = accumulator
        times.append(seconds(tracker.add_saturations, settings.device))
    with open(pathlib.Path(folder) / "delve.csv", newline="") as table:
        last = list(csv.DictReader(table, delimiter=";"))[-1]
    idim = [f"{name}:{int(float(last[f'train-intrinsic-dimensionality_{name}']))}"
            for name in widths]
    device = {} if settings.device == "cpu" else {"device": settings.device}
    print_line("report", **device, variant="+".join(STATS),
               samples_per_dimension=settings.samples_per_dimension, seconds=times,
               idim=" ".join(idim))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    step = commands.add_parser("step", help="steps of a training")
    step.add_argument("--model", choices=["vgg16", "resnet18"], default="vgg16", help="the model")
    step.add_argument("--side", type=int, default=32, help="width and height of a picture")
    step.add_argument("--batch", type=int, default=128, help="pictures a step")
    step.add_argument("--steps", type=int, default=32, help="steps whose callbacks are timed")
    step.add_argument("--pairs", type=int, default=30,
                      help="pairs of a tracked and an untracked step")
    step.add_argument("--steps-of-pair", type=int, default=1, help="steps a side of a pair")
    step.add_argument("--released", action="store_true",
                      help="with the defect by which each batch begins anew")
    step.set_defaults(measure=measure_steps)

    report = commands.add_parser("report", help="add_saturations()")
    report.add_argument("--samples-per-dimension", type=float, default=2,
                        help="data points of each layer, in widths of the layer")
    report.add_argument("--widest", type=int, default=4096, help="leave wider layers out")
    report.add_argument("--repeats", type=int, default=3, help="reports")
    report.set_defaults(measure=measure_reports)

    for command in (step, report):
        command.add_argument("--device", default="cpu",
                             help="where the model and its data are: cpu, or cuda")

    settings = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        settings.measure(settings, folder)


if __name__ == "__main__":
    main()
