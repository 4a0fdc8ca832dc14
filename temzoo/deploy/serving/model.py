"""``connect`` to a server, and the models that it returns.

A server tells the inputs and outputs of each signature. What it does not tell (class names, how
pixels are normalised, at what multiples tiles are cut) comes from the signature ``describe``: input
``unused`` (B,), output ``card`` (B,), each row the model's card as JSON. Without it the classes are
numbered, and the rest is taken to be as in temzoo's models by default.

What a signature answers with tells what a model is for: ``probabilities``, beside which may be a
``distance`` by which ``predict`` parts objects here; ``restored`` pixels; or ``boxes`` of objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from numbers import Real
from types import SimpleNamespace
from typing import Any

import numpy as np

from temzoo.core.normalization import Normalization
from temzoo.deploy.serving.address import Address, parse
from temzoo.deploy.serving.failures import MALFORMED, Patience, failure
from temzoo.deploy.serving.line import Line, Signature
from temzoo.deploy.serving.transports import OverGrpc, OverHttp
from temzoo.inference.tiles import on_tiles
from temzoo.tasks.endpoints import IMAGES, NORMALIZED, RAW
from temzoo.zoo.built import Limits, stands_for, task_of
from temzoo.zoo.task import task_named

DESCRIBE = "describe"
DISTANCE = "distance"  # an output, and the task of a model that has it
DETECTED = {"boxes": 3, "classes": 2, "scores": 2, "masks": 4, "count": 1}  # and their axes


def connect(
    url: str,
    *,
    name: str | None = None,
    timeout_s: float = 60.0,
    retries: int = 5,
    in_flight: int = 4,
) -> ServedModel:
    """A model behind TensorFlow Serving, for ``predict`` or ``restore`` in place of a model.

    All tiles are answered by the version that is served when this is called.

    Args:
        url: ``grpc://host:8500/NAME``, or ``http://host:8501/NAME`` (REST: several times slower).
            ``/VERSION`` may follow; else the server's newest.
        name: of the model, where the URL does not say it.
        timeout_s: of one try.
        retries: at most so many more tries when the server is away, busy or slow, after 0.2, 0.4,
            0.8, … seconds, 10 at most.
        in_flight: requests at once, at most. Memory holds so many batches of tiles.

    Returns:
        A ``ServedModel``; a ``ServedDetector`` where the model finds objects. ``with connect(…) as
        model:`` closes the connections at the end.

    Raises:
        ValueError: the URL, an option out of range, no such model, or one without the signatures
            that ``temzoo export`` writes.
        ConnectionError, TimeoutError, RuntimeError: the server is away, slow, or has failed.

    Example:
        >>> with temzoo.connect("grpc://localhost:8500/unet") as model:
        ...     prediction = temzoo.predict(model, "particles.tif")
    """
    if timeout_s <= 0 or retries < 0 or in_flight < 1:
        raise ValueError(
            "timeout_s must be positive, retries at least 0 and in_flight at least 1. Received:"
            f" timeout_s={timeout_s}, retries={retries}, in_flight={in_flight}."
        )
    address = parse(url, name)
    wire = (OverGrpc if address.scheme == "grpc" else OverHttp)(address, timeout_s)
    line = Line(wire, Patience(retries, timeout_s), in_flight)
    try:
        line.learn()
        return _understood(line)
    except BaseException:
        line.close()
        raise


def _understood(line: Line) -> ServedModel:
    """The model that a server tells of, by what its signatures give."""
    card = _card(line)
    raw_is_right = "normalize" in card and card["normalize"] is None
    signature = NORMALIZED if NORMALIZED in line.signatures or not raw_is_right else RAW
    told = line.signatures.get(signature, Signature({}, {}))
    answers = next((name for name in KINDS if name in told.outputs), None)
    if answers is None or IMAGES not in told.inputs:
        offered = ", ".join(sorted(line.signatures)) or "none"
        raise ValueError(
            f'A served model needs a signature "{signature}" from {IMAGES} to one of'
            f" {', '.join(KINDS)}. Received: {line.address} with the signatures {offered}."
            " Serve what temzoo export writes."
        )
    model = KINDS[answers](line, card, signature, answers)
    told = {one.name: card.get(one.name) for one in fields(Limits)}
    limits = Limits(**{name: value for name, value in told.items() if isinstance(value, Real)})
    if limits != Limits():
        stands_for(model, task_of(model), model.class_names, limits)
    return model


def _card(line: Line) -> dict[str, Any]:
    """What the model says of itself; nothing where it has no signature for it."""
    if DESCRIBE not in line.signatures:
        return {}
    said = line.ask(DESCRIBE, {"unused": np.zeros(1, np.float32)}, ["card"])["card"].item(0)
    try:
        card = json.loads(said)
    except (TypeError, ValueError):
        card = None
    if not isinstance(card, dict):
        raise ValueError(
            f'The signature "{DESCRIBE}" must give a JSON object. Received: {str(said)[:80]!r} from'
            f" {line.address}. Serve what temzoo export writes."
        )
    return card


class ServedModel:
    """A segmentation model or restorer behind a server; made by ``connect``.

    Attributes:
        card: what the model says of itself; empty where it has no ``describe``.
        class_names: of the classes 1, 2, …; () where they are unknown.
        answers: "probabilities", "restored" or "boxes".
        input_shape, output_shape: (None, H, W, channels); None for any length.
        tile_step: tiles are cut at multiples of it, px; None where it is unknown.
        in_flight: requests at once, at most.
        normalize: what its tiles are normalised by; None for a model that takes raw pixels.
    """

    def __init__(self, line: Line, card: Mapping[str, Any], signature: str, answers: str):
        self.line, self.card, self.signature, self.answers = line, card, signature, answers
        self.in_flight = line.in_flight
        self.class_names = tuple(map(str, card.get("class_names") or ()))
        self.asked = [answers]
        if DISTANCE in line.signatures[signature].outputs:
            self.asked.append(DISTANCE)
            stands_for(self, task_named(DISTANCE), self.class_names)
        self.tile_step = card.get("step")
        told = line.signatures[signature]
        height, width, channels = _lengths(told.inputs[IMAGES][1:], 3)
        size = card.get("image_size")
        channels = card.get("channels") or channels
        self.input_shape = (None, size or height, size or width, channels)
        (values,) = _lengths(told.outputs[answers][3:], 1)
        self.output_shape = (*self.input_shape[:3], values and values + len(self.asked) - 1)
        if channels is None:
            raise ValueError(
                f"A served model must say how many channels it takes. Received: {self.address},"
                f" whose {signature} takes any. Serve what temzoo export writes."
            )
        self.normalize = _normalizer(card, self.restores) if signature == NORMALIZED else None

    @property
    def address(self) -> Address:
        """Of the model, with the version that answers; as text, its URL."""
        return self.line.address

    @property
    def restores(self) -> bool:
        """Whether it makes pictures, for ``temzoo.restore``."""
        return self.answers == "restored"

    def tile_network(self, channels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The model as a function of raw tiles (B, h, w, C) of one micrograph (H, W, C).

        Threads may share it.
        """
        return on_tiles(
            self.normalize, channels, lambda tiles, raw: self._answer(tiles), restores=self.restores
        )

    def _answer(self, batch: np.ndarray) -> np.ndarray:
        told = self.line.ask(self.signature, {IMAGES: batch}, self.asked)
        answer = _numbers(self.address, told, self.answers, 4)
        if DISTANCE in told:
            distance = _numbers(self.address, told, DISTANCE, 3)
            answer = np.concatenate([answer, distance[..., None]], axis=-1)
        named = len(self.class_names) + len(self.asked)
        named = named if self.class_names and not self.restores else None
        promised = self.output_shape[-1] or named
        if promised and answer.shape[-1] != promised:
            said = f"which gave {answer.shape[-1]} values a pixel and has promised {promised}"
            raise failure(self.address, MALFORMED, said)
        return answer

    def close(self) -> None:
        """Closes the connections; nothing can be asked afterwards."""
        self.line.close()

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"


