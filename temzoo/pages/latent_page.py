"""All figures and pictures of a latent space: files in a folder, and one HTML page that holds them.

The page holds everything it shows, runs no script and fetches nothing. All text from outside is
escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from temzoo import latent
from temzoo.core.files import file_stem, write_json, write_text
from temzoo.core.writers import write_csv
from temzoo.latent.codes import Encoded, checked_images
from temzoo.latent.comparison import in_figures
from temzoo.latent.information import checked_factors, is_category, known
from temzoo.pages.html import text as safe
from temzoo.pages.page import Section, page, plain_table, png_figure
from temzoo.pictures.latent_mosaics import manifold, reconstructions, traversals
from temzoo.pictures.latent_scatter import named, scatter

# An ellipse looks the same turned by half, and so do particles close to one.
PERIODS: Mapping[str, float] = MappingProxyType({"angle_deg": 180.0})
POSE = ("pose_angle_rad", "pose_row_px", "pose_col_px")
LEAST_NEIGHBOURS = 20  # images of known class, from which a half can be judged by the other


def latent_report(
    model: Any,
    images: np.ndarray,
    out: str | Path,
    *,
    values: Mapping[str, Sequence | np.ndarray] | None = None,
    names: Sequence[str] | None = None,
    title: str = "Latent space",
) -> dict[str, Path]:
    """Writes every picture and figure of a latent space, and one page of them all.

    Args:
        model: with ``encode``, ``decode``, ``latent_dim`` and ``image_size``.
        images: (N, S, S) or (N, S, S, C) in the range that the model takes; at least two.
        out: folder to write to.
        values: (N,) each, what is known of the images by name ("class", "diameter_nm"); NaN, None
            or empty text where it is not. Those with a single value are written to ``codes.csv``
            and otherwise left out. An "angle_deg" goes round at 180.
        names: (N,) of the images; None: their numbers.
        title: of the page.

    Returns:
        "html", "codes", "figures", "manifold", "traversals", "reconstructions", and "scatter", or
        "scatter NAME" for each of the values, to the path of each file.

    Raises:
        ValueError: images, values or names do not fit.

    Example:
        >>> latent_report(model, images, "latent", values={"diameter_nm": diameters})["html"]
        PosixPath('latent/latent.html')
    """
    images, out = checked_images(model, images), Path(out)
    names = _checked_names(names, len(images))
    columns = checked_factors(values, len(images)) if values else {}
    varying = {name: c for name, c in columns.items() if len(np.unique(c[known(c)])) > 1}
    encoded = latent.encode_images(model, images)

    paths = {"codes": out / "codes.csv", "figures": out / "figures.json"}
    figures = _figures(model, images, encoded, varying)
    _write_codes(paths["codes"], names, encoded, columns)
    write_json(paths["figures"], figures, indent=2)
    pictures = _draw(model, images, out, encoded, varying)
    shown = _page(title, figures, pictures, encoded)
    write_text(out / "latent.html", shown)
    return {"html": out / "latent.html", **paths, **pictures}


def _checked_names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [str(k) for k in range(count)]
    if len(names) != count:
        raise ValueError(
            f"each image needs one name. Received: {len(names)} names for {count} images. "
            "Pass one each, or none."
        )
    return [str(name) for name in names]


def _figures(
    model: Any, images: np.ndarray, encoded: Encoded, factors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Everything that ``figures.json`` holds."""
    errors = latent.reconstruction_error(model, images, encoded=encoded).per_image
    active, logs = latent.active_units(encoded.means), encoded.log_variances
    kl = None if logs is None else latent.kl_per_dimension(encoded.means, logs)
    measured = {name: c for name, c in factors.items() if not is_category(c)}
    return {
        "images": len(images),
        "latent_dim": encoded.means.shape[1],
        "reconstruction_error": {
            "mean": float(errors.mean()),
            "median": float(np.median(errors)),
            "worst": float(errors.max()),
        },
        "kl": None if kl is None else float(kl.sum()),
        "active_units": int(active.sum()),
        "mutual_information_gap": _gap_figures(encoded.means, factors),
        "nearest_neighbour_accuracy": {
            name: accuracy
            for name, column in factors.items()
            if is_category(column)
            and (accuracy := _half_by_half(encoded.means, column)) is not None
        },
        "dimensions": {
            "variance": encoded.activity.tolist(),
            "active": active.tolist(),
            "kl": None if kl is None else kl.tolist(),
            "correlation": _listed(
                latent.correlations(encoded.means, measured, periods=PERIODS) if measured else {}
            ),
        },
    }


