# SPDX-License-Identifier: MIT
"""Reads what our writers wrote with the programs that it is meant for.

check.py FOLDER [PROGRAM]

FOLDER is what `write_samples FOLDER` wrote. NumPy reads its arrays and archives, Python's json its lines, and
TensorBoard's EventAccumulator and its server its events; each must find what expected.json says.
PROGRAM is
write_samples itself: it then also reads what NumPy wrote. Needs numpy and tensorboard.
"""

import json
import math
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def require(condition, message):
    if not condition:
        sys.exit(f"check.py: {message}")


def same(a, b):
    """Whether two numbers, or lists of numbers, are the same to the bit of a double."""
    return numpy.array_equal(numpy.asarray(a, float), numpy.asarray(b, float), equal_nan=True)


def is_vector(array):
    return not isinstance(array[0], list)


def check_npy(folder, epochs):
    wanted = {}
    for epoch in epochs:
        def want(name, value):
            if value != "nan":
                wanted[name, epoch["epoch"]] = value

        for name, value in epoch["scalars"]:
            want(name, value)
        for layer in epoch["layers"]:
            for _, quantity, value in layer["values"] + layer["arrays"]:
                want(f"{layer['mode']}-{quantity}_{layer['layer']}", value)

    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        beginning = path.parent.name + "_epoch"
        require(path.name.startswith(beginning) and path.suffix == ".npy", f"alien file {path}")
        name = urllib.parse.unquote(path.parent.name)
        found[name, int(path.stem[len(beginning):])] = numpy.load(path)
    require(found.keys() == wanted.keys(), f"npy: {found.keys() ^ wanted.keys()}")
    for key, array in found.items():
        value = wanted[key]
        require(array.dtype == numpy.dtype("<f8"), f"npy: {key} is of type {array.dtype}")
        require(array.shape == numpy.shape(value), f"npy: {key} is of shape {array.shape}")
        require(same(array, value), f"npy: {key} is {array}, not {value}")
    names = sorted({name for name, _ in found})
    print(f"npy: {len(found)} arrays, epochs {sorted({epoch for _, epoch in found})}:")
    for name in names:
        shapes = {found[key].shape for key in found if key[0] == name}
        print(f"  {name!r}: {len([key for key in found if key[0] == name])} of shape {shapes}")


def check_npz(path, folder):
    """The archive must hold the folder's arrays, each to the byte, and NumPy must read them."""
    with zipfile.ZipFile(path) as archive:
        require(archive.testzip() is None, f"npz: {archive.testzip()} is broken")
        packed = {name: archive.read(name) for name in archive.namelist()}
    files = {str(file.relative_to(folder)): file.read_bytes()
             for file in folder.rglob("*.npy")}
    require(packed == files, f"npz: {packed.keys() ^ files.keys()}")
    with numpy.load(path) as arrays:
        for file in files:
            array = numpy.load(folder / file)
            require(same(arrays[file.removesuffix(".npy")], array), f"npz: {file}")
    print(f"npz: {len(files)} arrays")


def check_large_archives(folder):
    """What needs ZIP64: 70,000 files, 5 GiB before them, and a file of 2^32 + 7 bytes."""
    path = folder / "large.npz"
    with numpy.load(path) as arrays:
        require(len(arrays.files) == 70000, f"large.npz: {len(arrays.files)} files")
        for i in 0, 1, 65534, 65535, 69999:
            require(arrays[f"n{i}"] == i, f"large.npz: n{i} is {arrays[f'n{i}']}")
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("n0.npy").header_offset
        require(offset == 5 * 2**30, f"large.npz: the first file is at {offset}")
    with zipfile.ZipFile(folder / "wide.npz") as archive:
        size = archive.getinfo("zeros").file_size
        require(size == 2**32 + 7, f"wide.npz: {size} bytes")
        with archive.open("zeros") as file:
            require(file.read(9) == bytes(9), "wide.npz: not zeros")
    print("large archives: 70,000 files behind 5 GiB, a file above 4 GiB")


