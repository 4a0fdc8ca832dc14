"""An export is asked in a fresh process, and must answer as the Keras model does."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tensorflow.core.framework import op_def_pb2

from temzoo.deploy.exporting import loader, saved_model
from temzoo.deploy.exporting.saved_model import ExportError
from temzoo.deploy.exporting.scenes import Question
from temzoo.tasks.endpoints import Answers

TOLERANCE = 1e-4
SECONDS = 600  # a loader that hangs is a failure


def check_saved_model(folder: Path, questions: Sequence[Question]) -> None:
    """Raises ExportError unless a stock server's loader gives the expected answers."""
    graph = saved_model.graph_of(folder)
    names = [saved_model.tensors(graph, question.signature) for question in questions]
    found, registered = ask(folder, questions, names)
    check_operations(saved_model.operations(graph.graph_def), registered)
    check_answers("SavedModel", questions, found)


def check_file(path: Path, kind: str, questions: Sequence[Question]) -> None:
    """Raises ExportError unless an ONNX or OpenVINO file gives the expected answers.

    And unless it gives NaN, and 0 of whole numbers, of the one image that has a pixel of NaN.
    """
    damaged = _with_nan(questions[0])
    asked = [*questions, damaged]
    names = [({k: k for k in each.inputs}, {k: k for k in each.expected}) for each in asked]
    *found, shown = ask(path, asked, names)[0]
    check_answers(kind, questions, found)
    for name, answer in shown.items():
        if not (np.isnan(answer).all() if answer.dtype.kind == "f" else (answer == 0).all()):
            raise ExportError(
                f"The {kind} must answer NaN, and 0 of whole numbers, of an image with a pixel of"
                f" NaN. Received: others in {name}. Serve the SavedModel, which refuses it."
            )


def _with_nan(question: Question) -> Question:
    """The same of the first image alone, with a pixel of NaN."""
    inputs = {name: array[:1].copy() for name, array in question.inputs.items()}
    for array in inputs.values():
        array[(0,) * array.ndim] = np.nan
    return replace(question, inputs=inputs)


def ask(
    model: Path, questions: Sequence[Question], names: Sequence[tuple[Mapping, Mapping]]
) -> tuple[list[Answers], set[str]]:
    """Asks an exported file in a new process without Keras.

    Args:
        model: a SavedModel's folder, or an ``.onnx`` or ``.xml`` file.
        names: for each question, what the model calls its inputs and its outputs.

    Returns:
        the answers, and the operations that the loader knows.

    Raises:
        ExportError: it does not load, or fails on a question.
    """
    arrays, plan = {}, {"model": str(model), "questions": []}
    for number, (question, (inputs, outputs)) in enumerate(zip(questions, names, strict=True)):
        arrays |= {f"{number}/{k}": _stored(array) for k, array in question.inputs.items()}
        feeds = {inputs[name]: f"{number}/{name}" for name in question.inputs}
        fetches = [outputs[name] for name in question.expected]
        plan["questions"].append({"feeds": feeds, "fetches": fetches})
    with tempfile.TemporaryDirectory(prefix="temzoo-") as folder:
        found = _answers(plan, arrays, Path(folder))
    registered = found.pop("operations", np.zeros(0, np.uint8))
    answers = [
        {name: found[f"{number}/{place}"] for place, name in enumerate(question.expected)}
        for number, question in enumerate(questions)
    ]
    return answers, {op.name for op in op_def_pb2.OpList.FromString(registered.tobytes()).op}


def _answers(plan: Mapping, arrays: Mapping[str, np.ndarray], folder: Path) -> dict:
    paths = [folder / name for name in ("plan.json", "arrays.npz", "answers.npz")]
    paths[0].write_text(json.dumps(plan), encoding="utf-8")
    np.savez(paths[1], **arrays)
    # -P: the loader's own folder is no place to import from.
    command = [sys.executable, "-P", loader.__file__, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ExportError(
            f"The export must load and answer in a process without Keras. Received: {last[0]}"
        )
    with np.load(paths[2]) as answers:
        return {name: _received(array) for name, array in answers.items()}


def _stored(array: np.ndarray) -> np.ndarray:
    """An array as the loader takes it: byte strings become base64."""
    if array.dtype != object:
        return array
    return np.array([base64.b64encode(content).decode() for content in array])


def _received(array: np.ndarray) -> np.ndarray:
    """``_stored`` undone."""
    if array.dtype.kind != "U":
        return array
    return np.array([base64.b64decode(coded) for coded in array.ravel()], object)


def check_operations(used: set[str], registered: set[str]) -> None:
    """Raises ExportError for operations that a stock server does not have."""
    foreign = sorted((used - registered) | (used & saved_model.PYTHON))
    if foreign:
        raise ExportError(
            "A served model may have TensorFlow's own operations alone, and none in Python."
            f" Received: {', '.join(foreign)}. Write that layer in keras.ops."
        )


def check_answers(kind: str, questions: Sequence[Question], found: Sequence[Answers]) -> None:
    """Raises ExportError for an answer that is not the expected one."""
    for question, answer in zip(questions, found, strict=True):
        for name, deviation in question.endpoint.compare(question.expected, answer).items():
            if not deviation <= TOLERANCE:  # as it may be NaN
                raise ExportError(
                    f"The {kind} must answer as the model does, within {TOLERANCE:g}. Received:"
                    f" {question}: {name} deviates by {deviation:.3g}. Nothing was written."
                )
