"""segmentation_models.pytorch's Unet on one of its encoders."""

import torchvision_operators
from replay import arguments
from torch_learning import contest

torchvision_operators.ensure()
import segmentation_models_pytorch as smp  # noqa: E402  it imports torchvision


def main() -> None:
    job, out, options = arguments()
    contest(
        job,
        out,
        lambda: smp.Unet(in_channels=1, classes=job.classes, **options),
        ("segmentation-models-pytorch", "torch"),
    )


if __name__ == "__main__":
    main()
