"""Figures of a latent space: what is lost, what is used, and what each dimension means.

NumPy in, numbers out. Factors are what is known of each image (class, diameter, angle): whole
numbers of few values, truth values and text are categories, other numbers are measured. Where a
factor is not known (NaN, None or empty text) the image is left out of that factor's figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, section 5.2
MOST_CATEGORIES = 20  # whole numbers of more values count as measured


@dataclass(frozen=True, eq=False)
class Encoded:
    """What an encoder says of N images.

    Attributes:
        means: (N, D) float32, the codes.
        log_variances: (N, D) float32 of the posterior; None of a plain autoencoder.
        poses: (N, 3) float32 angle (rad), row and column shift (px), which a rotation-invariant
            model keeps apart from the code; else None.
    """

    means: np.ndarray
    log_variances: np.ndarray | None = None
    poses: np.ndarray | None = None

    @property
    def activity(self) -> np.ndarray:
        """(D,) variance of each dimension's mean over the images."""
        return self.means.var(axis=0, dtype=np.float64)

    @property
    def order(self) -> np.ndarray:
        """(D,) dimensions, the most active first."""
        return np.argsort(-self.activity, kind="stable")


@dataclass(frozen=True, eq=False)
class ReconstructionError:
    """Squared error of reconstructions.

    Attributes:
        per_image: (N,) float64 mean over the pixels and channels of each image.
    """

    per_image: np.ndarray

    @property
    def mean(self) -> float:
        """Mean squared error per pixel, over all images."""
        return float(self.per_image.mean())


@dataclass(frozen=True, eq=False)
class InformationGap:
    """The mutual information gap (MIG) of a code.

    Attributes:
        score: mean over the factors of ``per_factor``, 0 to 1.
        baseline: the same with each factor shuffled over the images: what chance gives.
        per_factor: by factor, how much more the best dimension tells than the second, divided by
            the factor's entropy.
        information: by factor, (D,) mutual information with each dimension in nats.
    """

    score: float
    baseline: float
    per_factor: Mapping[str, float]
    information: Mapping[str, np.ndarray]


def encode_images(model: Any, images: np.ndarray, *, batch: int = 256) -> Encoded:
    """Encodes images in batches.

    Args:
        model: with ``encode`` and ``image_size`` S.
        images: (N, S, S) or (N, S, S, C) in the range that the model takes.
        batch: images at a time.

    Raises:
        ValueError: the images are not of the model's size, or not finite, or the model takes any
            size and has no latent vector.

    Example:
        >>> encoded = encode_images(model, digits)
        >>> encoded.means.shape
        (1797, 2)
    """
    images = checked_images(model, images)
    batches = [model.encode(images[k : k + batch]) for k in range(0, len(images), batch)]
    parts = [
        np.concatenate([np.asarray(one, np.float32) for one in column])
        for column in zip(*batches, strict=True)
    ]
    return Encoded(*parts[:3])


def decode_codes(model: Any, codes: np.ndarray, *, batch: int = 256) -> np.ndarray:
    """Decodes (N, D) codes in batches: (N, S, S, C) float32 pictures in [0, 1]."""
    codes = np.asarray(codes, np.float32)
    parts = [model.decode(codes[k : k + batch]) for k in range(0, len(codes), batch)]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])


def reconstruct(
    model: Any, images: np.ndarray, *, encoded: Encoded | None = None, batch: int = 256
) -> np.ndarray:
    """Images through the whole model and back: (N, S, S, C) float32, in the images' range.

    A model that can be called is called: it gives the pose back that a rotation-invariant decoder
    leaves out, and the range that an autoencoder of raw pixels normalises away. Of another the
    decoded means are taken.

    Args:
        model: with ``encode``, ``decode``, ``image_size``.
        images: what ``encode_images`` takes.
        encoded: of these images, where it is there already.
        batch: images at a time.

    Raises:
        ValueError: what comes back has not the images' shape.
    """
    images = checked_images(model, images)
    if callable(model):
        parts = [model(images[k : k + batch]) for k in range(0, len(images), batch)]
        again = np.concatenate([np.asarray(part, np.float32) for part in parts])
    else:
        means = (encoded or encode_images(model, images, batch=batch)).means
        again = decode_codes(model, means, batch=batch)
    if again.shape != images.shape:
        raise ValueError(
            "a reconstruction must have the shape of its images. Received: "
            f"{again.shape} for images {images.shape}. Use a model that gives its input back."
        )
    return again


