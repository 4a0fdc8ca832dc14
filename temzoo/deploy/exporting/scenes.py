"""Pictures to try an export with, and its golden one: what a client can check itself by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import keras
import numpy as np

from temzoo.deploy.exporting.image_files import LARGEST, as_float
from temzoo.deploy.exporting.saved_model import (
    BYTES,
    IMAGE_BYTES,
    WHOLE,
    Signature,
)
from temzoo.tasks.endpoints import IMAGES, Answers, Endpoint

GOLDEN = (1, 96, 128)  # images, height and width of the golden picture, px
# Batches and sizes, px, that are tried; odd ones need padding. A model of one size has its own.
TRIED = ((1, 64, 48), (2, 97, 160), (7, 33, 45))
# Pixels of a batch; of more, the signatures that lead to the one of raw pixels are not tried.
LARGEST_BATCH = 2**20


@dataclass(frozen=True)
class Question:
    """What is sent to a signature, and what must come back.

    Attributes:
        inputs: name -> array; files are an object array of bytes.
        expected: what the Keras model answers.
    """

    signature: str
    endpoint: Endpoint
    inputs: Mapping[str, np.ndarray]
    expected: Answers

    def __str__(self) -> str:
        sent = (f"{name} {array.dtype} {array.shape}" for name, array in self.inputs.items())
        return f"{self.signature} with {', '.join(sent)}"


def questions(
    signatures: Mapping[str, Signature], tried: tuple[tuple[int, int, int], ...] = TRIED
) -> list[Question]:
    """One question or, of files, two (8 and 16 bits) for each signature, batch and size."""
    found = []
    for number, (batch, height, width) in enumerate(tried):
        known: dict[tuple, Answers] = {}  # the same pixels reach a model by several signatures
        for name, signature in signatures.items():
            if batch > 1 and name in (*WHOLE, BYTES) and _pixels(signature, batch) > LARGEST_BATCH:
                continue
            for dtype in ("uint8", "uint16") if name == BYTES else ("",):
                dtype = dtype or next(iter(signature.inputs.values())).dtype.name
                sent = _inputs(signature.endpoint, batch, height, width, dtype, number)
                key = (id(signature.endpoint), dtype)
                if key not in known:
                    known[key] = answers(signature.endpoint, _asked(signature, sent))
                if name == BYTES:
                    files = [png(pixels) for pixels in sent[IMAGES]]
                    sent = {IMAGE_BYTES: np.array(files, object)}
                found.append(Question(name, signature.endpoint, sent, known[key]))
    return found


def answers(endpoint: Endpoint, inputs: Mapping[str, np.ndarray]) -> Answers:
    """What the Keras model says, outside any graph."""
    given = [keras.ops.convert_to_tensor(inputs[name]) for name in endpoint.inputs]
    return {name: np.asarray(value) for name, value in endpoint.answer(*given).items()}


def scene(height: int, width: int, channels: int, *, seed: int = 0) -> np.ndarray:
    """Dark discs on a bright, uneven and noisy ground: (height, width, channels) uint8."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    picture = 170 + 40 * rows / height + rng.normal(0, 6, (height, width))
    for row, col, size in rng.uniform(size=(12, 3)):
        radius = (0.05 + 0.1 * size) * min(height, width)
        inside = (rows - row * height) ** 2 + (cols - col * width) ** 2 < radius**2
        picture[inside] -= 80 + 40 * size
    tints = np.linspace(1, 0.8, channels)
    return np.clip(np.rint(picture[..., None] * tints), 0, 255).astype(np.uint8)


def scenes(shape: tuple, batch: int, height: int, width: int, dtype: str, seed: int) -> np.ndarray:
    """(batch, H, W, C) for a model that takes images of ``shape``; None is any size.

    uint8, uint16 with numbers that 8 bits do not hold, or float32 in [0, 1].
    """
    height, width = shape[0] or height, shape[1] or width
    seeds = range(100 * seed, 100 * seed + batch)
    pictures = np.stack([scene(height, width, shape[2], seed=each) for each in seeds])
    if dtype == "uint16":
        return pictures.astype(np.uint16) * 199 + 7
    return pictures if dtype == "uint8" else (pictures / 255).astype(np.float32)


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of (H, W, 1 or 3) uint8 or uint16."""
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def _pixels(signature: Signature, batch: int) -> int:
    """Pixels of a batch, where the model's size is fixed."""
    height, width, _ = signature.endpoint.inputs[IMAGES]
    return batch * (height or 0) * (width or 0)


def _inputs(endpoint: Endpoint, batch, height, width, dtype: str, seed: int) -> dict:
    """What goes in, as arrays of numbers."""
    if IMAGES in endpoint.inputs:
        return {IMAGES: scenes(endpoint.inputs[IMAGES], batch, height, width, dtype, seed)}
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(batch, *shape)).astype(np.float32)
        for name, shape in endpoint.inputs.items()
    }


def _asked(signature: Signature, sent: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the endpoint is given of it, float32."""
    unit = signature.endpoint.unit
    return {
        name: array
        if array.dtype.name not in LARGEST
        else np.asarray(as_float(array, array.dtype.name, unit))
        for name, array in sent.items()
    }
