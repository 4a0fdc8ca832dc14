"""Predictions of dask and zarr arrays, as a dask array that is computed part by part.

Of a stack (N, H, W) each frame is predicted as ``predict`` does. An image (H, W) is cut into
blocks; the network sees each with a margin, and the grey levels are normalised by the whole image:
by the grid of its pixels that ``Normalize`` looks at too, read once, when the first block is.

Objects need no second pass over the image: a block is labelled with a margin in which all regions
that reach into it must lie whole, so each is cut and measured as in the whole image, and its number
tells where its first pixel is. Neighbouring blocks find the same number.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from numbers import Real
from threading import RLock
from typing import Any

import numpy as np

from temzoo.core.connected import connected_components
from temzoo.core.settings import BINNING
from temzoo.core.types import Micrograph
from temzoo.inference.options import PredictOptions
from temzoo.inference.pixels import Thinned, channels_view, checked_pixels
from temzoo.inference.predict import collect
from temzoo.inference.regions import label_instances
from temzoo.inference.tiles import MOST_OVERLAP, REACH, TILE, Network, PixelNetwork, asked_of
from temzoo.zoo.built import limits_of, task_of

GRID = 256  # rows and columns of the pixels that normalisation looks at, as ``Normalize`` does
_BUSY = RLock()  # one network at a time: two would need the memory of both


def predict_lazily(model: Any, pixels: Any, options: PredictOptions) -> Any:
    """A dask array of labels of instances, or of classes where ``options.instances`` is None.

    Args:
        pixels: a dask or zarr array, an image (H, W) or a stack of images (N, H, W).

    Returns:
        Of a stack (N, H, W), a frame a chunk: int32 labels, 1..N in each frame, or uint8 classes.
        Of an image (H, W): int64 labels, each 1 + the place of the object's first pixel in reading
        order, or uint8 classes.

    Raises:
        ModuleNotFoundError: dask is not installed.
        ValueError: another shape; what a dask array cannot hold, or cannot be told of a part of an
            image. When it is computed: what ``predict`` raises; a region that reaches too far.
    """
    try:
        import dask.array  # noqa: F401
    except ImportError as error:
        raise ModuleNotFoundError(
            f'Lazy predictions need dask. Received: {error}. Type: pip install "temzoo[zarr]"'
        ) from error
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(
            "A lazy array must be an image (H, W) or a stack of images (N, H, W). Received: shape="
            f"{tuple(pixels.shape)}. Give one channel, or np.asarray(pixels) of a colour image."
        )
    if options.probabilities:
        raise ValueError(
            "A lazy prediction is one array, of labels or classes. Received: probabilities=True."
            " Predict parts of it as NumPy arrays."
        )
    if isinstance(options.smooth, Real):
        raise ValueError(
            "A lazy prediction is of the pixels as they are. Received:"
            f" smooth={options.smooth}. Smooth them first: dask_image.ndfilters.gaussian_filter."
        )
    binning = limits_of(model).binning if options.binning == BINNING else options.binning
    if binning != 1:
        raise ValueError(
            f"A lazy prediction is of the pixels as they are. Received: binning={binning}. Bin them"
            " first by dask.array.coarsen, and predict them with binning=1."
        )
    if pixels.ndim == 3:
        whole = _Frames(model, options)
        kind = np.uint8 if options.instances is None else np.int32
        return _chunked(pixels, (1, *pixels.shape[1:])).map_blocks(whole, dtype=kind)
    network, options, distance = task_of(model).tiled(model, options)
    _require_tiles(network, options, distance)
    return _image(pixels, network, options, distance)


def _chunked(pixels: Any, chunks: Any) -> Any:
    import dask.array as da

    if isinstance(pixels, da.Array):
        return pixels.rechunk(chunks)
    return da.from_array(pixels, chunks=chunks)


class _OfItsOwn:
    """What blocks are computed by. Dask would else read all of a model to name its results."""

    def __dask_tokenize__(self) -> str:
        return f"temzoo-{uuid.uuid4().hex}"


@dataclass(frozen=True)
class _Frames(_OfItsOwn):
    """Predicts a stack frame by frame."""

    model: Any
    options: PredictOptions

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(1, H, W) labels or classes of (1, H, W) pixels."""
        with _BUSY:
            micrograph = Micrograph(pixels=frames[0])
            found = task_of(self.model).answer(self.model, micrograph, self.options)
        return (_few(found.classes) if self.options.instances is None else found.instances)[None]


