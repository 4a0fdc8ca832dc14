"""Restoration: the picture that an image should have been, pixel by pixel.

Truth and prediction are (B, H, W, C), C 1 (grey) or 3 (colour), in the image's own range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temzoo.core.types import Micrograph
from temzoo.inference.options import TileOptions
from temzoo.inference.restore import restore_pixels
from temzoo.tasks import endpoints
from temzoo.tasks.pixel_models import RESTORED, PixelTask, layer_named, pixel_network
from temzoo.zoo.task import register_task

if TYPE_CHECKING:
    import keras

LOSSES = ("mse", "mae", "charbonnier", "psnr")


class Restoration(PixelTask):
    """Models that give back pixels in the range of their input.

    A restorer's layer on the raw pixels is named "normalize", and its last layer before it goes
    back to their range "restored": tiles are restored between the two.
    """

    name = "restoration"
    examples = "pairs"
    score = "val_psnr"
    score_name = "PSNR"
    losses = LOSSES

    def training_data(self) -> type:
        from temzoo.tasks.training_data import PairData  # brings TensorFlow

        return PairData

    def loss_and_metrics(
        self, model: keras.Model, loss: Any, class_weights: Sequence[float] | None
    ) -> dict[str, Any]:
        from temzoo.tasks.restoration_graph import PSNR, RestorationLoss

        if class_weights is not None:
            raise ValueError(self._no_weights(class_weights))
        if loss is None or isinstance(loss, str):
            loss = RestorationLoss(loss or self.losses[0])
        return {"loss": loss, "weighted_metrics": [PSNR()]}

    def picture(
        self, path: Path, model: Any, examples: Sequence[Any], class_names: tuple[str, ...], **more
    ) -> Path:
        from temzoo.pictures.restoration import restoration_sheet  # draws

        return restoration_sheet(path, model, examples, **more)

    def recognises(self, model: Any) -> bool:
        return bool(getattr(model, "restores", False)) or layer_named(model, RESTORED) is not None

    def restored(self, model: Any, micrograph: Micrograph, options: TileOptions) -> Micrograph:
        side, shape = model.input_shape[1], micrograph.pixels.shape
        if side and shape[:2] != (side, side):
            raise ValueError(
                f"this model takes images of {side} x {side} px only. Received: "
                f"{shape[0]} x {shape[1]}. Build the autoencoder without image_size for"
                " micrographs of any size."
            )
        channels = model.output_shape[-1]
        return restore_pixels(pixel_network(model), micrograph, options, channels)

    def latent_image_size(self, model: Any) -> int | None:
        return getattr(model, "image_size", None)

    def endpoints(self, model: keras.Model) -> Mapping[str, endpoints.Endpoint]:
        """Restored pixels, in the range of the input.

        A model with a latent vector also gives that (``encode``), and pictures of it (``decode``).
        """
        from temzoo.tasks.restoration_graph import restored_pixels

        found = self.pixel_endpoints(model, restored_pixels)
        if getattr(model, "latent_dim", None):
            found["encode"] = endpoints.Endpoint(
                lambda images: {"z": model.encode(images)[0]}, found[endpoints.RAW].inputs
            )
            found["decode"] = endpoints.Endpoint(
                lambda z: {"reconstruction": model.decode(z)}, {"z": (model.latent_dim,)}
            )
        return found


register_task(Restoration())