def check_json(path, epochs):
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    text = path.read_text(encoding="utf-8")
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    for line in lines:
        require(json.loads(json.dumps(line)) == line, "json: no round trip")

    def number(value):
        return {"nan": None, "inf": "Infinity", "-inf": "-Infinity"}.get(value, value)

    wanted = []
    for epoch in epochs:
        layers = []
        for layer in epoch["layers"]:
            arrays = {stat: [number(x) for x in array]
                      for stat, _, array in layer["arrays"] if is_vector(array)}
            layers.append({"layer": layer["layer"], "mode": layer["mode"], "width": layer["width"],
                           "samples": layer["samples"], "skipped_batches": 0, "status": "ok",
                           "values": {stat: number(value) for stat, _, value in layer["values"]},
                           "arrays": arrays})
        wanted.append({"epoch": epoch["epoch"],
                       "scalars": {name: number(value) for name, value in epoch["scalars"]},
                       "layers": layers})
    # As text, so that order counts too.
    for line, want in zip(lines, wanted, strict=True):
        require(json.dumps(line) == json.dumps(want), f"json: {line}\nis not\n{want}")
    print(f"json: {len(lines)} lines, epochs {[line['epoch'] for line in lines]}")


def check_tensorboard(folder, epochs):
    scalars = {}
    vectors = {}
    for epoch in epochs:
        for name, value in epoch["scalars"]:
            if value != "nan":
                scalars.setdefault(name, []).append((epoch["epoch"], value))
        for layer in epoch["layers"]:
            for _, quantity, value in layer["values"]:
                if value != "nan":
                    tag = f"{layer['mode']}-{quantity}/{layer['layer']}"
                    scalars.setdefault(tag, []).append((epoch["epoch"], value))
            for _, quantity, array in layer["arrays"]:
                if is_vector(array):
                    tag = f"{layer['mode']}-{quantity}/{layer['layer']}"
                    vectors.setdefault(tag, []).append((epoch["epoch"], array))

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    reader.Reload()
    tags = reader.Tags()
    require(set(tags["scalars"]) == set(scalars), f"scalars: {tags['scalars']}")
    require(set(tags["histograms"]) == set(vectors), f"histograms: {tags['histograms']}")
    require(not tags["tensors"], f"tensors: {tags['tensors']}")
    print("tensorboard: scalars")
    for tag, wanted in scalars.items():
        found = reader.Scalars(tag)
        require([event.step for event in found] == [step for step, _ in wanted],
                f"{tag}: steps {[event.step for event in found]}")
        with numpy.errstate(over="ignore"):
            values = [float(numpy.float32(float(value))) for _, value in wanted]
        require([event.value for event in found] == values, f"{tag}: {found}")
        print(f"  {tag!r}: steps {[event.step for event in found]}")
    print("tensorboard: histograms")
    for tag, wanted in vectors.items():
        found = reader.Histograms(tag)
        require([event.step for event in found] == [step for step, _ in wanted],
                f"{tag}: steps {[event.step for event in found]}")
        for event, (_, array) in zip(found, wanted):
            check_histogram(tag, event.histogram_value, array)
        print(f"  {tag!r}: steps {[event.step for event in found]}")


