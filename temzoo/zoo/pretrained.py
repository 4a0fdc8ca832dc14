"""Finds weights files by name or path, checks their sha256, and reads their cards.

A weights file ``x.weights.h5`` has its card ``x.json`` beside it. Keras loads an HDF5 file with a
flipped bit without a word; the hash in the card is what notices.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from temzoo.core.files import atomic_path, read_fields, write_json
from temzoo.core.hdf5_heaps import require_sound_heaps
from temzoo.zoo.built import Limits, task_of

if TYPE_CHECKING:
    import h5py
    import keras

BY_NAME = "temzoo_by_name"  # attribute of files that hold weights by their names in the model
SUFFIX = ".weights.h5"
MOST_STATE = 64  # numbers that a file may hold in one array beside a model's: steps, rates, seeds
BEST = f"best{SUFFIX}"
# What `temzoo predict IMAGES` uses: the set that counts and outlines most particles best.
GENERAL = "particles/emps"
# What `--instances fused` asks beside it: the set that finds whole objects, also overlapping ones.
DETECTOR = "mask_rcnn/emps"
# In a checkout the folder lies beside the package; in a wheel, inside it.
FOLDERS = (Path(__file__).parents[1] / "weights", Path(__file__).parents[2] / "weights")


@dataclass(frozen=True)
class WeightsCard:
    """Where a set of trained weights comes from and what it is worth.

    Attributes:
        model: the registered model it belongs to.
        config: the keywords it was built with.
        class_names: of the classes 1, 2, …
        dataset, licence: what it was trained on, and the licence of that data and of the file.
        scores: figures on validation images, by name.
        command: what made it; date: when.
        sha256: of the file.
        partial: the file holds what was trained alone; frozen layers keep the initial weights that
            the config names (ImageNet's).
        precisions: IoU that lower precisions change on the validation images, by engine and
            precision ("openvino bfloat16"), as ``temzoo.accelerate`` would find it.
        errors: of number and D50 on the validation images, as ``temzoo.measurement.model_error``
            takes them: {"d50": {"mean": …, "sd": …}, "count": {…}, "images": …}.
        noise: up to which the weights serve, as ``micrographs.noise.noise_of`` tells it; noisier
            micrographs are smoothed first. None: nobody has measured it.
        side: shorter side of the micrographs that the weights know, px; larger ones are binned to
            about it where more is found so (``inference.binning``). None: never.
        binning: at which the weights learnt, and predict.
    """

    model: str
    config: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    dataset: str = ""
    licence: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    date: str = ""
    sha256: str = ""
    partial: bool = False
    precisions: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)
    noise: float | None = None
    side: int | None = None
    binning: int = 1

    @property
    def limits(self) -> Limits:
        return Limits(self.noise, self.side, self.binning)


@dataclass(frozen=True)
class Weights:
    """A weights file that was found, with its card."""

    path: Path
    card: WeightsCard

    def load_into(self, model: keras.Model) -> None:
        """Loads the file into a model of the same config.

        Raises:
            ValueError: the file's sha256 is not the card's.
        """
        self.check()
        load_any = load_trained if self.card.partial or _is_by_name(self.path) else load
        load_any(model, self.path)

    def check(self) -> None:
        """Raises ValueError where the file's sha256 is not the card's."""
        found = sha256(self.path)
        if found != self.card.sha256:
            raise ValueError(
                f"{self.path} is damaged or not the file of its card: its sha256 must be"
                f" {self.card.sha256}. Received: {found}. Copy or download it again."
            )


CARD_FIELDS = {
    **{"config": dict, "class_names": list, "dataset": str, "licence": str, "scores": dict},
    **{"command": str, "date": str, "sha256": str, "partial": bool, "precisions": dict},
    **{"errors": dict, "noise": (int, float, NoneType), "side": (int, NoneType), "binning": int},
}
FORMER = "former"  # in a card, while its weights are being replaced: the card of those before
FORMER_FIELDS = {f"{FORMER}.{name}": kind for name, kind in {"model": str, **CARD_FIELDS}.items()}


def save(model: keras.Model, path: str | Path) -> None:
    """Writes the bare weights, without the optimizer's two copies of them; whole or not at all."""
    with atomic_path(path) as temporary:
        task_of(model).bare(model).save_weights(temporary, overwrite=True)


def save_with_card(model: keras.Model, path: Path, card: WeightsCard) -> None:
    """Writes bare weights and their card in the place of others, so that a kill leaves a pair.

    The new card lies there first, with the former one in it, which counts until the weights follow.
    """
    former = {}
    with contextlib.suppress(OSError, ValueError):
        former = {FORMER: as_json(asdict(read_card(path)))}
    with atomic_path(path) as temporary:
        task_of(model).bare(model).save_weights(temporary, overwrite=True)
        told = as_json({**asdict(card), "sha256": sha256(temporary)})
        write_json(card_path(path), {**told, **former}, indent=2)
    write_json(card_path(path), told, indent=2)


def load(model: keras.Model, path: str | Path) -> None:
    """Loads what ``save`` wrote; a compiled model keeps its optimizer as it is.

    Raises:
        ValueError: the file is damaged, or of another model.
    """
    with reading(path, model):
        task_of(model).bare(model).load_weights(path)


@contextmanager
def reading(path: str | Path, model: keras.Model) -> Iterator[None]:
    """Reads an HDF5 file that may have come from anywhere; a ValueError names it where that fails.

    It holds arrays of numbers itself, no larger than the model's largest: nothing else of it is
    opened, and no other file.
    """
    import h5py

    largest = max((math.prod(v.shape) for v in model.weights), default=0)
    try:
        require_sound_heaps(Path(path))
        with h5py.File(path, "r") as file:
            file.visititems_links(partial(_check_link, file, largest))
        yield
    except Exception as error:  # HDF5 and Keras raise whatever the damage leads them to
        said = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{path} must hold the weights of this model. Received: {said or type(error).__name__}."
            " It is damaged or of another model: copy it again, or train anew."
        ) from error


