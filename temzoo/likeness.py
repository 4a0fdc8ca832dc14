"""Says when images look unlike those that a model was trained on.

A network colours, or restores, anything; what it says of images unlike its training images is made
up. So it is asked what it sees: the mean and standard deviation, over a window, of its encoder's
activations, at full resolution and before each halving of it. They are statistics of the normalised
grey values and of ever coarser texture, the very ones that the answer is made from, and do not
depend on the image's size: windows have one size, and each image gives a few. What normalisation
takes away (gain, offset, bit depth) is not seen, as the network does not see it either.

The distance is Mahalanobis' (Lee et al. 2018, arXiv:1807.03888, with one class) under a covariance
shrunk by Ledoit & Wolf (2004, doi:10.1016/S0047-259X(03)00096-4), as there are more features than
images. Its unit is the largest distance of any window of the training images, each measured when
its image was left out of the fit (in tenths, where there are many). Windows, as an image of one
window must not look stranger than a large one, whose windows average.
"""

from __future__ import annotations

import itertools
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from temzoo.files import atomic_path
from temzoo.inputs import as_micrograph, channels_view, checked_pixels
from temzoo.types import Micrograph

WINDOW = 128
WINDOWS = 8
FOLDS = 10
LEAST_IMAGES = 3
# Axes of the training features whose own variance is kept; one value serves for all the others.
AXES = 64
# Like images that were not trained on lie a little beyond the farthest that were.
MARGIN = 1.5
NORMALIZE = "normalize"
# Features of one window by the same network on another machine differ by less.
SAME = 1e-2
VERSION = 1
ARRAYS = {  # name -> the axes of its shape: f features, k axes, n images, "" a scalar
    "centre": "f",
    "spread": "f",
    "axes": "kf",
    "variances": "k",
    "rest": "",
    "probe": "f",
    "limit": "",
    "margin": "",
    "training": "n",
}

Images = Iterable[Micrograph | np.ndarray | str | Path]


@dataclass(frozen=True, eq=False)
class Likeness:
    """What the training images of one model look like to it, from ``Likeness.fit``.

    Attributes:
        names: (F,) "layer mean 0", …: what each feature is.
        centre, spread: (F,) mean and standard deviation of each over the training windows.
        axes: (K, F) orthonormal directions of standardised features that vary most.
        variances: (K,) along them, shrunk.
        rest: variance along every other direction.
        probe: (F,) features of a fixed window, by which the model is known again.
        limit: the largest distance of a training window when its image was left out; the unit of
            ``distance``.
        training: (N,) distance of each training image when it was left out, in ``limit``s.
        margin: images farther than this are unlike.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    rest: float
    probe: np.ndarray
    training: np.ndarray
    limit: float
    margin: float = MARGIN

    @classmethod
    def fit(
        cls,
        model: Any,
        images: Images,
        *,
        groups: Sequence[str] | None = None,
        margin: float = MARGIN,
    ) -> Likeness:
        """Learns what a trained model's training images look like to it.

        Args:
            model: a Keras model with a layer named "normalize".
            images: those it was trained on; read one at a time.
            groups: of each image, so that images of one specimen are left out together; None: each
                image is its own.
            margin: how far beyond the farthest training image an image still counts as like.

        Raises:
            ValueError: fewer than three images or groups; a margin below 1; a model without the
                layer, or none of whose layers halves the resolution.

        Example:
            >>> likeness = Likeness.fit(model, [example.micrograph for example in train])
            >>> likeness.warning(model, "b.tif")
        """
        if not margin >= 1:
            raise ValueError(f"margin is 1 or more. Received: margin={margin!r}. Leave it out.")
        windows = [features(model, image) for image in images]
        owner = np.unique(list(groups or range(len(windows))), return_inverse=True)[1]
        if len(owner) != len(windows):
            raise ValueError(
                "groups names the group of every image. Received:"
                f" {len(owner)} groups for {len(windows)} images."
            )
        if len(set(owner)) < LEAST_IMAGES:
            raise ValueError(
                f"likeness needs {LEAST_IMAGES} training images of different groups, or more."
                f" Received: {len(windows)} images in {len(set(owner))} groups. Add images."
            )
        squares = _left_out(windows, owner)
        limit = float(np.sqrt(max(each.max() for each in squares)))
        limit = max(limit, np.finfo(np.float32).eps)  # of images that are all the same
        return cls(
            names=feature_names(model),
            probe=_probe(model),
            training=np.sqrt([each.mean() for each in squares]) / limit,
            limit=limit,
            margin=float(margin),
            **_gaussian(np.concatenate(windows)),
        )

    def distance(self, model: Any, image: Micrograph | np.ndarray | str | Path) -> float:
        """How far an image lies from the training images: the root mean square of its windows.

        1 is the farthest window of theirs.

        Raises:
            ValueError: the model is not the one that this was fitted with.
        """
        self._check(model)
        squares = _squares(self.__dict__, features(model, image))
        return float(np.sqrt(squares.mean())) / self.limit

    def unlike(self, model: Any, image: Micrograph | np.ndarray | str | Path) -> bool:
        """Whether an image lies beyond the training images and the margin."""
        return self.distance(model, image) > self.margin

    def warning(
        self,
        model: Any,
        image: Micrograph | np.ndarray | str | Path,
        *,
        what: str = "colours",
    ) -> str | None:
        """What to tell of an image that is unlike the training images; None of one that is like.

        Args:
            what: not to be trusted: "colours", or what else the model makes.
        """
        micrograph = as_micrograph(image)
        distance = self.distance(model, micrograph)
        if distance <= self.margin:
            return None
        return (
            f"{micrograph.name or 'the image'} looks unlike the training images (distance"
            f" {distance:.1f} times the largest of theirs): do not trust its {what}"
        )

    def save(self, path: str | Path) -> None:
        """Writes an ``.npz`` of plain arrays, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        names = np.array(self.names, dtype=str)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, version=VERSION, names=names, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Likeness:
        """Reads what ``save`` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file; an array is missing, misshapen or not finite.
        """
        try:
            # Opened here, as np.load leaves a file open that turns out to be no archive.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (ValueError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise _unreadable(path, str(error)) from error
        _check_arrays(path, arrays)
        whole = {k: arrays[k] if axes else float(arrays[k]) for k, axes in ARRAYS.items()}
        return cls(names=tuple(str(name) for name in arrays["names"]), **whole)

    def _check(self, model: Any) -> None:
        names = feature_names(model)
        if names == self.names:
            off = np.abs(_probe(model) - self.probe).max()
            if off <= SAME * max(1.0, np.abs(self.probe).max()):
                return
            wrong = f"a probe's features differ by {off:.3g}"
        else:
            wrong = f"{len(names)} features, not {len(self.names)} of the same names"
        raise ValueError(
            "likeness belongs to the model and the weights that it was fitted with. Received:"
            f" another model or other weights ({wrong}). Fit it anew with Likeness.fit."
        )


