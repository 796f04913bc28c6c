# SPDX-License-Identifier: MIT
"""Sets the lines of JSON that the benchmarks print side by side, and beside the goals:

    python3 table.py LINES.jsonl...
"""

import json
import random
import statistics
import sys


def median(values):
    return statistics.median(values)


def quartiles(values):
    """The first and the third, by linear interpolation."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def median_interval(values, resamples=10_000):
    """The 95 % interval of the median, by bootstrapping (percentiles); the seed is fixed."""
    generator = random.Random(0)
    medians = sorted(median(generator.choices(values, k=len(values))) for _ in range(resamples))
    return medians[int(0.025 * resamples)], medians[int(0.975 * resamples) - 1]


def in_unit(seconds):
    size = abs(seconds)
    if size >= 1:
        return f"{seconds:.2f} s"
    if size >= 1e-3:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds * 1e6:.2f} µs"


def spread(low, high):
    return f"{in_unit(low)} … {in_unit(high)}"


def markdown(title, header, rows):
    if not rows:
        return
    rows = [header, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    print(f"\n{title}\n")
    for i, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


class Lines:
    """All lines, or those that are left of them."""

    def __init__(self, lines):
        self.lines = lines

    def __bool__(self):
        return bool(self.lines)

    def where(self, **wanted):
        return Lines([line for line in self.lines
                      if all(line.get(name) == value for name, value in wanted.items())])

    def groups(self, *names):
        """The lines that agree in these, in the order of their first appearance."""
        found = {}
        for line in self.lines:
            found.setdefault(tuple(line.get(name) for name in names), []).append(line)
        return {key: Lines(lines) for key, lines in found.items()}

    def all(self, name):
        """The numbers of that name, of all lines, one after the other."""
        return [value for line in self.lines for value in line[name]]

    def paired_differences(self, a, b):
        return [x - y for line in self.lines for x, y in zip(line[a], line[b])]

    def rounds(self, name):
        """The mean of each line. Of steps only a mean is fair: waiting rows make some of them dear
        for the others."""
        return [statistics.fmean(line[name]) for line in self.lines]


class Goals:
    def __init__(self):
        self.rows = []

    def at_most(self, goal, text, value, limit):
        """`value` is None where something is missing."""
        if value is None:
            self.rows.append([goal, text, "–", "not measured"])
            return
        verdict = "met" if value <= limit else "missed"
        self.rows.append([goal, text, f"{value:.4g}", verdict])

    def holds(self, goal, text, value):
        found, verdict = ("–", "not measured") if value is None else \
            ("yes", "met") if value else ("no", "missed")
        self.rows.append([goal, text, found, verdict])


def ratio(a, b):
    return a / b if a is not None and b is not None else None


def per_step(lines):
    """The median of the rounds' means; None where there is no round."""
    return median(lines.rounds("seconds")) if lines else None


# What a step is one of.
TRAINING = ("batch", "model", "side_of_pictures", "device")
# Of VGG16 with pictures of 32 × 32, on the CPU: what the goals are about.
USUAL = {"model": None, "side_of_pictures": None, "device": None}


def name_of_training(batch, model, side_of_pictures, device):
    return ", ".join([str(batch)] + ([model] if model else [])
                     + ([f"{side_of_pictures} × {side_of_pictures}"] if side_of_pictures else [])
                     + ([device] if device else []))


def in_order_of_batches(row):
    """By the batch, which name_of_training() puts first."""
    return int(row[0].split(",")[0]), row[0]


def show_callbacks(lines):
    rows = []
    for kind in ("product", "callbacks"):
        for (*training, side, variant), group in lines.where(measurement=kind).groups(
                *TRAINING, "side", "variant").items():
            name = "half of at::mm(x.t(), x), float32" if kind == "product" else f"{side}, {variant}"
            means = group.rounds("seconds")
            steps = group.all("seconds")
            rows.append([name_of_training(*training), name, in_unit(per_step(group)),
                         spread(min(means), max(means)), in_unit(median(steps)),
                         spread(*quartiles(steps)), f"{len(means)} × {len(steps) // len(means)}"])
            if "on_host" in group.lines[0]:
                on_host = group.all("on_host")
                rows.append([name_of_training(*training), f"{name}: on the host alone",
                             in_unit(statistics.fmean(on_host)), "", in_unit(median(on_host)),
                             spread(*quartiles(on_host)), ""])
    rows.sort(key=in_order_of_batches)
    markdown("Time inside the callbacks, a training step (of VGG16, 32 × 32, on the CPU, where "
             "nothing else is said)",
             ["batch", "what", "mean", "of each round", "median step", "half of the steps",
              "rounds × steps"], rows)