def _few(classes: np.ndarray) -> np.ndarray:
    if classes.dtype != np.uint8:
        raise ValueError(
            "Classes of a lazy prediction must fit into 8 bits. Received: a model of more than 256."
            " Predict parts of it as NumPy arrays."
        )
    return classes


def _require_tiles(network: PixelNetwork, options: PredictOptions, distance: bool) -> None:
    """Raises ValueError for what needs more of an image than a tile of it."""
    if network.whole is not None or options.instances == "fused":
        raise ValueError(
            "A lazy image is predicted in tiles. Received: a model, or instances="
            f"{options.instances!r}, that needs all of it. Give a stack (1, H, W)."
        )
    if distance and options.instances is not None and options.min_score:
        raise ValueError(
            "How sure an object is rests on the sizes of all objects of an image, which no tile"
            f" knows. Received: min_score={options.min_score} for an image in tiles. Use"
            " min_score=0, instances=None for classes, or a stack (1, H, W)."
        )


def _image(pixels: Any, network: PixelNetwork, options: PredictOptions, distance: bool) -> Any:
    import dask.array as da

    step, tile = network.step, options.tile or TILE
    usual = min(REACH * step, MOST_OVERLAP, tile // 2)
    context = -(-(usual if options.overlap is None else options.overlap) // (2 * step)) * step
    edge = max((tile - 2 * context) // step, context // step + 1, 2) * step
    rows, columns = (Blocks.along(length, edge, context, step) for length in pixels.shape)
    chunks = rows.sizes, columns.sizes
    asked = _Classes(pixels, (network, options, distance), rows, columns, context)
    how = {"chunks": (*chunks, (3 if distance else 2,)), "dtype": np.uint8}
    if isinstance(pixels, da.Array):
        image = _with_margin(pixels.rechunk(chunks), context)
        maps = image.map_blocks(asked, new_axis=2, **how)
    else:  # of which each block reads its part, with a hundredth of the graph
        maps = da.map_blocks(asked, **how)
    if options.instances is None:
        return maps[..., 0]
    numbered = _Labels(options, rows, columns, edge // 2)
    return _with_margin(maps, edge // 2).map_blocks(
        numbered, chunks=chunks, drop_axis=2, dtype=np.int64
    )


def _with_margin(array: Any, margin: int) -> Any:
    """Each chunk with so many pixels of its neighbours around it, none beyond the image."""
    import dask.array as da

    depth = {axis: margin if array.numblocks[axis] > 1 else 0 for axis in (0, 1)}
    return da.overlap.overlap(array, depth, "none", allow_rechunk=False)


@dataclass(frozen=True)
class Blocks:
    """The blocks along one axis of an image.

    Attributes:
        sizes: px of each.
        before, after: px reflected beyond the image, so that the network's coarsest step divides it
            and where each block begins, as in ``tiles``.
    """

    sizes: tuple[int, ...]
    before: int
    after: int

    @classmethod
    def along(cls, length: int, edge: int, context: int, step: int) -> Blocks:
        before, after = -length % step // 2, -length % step - -length % step // 2
        starts = [0, *range(edge - before, length, edge)]
        if len(starts) > 1 and length - starts[-1] < max(context, edge // 2):
            starts.pop()  # margins are taken of the next block alone
        return cls(tuple(np.diff([*starts, length]).tolist()), before, after)

    def padding(self, index: int) -> tuple[int, int]:
        """Pixels that are reflected before and after block ``index``."""
        last = len(self.sizes) - 1
        return self.before if index == 0 else 0, self.after if index == last else 0

    def inside(self, index: int, margin: int) -> slice:
        """Block ``index`` within itself and its margin."""
        begin = margin if index else 0
        return slice(begin, begin + self.sizes[index])

    def start(self, index: int) -> int:
        return sum(self.sizes[:index])

    def around(self, index: int, margin: int) -> slice:
        """Block ``index`` with its margin, within the image."""
        begin = self.start(index)
        return slice(max(begin - margin, 0), begin + self.sizes[index] + margin)


class _Classes(_OfItsOwn):
    """Asks the network about a block: (h, w, 2 or 3) uint8 classes, sure classes and distance.

    It is no dataclass, for Dask looks for arrays in those, and would compute all of the image.
    """

    def __init__(self, image: Any, tiled: tuple, rows: Blocks, columns: Blocks, context: int):
        self.image, self.rows, self.columns, self.context = image, rows, columns, context
        self.network, self.options, self.distance = tiled
        self.ask: Network | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ask": None}  # made anew in each process

    def __call__(self, window: Any = None, block_info: Any = None) -> np.ndarray:
        row, column = block_info[None]["chunk-location"][:2]
        if window is None:
            place = self.rows.around(row, self.context), self.columns.around(column, self.context)
            window = np.asarray(self.image[place])
        channels = channels_view(checked_pixels(Micrograph(window)), self.network.channels)
        around = self.rows.padding(row), self.columns.padding(column)
        padded = np.pad(channels, (*around, (0, 0)), mode="reflect")
        with _BUSY:
            self.ask = self.ask or self._network()
            found = self.ask(padded[None])[0]
        found = found[around[0][0] :, around[1][0] :]
        found = found[
            self.rows.inside(row, self.context), self.columns.inside(column, self.context)
        ]
        blocks = iter([(0, found)])
        kept = collect(blocks, found.shape[:2], self.options, (), distance=self.distance)
        maps = [_few(kept.classes), kept.sure]
        return np.stack(maps if kept.distance is None else [*maps, kept.distance], axis=-1)

    def _network(self) -> Network:
        """The network, normalised by the whole image."""
        down, along = ((length - 1) // GRID + 1 for length in self.image.shape)
        grid = self.image[::down, ::along]
        if not isinstance(grid, np.ndarray):
            grid = grid.compute(scheduler="synchronous")  # in this thread, which has the lock
        thinned = channels_view(grid, self.network.channels).view(Thinned)
        return asked_of(self.network, thinned, self.options)


@dataclass(frozen=True)
class _Labels(_OfItsOwn):
    """Numbers the objects of a block by where in the image their first pixels are."""

    options: PredictOptions
    rows: Blocks
    columns: Blocks
    margin: int

    def __call__(self, maps: np.ndarray, block_info: Any = None) -> np.ndarray:
        row, column = block_info[None]["chunk-location"]
        inside = self.rows.inside(row, self.margin), self.columns.inside(column, self.margin)
        sure = self._whole(maps[..., 1], (row, column), inside)
        numbered = label_instances(
            sure,
            method=self.options.instances,
            min_area_px=self.options.min_area_px,
            distance=maps[..., 2] if maps.shape[-1] > 2 else None,
        )
        first = np.zeros(int(numbered.max()) + 1, np.int64)
        first[numbered.ravel()[::-1]] = np.arange(numbered.size)[::-1]  # the last one stays
        down, along = np.divmod(first, numbered.shape[1])
        top = self.rows.start(row) - inside[0].start
        left = self.columns.start(column) - inside[1].start
        places = (top + down) * sum(self.columns.sizes) + left + along + 1
        places[0] = 0
        return places[numbered[inside]]

    def _whole(
        self, classes: np.ndarray, place: tuple[int, int], inside: tuple[slice, slice]
    ) -> np.ndarray:
        """The classes without regions that the margin's edge cuts, none of which reach inside."""
        regions = connected_components(classes)
        edges = [np.zeros(1, np.int32)]
        for index, blocks, lines in zip(
            place, (self.rows, self.columns), (regions, regions.T), strict=True
        ):
            edges += [lines[0]] if index else []
            edges += [lines[-1]] if index < len(blocks.sizes) - 1 else []
        cut = np.zeros(int(regions.max()) + 1, bool)
        cut[np.concatenate(edges)] = True
        cut[0] = False
        if cut[regions[inside]].any():
            raise ValueError(
                "Regions of an image in tiles may reach half a block beyond it at most. Received:"
                f" one that reaches farther than {self.margin} px. Give a larger tile, or"
                " instances=None for the class map."
            )
        return np.where(cut[regions], 0, classes)
