"""A network in PyTorch: temzoo's U-Net, or segmentation_models.pytorch's with an encoder."""

from replay import arguments
from torch_networks import UNet, contest, ensure_torchvision


def main() -> None:
    job, out, options = arguments()
    if "encoder_name" not in options:
        contest(job, out, lambda: UNet(classes=job.classes, **options), ("torch",))
        return
    ensure_torchvision()
    import segmentation_models_pytorch as smp

    make = lambda: smp.Unet(in_channels=1, classes=job.classes, **options)  # noqa: E731
    contest(job, out, make, ("segmentation-models-pytorch", "torch"))


if __name__ == "__main__":
    main()