def show_pairs(lines):
    rows = []
    for (*training, side, variant), group in lines.where(measurement="pairs").groups(
            *TRAINING, "side", "variant").items():
        differences = group.paired_differences("tracked", "untracked")
        rows.append([name_of_training(*training), f"{side}, {variant}",
                     in_unit(median(group.all("untracked"))),
                     in_unit(median(group.all("tracked"))), in_unit(median(differences)),
                     spread(*median_interval(differences)), spread(*quartiles(differences)),
                     in_unit(statistics.fmean(differences)), str(len(differences))])
    rows.sort(key=in_order_of_batches)
    markdown("Whole steps, tracked and untracked in turns",
             ["batch", "what", "untracked", "tracked", "median difference", "95 % of that median",
              "half of the differences", "mean difference", "pairs"], rows)


def show_reports(lines):
    rows = []
    for (per_dimension, device, side, variant), group in lines.where(measurement="report").groups(
            "samples_per_dimension", "device", "side", "variant").items():
        times = group.all("seconds")
        name = f"{per_dimension:g} d" + (f", {device}" if device else "")
        rows.append([name, f"{side}, {variant}", in_unit(median(times)),
                     spread(*quartiles(times)), str(len(times))])
    markdown("add_saturations() of VGG16's layers, one mode, into a CSV file",
             ["n", "what", "median", "half of the reports", "reports"], rows)
    for (per_dimension, _), group in lines.where(measurement="report").groups(
            "samples_per_dimension", "device").items():
        found = {line["side"]: dict(item.split(":") for item in line["idim"].split())
                 for line in group.lines}
        if len(found) == 2:
            here, delve = found["here"], found["Delve"]
            same = sum(here.get(layer) == value for layer, value in delve.items())
            print(f"\nn = {per_dimension:g} d: of {len(delve)} intrinsic dimensionalities, {same} are "
                  "the same on both sides.")


def show_eigenvalues(lines):
    lines = lines.where(measurement="eigenvalues")
    variants = [variant for (variant,) in lines.groups("variant")]
    rows = [[str(width), *(in_unit(median(group.where(variant=variant).all("seconds")))
                           for variant in variants)]
            for (width,), group in lines.groups("d").items()]
    markdown("Eigenvalues of a covariance, without vectors", ["d", *variants], rows)


def show_trace(lines):
    """What LibTorch's profiler saw the host ask of CUDA."""
    kinds = {"kernels launched": lambda event: "Launch" in event,
             "waits for the device": lambda event: "Synchronize" in event,
             "copies to the host": lambda event: "DtoH" in event,
             "copies to the device": lambda event: "HtoD" in event,
             "memory taken": lambda event: event in ("cudaMalloc", "cudaFree")}
    rows = []
    for (model, batch, tracked), group in lines.where(measurement="trace").groups(
            "model", "batch", "tracked").items():
        counts = [sum(line["a_step"] for line in group.lines if is_such(line["event"]))
                  for is_such in kinds.values()]
        rows.append([f"{model}, {batch}", "tracked" if tracked else "untracked",
                     *(f"{count:g}" for count in counts)])
    markdown("What a step asks of CUDA, by LibTorch's profiler", ["training", "", *kinds], rows)


def show_sampling(lines):
    rows = []
    for (rate,), group in lines.where(measurement="sampling").groups("rate").items():
        differences = [100 * difference for difference in group.all("differences")]
        sizes = [abs(difference) for difference in differences]
        rows.append([f"{rate:g}", f"{statistics.fmean(sizes):.2f}", f"{max(sizes):.2f}",
                     f"{statistics.fmean(differences):+.2f}", in_unit(median(group.all("seconds"))),
                     f"{len(group.all('seconds'))} × {group.lines[0]['layers']}"])
    markdown("sample_rate(): saturation of VGG16's convolutions beside that of all data points, in "
             "percentage points", ["rate", "mean error", "largest", "mean difference",
                                   "what the tracker adds to 8 forwards", "draws × layers"], rows)


def report_seconds(lines, **which):
    group = lines.where(measurement="report", **which)
    return median(group.all("seconds")) if group else None


def microseconds_a_hook(group):
    layers = group.lines[0]["layers"]
    return [difference / layers * 1e6 for difference in group.paired_differences("tracked", "bare")]


def show_recording(lines):
    rows = []
    for (passes, layers, steps), group in lines.where(measurement="recording").groups(
            "pass", "layers", "steps").items():
        a_hook = microseconds_a_hook(group)
        low, high = median_interval(a_hook)
        rows.append([passes, *(in_unit(median(group.all(name)))
                               for name in ("plain", "bare", "tracked")),
                     f"{median(a_hook):.2f} µs", f"{low:.2f} … {high:.2f} µs",
                     f"{len(group.lines)} × {steps}"])
    markdown("Recording: layers Linear(8, 8), batch 8, all sums included; a step",
             ["pass", "no callback", "bare callback", "tracked", "a hook above the bare callback",
              "95 % of that median", "rounds × steps"], rows)


