"""What a latent space holds: figures, pictures, and one page of both.

For any model with ``encode(x) -> (mean, ...)``, ``decode(z)`` to pictures in [0, 1], ``latent_dim``
and ``image_size``: autoencoders with a bottleneck and variational ones.
"""

from temzoo.latent.comparison import compare, comparison_table
from temzoo.latent.figures import (
    ACTIVE_VARIANCE,
    Encoded,
    InformationGap,
    ReconstructionError,
    active_units,
    correlations,
    decode_codes,
    encode_images,
    kl_per_dimension,
    mutual_information_gap,
    nearest_neighbour_accuracy,
    reconstruct,
    reconstruction_error,
)
from temzoo.latent.page import latent_report
from temzoo.latent.pictures import manifold, reconstructions, scatter, strips, traversals

__all__ = [
    "ACTIVE_VARIANCE",
    "Encoded",
    "InformationGap",
    "ReconstructionError",
    "active_units",
    "compare",
    "comparison_table",
    "correlations",
    "decode_codes",
    "encode_images",
    "kl_per_dimension",
    "latent_report",
    "manifold",
    "mutual_information_gap",
    "nearest_neighbour_accuracy",
    "reconstruct",
    "reconstruction_error",
    "reconstructions",
    "scatter",
    "strips",
    "traversals",
]
