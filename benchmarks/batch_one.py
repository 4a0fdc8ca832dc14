"""Why is an image alone slower than one of eight? OpenVINO, by how it is asked.

    python -m benchmarks batch-one
    python -m benchmarks batch-one --weights unet/emps --sides 256 1024

Seconds an image, alone and in batches of eight, of one network in OpenVINO, as ``accelerate`` makes
it (image sizes free), compiled for this size alone, and compiled for this size with a stream for
each thread, so that as many images as threads are computed at once, each by one thread. All take
turns, repetition by repetition.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import openvino

from benchmarks.datasets import generated
from benchmarks.timing import in_turns, spread
from temzoo.cli.common import trained
from temzoo.deploy.engines.makers import cores, openvino_hints
from temzoo.deploy.engines.network import Network

BATCH = 8
FREE, FIXED, STREAMS = "sizes free, as shipped", "size fixed", "size fixed, a stream a thread"
PRECISIONS = ("float32", "bfloat16")
Ask = Callable[[np.ndarray], Any]


def ways(network: Any, precision: str, shape: Sequence[int], threads: int) -> dict[str, dict]:
    """How to have eight images of a ``shape`` (1, H, W, C) computed by an ONNX file's bytes.

    By way, and by images at a time.
    """
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

    def one_by_one(made: Any) -> Ask:
        return lambda pixels: [made([one[None]]) for one in pixels]

    return {
        FREE: {1: one_by_one(free), BATCH: lambda pixels: free([pixels])},
        FIXED: {1: one_by_one(alone), BATCH: lambda pixels: together([pixels])},
        STREAMS: {1: through_streams},
    }


def timed(asked: Mapping[str, Mapping[int, Ask]], pixels: np.ndarray, repetitions: int) -> list:
    """A row for each way: seconds an image, and the excess of an image alone, turn by turn."""
    runs = {(way, n): lambda ask=ask: ask(pixels) for way in asked for n, ask in asked[way].items()}
    found = in_turns(runs, least=repetitions, most=repetitions)
    seconds = {key: [s / len(pixels) for s in each] for key, each in found.items()}
    rows = []
    for way in asked:
        alone, eight = (seconds.get((way, size)) for size in (1, BATCH))
        # A stream's images are alone; what they cost is compared with eight at once, size fixed.
        beside = eight or seconds[FIXED, BATCH]
        excess = [a / b - 1 for a, b in zip(alone, beside, strict=True)]
        told = {"way": way, "batch_1_s": spread(alone), "batch_1_over_8": spread(excess)}
        rows.append(told | ({"batch_8_s": spread(eight)} if eight else {}))
    return rows


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    model = trained(arguments.weights)
    file, channels = Network(model).onnx, model.input_shape[-1]
    rows = []
    for precision, side in itertools.product(PRECISIONS, arguments.sides):
        pixels = np.random.default_rng(0).uniform(-1, 1, (BATCH, side, side, channels))
        asked = ways(file, precision, (1, side, side, channels), cores())
        found = timed(asked, pixels.astype(np.float32), arguments.repetitions)
        rows += [{"precision": precision, "side": side, **row} for row in found]
    told = {"name": arguments.weights, "model": arguments.weights, "figures": {"rows": rows}}
    told |= {"about": f"{arguments.weights} in OpenVINO", "seed": 0}
    yield told | {"dataset": generated("random normalised pixels", pixels)}
