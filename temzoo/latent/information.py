"""What a latent dimension tells of a known factor: correlation, information gap, neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from temzoo.latent.codes import checked_codes

MOST_CATEGORIES = 20  # whole numbers of more values count as measured


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