def features(model: Any, image: Micrograph | np.ndarray | str | Path) -> np.ndarray:
    """What a model's encoder sees of an image, for each of up to ``WINDOWS`` windows.

    The image is normalised as a whole, as the model would. The windows are drawn with a fixed seed;
    an image smaller than a window is mirrored at its edges.

    Returns:
        (windows, F) float64; the names are ``feature_names(model)``.

    Raises:
        ValueError: a model without a layer named "normalize", or not from Keras.
    """
    encoder = _encoder(model)
    pixels = channels_view(checked_pixels(as_micrograph(image)), model)
    layer = model.get_layer(NORMALIZE)
    shift, scale = layer.statistics(pixels)
    side = encoder.side
    windows = np.stack(
        [
            _mirrored(pixels[top : top + side, left : left + side], side)
            for top, left in _corners(pixels.shape, side)
        ]
    ).astype(np.float32)
    normalised = layer.apply(windows, shift, scale)
    levels = encoder.network.predict_on_batch([normalised, windows])
    levels = [normalised, *(levels if isinstance(levels, list | tuple) else [levels])]
    levels = [np.asarray(level, np.float64) for level in levels]
    pooled = [(level.mean(axis=(1, 2)), level.std(axis=(1, 2))) for level in levels]
    return np.concatenate([part for both in pooled for part in both], axis=1)


def feature_names(model: Any) -> tuple[str, ...]:
    """Names of what ``features`` gives, in its order: layer, mean or std, channel."""
    return _encoder(model).names


@dataclass(frozen=True)
class _Encoder:
    """A model from its normalisation to the last tensors at each resolution, going down."""

    network: Any
    names: tuple[str, ...]
    side: int


_encoders: WeakKeyDictionary[Any, _Encoder] = WeakKeyDictionary()


def _encoder(model: Any) -> _Encoder:
    """Built once per model, sharing its weights."""
    if model not in _encoders:
        layers = getattr(model, "layers", ())
        place = next((i for i, layer in enumerate(layers) if layer.name == NORMALIZE), None)
        if place is None:
            raise ValueError(
                f'likeness needs a Keras model with a layer named "{NORMALIZE}". Received:'
                f" {model!r}. Use one that takes raw pixels, such as the autoencoder."
            )
        _encoders[model] = _built_encoder(model, layers[place:])
    return _encoders[model]


