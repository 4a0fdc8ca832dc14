"""What a network has to compute, and what the machine could at best.

Operations are counted in the traced graph at a given input: convolutions (plain, depthwise,
transposed) and matrix products, two a multiply-add, as the papers count FLOPs. Normalisations,
activations and resizing are left out: they cost time, but no matrix unit could do them faster.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from benchmarks.timing import seconds_of


def gflop(model: Any, shape: tuple[int, int, int, int]) -> float:
    """10⁹ operations of one call.

    Args:
        model: a Keras model on raw pixels.
        shape: (B, H, W, C) of the input.

    Raises:
        ValueError: the graph has a product whose size only running it would tell.
    """
    call = tf.function(lambda x: model(x, training=False))
    graph = call.get_concrete_function(tf.TensorSpec(shape, tf.uint8)).graph
    return sum(_of(operation) for operation in _operations(graph)) / 1e9


def _operations(graph: Any) -> Iterator[Any]:
    """Those of a graph, and of the functions that it calls."""
    yield from graph.get_operations()
    definitions = getattr(graph, "_functions", {})
    for function in definitions.values():
        inner = getattr(function, "graph", None)
        if inner is not None and inner is not graph:
            yield from inner.get_operations()


def _of(operation: Any) -> int:
    """Twice the multiply-adds of an operation; 0 of one that has none."""
    if operation.type == "Conv2D":
        height, width, channels, _ = _sizes(operation, operation.inputs[1])
        return 2 * math.prod(_sizes(operation, operation.outputs[0])) * height * width * channels
    if operation.type == "DepthwiseConv2dNative":
        height, width, *_ = _sizes(operation, operation.inputs[1])
        return 2 * math.prod(_sizes(operation, operation.outputs[0])) * height * width
    if operation.type == "Conv2DBackpropInput":  # a transposed convolution, seen from its input
        height, width, channels, _ = _sizes(operation, operation.inputs[1])
        return 2 * math.prod(_sizes(operation, operation.inputs[2])) * height * width * channels
    if operation.type in ("MatMul", "BatchMatMulV2"):
        transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
        inner = _sizes(operation, operation.inputs[0])[-2 if transposed else -1]
        return 2 * math.prod(_sizes(operation, operation.outputs[0])) * inner
    return 0


def _sizes(operation: Any, tensor: Any) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            f"Operations are counted at a known size. Received: {operation.name} of shape"
            f" {tensor.shape}. Give this model's figure by hand."
        )
    return tensor.shape.as_list()


def matrix_peak(*, side: int, repeats: int = 5) -> list[float]:
    """GFLOP/s of a float32 matrix product, each of some repetitions, by TensorFlow's threads."""
    factor = tf.random.normal((side, side))
    multiply = tf.function(lambda a: tf.reduce_sum(tf.linalg.matmul(a, a)))
    multiply(factor).numpy()
    return [2e-9 * side**3 / seconds_of(lambda: multiply(factor).numpy()) for _ in range(repeats)]


def share_of_peak(gflop_per_s: float, peaks: list[float]) -> float:
    return gflop_per_s / statistics.median(peaks)
