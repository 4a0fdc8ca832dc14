"""Predictions on disk: maps, sidecars, and the micrographs that they were made from."""

from temzoo.store.corrections import (
    Corrections,
    corrected,
    instances_sha256,
    read_corrections,
)
from temzoo.store.predictions import is_finished, list_predictions, load_prediction, save
from temzoo.store.sidecar import Origin, about
from temzoo.store.sources import load_source, source_of

__all__ = [
    "Corrections",
    "Origin",
    "about",
    "corrected",
    "instances_sha256",
    "is_finished",
    "list_predictions",
    "load_prediction",
    "load_source",
    "read_corrections",
    "save",
    "source_of",
]
