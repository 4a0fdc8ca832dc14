#!/bin/sh
# ParticleSpy: a particle at x = 40 nm, y = 5 nm is listed at "x" 5 nm and "y" 40 nm.
#
# Guess: "x" and "y" of a particle are positions along the axes of these names, of which HyperSpy's signals
#     have x along the columns.
# Seen, ParticleSpy 0.6.3 with HyperSpy 2.5.0: "x" is the row, times the size of a pixel along x, and "y"
#     the column, times that along y. Where pixels are not square both are wrong in length, too: at 0.5 nm
#     along x and 0.25 nm along y, the same particle has "x" 5 and "y" 20, for 40 and 2.5 nm.
# So: swap the two before particles are drawn over their image, joined to other tables or driven to.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet particlespy==0.6.3 hyperspy==2.5.0 rosettasciio==0.15.0 \
    scikit-image==0.26.0 scikit-learn==1.9.1 trackpy==0.7 pandas==3.1.1 numpy==2.4.6
cat > "$folder/measure.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
import hyperspy.api as hs
import numpy as np
import particlespy.api as ps

pixels = np.zeros((60, 100), np.float32)
pixels[8:13, 78:83] = 50  # its middle: row 10, column 80
parameters = ps.parameters()
parameters.generate()
for along_y in (0.5, 0.25):
    signal = hs.signals.Signal2D(pixels)
    for axis, name, scale in zip(signal.axes_manager.signal_axes, "xy", (0.5, along_y)):
        axis.name, axis.scale, axis.units = name, scale, "nm"
    columns, rows = signal.axes_manager.signal_axes
    assert (columns.name, columns.size, rows.name, rows.size) == ("x", 100, "y", 60)
    right = float(columns.scale * 80), float(rows.scale * 10)
    (particle,) = ps.particle_analysis(signal, parameters, mask=(pixels > 0).astype(int)).list
    found = tuple(float(particle.properties[name]["value"]) for name in "xy")
    print(f"x, y: right {right} nm, ParticleSpy {found} nm")
    assert found == (0.5 * 10, along_y * 80)
PYTHON
"$folder/env/bin/python" "$folder/measure.py"
