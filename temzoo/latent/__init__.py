"""What a latent space holds, in figures; ``temzoo.latent_report`` makes a page of them.

For any model with ``encode(x) -> (mean, ...)``, ``decode(z)`` to pictures in [0, 1], ``latent_dim``
and ``image_size``: autoencoders with a bottleneck and variational ones.
"""

from temzoo.latent.codes import (
    ACTIVE_VARIANCE,
    Encoded,
    ReconstructionError,
    active_units,
    decode_codes,
    encode_images,
    kl_per_dimension,
    reconstruct,
    reconstruction_error,
)
from temzoo.latent.comparison import compare, comparison_table
from temzoo.latent.information import (
    InformationGap,
    correlations,
    mutual_information_gap,
    nearest_neighbour_accuracy,
)

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
    "mutual_information_gap",
    "nearest_neighbour_accuracy",
    "reconstruct",
    "reconstruction_error",
]