def reconstruction_error(
    model: Any, images: np.ndarray, *, encoded: Encoded | None = None, batch: int = 256
) -> ReconstructionError:
    """Mean squared error of what a model gives back, per pixel, image by image.

    Args:
        model, images, encoded, batch: see ``reconstruct``.

    Example:
        >>> reconstruction_error(model, digits).mean
        0.0123
    """
    again = reconstruct(model, images, encoded=encoded, batch=batch)
    return squared_error(checked_images(model, images), again)


def squared_error(images: np.ndarray, again: np.ndarray) -> ReconstructionError:
    """Error of reconstructions that are there already, both (N, S, S, C)."""
    difference = again.astype(np.float64) - images
    return ReconstructionError((difference**2).mean(axis=(1, 2, 3)))


def kl_per_dimension(means: np.ndarray, log_variances: np.ndarray) -> np.ndarray:
    """Divergence of the posterior from the standard normal prior, in nats.

    Closed form, Kingma and Welling 2014, appendix B: (mean² + variance - ln variance - 1) / 2.

    Args:
        means, log_variances: (N, D).

    Returns:
        (D,) float64 mean over the images; the sum is the model's KL.

    Example:
        >>> kl_per_dimension(np.ones((1, 2)), np.zeros((1, 2)))
        array([0.5, 0.5])
    """
    means, logs = np.asarray(means, np.float64), np.asarray(log_variances, np.float64)
    return 0.5 * (means**2 + np.exp(logs) - logs - 1).mean(axis=0)


def active_units(means: np.ndarray, *, threshold: float = ACTIVE_VARIANCE) -> np.ndarray:
    """Which dimensions say something: the variance of their means over the data exceeds 0.01.

    Burda et al. 2016, arXiv:1509.00519. Meant for variational models, whose codes have the scale
    of the prior; a plain autoencoder's scale is free, and its dimensions are nearly always active.

    Args:
        means: (N, D) codes.
        threshold: of the variance.

    Returns:
        (D,) bool.
    """
    return np.asarray(means, np.float64).var(axis=0) > threshold


def mutual_information_gap(
    codes: np.ndarray,
    factors: Mapping[str, Sequence | np.ndarray],
    *,
    bins: int = 20,
    periods: Mapping[str, float] | None = None,
    shuffles: int = 10,
    seed: int = 0,
) -> InformationGap:
    """How far each known factor lies in one dimension of the code alone.

    Chen et al. 2018, arXiv:1802.04942: the gap in mutual information between the dimension that
    tells most of a factor and the second, divided by the factor's entropy, averaged over factors.
    Codes and measured factors are put into bins of equal counts, categories are taken as they are.

    Counted information is too high by about (code bins - 1)(factor bins - 1) / 2N nats (Roulston,
    Physica D 125, 285, 1999): 0.18 for 20 x 20 bins and 1,000 images. In the gap most of it
    cancels; ``baseline`` is what is left. With one dimension there is no second, and the gap is all
    it tells. A factor that goes round needs two dimensions, so its gap is low by nature.

    Args:
        codes: (N, D).
        factors: (N,) each, by name.
        bins: of each dimension and measured factor.
        periods: of factors that go round, by name: {"angle_deg": 180}; they are binned over it.
        shuffles: of the baseline.
        seed: of the shuffling.

    Raises:
        ValueError: there are no factors, lengths differ, or a factor has a single value.

    Example:
        >>> gap = mutual_information_gap(encoded.means, {"diameter_nm": diameters})
        >>> gap.score, gap.baseline
        (0.41, 0.01)
    """
    codes, columns = checked_codes(codes), checked_factors(factors, len(codes))
    rng = np.random.default_rng(seed)
    per_factor, chance, information = {}, [], {}
    for name, values in columns.items():
        there = known(values)
        binned = _factor_bins(values[there], bins, (periods or {}).get(name), name)
        dimensions = [equal_count_bins(column, bins) for column in codes[there].T]
        information[name] = np.array([_information(one, binned) for one in dimensions])
        entropy = _information(binned, binned)
        per_factor[name] = _gap(information[name]) / entropy
        for _ in range(shuffles):
            shuffled = rng.permutation(binned)
            chance.append(_gap([_information(one, shuffled) for one in dimensions]) / entropy)
    score = float(np.mean(list(per_factor.values())))
    return InformationGap(score, float(np.mean(chance or [0])), per_factor, information)


