"""Segmentation without a network: Otsu's threshold and a random-forest pixel classifier.

They stand beside the networks as the baseline that a microscopist would otherwise use, behind the
same ``predict`` and ``evaluate``: each has ``predict_probabilities``, whole image to (H, W, K).

Sources: Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979), and Liao, Chen and Chung, J. Inf. Sci.
Eng. 17, 713 (2001), for several thresholds; Arganda-Carreras et al., Bioinformatics 33, 2424 (2017)
(Trainable Weka Segmentation) and Berg et al., Nat. Methods 16, 1226 (2019) (ilastik) for the forest
on multi-scale features. Both read grey values only.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from skimage.filters import threshold_multiotsu
from sklearn.ensemble import RandomForestClassifier

from temzoo.core.types import Example
from temzoo.evaluation.pixels import confusion, scores
from temzoo.labels.shapes.raster import class_map, foreground_classes, ignored_pixels
from temzoo.micrographs import to_grey

POLARITIES = ("dark", "bright", "auto")
# Thresholds are searched exhaustively, and orders of classes tried one by one: 5! = 120.
MOST_CLASSES = 5
HOT_PERCENTILES = (0.1, 99.9)
SIGMA_MIN, SIGMA_MAX = 1.0, 16.0  # pixels; features at 1, 2, 4, 8 and 16
# Gaussian filters are cut off at 4 sigma; gradients and Hessians read a few pixels more.
HALO = int(4 * SIGMA_MAX) + 8
BLOCK_ROWS = 512


class Otsu:
    """Otsu's threshold on the lightly smoothed image: one grey level band for each class.

    Args:
        classes: names of the classes 1, 2, …
        polarity: "dark": the background is the brightest band, and classes grow darker with their
            number; "bright": the reverse; "auto": the order of the bands with the best mean IoU
            on the training examples, which needs ``fit``.
        sigma: Gaussian smoothing before thresholding, in pixels.

    Example:
        >>> evaluate(Otsu(polarity="auto").fit(training), validation).iou
    """

    def __init__(
        self,
        classes: Sequence[str] = ("particle",),
        *,
        polarity: str = "auto",
        sigma: float = 1.0,
    ):
        if polarity not in POLARITIES:
            raise ValueError(
                f"polarity must be one of {', '.join(POLARITIES)}. "
                f"Received: polarity={polarity!r}. Use one of them."
            )
        self.class_names = foreground_classes(classes)
        self.sigma = sigma
        count = len(self.class_names) + 1
        if not 2 <= count <= MOST_CLASSES:
            raise ValueError(
                f"Otsu takes 1 to {MOST_CLASSES - 1} classes. Received: "
                f"classes={self.class_names}. Use PixelForest for more."
            )
        # order[band] is the class of a band, bands counted from dark to bright.
        dark_first = tuple(reversed(range(count)))
        orders = {"dark": dark_first, "bright": tuple(range(count)), "auto": None}
        self.order: tuple[int, ...] | None = orders[polarity]

    def fit(self, examples: Sequence[Example]) -> Otsu:
        """Chooses the order of the bands with the best mean per-image IoU; returns itself."""
        count = len(self.class_names) + 1
        tables = []
        for example in examples:
            bands = self._bands(example.micrograph.pixels)
            truth = class_map(example.labels, self.class_names)
            ignored = ignored_pixels(example.labels)
            tables.append(confusion(truth, bands, count, ignored=ignored))
        if not tables:
            raise ValueError("fit needs at least one labelled image. Received: no examples.")

        def mean_iou(order: tuple[int, ...]) -> float:
            sorted_tables = np.stack(tables)[..., np.argsort(order)]
            return np.nanmean(scores(sorted_tables)["iou"][:, 1:])

        self.order = max(itertools.permutations(range(count)), key=mean_iou)
        return self

    def predict_probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, C) raw pixels to (H, W, K) float32, 1 for the class of the band.

        Raises:
            RuntimeError: polarity "auto" before ``fit``.
        """
        if self.order is None:
            raise RuntimeError(
                'Otsu with polarity="auto" must be fitted first. Received: an unfitted Otsu. '
                'Call fit(examples), or say polarity="dark" or "bright".'
            )
        one_hot = np.eye(len(self.order), dtype=np.float32)
        return one_hot[np.asarray(self.order)][self._bands(pixels)]

    def _bands(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) the band of each pixel, 0 the darkest; all background bands if constant."""
        grey = to_grey(pixels).astype(np.float32)
        # A single hot pixel would stretch the histogram until all others share a bin.
        grey = np.clip(grey, *np.percentile(grey, HOT_PERCENTILES))
        grey = ndimage.gaussian_filter(grey, self.sigma)
        count = len(self.class_names) + 1
        try:
            thresholds = threshold_multiotsu(grey, classes=count)
        except ValueError:  # fewer grey levels than classes: nothing to tell apart
            empty = 0 if self.order is None else self.order.index(0)
            return np.full(grey.shape, empty, np.intp)
        return np.digitize(grey, thresholds)


class PixelForest:
    """A random forest that classifies each pixel by filters at five scales around it.

    The features are those that Weka and ilastik users choose first: Gaussian-smoothed intensity,
    gradient magnitude and the two eigenvalues of the Hessian, at 1, 2, 4, 8 and 16 pixels. Each
    image is stretched from its 1st and 99th percentile to 0..1 first.

    Args:
        classes: names of the classes 1, 2, …
        samples_per_image: training pixels drawn at random from each image.
        seed: of the drawing and of the forest.
        jobs: processor cores to use; -1 for all.

    Example:
        >>> forest = PixelForest(("particle",)).fit(training)
        >>> evaluate(forest, validation).iou
    """

    def __init__(
        self,
        classes: Sequence[str] = ("particle",),
        *,
        trees: int = 100,
        samples_per_image: int = 2000,
        seed: int = 0,
        jobs: int = -1,
    ):
        self.class_names = foreground_classes(classes)
        self.samples_per_image = samples_per_image
        self.seed = seed
        # Leaves of 5 pixels: fully grown trees are ten times larger and no better on micrographs.
        self._forest = RandomForestClassifier(
            trees, min_samples_leaf=5, max_features="sqrt", n_jobs=jobs, random_state=seed
        )
        self._fitted = False

    def fit(self, examples: Sequence[Example]) -> PixelForest:
        """Trains the forest on pixels of the examples; returns itself."""
        generator = np.random.default_rng(self.seed)
        features, classes = [], []
        for example in examples:
            truth = class_map(example.labels, self.class_names).ravel()
            ignored = ignored_pixels(example.labels)
            known = np.arange(truth.size) if ignored is None else np.flatnonzero(~ignored)
            drawn = known[
                generator.choice(known.size, min(self.samples_per_image, known.size), replace=False)
            ]
            image = pixel_features(example.micrograph.pixels)
            features.append(image.reshape(truth.size, -1)[drawn])
            classes.append(truth[drawn])
        if not features:
            raise ValueError("fit needs at least one labelled image. Received: no examples.")
        self._forest.fit(np.concatenate(features), np.concatenate(classes))
        self._fitted = True
        return self

    def predict_probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, C) raw pixels to (H, W, K) float32 class probabilities.

        Works in blocks of rows, so that the features of a large image need not fit in memory.

        Raises:
            RuntimeError: before ``fit``.
        """
        if not self._fitted:
            raise RuntimeError(
                "PixelForest must be fitted first. Received: an unfitted forest. "
                "Call fit(examples)."
            )
        grey = _stretched(pixels)
        height, width = grey.shape
        probabilities = np.zeros((height, width, len(self.class_names) + 1), np.float32)
        for top in range(0, height, BLOCK_ROWS):
            first, last = max(top - HALO, 0), min(top + BLOCK_ROWS + HALO, height)
            rows = slice(top - first, min(top + BLOCK_ROWS, height) - first)
            features = _features(grey[first:last])[rows]
            answer = self._forest.predict_proba(features.reshape(-1, features.shape[-1]))
            block = probabilities[top : top + BLOCK_ROWS].reshape(len(answer), -1)
            block[:, self._forest.classes_] = answer  # a class may lack among the samples
        return probabilities


def pixel_features(pixels: np.ndarray) -> np.ndarray:
    """The filters of ``PixelForest``, (H, W, 20) float32, of raw (H, W) or (H, W, C) pixels."""
    return _features(_stretched(pixels))


def _stretched(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32 grey, 1st percentile at 0 and 99th at 1; a constant image is 0."""
    grey = to_grey(pixels).astype(np.float32)
    low, high = np.percentile(grey, [1, 99])
    return (grey - np.float32(low)) / np.float32(high - low if high > low else 1)


def _features(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    # A gradient needs two pixels; a single row or column is doubled.
    enough = np.pad(grey, ((0, height == 1), (0, width == 1)), mode="edge")
    features = multiscale_basic_features(
        enough, intensity=True, edges=True, texture=True, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX
    )
    return features[:height, :width]
