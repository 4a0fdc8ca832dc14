"""Latent spaces of several models side by side, in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from temzoo.latent.codes import active_units, encode_images, kl_per_dimension, reconstruction_error
from temzoo.latent.information import correlations, mutual_information_gap, strongest


def compare(
    models: Mapping[str, Any],
    images: np.ndarray,
    factors: Mapping[str, Sequence | np.ndarray],
    *,
    periods: Mapping[str, float] | None = None,
    bins: int = 20,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Figures of several models' codes of the same images.

    Args:
        models: by name, all taking these images.
        images: (N, S, S) or (N, S, S, C); best ones that no model was trained on.
        factors: (N,) numbers each, by name: what is known of each image.
        periods: of factors that go round: {"angle_deg": 180}.
        bins, seed: of ``mutual_information_gap``.

    Returns:
        one dict per model: "model", "latent_dim", "reconstruction_error" (mean squared, per
        pixel), "kl" (nats per image, of z alone, without what a pose costs; None without a
        posterior), "active_units", "mig", "mig_shuffled" (what chance gives) and "r NAME", the
        greatest |r| of any dimension with each factor.

    Raises:
        ValueError: there are no models, or the images or factors do not fit.

    Example:
        >>> rows = compare({"AE": ae, "VAE": vae}, images, {"diameter_nm": diameters})
        >>> print(comparison_table(rows))
    """
    if not models:
        raise ValueError(
            'there must be a model to compare. Received: none. Pass them by name, as {"VAE": vae}.'
        )
    rows = []
    for name, model in models.items():
        encoded = encode_images(model, images)
        means, logs = encoded.means, encoded.log_variances
        gap = mutual_information_gap(means, factors, bins=bins, periods=periods, seed=seed)
        table = correlations(means, factors, periods=periods)
        row = {
            "model": name,
            "latent_dim": means.shape[1],
            "reconstruction_error": reconstruction_error(model, images, encoded=encoded).mean,
            "kl": None if logs is None else float(kl_per_dimension(means, logs).sum()),
            "active_units": int(active_units(means).sum()),
            "mig": gap.score,
            "mig_shuffled": gap.baseline,
        }
        rows.append(row | {f"r {name}": strongest(table, name, periods) for name in factors})
    return rows


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of ``compare`` as a Markdown table; a dash where a model has no such figure."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)]]
    lines += [[in_figures(row.get(column)) for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def in_figures(value: Any) -> str:
    """A figure of a table: three digits that count, a dash for None."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value).replace("|", "\\|")
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}"