class ServedDetector(ServedModel):
    """A detector behind a server, with the ``detect`` that tiled prediction asks for.

    Attributes:
        image_size: side of its tiles, px.
        max_detections: a tile, at most; None where it is unknown.
    """

    def __init__(self, line: Line, card: Mapping[str, Any], signature: str, answers: str):
        super().__init__(line, card, signature, answers)
        self.image_size = self.input_shape[1]
        if self.image_size is None:
            raise ValueError(
                f"A served detector must say the size of its tiles. Received: {self.address}, whose"
                f" {signature} takes any. Serve what temzoo export writes."
            )
        outputs = line.signatures[signature].outputs
        (known,) = _lengths(outputs[answers][1:], 1)
        if tuple(outputs.get("masks", ())[2:]) == (1, 1):  # they are full: it finds boxes
            stands_for(self, task_named("boxes"), self.class_names)
        self.max_detections = card.get("max_detections") or known

    def detect(
        self,
        pixels: np.ndarray,
        *,
        statistics: tuple[float, float] | None = None,
        min_score: float = 0.0,
        max_detections: int | None = None,
    ) -> SimpleNamespace:
        """Finds the objects of a batch of images, as ``models.mask_rcnn.MaskRCNN.detect``.

        Args:
            pixels: (B, S, S, C) raw.
            statistics: (shift, scale) of ``normalize.statistics``; None: each by itself.
            min_score: least score. The server drops some by itself: below 0.05 in temzoo's own.
            max_detections: an image, at most; not more than the server finds.

        Returns:
            the fields of ``Detections``.

        Raises:
            ValueError: more detections than the server finds, or an answer that is none; else as
                ``connect``.
        """
        if max_detections and self.max_detections and max_detections > self.max_detections:
            raise ValueError(
                "A served detector finds at most as many objects in a tile as it was exported for."
                f" Received: max_detections={max_detections}; {self.address} finds"
                f" {self.max_detections}. Export it with a larger max_detections."
            )
        images = {IMAGES: self._normalised(np.asarray(pixels), statistics)}
        told = self.line.ask(self.signature, images, list(DETECTED))
        found = {key: _numbers(self.address, told, key, axes) for key, axes in DETECTED.items()}
        self._check_found(found)
        most = found["scores"].shape[1]
        given = np.arange(most) < found.pop("count")[:, None]
        counts = np.count_nonzero(given & (found["scores"] >= min_score), axis=1)
        found["classes"] = found["classes"].astype(np.int32)
        most = most if max_detections is None else max_detections
        return SimpleNamespace(**found, counts=np.minimum(counts, most))

    def _check_found(self, found: Mapping[str, np.ndarray]) -> None:
        """Raises ValueError unless all outputs tell of as many objects, in finite numbers."""
        lengths = {key: found[key].shape[1] for key in DETECTED if key != "count"}
        if len(set(lengths.values())) > 1 or found["boxes"].shape[2] != 4:
            raise failure(self.address, MALFORMED, f"which gave so many objects: {lengths}")
        # A score that is NaN is below any threshold: a broken model would find nothing.
        strange = [key for key, array in found.items() if not np.isfinite(array).all()]
        if strange:
            said = f"which gave NaN or infinite {', '.join(strange)}: its weights are damaged"
            raise failure(self.address, MALFORMED, said)

    def _normalised(self, pixels: np.ndarray, statistics: tuple[float, float] | None) -> np.ndarray:
        if self.normalize is None:
            return pixels.astype(np.float32)
        if statistics is None:  # as the layer does in the model's own graph
            images = pixels.astype(np.float32)
            pairs = [self.normalize.statistics(image) for image in images]
            return np.stack(
                [self.normalize.apply(one, *pair) for one, pair in zip(images, pairs, strict=True)]
            )
        return self.normalize.apply(pixels, *statistics)


KINDS = {"probabilities": ServedModel, "restored": ServedModel, "boxes": ServedDetector}


def _numbers(address: Address, told: Mapping[str, np.ndarray], name: str, axes: int) -> np.ndarray:
    """An answer in float32; raises ValueError for one without numbers or of other axes."""
    array = told[name]
    if array.dtype.kind not in "buif" or array.ndim != axes:
        said = f'which gave "{name}" as {array.dtype} of shape {array.shape}, not {axes} axes of'
        raise failure(address, MALFORMED, f"{said} numbers")
    return array.astype(np.float32)


def _lengths(shape: tuple[int, ...], count: int) -> tuple[int | None, ...]:
    """So many lengths from a shape in which -1, or nothing at all, stands for any."""
    known = [length if length > 0 else None for length in shape[:count]]
    return (*known, *[None] * (count - len(known)))


def _normalizer(card: Mapping[str, Any], restores: bool) -> Any:
    """The normalisation that a card tells of; without one that of temzoo's models."""
    told = card.get("normalize") or ({"limit": None} if restores else {})
    return Normalization(**{f.name: told[f.name] for f in fields(Normalization) if f.name in told})