def instructions_apart(lines):
    counts = {state: [line["count"] for line in group.lines]
              for (state,), group in lines.where(measurement="instructions").groups("state").items()}
    if not {"untracked", "stopped"} <= counts.keys():
        return None
    untracked, stopped = median(counts["untracked"]), median(counts["stopped"])
    return abs(stopped - untracked) / untracked


def show_stopped(lines):
    rows = [[line["state"], f"{line['count']:,}", line["tool"]]
            for line in lines.where(measurement="instructions").lines]
    markdown("Instructions of the same steps", ["tracker", "instructions", "counted by"], rows)


def judge(lines):
    def callbacks(side, variant, batch):
        return per_step(lines.where(measurement="callbacks", side=side, variant=variant,
                                    batch=batch, **USUAL))

    goals = Goals()
    here = callbacks("here", "float32", 128)
    goals.at_most("1", "callbacks, batch 128: ours / Delve's, mended <= 1/5",
                  ratio(here, callbacks("Delve", "mended", 128)), 1 / 5)
    goals.at_most("1", "callbacks, batch 128: ours / half of at::mm(x.t(), x) <= 1.5",
                  ratio(here, per_step(lines.where(measurement="product", batch=128, **USUAL))),
                  1.5)
    goals.at_most("1", "callbacks, batch 32: ours / Delve's, as released <= 1/10",
                  ratio(callbacks("here", "float32", 32), callbacks("Delve", "released", 32)),
                  1 / 10)
    goals.at_most("1", "callbacks, batch 128, 1,000 points per dimension: ours / Delve's, mended "
                  "<= 1/10",
                  ratio(callbacks("here", "1000 points per dimension", 128),
                        callbacks("Delve", "mended", 128)), 1 / 10)
    reports = lines.where(measurement="report", samples_per_dimension=2, device=None)
    delve = report_seconds(reports, side="Delve")
    goals.at_most("2", "add_saturations(), n = 2 d, leading eigenvalues: ours / Delve's <= 1/8",
                  ratio(report_seconds(reports, side="here", variant="leading"), delve), 1 / 8)
    stopped = lines.where(measurement="stopped").lines
    goals.holds("3", "stopped: LibTorch has no callback",
                not any(line["callbacks"] for line in stopped) if stopped else None)
    goals.at_most("3", "stopped: instructions differ from an untracked run's by <= 0.001",
                  instructions_apart(lines), 0.001)
    for passes in ("forward", "forward and backward"):
        group = lines.where(measurement="recording", **{"pass": passes})
        goals.at_most("3", f"recording, {passes}: a hook above a bare callback <= 3 µs",
                      median(microseconds_a_hook(group)) if group else None, 3)
    markdown("Goals", ["", "what", "measured", ""], goals.rows)

    # Beside the goals, for orientation.
    rows = []
    for per_dimension, variant in ((2, "small"), (0.25, "leading"), (0.25, "small")):
        reports = lines.where(measurement="report", samples_per_dimension=per_dimension,
                              device=None)
        value = ratio(report_seconds(reports, side="here", variant=variant),
                      report_seconds(reports, side="Delve"))
        if value is not None:
            rows.append([f"add_saturations(), n = {per_dimension:g} d, {variant} eigenvalues: "
                         "ours / Delve's", f"{value:.4g}"])
    for batch in (32, 128):
        value = ratio(callbacks("here", "float64", batch), callbacks("Delve", "mended", batch))
        if value is not None:
            rows.append([f"callbacks, batch {batch}, float64 products: ours / Delve's, mended",
                         f"{value:.4g}"])
    markdown("Without a goal", ["what", "measured"], rows)


def main():
    lines = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            lines += [json.loads(line) for line in file if line.startswith("{")]
    if not lines:
        sys.exit("table.py: no measurements; see README.md")
    settings = sorted({(line["torch"], line["threads"]) for line in lines if "torch" in line})
    for torch, threads in settings:
        print(f"LibTorch {torch}, {threads} threads")
    # Reports, steps and hooks of one run are measured with the same library and threads.
    if len(settings) > 1:
        print("These differ: ratios between them mean nothing.")
    lines = Lines(lines)
    show_callbacks(lines)
    show_pairs(lines)
    show_reports(lines)
    show_sampling(lines)
    show_eigenvalues(lines)
    show_trace(lines)
    show_recording(lines)
    show_stopped(lines)
    if any(line.get("device", "cpu") == "cpu" for line in lines.lines):
        judge(lines)  # the goals are of the CPU


if __name__ == "__main__":
    main()