def correlations(
    codes: np.ndarray,
    factors: Mapping[str, Sequence | np.ndarray],
    *,
    periods: Mapping[str, float] | None = None,
) -> dict[str, np.ndarray]:
    """|Pearson r| of each dimension with each measured factor.

    Args:
        codes: (N, D).
        factors: (N,) numbers each, by name.
        periods: of factors that go round, by name: {"angle_deg": 180} for what looks the same
            turned by half; their cosine and sine over the period stand for them.

    Returns:
        (D,) float64 by the factor's name, "cos NAME" and "sin NAME" for one that goes round. A
        dimension that is constant has 0.

    Raises:
        ValueError: there are no factors, lengths differ, a factor is text or has a single value.

    Example:
        >>> correlations(encoded.means, {"angle_deg": angles}, periods={"angle_deg": 180})
        {'cos angle_deg': array([0.02, 0.91]), 'sin angle_deg': array([0.01, 0.08])}
    """
    codes, columns = checked_codes(codes), checked_factors(factors, len(codes))
    table = {}
    for name, values in columns.items():
        if values.dtype.kind == "U":
            raise ValueError(
                f"a correlation needs numbers. Received: text for {name!r}. Leave it out, or use "
                "mutual_information_gap, which takes categories."
            )
        there = known(values)
        _require_several(values[there], name)
        for label, column in _unrolled(name, values, periods).items():
            table[label] = _pearson(codes[there], column[there])
    return table


def strongest(
    table: Mapping[str, np.ndarray], name: str, periods: Mapping[str, float] | None = None
) -> float:
    """The greatest |r| of any dimension with a factor, in a table of ``correlations``."""
    labels = _unrolled(name, np.zeros(1), periods)
    return float(max(table[label].max() for label in labels))


def nearest_neighbour_accuracy(
    train_codes: np.ndarray, train_labels: Sequence, codes: np.ndarray, labels: Sequence
) -> float:
    """Fraction of codes whose nearest training code (Euclidean) has their label.

    Args:
        train_codes: (M, D), of images whose labels are given away.
        train_labels: (M,).
        codes: (N, D), of others.
        labels: (N,).

    Raises:
        ValueError: a list of labels is not as long as its codes.

    Example:
        >>> nearest_neighbour_accuracy(codes[:1000], digit[:1000], codes[1000:], digit[1000:])
        0.95
    """
    train_labels, labels = np.asarray(train_labels), np.asarray(labels)
    if len(train_labels) != len(train_codes) or len(labels) != len(codes):
        raise ValueError(
            f"each code needs one label. Received: {len(train_labels)} labels for "
            f"{len(train_codes)} training codes, {len(labels)} for {len(codes)}. Pass one each."
        )
    _, nearest = cKDTree(checked_codes(train_codes)).query(checked_codes(codes))
    return float(np.mean(train_labels[nearest] == labels))


def checked_images(model: Any, images: np.ndarray) -> np.ndarray:
    """(N, S, S, C) float32 of images that fit a model."""
    images = np.asarray(images, np.float32)
    images = images[..., None] if images.ndim == 3 else images
    side = model.image_size
    if side is None:
        raise ValueError(
            "a model must have a latent vector to look at. Received: one for images of any size, "
            "image_size=None. Build it with an image_size (an autoencoder with skips=False)."
        )
    if images.ndim != 4 or images.shape[1:3] != (side, side) or not len(images):
        raise ValueError(
            f"images must be (N, {side}, {side}) or (N, {side}, {side}, C) for this model. "
            f"Received: {images.shape}. Cut or resize them to {side} px."
        )
    if not np.isfinite(images).all():
        raise ValueError(
            "images must be finite. Received: NaN or infinity. Leave those images out."
        )
    return images