def _built_encoder(model: Any, layers: Sequence[Any]) -> _Encoder:
    import keras  # a Keras model is here, so Keras is loaded; the command line does without

    side = model.input_shape[1] or WINDOW
    normalised = layers[0].output
    # The raw input stays one: layers may read its size, to crop back to it.
    inputs = [normalised, *model.inputs]
    known = [layers[0], *_after(inputs, layers[1:])]
    levels = _levels(inputs, known, side) or _levels_within(layers, known, side)
    if not levels:
        raise ValueError(
            "likeness needs a model whose layers halve the resolution, so that they see texture."
            f" Received: {model.name!r}, none of whose layers does. Use a restorer of temzoo, such"
            " as the autoencoder."
        )
    names = tuple(
        f"{name} {statistic} {channel}"
        for name, tensor in {NORMALIZE: normalised, **levels}.items()
        for statistic in ("mean", "std")
        for channel in range(tensor.shape[-1])
    )
    network = keras.Model(inputs, list(levels.values()), name=f"{model.name}_levels")
    network.jit_compile = False  # XLA would compile anew for each number of windows
    return _Encoder(network, names, side)


def _levels(inputs: Sequence[Any], layers: Sequence[Any], side: int) -> dict[str, Any]:
    """Name of a layer -> its map: the last of each resolution on the way down; {} for none.

    Args:
        inputs: the tensors that the layers compute from.
        layers: the first one's output is among the inputs.
        side: of the first one's output, px.
    """
    import keras

    tensors = {id(t): t for layer in layers[1:] for t in _maps(layer.output)}
    if not tensors:
        return {}
    shapes = _shapes(keras.Model(inputs, list(tensors.values())), side)
    rows = dict(zip(tensors, (shape[1] for shape in shapes), strict=True))
    rows[id(layers[0].output)] = side
    return {name: tensors[key] for name, key in _last_of_each_size(layers, rows).items()}


def _levels_within(layers: Sequence[Any], known: Sequence[Any], side: int) -> dict[str, Any]:
    """``_levels`` of the first model within the model, which takes the last map before it."""
    import keras

    inner = next((each for each in layers if hasattr(each, "layers")), None)
    if inner is None or len(inner.inputs) != 1 or len(inner.inputs[0].shape) != 4:
        return {}
    levels = _levels(inner.inputs, inner.layers, inner.inputs[0].shape[1] or side)
    if not levels:
        return {}
    connected = keras.Model(inner.inputs, list(levels.values()))(_maps(known[-1].output)[-1])
    connected = connected if isinstance(connected, list | tuple) else [connected]
    return dict(zip(levels, connected, strict=True))


def _after(inputs: Sequence[Any], layers: Sequence[Any]) -> list[Any]:
    """The layers that compute from ``inputs``; not those behind a model within the model."""
    known = {id(tensor) for tensor in inputs}
    found = []
    for layer in layers:
        befores = layer.input if isinstance(layer.input, list | tuple) else [layer.input]
        if not hasattr(layer, "layers") and known.issuperset(map(id, befores)):
            afters = layer.output if isinstance(layer.output, list | tuple) else [layer.output]
            known.update(map(id, afters))
            found.append(layer)
    return found


def _shapes(network: Any, side: int) -> list[tuple[int, ...]]:
    """Shapes of a network's outputs for images of ``side`` px, without computing them."""
    import keras

    given = [keras.KerasTensor((1, side, side, t.shape[-1])) for t in network.inputs]
    return [spec.shape for spec in network.compute_output_spec(given)]


def _maps(tensors: Any) -> list[Any]:
    """Those of a layer's inputs or outputs that are maps, (B, H, W, C)."""
    tensors = tensors if isinstance(tensors, list | tuple) else [tensors]
    return [tensor for tensor in tensors if len(tensor.shape) == 4]


def _last_of_each_size(layers: Sequence[Any], rows: dict[int, int]) -> dict[str, int]:
    """Layer's name -> id of its output: what each halving starts from, and what the decoder does.

    Args:
        layers: the first normalises; in the order of the graph.
        rows: id of a map -> its height.
    """
    maker = {id(t): layer.name for layer in layers for t in _maps(layer.output)}
    whole = lowest = rows[id(layers[0].output)]
    chosen: dict[str, int] = {}
    for layer in layers[1:]:
        befores = [id(t) for t in _maps(layer.input) if id(t) in rows]
        for before, after in itertools.product(befores, (rows[id(t)] for t in _maps(layer.output))):
            halves = after < min(rows[before], lowest)
            doubles = rows[before] == lowest < min(whole, after)
            if halves or doubles:
                chosen[maker[before]] = before
            lowest = min(lowest, after)
    return {name: key for name, key in chosen.items() if key != id(layers[0].output)}