def scalars_over_http(folder, mode):
    """All scalars that TensorBoard's own server hands to a browser: by tag, pairs of step, value."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port),
         "--host", "127.0.0.1", f"--load_fast={mode}", "--reload_interval", "1",
         "--samples_per_plugin", "scalars=1000"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/scalars/{path}") as answer:
            return json.load(answer)

    try:
        tags = {}
        for _ in range(120):  # until it has read them
            try:
                tags = get("tags")
            except OSError:
                pass
            if tags:
                break
            time.sleep(0.5)
        require(len(tags) == 1, f"load_fast={mode}: runs {list(tags)}")
        time.sleep(2)  # until it has read the other files, too
        run, = get("tags")
        found = {}
        for tag in get("tags")[run]:
            query = urllib.parse.urlencode({"run": run, "tag": tag})
            found[tag] = [(step, float(value)) for _, step, value in get("scalars?" + query)]
        return found
    finally:
        server.terminate()
        server.wait()


def check_http(folder, epochs):
    """Steps of the first run must be gone from every tag, whichever loader reads them."""
    wanted = {}
    for epoch in epochs:
        for name, value in epoch["scalars"]:
            if value != "nan":
                wanted.setdefault(name, []).append((epoch["epoch"], value))
    for mode in "false", "true":
        found = scalars_over_http(folder, mode)
        for tag, pairs in wanted.items():
            require([step for step, _ in found.get(tag, [])] == [step for step, _ in pairs],
                    f"load_fast={mode}: {tag!r}: {found.get(tag)}, not {pairs}")
            require(numpy.allclose([value for _, value in found[tag]],
                                   numpy.float32([value for _, value in pairs])),
                    f"load_fast={mode}: {tag!r}: {found[tag]}")
        steps = [step for step, _ in found["first run alone"]]
        print(f"tensorboard over HTTP, load_fast={mode}: {len(found)} tags, "
              f"'first run alone' has steps {steps}")


def check_histogram(tag, histogram, array):
    numbers = numpy.array([float(x) for x in array])
    numbers = numbers[numpy.isfinite(numbers)]
    require(histogram.min == numbers.min() and histogram.max == numbers.max(), f"{tag}: range")
    require(histogram.num == numbers.size == sum(histogram.bucket), f"{tag}: number")
    require(math.isclose(histogram.sum, numbers.sum(), abs_tol=1e-12), f"{tag}: sum")
    require(math.isclose(histogram.sum_squares, (numbers**2).sum()), f"{tag}: sum of squares")
    edges = [histogram.min, *histogram.bucket_limit]
    require(edges == sorted(edges), f"{tag}: edges {edges}")
    # The upper edge of the last bucket is the largest number itself.
    counts = [numpy.count_nonzero((numbers < edge) | (numbers == histogram.max)
                                  if edge == edges[-1] else numbers < edge)
              for edge in histogram.bucket_limit]
    require(list(numpy.cumsum(histogram.bucket)) == counts, f"{tag}: {histogram} of {numbers}")


def check_decoding(program):
    arrays = [numpy.array(2.5), numpy.arange(5.0), numpy.arange(6.0).reshape(2, 3),
              numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)), numpy.zeros((0, 3)),
              numpy.arange(12.0).reshape(3, 4)[:, ::2]]
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "array.npy"
        for array in arrays:
            for kind in "<f8", "<f4", "<i8", "<i4":
                for version in (1, 0), (2, 0):
                    with open(path, "wb") as file:
                        numpy.lib.format.write_array(file, array.astype(kind), version=version)
                    output = subprocess.run([program, "--decode", str(path)], check=True,
                                            capture_output=True, text=True).stdout
                    there = json.loads(output)
                    wanted = array.astype(kind)
                    require(tuple(there["shape"]) == wanted.shape, f"{kind}: {there['shape']}")
                    matrix = wanted.reshape(-1, 1) if wanted.ndim < 2 else wanted
                    require(there["values"] == matrix.tolist(), f"{kind}: {there} not {matrix}")
                    count += 1
    print(f"decoding: {count} files of NumPy {numpy.__version__} read back")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    epochs = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    check_npy(folder / "npy", epochs)
    check_npz(folder / "npy.npz", folder / "npy")
    check_large_archives(folder)
    check_json(folder / "json.jsonl", epochs)
    check_tensorboard(folder / "tensorboard", epochs)
    check_http(folder / "tensorboard", epochs)
    if len(sys.argv) == 3:
        check_decoding(sys.argv[2])
    print("all as expected")


main()