def _check_link(file: h5py.File, largest: int, name: str, link: Any) -> None:
    import h5py

    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name!r} is a link to elsewhere")
    found = file[name]
    if isinstance(found, h5py.Group):
        return
    if found.external or found.is_virtual:
        raise ValueError(f"{name!r} keeps its numbers in another file")
    if found.dtype.kind not in "biuf" or found.size > max(largest, MOST_STATE):
        raise ValueError(f"{name!r} has {found.size} values of {found.dtype}")


def save_trained(model: keras.Model, path: str | Path, *, complete: bool = False) -> None:
    """Writes the weights in float16, by their names in the model.

    Args:
        model: that was trained.
        path: of the file.
        complete: also those of frozen layers, so that no other file is needed to load it.
    """
    import h5py

    frozen = set() if complete else _frozen(model)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs[BY_NAME] = True
        for variable in model.weights:
            if variable.path not in frozen:
                file[variable.path] = variable.numpy().astype("float16")


def load_trained(model: keras.Model, path: str | Path) -> None:
    """Loads what ``save_trained`` wrote; frozen layers stay as they are.

    Raises:
        ValueError: the file is damaged, or lacks a weight of a layer that is not frozen.
    """
    import h5py

    frozen = _frozen(model)
    with reading(path, model), h5py.File(path, "r") as file:
        for variable in model.weights:
            if variable.path in file:
                variable.assign(file[variable.path][()].astype("float32"))
            elif variable.path not in frozen:
                raise ValueError(f"none for {variable.path}, of a layer that is not frozen")


