"""Why is an image alone slower than one of eight? OpenVINO, by how it is asked.

    python -m benchmarks.batch_one
    python -m benchmarks.batch_one --weights unet/emps --sides 256 1024

Seconds an image, alone and in batches of eight, of one network in OpenVINO, as ``accelerate`` makes
it (image sizes free), compiled for this size alone, and compiled for this size with a stream for
each thread, so that as many images as threads are computed at once, each by one thread. All take
turns, repetition by repetition. Written to ``benchmarks/results/batch_one.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy import DATA
from benchmarks.records import (
    RESULTS,
    measured_on,
    spread,
    stamp,
    use_encoder_beside,
    write_json,
    write_lines,
)
from benchmarks.suite.page import number, table

BATCH = 8
FREE, FIXED, STREAMS = "sizes free, as shipped", "size fixed", "size fixed, a stream a thread"
PRECISIONS = ("float32", "bfloat16")
Ask = Callable[[np.ndarray], None]


def ways(network: Any, precision: str, shape: Sequence[int], threads: int) -> dict[str, dict]:
    """How to have eight images computed, by way and by images at a time.

    Args:
        network: an ONNX file's bytes.
        shape: of one image in a batch, (1, H, W, C).
    """
    import openvino

    from temzoo.deploy.engines.makers import openvino_hints

    core = openvino.Core()
    model = core.read_model(network)

    def compiled(batch: int | None, **more: Any) -> Any:
        chosen = model.clone()
        if batch is not None:
            chosen.reshape([batch, *shape[1:]])
        return core.compile_model(chosen, "CPU", openvino_hints(precision, threads) | more)

    free, alone, together = compiled(None), compiled(1), compiled(BATCH)
    streams = compiled(1, PERFORMANCE_HINT="THROUGHPUT", NUM_STREAMS=threads)
    queue = openvino.AsyncInferQueue(streams, threads)

    def through_streams(pixels: np.ndarray) -> None:
        for one in pixels:
            queue.start_async([one[None]])
        queue.wait_all()

    return {
        FREE: {1: _one_by_one(free), BATCH: _at_once(free)},
        FIXED: {1: _one_by_one(alone), BATCH: _at_once(together)},
        STREAMS: {1: through_streams},
    }


def _one_by_one(made: Any) -> Ask:
    def ask(pixels: np.ndarray) -> None:
        for one in pixels:
            made([one[None]])

    return ask


def _at_once(made: Any) -> Ask:
    return lambda pixels: made([pixels])


def timed(asked: Mapping[str, Mapping[int, Ask]], pixels: np.ndarray, repetitions: int) -> list:
    """A row for each way: seconds an image, and the excess of an image alone, turn by turn."""
    seconds: dict = {(way, size): [] for way in asked for size in asked[way]}
    for turn in range(repetitions + 1):
        for way, size in seconds:
            began = time.perf_counter()
            asked[way][size](pixels)
            if turn:
                seconds[way, size].append((time.perf_counter() - began) / len(pixels))
    rows = []
    for way in asked:
        alone, eight = (seconds.get((way, size)) for size in (1, BATCH))
        # A stream's images are alone; what they cost is compared with eight at once, size fixed.
        beside = eight or seconds[FIXED, BATCH]
        excess = [a / b - 1 for a, b in zip(alone, beside, strict=True)]
        told = {"way": way, "batch_1_s": spread(alone), "batch_1_over_8": spread(excess)}
        rows.append(told | ({"batch_8_s": spread(eight)} if eight else {}))
    return rows


def measure(weights: str, sides: Sequence[int], repetitions: int) -> list[dict[str, Any]]:
    """Rows by precision, side and way."""
    from temzoo.cli.common import trained
    from temzoo.deploy.engines.makers import cores
    from temzoo.deploy.engines.network import Network

    model = trained(weights)
    file, channels = Network(model).onnx, model.input_shape[-1]
    rows = []
    for precision, side in itertools.product(PRECISIONS, sides):
        pixels = np.random.default_rng(0).uniform(-1, 1, (BATCH, side, side, channels))
        asked = ways(file, precision, (1, side, side, channels), cores())
        found = timed(asked, pixels.astype(np.float32), repetitions)
        rows += [{"precision": precision, "side": side, **row} for row in found]
        print("\n".join(map(" | ".join, map(_cells, rows[-len(found) :]))), flush=True)
    return rows


def _cells(row: Mapping[str, Any]) -> list[str]:
    excess = row["batch_1_over_8"]
    return [
        str(row["side"]),
        row["precision"],
        row["way"],
        number(1e3 * row["batch_1_s"]["median"]),
        number(1e3 * row["batch_8_s"]["median"]) if "batch_8_s" in row else "–",
        f"{excess['median']:+.0%} [{excess['least']:+.0%}, {excess['most']:+.0%}]",
    ]


def page(record: Mapping[str, Any]) -> list[str]:
    """The table, in Markdown."""
    return [
        "# An image alone, and one of eight",
        "",
        f"`{record['weights']}` in OpenVINO, ms an image; medians of {record['repetitions']} turns."
        " Excess: of an image alone",
        "over one of eight, with the least and most. Streams: the excess is over eight at once of",
        "fixed size. How: the head of `benchmarks/batch_one.py`.",
        "",
        *table(
            ["side, px", "precision", "compiled for", "alone", "of eight", "excess"],
            map(_cells, record["rows"]),
        ),
        "",
        f"By `{record['command']}`. {measured_on([record])}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch_one", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--weights", default="unet_mobilenet/emps", help="MODEL/NAME")
    parser.add_argument("--sides", nargs="+", type=int, default=[256, 512], help="px")
    parser.add_argument("--repetitions", type=int, default=7)
    arguments = parser.parse_args()
    use_encoder_beside(DATA)
    rows = measure(arguments.weights, arguments.sides, arguments.repetitions)
    command = "python -m benchmarks.batch_one"
    for name in ("weights", "sides", "repetitions"):
        value = getattr(arguments, name)
        if value != parser.get_default(name):
            words = value if isinstance(value, list) else [value]
            command += f" --{name} {' '.join(map(str, words))}"
    told = {"weights": arguments.weights, "repetitions": arguments.repetitions}
    record = {**stamp(command), **told, "rows": rows}
    write_json(RESULTS / "batch_one.json", record)
    print(write_lines(RESULTS / "batch_one.md", page(record)))


if __name__ == "__main__":
    main()
