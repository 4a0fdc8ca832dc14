"""Asks an exported model, in a process that has neither Keras nor TensorFlow's Python.

    python loader.py PLAN.json ARRAYS.npz ANSWERS.npz

A SavedModel goes through TensorFlow's C API, ``TF_LoadSessionFromSavedModel``, which is the loader
that TF Serving is built on; an ``.onnx`` file through ONNX Runtime; an ``.xml`` through OpenVINO.

PLAN.json: {"model": path, "questions": [{"feeds": {tensor: array}, "fetches": [tensor]}]}, where
``array`` names one in ARRAYS.npz. An array of text holds base64 of byte strings, also where a model
answers with such. ANSWERS.npz has
``QUESTION/NUMBER`` for each fetch, and ``operations``: what the loader registered, as an OpList.
"""

from __future__ import annotations

import base64
import ctypes
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

LIBRARY = "libtensorflow_cc*"
STRING, STRING_SIZE = 7, 24  # TF_STRING, sizeof(TF_TString)
DTYPES = {  # TF_DataType
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    9: np.int64,
    10: np.bool_,
    17: np.uint16,
}
NUMBERS = {np.dtype(dtype): number for number, dtype in DTYPES.items()}
Run = Callable[[Mapping[str, np.ndarray], list[str]], list[np.ndarray]]


