"""
HyperSpy in and out
===================

HyperSpy is what many labs analyse electron microscopy with. How does a signal of it get to
temzoo, and how do particles get back?

HyperSpy is under the GPL and no part of temzoo's extras, so this page shows code without running
it: ``pip install hyperspy`` first.
"""

import hyperspy.api as hs

import temzoo

# %%
# A file of a microscope, as HyperSpy reads it. The pixels of a signal and the scale of its axes
# are all that temzoo needs.
signal = hs.load("session_3/a.dm4")
rows, columns = signal.axes_manager.signal_axes[::-1]
micrograph = temzoo.Micrograph(
    signal.data,
    nm_per_pixel=(rows.scale_as_quantity.to("nm").m, columns.scale_as_quantity.to("nm").m),
    name="a.dm4",
)
prediction = temzoo.predict(micrograph)
table = temzoo.measure(prediction, micrograph)

# %%
# Back: the particles' numbers as a signal with the same axes, so that it lies over the
# micrograph.
particles = hs.signals.Signal2D(prediction.instances)
particles.axes_manager.update_axes_attributes_from(
    signal.axes_manager.signal_axes, ["name", "scale", "offset", "units"]
)
particles.save("a_particles.hspy")

# %%
# Or by files alone: temzoo reads the TIFF that HyperSpy saves, with its calibration, and
# ``.zspy`` (``pip install 'temzoo[zarr]'``).
signal.save("a.tif")
micrograph = temzoo.load_micrograph("a.tif")
