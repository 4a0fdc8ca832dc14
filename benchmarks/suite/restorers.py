"""PSNR and SSIM of a restorer, as ``benchmarks.denoise`` measures them, on any dataset.

Counted electrons of three doses are drawn for each image, the same for every model; the published
images are the truth. Beside the restored image stands the noisy one, with the mean gain over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.records import spread


def is_restorer(model: Any) -> bool:
    """Whether it is a model of the zoo that gives pixels back."""
    from temzoo.zoo import built

    try:
        return built.built(model).task == "restoration"
    except ValueError:  # whatever else predict takes
        return False


def judge(model: Any, examples: Sequence) -> dict[str, Any]:
    """By dose: PSNR (dB) and SSIM with intervals over images, and the gain over the noisy image."""
    from benchmarks import denoise
    from benchmarks.denoise_baselines import DOSES, score
    from temzoo.evaluation.bootstrap import mean_interval

    grey = [replace(example, load=denoise.GreyLoader(example)) for example in examples]
    found = {}
    for dose in DOSES:
        restored, seconds = denoise.restored_scores(model, grey, dose)
        noisy = [score(true.pixels, poor.pixels) for true, poor in denoise.scored(grey, dose)]
        gain = np.subtract([one.psnr for one in restored], [one.psnr for one in noisy])
        found[dose] = {
            "psnr_db": vars(mean_interval([one.psnr for one in restored])),
            "ssim": vars(mean_interval([one.ssim for one in restored])),
            "noisy_psnr_db": vars(mean_interval([one.psnr for one in noisy])),
            "gain_db": vars(mean_interval(gain)),
            "seconds_per_image": spread(seconds),
            "images": [tuple(one) for one in restored],
        }
    return found
