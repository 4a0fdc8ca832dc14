"""temzoo in napari: micrographs as layers, particles found, corrected, measured and learnt from.

A layer is napari's *layer data tuple*, (data, attributes, kind), so that only ``widget`` imports
napari and Qt; ``napari.yaml`` tells napari what there is.
"""
