"""Draws the micrographs of the tutorial: 16 with labels to learn from, and 5 fresh ones.

    python docs/tutorial/make_session.py

writes ``session/`` and ``fresh/`` into the current folder. The fresh ones have labels too, which an
own session would not have: with them the last step can say how right the result is.
"""

from pathlib import Path

import temzoo

images, labels = temzoo.synthetic.write_dataset("session", n=16, seed=1)
print(f"{images}: 16 micrographs; {labels}: their labels")

folder, labelled = Path("fresh"), []
for number in range(5):
    micrograph, truth = temzoo.synthetic.synthesize((2, number), name=f"fresh_{number}.tif")
    temzoo.synthetic.write_tiff(folder / "images" / micrograph.name, micrograph)
    labelled.append(truth)
temzoo.labels.write(folder / "truth.xml", labelled, to="cvat")
print(f"{folder / 'images'}: 5 micrographs; {folder / 'truth.xml'}: what is in them")