def checked_codes(codes: np.ndarray) -> np.ndarray:
    """(N, D) float64."""
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or not codes.size or not np.isfinite(codes).all():
        raise ValueError(
            "codes must be (N, D) finite numbers. Received: "
            f"{codes.shape}{'' if np.isfinite(codes).all() else ' with NaN or infinity'}. "
            "Pass the means of encode_images."
        )
    return codes


def checked_factors(
    factors: Mapping[str, Sequence | np.ndarray], count: int
) -> dict[str, np.ndarray]:
    """(count,) numbers or text by name; None becomes NaN or empty text."""
    if not factors:
        raise ValueError(
            "there must be a factor to compare codes with. Received: none. "
            'Pass what is known of the images, as {"diameter_nm": diameters}.'
        )
    columns = {name: _column(values) for name, values in factors.items()}
    for name, values in columns.items():
        if values.shape != (count,):
            raise ValueError(
                f"each image needs one value of {name!r}. Received: {values.shape} for {count} "
                "images. Pass one per image, NaN where it is not known."
            )
    return columns


def known(values: np.ndarray) -> np.ndarray:
    """(N,) bool: which values are there."""
    if values.dtype.kind == "U":
        return values != ""
    return np.isfinite(values)


def is_category(values: np.ndarray) -> bool:
    """Whether values are kinds rather than measured: text, truth values, few whole numbers."""
    if values.dtype.kind in "Ub":
        return True
    return values.dtype.kind in "iu" and len(np.unique(values)) <= MOST_CATEGORIES


def equal_count_bins(values: np.ndarray, bins: int) -> np.ndarray:
    """(N,) bin of each number, 0 …, as equally filled as ties allow."""
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = np.unique(np.quantile(values, inner))
    return np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1]


def _column(values: Sequence | np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind in "biuf":
        return values
    flat = values.ravel().tolist()
    if all(value is None or isinstance(value, int | float) for value in flat):
        return np.array([np.nan if v is None else v for v in flat], float).reshape(values.shape)
    return np.array(["" if v is None else str(v) for v in flat], np.str_).reshape(values.shape)


def _require_several(values: np.ndarray, name: str) -> None:
    found = np.unique(values)
    if len(found) < 2:
        raise ValueError(
            f"a factor must have several values. Received: {name!r} with {found.tolist()} alone. "
            "Leave it out."
        )


def _factor_bins(values: np.ndarray, bins: int, period: float | None, name: str) -> np.ndarray:
    _require_several(values, name)
    if is_category(values) and period is None:
        return np.unique(values, return_inverse=True)[1]
    if values.dtype.kind == "U":
        raise ValueError(
            f"what goes round must be numbers. Received: text for {name!r}. Take it out of periods."
        )
    return equal_count_bins(values if period is None else values % period, bins)


def _information(first: np.ndarray, second: np.ndarray) -> float:
    """Mutual information in nats of two (N,) lists of bins; with itself, the entropy."""
    width = second.max() + 1
    joint = np.bincount(first * width + second, minlength=(first.max() + 1) * width)
    joint = joint.reshape(-1, width) / len(first)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float(np.sum(joint[there] * np.log(joint[there] / apart[there])))


def _gap(information: Sequence[float] | np.ndarray) -> float:
    """The greatest minus the second greatest."""
    ordered = np.sort(np.append(information, 0.0) if len(information) == 1 else information)
    return float(ordered[-1] - ordered[-2])


def _unrolled(
    name: str, values: np.ndarray, periods: Mapping[str, float] | None
) -> dict[str, np.ndarray]:
    """What stands for a factor in a correlation: itself, or its cosine and sine."""
    period = (periods or {}).get(name)
    if period is None:
        return {name: values.astype(np.float64)}
    turn = values * (2 * np.pi / period)
    return {f"cos {name}": np.cos(turn), f"sin {name}": np.sin(turn)}


def _pearson(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(D,) |r| of each column with (N,) values; 0 where either is constant."""
    codes, values = codes - codes.mean(axis=0), values - values.mean()
    spread = np.sqrt((codes**2).sum(axis=0) * (values**2).sum())
    product = np.abs(values @ codes)
    return np.divide(product, spread, out=np.zeros_like(product), where=spread > 0)
