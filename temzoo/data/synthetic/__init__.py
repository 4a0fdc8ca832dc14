"""Micrographs of particles whose shapes, sizes and positions are known."""

from temzoo.data.synthetic.exposure import (
    defocus_wave,
    electron_wavelength_nm,
    film_texture,
    interaction_constant,
)
from temzoo.data.synthetic.particle_images import particle_images
from temzoo.data.synthetic.scene import Scene, project_ellipsoid
from temzoo.data.synthetic.synthesize import crowded, synthesize, write_dataset, write_tiff

__all__ = [
    "Scene",
    "crowded",
    "defocus_wave",
    "electron_wavelength_nm",
    "film_texture",
    "interaction_constant",
    "particle_images",
    "project_ellipsoid",
    "synthesize",
    "write_dataset",
    "write_tiff",
]
