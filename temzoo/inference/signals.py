"""Signals of HyperSpy as micrographs, and predictions as signals.

HyperSpy is under the GPL, so temzoo neither needs nor imports it. A signal is whatever has its
public attributes ``data``, ``axes_manager`` and ``metadata``; or the dictionary of one that
RosettaSciIO's readers give, with "data", "axes" and "metadata". Both list the axes in the order of
the array, and each says of itself whether it is one of navigation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.core.types import Micrograph, Prediction
from temzoo.micrographs.calibration import Scale, scale_of_axes
from temzoo.micrographs.source import Stack

if TYPE_CHECKING:
    from temzoo.inference.options import PredictOptions

SOURCE = "signal axes"


def is_signal(image: Any) -> bool:
    """Whether this is a signal of HyperSpy, or the dictionary of one."""
    if isinstance(image, Mapping):
        return {"data", "axes"} <= image.keys()
    return hasattr(image, "axes_manager") and hasattr(image, "data")


def predict_signal(
    answer: Callable[[Micrograph, PredictOptions], Prediction], signal: Any, options: PredictOptions
) -> Any:
    """The Prediction of a signal that is an image; of a stack a list, one for each image.

    Args:
        answer: gives the prediction of a micrograph.
    """
    images, count = signal_images(signal), count_images(signal)
    if count is None:
        return answer(next(images), options)
    tell, found = options.progress, []
    for number, image in enumerate(images):
        if callable(tell):

            def progress(share: float, words: str, number: int = number) -> None:
                tell((number + share) / count, words)

            options = replace(options, progress=progress)
        found.append(answer(image, options))
    return found


def count_images(signal: Any) -> int | None:
    """How many images a stack has; None of a signal without navigation, which is one image."""
    data, axes = _in_order(_as_dictionary(signal))
    return len(data) if len(axes) == 3 else None


def signal_image(signal: Any) -> Micrograph:
    """The micrograph that a signal without navigation is.

    Raises:
        ValueError: it is a stack, or none that ``signal_images`` takes.
    """
    count = count_images(signal)
    if count is not None:
        raise ValueError(
            "This takes one image. Received: a signal with a navigation axis, a stack of"
            f" {count}. Pass one of them, signal.inav[0], or give the stack to temzoo.predict."
        )
    return next(signal_images(signal))


def signal_images(signal: Any) -> Iterator[Micrograph]:
    """The images of a signal with their calibration, one in memory at a time where it is lazy.

    Raises:
        ValueError: it has not two signal axes and at most one of navigation; or rows or columns
            that are not evenly spaced.
    """
    told = _as_dictionary(signal)
    data, axes = _in_order(told)
    name = _title(told)
    scale = _scale(axes, name)
    stack = Stack(data, scale)
    digits = len(str(stack.count() - 1))
    for frame in range(stack.count()):
        yield Micrograph(
            pixels=stack.read(frame)[0],
            nm_per_pixel=scale,
            name=f"{name or 'image'}_{frame:0{digits}}" if data.ndim == 3 else name,
            calibration=SOURCE if scale else "",
        )


def signal_of(
    predictions: Prediction | Sequence[Prediction], signal: Any = None, *, classes: bool = False
) -> dict[str, Any]:
    """Instances as the dictionary of a signal: ``Signal2D`` of HyperSpy takes it.

    RosettaSciIO's writers of pictures take it too; those of hspy and zspy want more, which HyperSpy
    adds when it saves.

    Args:
        predictions: of one image, or of the images of a stack in their order, all of one size.
        signal: that they were made of; its axes are taken, offsets and navigation included. None:
            rows and columns in nm, or in px where the prediction is not calibrated.
        classes: the class of each pixel in place of the instances.

    Returns:
        "data", (H, W) or (N, H, W) int32 labels, 0 is the background; "axes", a dictionary each;
        "metadata" with a title; and "original_metadata", which is empty.

    Raises:
        ValueError: there are no predictions, or they are of several sizes, or not of the signal's.

    Example:
        >>> found = temzoo.predict(signal)  # doctest: +SKIP
        >>> hyperspy.api.signals.Signal2D(**temzoo.signal_of(found, signal))  # doctest: +SKIP
        <Signal2D, title: Instances of grid 3, dimensions: (|1024, 1024)>
    """
    one = isinstance(predictions, Prediction)
    found = [predictions] if isinstance(predictions, Prediction) else list(predictions)
    shapes = {each.classes.shape for each in found}
    if len(shapes) != 1:
        raise ValueError(
            "A signal is of images of one size. Received: predictions of"
            f" {' and '.join(map(str, sorted(shapes))) or 'no image'}. Make one of each."
        )
    maps = [each.classes if classes else each.instances for each in found]
    data = (maps[0] if one else np.stack(maps)).astype(np.int32)
    told = {} if signal is None else _as_dictionary(signal)
    axes = _in_order(told)[1] if told else _axes_of(found[0], data.shape)
    sizes = tuple(int(axis["size"]) for axis in axes)
    if sizes != data.shape:
        raise ValueError(
            "The predictions must be those of the signal's images. Received: labels of shape"
            f" {data.shape} for a signal of shape {sizes}. Leave the signal out."
        )
    name = _title(told) or (found[0].name if one else "a stack") or "a micrograph"
    title = f"{'Classes' if classes else 'Instances'} of {name}"
    return {
        "data": data,
        "axes": [{key: value for key, value in axis.items() if key != "place"} for axis in axes],
        "metadata": {"General": {"title": title}, "Signal": {"signal_type": ""}},
        "original_metadata": {},
    }


def _as_dictionary(signal: Any) -> Mapping[str, Any]:
    """A signal as RosettaSciIO has it."""
    if isinstance(signal, Mapping):
        return signal
    return {
        "data": signal.data,
        "axes": list(signal.axes_manager.as_dictionary().values()),
        "metadata": signal.metadata.as_dictionary(),
    }


def _title(signal: Mapping[str, Any]) -> str:
    return str(signal.get("metadata", {}).get("General", {}).get("title", ""))


def _in_order(signal: Mapping[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """The data and its axes: those of navigation first, then rows, then columns."""
    data = signal["data"]
    axes = [{**axis, "place": place} for place, axis in enumerate(signal["axes"])]
    axes.sort(key=lambda axis: not axis.get("navigate"))
    navigation = sum(bool(axis.get("navigate")) for axis in axes)
    if data.ndim != len(axes) or len(axes) - navigation != 2 or navigation > 1:
        raise ValueError(
            "A signal must be an image, or a stack of images along one navigation axis. Received:"
            f" shape={tuple(data.shape)} with {navigation} navigation and {len(axes) - navigation}"
            " signal axes. Use signal.transpose(signal_axes=2), or an image of it, signal.inav[0]."
        )
    if not all("scale" in axis for axis in axes[-2:]):
        raise ValueError(
            "Rows and columns of a signal must be evenly spaced. Received: an axis without a scale."
            " Use axis.convert_to_uniform_axis()."
        )
    axes = [{**axis, "size": data.shape[axis["place"]]} for axis in axes]
    return data.transpose([axis["place"] for axis in axes]), axes


def _scale(axes: Sequence[Mapping[str, Any]], name: str) -> Scale | None:
    """nm per pixel (row, col); warns of units that are no lengths."""
    scale, why = scale_of_axes([(axis["scale"], axis.get("units")) for axis in axes[-2:]])
    if why:
        warnings.warn(
            f"The signal {name!r} has axes that give no size of a pixel in nm: {why}. It is taken"
            " as not calibrated.",
            stacklevel=2,
        )
    return scale


def _axes_of(prediction: Prediction, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """The axes of labels of this shape, (H, W) or (N, H, W)."""
    scale = prediction.nm_per_pixel
    names, units = ("image", "y", "x")[-len(shape) :], "nm" if scale else "px"
    steps = (1.0, *(scale or (1.0, 1.0)))[-len(shape) :]
    return [
        {
            "name": name,
            "size": size,
            "scale": step,
            "offset": 0.0,
            "units": "" if name == "image" else units,
            "navigate": name == "image",
        }
        for name, size, step in zip(names, shape, steps, strict=True)
    ]
