"""A SavedModel: a model's endpoints as graphs with named inputs and outputs, for all clients.

It has each variable once, and nothing that a stock server lacks.

A TensorFlow signature takes one dtype. JSON has no uint16 and every uint8 and uint16 is exact in
float32, so ``serving_default`` takes float32; ``serving_uint8`` and ``serving_uint16`` take the
stored numbers, in a quarter or half of the bytes; ``serving_bytes`` takes PNG, JPEG, BMP or GIF
files, and keeps the 16 bits of a PNG that has them. All have the same answers.

Pixels that are not finite are refused: a network would find something in them. ``describe`` tells a
client what no shape tells: the classes' names, how pixels are normalised, at which multiples tiles
are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from temzoo.deploy.exporting.image_files import as_float, pixels_of
from temzoo.tasks.endpoints import IMAGES, RAW, Endpoint
from temzoo.zoo.built import task_of

FILE = "saved_model.pb"
# Registered in the library, but they call back into the Python process that wrote them.
PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
WHOLE = {"serving_uint8": "uint8", "serving_uint16": "uint16"}
BYTES = "serving_bytes"
IMAGE_BYTES = "image_bytes"
DESCRIBE = "describe"


class ExportError(RuntimeError):
    """An export did not answer as its model does, or could not be written; nothing was left."""


@dataclass(frozen=True)
class Signature:
    """One signature of an export: what it asks the model, what is sent by name, and the graph."""

    endpoint: Endpoint
    inputs: Mapping[str, tf.TensorSpec]
    function: Any

    @property
    def outputs(self) -> Mapping[str, tf.TensorSpec]:
        """Name -> what comes back."""
        return {
            name: tf.TensorSpec(tensor.shape, tensor.dtype)
            for name, tensor in sorted(self.function.structured_outputs.items())
        }


def signatures(model: keras.Model) -> dict[str, Signature]:
    """The signatures of a model from ``get_model``, by name."""
    found = {}
    for name, endpoint in task_of(model).endpoints(model).items():
        found[name] = _plain(endpoint)
        if name == RAW:
            found.update(_of_other_types(endpoint, found[name].function))
    return found


def describing(card: str) -> Signature:
    """A signature that gives a text as often as its input ``unused`` (B,) is long."""

    def answer(unused):
        return {"card": tf.fill(tf.shape(unused)[:1], card)}

    endpoint = Endpoint(answer, {"unused": ()})
    return _traced(endpoint, answer, {"unused": ((), "float32")})


def _plain(endpoint: Endpoint) -> Signature:
    """The signature that takes what the endpoint takes."""

    def answer(**given):
        for name, tensor in given.items():
            tf.debugging.assert_all_finite(tensor, f"{name} must be finite")
        return endpoint.answer(*(given[name] for name in endpoint.inputs))

    specs = {name: (shape, "float32") for name, shape in endpoint.inputs.items()}
    return _traced(endpoint, answer, specs)


def _of_other_types(endpoint: Endpoint, ask: Callable) -> dict[str, Signature]:
    """Signatures for whole numbers and encoded files, which ask the one of float32."""
    shape = endpoint.inputs[IMAGES]
    found = {}
    for name, dtype in WHOLE.items():

        def answer(images, dtype=dtype):
            return ask(images=as_float(images, dtype, endpoint.unit))

        found[name] = _traced(endpoint, answer, {IMAGES: (shape, dtype)})
    if shape[-1] in (1, 3):  # the channels that files have

        def answer_files(image_bytes):
            return ask(images=pixels_of(image_bytes, shape, unit=endpoint.unit))

        found[BYTES] = _traced(endpoint, answer_files, {IMAGE_BYTES: ((), "string")})
    return found


def _traced(endpoint: Endpoint, answer: Callable, inputs: Mapping[str, tuple]) -> Signature:
    specs = {
        name: tf.TensorSpec((None, *shape), dtype, name=name)
        for name, (shape, dtype) in inputs.items()
    }
    # As Keras itself traces models: AutoGraph would take longer to rewrite them than tracing does.
    asked = tf.function(answer, autograph=False)
    return Signature(endpoint, specs, asked.get_concrete_function(**specs))


def write(signatures: Mapping[str, Signature], folder: Path) -> None:
    """Writes the SavedModel; it holds the variables that the signatures use, and no others."""
    module = tf.Module()
    used = (v for each in signatures.values() for v in each.function.graph.variables)
    # The only collection that tracks them: each that does stores them once more.
    module.stored = list({variable.ref(): variable for variable in used}.values())
    graphs = {name: signature.function for name, signature in signatures.items()}
    tf.saved_model.save(module, str(folder), signatures=graphs)


def graph_of(folder: Path):
    """The MetaGraphDef that a server loads."""
    saved = saved_model_pb2.SavedModel.FromString((folder / FILE).read_bytes())
    return saved.meta_graphs[0]


def operations(graph) -> set[str]:
    """Names of all operations of a GraphDef and of its functions."""
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return {node.op for each in nodes for node in each}


def tensors(graph, signature: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of a signature: name -> tensor in the graph, of its inputs and of its outputs."""
    found = graph.signature_def[signature]
    return tuple({k: v.name for k, v in side.items()} for side in (found.inputs, found.outputs))