class Output(ctypes.Structure):
    """TF_Output: an operation and which of its outputs."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


def library() -> ctypes.CDLL:
    """TensorFlow's C API, from the installed wheel, which is not imported.

    Raises:
        FileNotFoundError: there is none.
    """
    found = importlib.util.find_spec("tensorflow")
    folders = found.submodule_search_locations if found else []
    paths = [path for folder in folders for path in sorted(Path(folder).glob(LIBRARY))]
    if not paths:
        raise FileNotFoundError(
            f"TensorFlow's C library was not found. Received: no {LIBRARY} in {list(folders)}."
            " Install tensorflow for Linux or macOS."
        )
    api = ctypes.CDLL(str(paths[0]))
    for name in POINTERS:
        getattr(api, name).restype = ctypes.c_void_p
    api.TF_Message.restype = ctypes.c_char_p
    api.TF_StringGetSize.restype = ctypes.c_size_t
    api.TF_Dim.restype = ctypes.c_int64
    return api


POINTERS = (
    "TF_NewStatus",
    "TF_NewGraph",
    "TF_NewSessionOptions",
    "TF_LoadSessionFromSavedModel",
    "TF_GraphOperationByName",
    "TF_AllocateTensor",
    "TF_TensorData",
    "TF_StringGetDataPointer",
    "TF_GetAllOpList",
)


class Session:
    """A SavedModel's ``serve`` graph, loaded by the C API."""

    def __init__(self, folder: str):
        self.api, self.folder = library(), folder
        self.status = ctypes.c_void_p(self.api.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.api.TF_NewGraph())
        options = ctypes.c_void_p(self.api.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        loaded = self.api.TF_LoadSessionFromSavedModel(
            options, None, folder.encode(), tags, 1, self.graph, None, self.status
        )
        self._check()
        self.session = ctypes.c_void_p(loaded)

    def _check(self) -> None:
        if self.api.TF_GetCode(self.status):
            text = self.api.TF_Message(self.status).decode(errors="replace")
            raise RuntimeError(f"{self.folder}: {text}")

    def run(self, feeds: Mapping[str, np.ndarray], fetches: list[str]) -> list[np.ndarray]:
        """The values of tensors, ``operation:index``, for those of others."""
        given = (Output * len(feeds))(*(self._tensor_of(name) for name in feeds))
        values = (ctypes.c_void_p * len(feeds))(*(self._tensor(array) for array in feeds.values()))
        wanted = (Output * len(fetches))(*(self._tensor_of(name) for name in fetches))
        answers = (ctypes.c_void_p * len(fetches))()
        self.api.TF_SessionRun(
            *(self.session, None),
            *(given, values, len(feeds)),
            *(wanted, answers, len(fetches)),
            *(None, 0, None, self.status),
        )
        for value in values:
            self.api.TF_DeleteTensor(ctypes.c_void_p(value))
        self._check()
        return [self._array(ctypes.c_void_p(answer)) for answer in answers]

    def _tensor_of(self, name: str) -> Output:
        operation, _, index = name.partition(":")
        found = self.api.TF_GraphOperationByName(self.graph, operation.encode())
        if not found:
            raise RuntimeError(f"{self.folder} has no operation {operation}.")
        return Output(found, int(index or 0))

    def _tensor(self, array: np.ndarray) -> int:
        """A new TF_Tensor of an array; text is base64 of byte strings."""
        text = array.dtype.kind == "U"
        number = STRING if text else NUMBERS[array.dtype]
        size = STRING_SIZE * array.size if text else array.nbytes
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self.api.TF_AllocateTensor(number, shape, array.ndim, ctypes.c_size_t(size))
        start = self.api.TF_TensorData(ctypes.c_void_p(tensor))
        if not text:
            ctypes.memmove(start, np.ascontiguousarray(array).ctypes.data, size)
            return tensor
        for number, coded in enumerate(array.ravel()):
            content = base64.b64decode(str(coded))
            place = ctypes.c_void_p(start + number * STRING_SIZE)
            self.api.TF_StringInit(place)
            self.api.TF_StringCopy(place, content, ctypes.c_size_t(len(content)))
        return tensor

    def _array(self, tensor: ctypes.c_void_p) -> np.ndarray:
        """The values of a TF_Tensor, which is deleted."""
        shape = [self.api.TF_Dim(tensor, axis) for axis in range(self.api.TF_NumDims(tensor))]
        number, start = self.api.TF_TensorType(tensor), self.api.TF_TensorData(tensor)
        if number == STRING:
            array = np.array([self._text(start, n) for n in range(math.prod(shape))]).reshape(shape)
        else:
            array = np.empty(shape, DTYPES[number])
            ctypes.memmove(array.ctypes.data, start, array.nbytes)
        self.api.TF_DeleteTensor(tensor)
        return array

    def _text(self, start: int, number: int) -> str:
        """Base64 of a byte string in a tensor of them."""
        place = ctypes.c_void_p(start + number * STRING_SIZE)
        content = self.api.TF_StringGetDataPointer(place)
        size = self.api.TF_StringGetSize(place)
        return base64.b64encode(ctypes.string_at(content, size)).decode()

    def operations(self) -> np.ndarray:
        """All operations that the library has, as a serialised OpList."""
        buffer = Buffer.from_address(self.api.TF_GetAllOpList())
        return np.frombuffer(ctypes.string_at(buffer.data, buffer.length), np.uint8)


def onnx_runner(path: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda feeds, fetches: session.run(fetches, dict(feeds))


def openvino_runner(path: str) -> Run:
    """What OpenVINO answers, on the CPU, in float32 also where the processor has bfloat16."""
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", hints)

    def run(feeds, fetches):
        answers = compiled(dict(feeds))
        return [answers[name] for name in fetches]

    return run


def main(plan_path: str, arrays_path: str, answers_path: str) -> None:
    """Asks all questions of a plan and writes the answers."""
    plan = json.loads(Path(plan_path).read_text(encoding="utf-8"))
    model, answers = plan["model"], {}
    if model.endswith(".onnx"):
        run = onnx_runner(model)
    elif model.endswith(".xml"):
        run = openvino_runner(model)
    else:
        session = Session(model)
        run, answers["operations"] = session.run, session.operations()
    with np.load(arrays_path) as arrays:
        for number, question in enumerate(plan["questions"]):
            feeds = {tensor: arrays[name] for tensor, name in question["feeds"].items()}
            for place, array in enumerate(run(feeds, question["fetches"])):
                answers[f"{number}/{place}"] = array
    np.savez(answers_path, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
