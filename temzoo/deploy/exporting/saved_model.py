"""A SavedModel of signatures: each variable once, and nothing that a stock server lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from temzoo.deploy.exporting.signatures import Signature

FILE = "saved_model.pb"
# Registered in the library, but they call back into the Python process that wrote them.
PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


class ExportError(RuntimeError):
    """An export did not answer as its model does, or could not be written; nothing was left."""


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
