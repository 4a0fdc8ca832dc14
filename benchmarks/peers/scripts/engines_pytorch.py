"""temzoo's U-Net in PyTorch: eager, channels last, compiled, bfloat16.

python engines_pytorch.py FOLDER THREADS CONFIG
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch_unet import UNet, load_keras
from turns import answer


def makers(folder: Path, config: dict) -> dict:
    with np.load(folder / "weights.npz") as arrays:
        weights = dict(arrays)

    def network(form=torch.contiguous_format) -> UNet:
        made = UNet(**config)
        load_keras(made, weights)
        return made.eval().to(memory_format=form)

    def runs(net, inputs, form=torch.contiguous_format, bfloat16=False):
        pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2).contiguous(memory_format=form)

        def run():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                return net(pixels).float().softmax(dim=1).permute(0, 2, 3, 1).numpy()

        return run

    last = torch.channels_last
    return {
        "PyTorch eager": lambda x: runs(network(), x),
        "PyTorch channels_last": lambda x: runs(network(last), x, last),
        "PyTorch compiled": lambda x: runs(torch.compile(network(last)), x, last),
        "PyTorch bfloat16": lambda x: runs(network(last), x, last, bfloat16=True),
        "PyTorch compiled bfloat16": lambda x: runs(torch.compile(network(last)), x, last, True),
    }


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    home = Path(sys.argv[1])
    answer(makers(home, json.loads(sys.argv[3])), np.load(home / "inputs.npy"))
