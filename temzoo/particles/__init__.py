"""Single particles cut from micrographs, for models that take one particle an image."""

from temzoo.particles.cutting import cut, cut_dataset, cut_predictions
from temzoo.particles.plan import CutPlan, Particle, ParticleSet
from temzoo.particles.store import TABLE, load, load_classes, save

__all__ = [
    "TABLE",
    "CutPlan",
    "Particle",
    "ParticleSet",
    "cut",
    "cut_dataset",
    "cut_predictions",
    "load",
    "load_classes",
    "save",
]