def _is_by_name(path: Path) -> bool:
    """Whether ``save_trained`` wrote the file, and not Keras."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return BY_NAME in file.attrs
    except OSError as error:
        raise ValueError(
            f"{path} must be a weights file (HDF5). Received: {error}. Copy it again."
        ) from error


def _frozen(model: keras.Model) -> set[str]:
    layers = [layer for layer in model._flatten_layers() if not layer.trainable]
    return {variable.path for layer in layers for variable in layer.variables}


def sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder() -> Path | None:
    """The folder of shipped weights, or None where none were installed."""
    return next((f for f in FOLDERS if (f / "index.json").is_file()), None)


@cache
def _index() -> Mapping[str, Mapping[str, WeightsCard]]:
    """model -> name -> card, of the shipped weights."""
    where = folder()
    if where is None:
        return {}
    index: dict[str, dict[str, WeightsCard]] = {}
    for entry in json.loads((where / "index.json").read_text(encoding="utf-8"))["weights"]:
        model, name = entry.split("/")
        index.setdefault(model, {})[name] = read_card(_shipped_path(where, model, name))
    return index


def _shipped_path(where: Path, model: str, name: str) -> Path:
    return where / f"{model}-{name}{SUFFIX}"


def available(model: str) -> Mapping[str, WeightsCard]:
    """The shipped weights of a model, by name."""
    return _index().get(model, {})


def find(model: str, weights: str | Path) -> Weights:
    """A shipped set by its name, or a file or run folder by its path.

    Raises:
        FileNotFoundError: neither; the names that exist are listed.
        ValueError: the file's card is missing or unreadable.
    """
    shipped = available(model)
    if str(weights) in shipped:
        path = _shipped_path(folder(), model, str(weights))
        return Weights(path, shipped[str(weights)])
    names = ", ".join(shipped) or "none"
    return _in_file(
        weights,
        f'weights must be the name of a shipped set (for "{model}": {names}), a {SUFFIX} file or a'
        " run folder.",
    )


def find_trained(weights: str | Path) -> Weights:
    """A run folder, a weights file, or MODEL/NAME of a shipped set.

    Raises:
        FileNotFoundError: it is none of these.
        ValueError: the file's card is missing or unreadable.
    """
    model, slash, name = str(weights).partition("/")
    if slash and name in available(model):
        return find(model, name)
    return _in_file(
        weights, f"Give a run folder, a {SUFFIX} file, or MODEL/NAME of `temzoo models`."
    )


def _in_file(weights: str | Path, rule: str) -> Weights:
    path = Path(weights)
    path = path / BEST if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{rule} Received: {weights}, and {path} is not there.")
    return Weights(path, read_card(path))


def find_card(model: str, weights: str, sha256: str) -> WeightsCard | None:
    """The card of the weights that a prediction was made with: shipped ones, or a file's.

    Args:
        weights: a name, a file or a run folder; it may be gone.
        sha256: of the weights file; a card of another hash is not taken.
    """
    cards = [*available(model).values()]
    path = Path(weights)
    path = path / BEST if path.is_dir() else path
    if path.is_file() and path.name.endswith(SUFFIX):
        # It serves no reader of the report that somebody's card is broken.
        with contextlib.suppress(OSError, ValueError):
            cards.append(read_card(path))
    return next((card for card in cards if sha256 and card.sha256 == sha256), None)


def card_path(path: Path) -> Path:
    """The card of a weights file: ``x.json`` beside ``x.weights.h5``."""
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"A weights file ends in {SUFFIX}. Received: {path}.")
    return path.with_name(path.name.removesuffix(SUFFIX) + ".json")


def read_card(path: Path) -> WeightsCard:
    """The card beside a weights file.

    Raises:
        ValueError: it is missing or unreadable.
    """
    card = card_path(path)
    if not card.is_file():
        raise ValueError(
            f"{path} has no card: {card} must lie beside it, as temzoo.train writes it. For bare"
            " Keras weights, build the model and call model.load_weights."
        )
    optional = {**CARD_FIELDS, FORMER: dict, **FORMER_FIELDS}
    told = read_fields(card, {"model": str}, optional=optional)
    former = told.pop(FORMER, {})
    if "model" in former and former.get("sha256") == sha256(path):
        told = former
    unknown = [name for name in told if name not in {"model", *CARD_FIELDS}]
    names = told.get("class_names", ())
    if unknown or not all(isinstance(name, str) for name in names):
        what = f"the field {unknown[0]}" if unknown else f"class_names={names!r}"
        raise ValueError(
            f"{card} is not a weights card as temzoo.train writes it. Received: {what[:80]}. Copy"
            " it again, or take the card of these weights."
        )
    return WeightsCard(**{**told, "class_names": tuple(names)})


def write_card(path: Path, card: WeightsCard) -> None:
    """Writes the card of a weights file beside it, with the file's sha256."""
    write_json(card_path(path), as_json({**asdict(card), "sha256": sha256(path)}), indent=2)


def as_json(value: Any) -> Any:
    """A value as it is after a way through a JSON file; what JSON cannot hold as its text."""
    return json.loads(json.dumps(value, default=lambda v: v.tolist() if is_plain(v) else str(v)))


def is_plain(value: Any) -> bool:
    """Whether JSON can hold a value, arrays as lists."""
    try:
        json.dumps(value, default=lambda array: array.tolist())
    except (AttributeError, TypeError, ValueError):
        return False
    return True