def _gap_figures(codes: np.ndarray, factors: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    if not factors:
        return None
    round_ones = {name: PERIODS[name] for name in factors if name in PERIODS}
    gap = latent.mutual_information_gap(codes, factors, periods=round_ones)
    return {
        "score": gap.score,
        "shuffled": gap.baseline,
        "per_factor": dict(gap.per_factor),
        "information_nats": _listed(gap.information),
    }


def _half_by_half(codes: np.ndarray, labels: np.ndarray) -> float | None:
    """Accuracy of the nearest neighbour, a random half of the images judged by the other."""
    there = np.random.default_rng(0).permutation(np.flatnonzero(known(labels)))
    if len(there) < LEAST_NEIGHBOURS:
        return None
    first, second = np.array_split(there, 2)
    return latent.nearest_neighbour_accuracy(
        codes[first], labels[first], codes[second], labels[second]
    )


def _listed(table: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in table.items()}


def _write_codes(
    path: Path, names: Sequence[str], encoded: Encoded, columns: Mapping[str, np.ndarray]
) -> None:
    parts = {"mean": encoded.means, "log_variance": encoded.log_variances}
    table = {
        f"{part}_{k}": column
        for part, codes in parts.items()
        if codes is not None
        for k, column in enumerate(codes.T)
    }
    if encoded.poses is not None:
        table |= dict(zip(POSE, encoded.poses.T, strict=True))
    cells = [column.tolist() for column in (*table.values(), *columns.values())]
    write_csv(path, ["name", *table, *columns], zip(names, *cells, strict=True), digits=7)


def _draw(
    model: Any,
    images: np.ndarray,
    out: Path,
    encoded: Encoded,
    factors: Mapping[str, np.ndarray],
) -> dict[str, Path]:
    """Every picture, in the page's order."""
    typical = np.linalg.norm(encoded.means - encoded.means.mean(axis=0), axis=1).argmin()
    paths = {"manifold": manifold(model, out / "manifold.png", encoded=encoded)}
    if not factors:
        paths["scatter"] = scatter(encoded.means, out / "scatter.png")
    for name, column in factors.items():
        path = out / _scatter_file(name, set(paths.values()), out)
        paths[f"scatter {name}"] = scatter(
            encoded.means, path, column, name, period=PERIODS.get(name)
        )
    return {
        **paths,
        "traversals": traversals(
            model, out / "traversals.png", encoded=encoded, around=images[typical]
        ),
        "reconstructions": reconstructions(
            model, images, out / "reconstructions.png", encoded=encoded
        ),
    }


def _scatter_file(name: str, taken: set[Path], out: Path) -> str:
    """A file's name for a value's picture, which none of the others has."""
    stem, number = f"scatter_{file_stem(name)}", 1
    file = f"{stem}.png"
    while out / file in taken:
        number += 1
        file = f"{stem}_{number}.png"
    return file


def _page(
    title: str, figures: Mapping[str, Any], pictures: Mapping[str, Path], encoded: Encoded
) -> str:
    drawn = "\n".join(_picture(key, path) for key, path in pictures.items())
    note = "The most active first; |r| is Pearson's, an angle stands as its cosine and sine."
    return page(
        title,
        kind="Latent space",
        lede=f"{figures['images']:,} images, {figures['latent_dim']} latent dimensions.",
        sections=[
            Section("Figures", _summary(figures)),
            Section("Pictures", drawn),
            Section("Dimensions", _dimension_table(figures, encoded), note=note),
        ],
        runs_script=False,
    )


def _summary(figures: Mapping[str, Any]) -> str:
    error, gap = figures["reconstruction_error"], figures["mutual_information_gap"]
    rows = [
        ("reconstruction error", error["mean"], "mean squared error per pixel"),
        ("of the worst image", error["worst"], f"median {in_figures(error['median'])}"),
        ("KL divergence", figures["kl"], "nats per image, of the posterior from the prior"),
        (
            "active dimensions",
            figures["active_units"],
            f"of {figures['latent_dim']}: their mean varies by more than 0.01",
        ),
    ]
    if gap is not None:
        chance = in_figures(gap["shuffled"])
        text = f"0 to 1: each factor in one dimension alone; by chance {chance}"
        rows.append(("mutual information gap", gap["score"], text))
    for name, accuracy in figures["nearest_neighbour_accuracy"].items():
        text = "a random half of the images, judged by the nearest code of the other"
        rows.append((f"{named(name)} by nearest neighbour", accuracy, text))
    cells = "".join(
        f'<tr><th scope="row">{safe(name)}</th><td>{in_figures(value)}</td>'
        f'<td class="words quiet">{safe(text)}</td></tr>'
        for name, value, text in rows
        if value is not None
    )
    return f'<div class="wide"><table><tbody>{cells}</tbody></table></div>'


def _dimension_table(figures: Mapping[str, Any], encoded: Encoded) -> str:
    """One row per dimension, the most active first."""
    found = figures["dimensions"]
    columns = {"variance of the mean": found["variance"]}
    if found["kl"] is not None:
        columns["KL (nats)"] = found["kl"]
    columns |= {f"|r| {named(name)}": values for name, values in found["correlation"].items()}
    rows = [
        (
            f"z{k}{'' if found['active'][k] else ' (inactive)'}",
            *(in_figures(column[k]) for column in columns.values()),
        )
        for k in encoded.order.tolist()
    ]
    return plain_table(["", *columns], rows)


CAPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "manifold": "What the decoder draws over a plane of the latent space, at normal quantiles "
        "of evenly spaced probabilities.",
        "scatter": "The encoded images.",
        "traversals": "What each latent dimension does, from a typical image's code: one row each, "
        "all others held. Framed: where the image itself lies.",
        "reconstructions": "Originals above what comes back, from the smallest error to the "
        "greatest.",
    }
)


def _picture(key: str, path: Path) -> str:
    kind, _, name = key.partition(" ")
    caption = f"The encoded images by {named(name)}." if name else CAPTIONS[kind]
    return png_figure(path, caption)
