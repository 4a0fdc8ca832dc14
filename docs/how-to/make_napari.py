"""The picture of napari with temzoo's widget, on the sample and the shipped weights.

Needs a screen, such as Xvfb makes: `xvfb-run python docs/how-to/make_napari.py`, in an environment
with `temzoo[napari]`.
"""

import time
from pathlib import Path

import napari
from napari.layers import Layer
from PIL import Image
from qtpy.QtWidgets import QApplication

from temzoo.viewer import samples
from temzoo.viewer.widget import ParticlesWidget

PICTURE = Path(__file__).parents[1] / "images" / "napari.png"
SIZE = 1200, 800
COLOURS = 64  # a palette: the noise of a micrograph takes megabytes else


def main() -> None:
    viewer = napari.Viewer(show=False)
    window = viewer.window
    widget = ParticlesWidget(viewer)
    window.add_dock_widget(widget, name="Particles (temzoo)")
    window._qt_window.resize(*SIZE)
    viewer.show()
    [image] = samples.drawn_micrograph()
    viewer.add_layer(Layer.create(*image))
    widget.predict()
    while widget.busy:
        time.sleep(0.01)
        QApplication.processEvents()
    viewer.layers[-1].opacity = 0.5
    viewer.canvas.overlays.scale_bar.visible = True
    viewer.reset_view(margin=0)
    for _ in range(20):
        QApplication.processEvents()
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    viewer.close()


if __name__ == "__main__":
    main()