def _corners(shape: tuple[int, ...], side: int) -> list[tuple[int, int]]:
    """Top left corners of up to ``WINDOWS`` different windows, drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    free = [max(size - side, 0) + 1 for size in shape[:2]]
    drawn = rng.integers(0, free, size=(WINDOWS, 2))
    return list(dict.fromkeys((int(top), int(left)) for top, left in drawn))


def _mirrored(window: np.ndarray, side: int) -> np.ndarray:
    """The window, of ``side`` px: what is missing at its ends is its mirror image."""
    padding = [(0, side - size) for size in window.shape[:2]]
    return np.pad(window, [*padding, (0, 0)], mode="symmetric")


def _probe(model: Any) -> np.ndarray:
    """(F,) features of a window of waves of all lengths, the same everywhere."""
    side = _encoder(model).side
    rows, cols = np.mgrid[:side, :side] / side
    waves = np.sin(40 * rows**2) + np.sin(90 * cols**2) + rows * cols
    return features(model, np.asarray(waves, np.float32)).mean(axis=0)


def _gaussian(windows: np.ndarray) -> dict[str, Any]:
    """The fields of ``Likeness`` that describe a Gaussian, from features (windows, F)."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    centre, spread = windows.mean(axis=0), windows.std(axis=0)
    # A feature that never varies (a dead filter) stays in, at the scale of the others.
    spread = np.maximum(spread, max(1e-3 * np.median(spread), 1e-6))
    standard = (windows - centre) / spread
    count, size = standard.shape
    share = ledoit_wolf_shrinkage(standard, assume_centered=True)
    _, singular, axes = np.linalg.svd(standard, full_matrices=False)
    variances = singular**2 / count
    mean = variances.sum() / size
    kept = min(AXES, len(variances), size)
    left = variances[kept:].sum() / max(size - kept, 1)
    floor = 1e-6
    return {
        "centre": centre,
        "spread": spread,
        "axes": axes[:kept],
        "variances": np.maximum((1 - share) * variances[:kept] + share * mean, floor),
        "rest": float(max((1 - share) * left + share * mean, floor)),
    }


def _squares(fitted: dict[str, Any], windows: np.ndarray) -> np.ndarray:
    """(windows,) squares of the windows' Mahalanobis distances."""
    standard = (windows - fitted["centre"]) / fitted["spread"]
    along = standard @ fitted["axes"].T
    across = np.maximum((standard**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    return (along**2 / fitted["variances"]).sum(axis=1) + across / fitted["rest"]


def _left_out(windows: Sequence[np.ndarray], owner: np.ndarray) -> list[np.ndarray]:
    """Of each image's windows, ``_squares`` by a fit without its group; in tenths of the groups."""
    order = np.random.default_rng(0).permutation(owner.max() + 1)
    fold = order[owner] % min(FOLDS, owner.max() + 1)
    found = [np.empty(0)] * len(windows)
    for out in np.unique(fold):
        others = [each for each, f in zip(windows, fold, strict=True) if f != out]
        fitted = _gaussian(np.concatenate(others))
        for index in np.flatnonzero(fold == out):
            found[index] = _squares(fitted, windows[index])
    return found


def _check_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    missing = sorted({*ARRAYS, "names", "version"} - set(arrays))
    if missing:
        raise _unreadable(path, f"no {', '.join(missing)}")
    if arrays["version"] != VERSION:
        raise _unreadable(path, f"version {arrays['version']}, not {VERSION}")
    if arrays["names"].ndim != 1 or arrays["names"].dtype.kind != "U":
        raise _unreadable(path, "names is no list of texts")
    sizes = {"f": arrays["names"].size, "k": arrays["variances"].size}
    sizes["n"] = arrays["training"].size
    for name, axes in ARRAYS.items():
        wanted, array = tuple(sizes[axis] for axis in axes), arrays[name]
        if array.shape != wanted or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise _unreadable(
                path, f"{name} is {array.dtype} {array.shape}, not finite floats {wanted}"
            )
    for name in ("spread", "variances", "rest", "limit"):
        if not (arrays[name] > 0).all():
            raise _unreadable(path, f"{name} is not above 0 throughout")


def _unreadable(path: str | Path, what: str) -> ValueError:
    return ValueError(
        f"{path} must be a file of Likeness.save. Received: {what}."
        " Fit it anew with Likeness.fit and save it."
    )
