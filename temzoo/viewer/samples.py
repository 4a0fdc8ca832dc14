"""napari's sample data: a micrograph that is drawn, with its calibration."""

from __future__ import annotations

from temzoo.data.synthetic import synthesize
from temzoo.viewer.layers import LayerData, image_layer


def drawn_micrograph() -> list[LayerData]:
    """The calibrated micrograph that ``temzoo quickstart`` draws, with 60 particles."""
    from temzoo.workflows.quickstart import NAME, SCENE, SEED, SIZE

    micrograph, _ = synthesize(SEED, size=SIZE, name=NAME, **SCENE)
    return [image_layer(micrograph)]
