"""A U-Net in plain PyTorch, the same layers as temzoo's."""

from replay import arguments
from torch_learning import contest
from torch_unet import UNet


def main() -> None:
    job, out, options = arguments()
    contest(job, out, lambda: UNet(classes=job.classes, **options), ("torch",))


if __name__ == "__main__":
    main()
