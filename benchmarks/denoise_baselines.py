"""What denoises counted electrons without learning: Gaussian, non-local means and BM3D.

An image has pixels of 0 to 255; so many electrons per white pixel arrive at random, electrons ~
Poisson(dose * pixel / 255), and are shown on the image's scale, noisy = electrons / dose * 255.
Anscombe's transformation makes that noise nearly Gaussian of standard deviation 1; its exact
unbiased inverse brings the denoised values back.

Non-local means and Gaussian are tuned on training images by ``tune``, with and without the
transformation, for every dose. BM3D takes the transformed image; of its two profiles (normal,
very noisy) the better on the training images is used. It runs in an environment of its own
(``benchmarks.environments``).
"""

import statistics
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means
from sklearn.model_selection import ParameterGrid

from benchmarks.environments import python_of
from benchmarks.timing import last_line, timed
from temzoo.evaluation.restoration import compared

DOSES = {"low-dose": 4, "medium-dose": 16, "high-dose": 64}
WHITE = 255.0
NLM_GRID = {
    "h": (0.4, 0.5, 0.6, 0.7, 0.8, 1.0),
    "patch_size": (5, 7, 9, 13, 17),
    "patch_distance": (5, 7, 11),
    "vst": (False, True),
}
SIGMAS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
GAUSSIAN_GRID = {"sigma": SIGMAS, "vst": (False, True)}
Images = Sequence[np.ndarray]
Pairs = tuple[Images, Images]  # clean, noisy
# Runs in the other environment: every image of a folder, one thread, so that seconds compare.
BM3D_WORKER = """
import pathlib, sys, time
import bm3d, numpy
profile = {"np": bm3d.BM3DProfile, "vn": bm3d.BM3DProfileVN}[sys.argv[2]]()
profile.num_threads = 1
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("in-*.npy")):
    image = numpy.load(path).astype("float64")
    start = time.perf_counter()
    low, spread = image.min(), max(image.max() - image.min(), 1e-9)
    found = bm3d.bm3d((image - low) / spread, 1 / spread, profile=profile)
    seconds = time.perf_counter() - start
    out = folder / path.name.replace("in-", "out-")
    numpy.savez(out.with_suffix(".npz"), image=found * spread + low, seconds=seconds)
"""


class Scored(NamedTuple):
    psnr: float
    ssim: float  # of an image: dB, 0 to 1


def anscombe(electrons: np.ndarray) -> np.ndarray:
    """2 sqrt(x + 3/8): counts of a Poisson process to noise of variance about 1 (Anscombe 1948)."""
    return 2 * np.sqrt(np.maximum(electrons, 0) + 3 / 8)


def inverse_anscombe(transformed: np.ndarray) -> np.ndarray:
    """Expected electrons whose transformed counts have this mean; from 0 on.

    The algebraic inverse is biased at few electrons. This is the closed form of the exact unbiased
    inverse: Makitalo & Foi, IEEE Trans. Image Process. 20 (2011) 2697,
    doi:10.1109/TIP.2011.2121085, which approximates that of 20 (2011) 99,
    doi:10.1109/TIP.2010.2056693.
    """
    d = np.maximum(np.asarray(transformed, np.float64), anscombe(0))
    root = np.sqrt(3 / 2)
    found = d**2 / 4 + root / 4 / d - 11 / 8 / d**2 + 5 / 8 * root / d**3 - 1 / 8
    return np.maximum(found, 0)


def stabilised(filtering: Callable[..., np.ndarray], noisy: np.ndarray, *, dose, vst: bool):
    """Applies ``filtering(image, sigma)`` to transformed counts, or to pixels (H, W) as they are.

    Without the transformation sigma is that of a pixel of the image's mean brightness.
    """
    if not vst:
        sigma = float(np.sqrt(max(noisy.mean(), 1e-6) * WHITE / dose))
        return filtering(np.asarray(noisy, np.float32), sigma)
    transformed = anscombe(np.asarray(noisy, np.float32) * (dose / WHITE))
    return inverse_anscombe(filtering(transformed, 1.0)) * (WHITE / dose)


def nlm(noisy: np.ndarray, *, dose: float, h: float, vst: bool, **patches: int) -> np.ndarray:
    """Non-local means of scikit-image on noisy pixels (H, W); ``h`` counts in sigmas of the noise.

    Buades, Coll & Morel 2005, doi:10.1109/CVPR.2005.38, in the fast mode.
    """
    means = partial(denoise_nl_means, fast_mode=True, preserve_range=True, **patches)
    how = {"dose": dose, "vst": vst}
    return stabilised(lambda image, s: means(image, h=h * s, sigma=s), noisy, **how)


def gaussian(noisy: np.ndarray, *, dose: float, sigma: float, vst: bool) -> np.ndarray:
    """Gaussian filter of ``sigma`` px on noisy pixels (H, W)."""
    return stabilised(lambda image, _: gaussian_filter(image, sigma), noisy, dose=dose, vst=vst)


def bm3d(noisy: Images, *, dose: float, python: Path, profile="np") -> tuple[Images, list[float]]:
    """BM3D (Dabov et al. 2007, doi:10.1109/TIP.2007.901238) on the transformed counts.

    Gives images on the scale of the noisy ones, and the seconds of each on one thread.
    """
    with tempfile.TemporaryDirectory(prefix="bm3d-") as folder:
        for number, image in enumerate(noisy):
            transformed = anscombe(np.asarray(image) * (dose / WHITE))
            np.save(Path(folder) / f"in-{number:06}.npy", transformed)
        last_line([python, "-c", BM3D_WORKER, folder, profile])
        stored = [np.load(path) for path in sorted(Path(folder).glob("out-*.npz"))]
        found = [inverse_anscombe(one["image"]) * (WHITE / dose) for one in stored]
        return found, [float(one["seconds"]) for one in stored]


def score(clean: np.ndarray, restored: np.ndarray) -> Scored:
    """Of restored pixels (H, W), cut to [0, 255], against the clean ones; range 255."""
    restored = np.clip(np.asarray(restored, np.float64), 0, WHITE)
    return Scored(*compared(restored[..., None], clean[..., None], WHITE))


def crops(images: Images, *, side: int = 192, count: int = 12, seed: int = 0) -> list[np.ndarray]:
    """Square crops of different images (H, W), as far as there are; small images are cut less."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    found = []
    for number in range(count):
        image = images[order[number % len(order)]]
        top, left = (rng.integers(max(size - side, 0) + 1) for size in image.shape)
        found.append(image[top : top + side, left : left + side])
    return found


def tune(filtering: Callable, grid: Mapping, pairs: Pairs, *, dose: float) -> dict[str, Any]:
    """The settings of the grid with the highest mean PSNR over pairs of clean and noisy images."""

    def psnr(settings: dict[str, Any]) -> float:
        return _mean_psnr(pairs[0], (filtering(one, dose=dose, **settings) for one in pairs[1]))

    return max(ParameterGrid(grid), key=psnr)


def filtered(learn: Pairs, judge: Pairs, *, dose: float) -> dict[str, Any]:
    """Tunes Gaussian and non-local means on ``learn`` (clean, noisy), scores them on ``judge``."""
    clean, noisy = judge
    found: dict[str, Any] = {"noisy": summary(_scored(clean, noisy), [0.0])}
    for name, filtering, grid in (("gaussian", gaussian, GAUSSIAN_GRID), ("nlm", nlm, NLM_GRID)):
        tuned = tune(filtering, grid, learn, dose=dose)
        runs = [timed(partial(filtering, image, dose=dose, **tuned)) for image in noisy]
        restored, seconds = zip(*runs, strict=True)
        found[name] = summary(_scored(clean, restored), seconds) | {"settings": tuned}
    return found


def matched(learn: Pairs, judge: Pairs, *, dose: float) -> dict[str, Any]:
    """The same of BM3D, "bm3d" alone; the better profile on ``learn`` is taken."""
    how = {"dose": dose, "python": python_of("bm3d")}
    psnr = {p: _mean_psnr(learn[0], bm3d(learn[1], profile=p, **how)[0]) for p in ("np", "vn")}
    best = max(psnr, key=psnr.get)
    restored, seconds = bm3d(judge[1], profile=best, **how)
    found = summary(_scored(judge[0], restored), seconds)
    return {"bm3d": found | {"settings": {"profile": best}}}


def _scored(clean: Iterable[np.ndarray], restored: Iterable[np.ndarray]) -> list[Scored]:
    return [score(truth, image) for truth, image in zip(clean, restored, strict=True)]


def _mean_psnr(clean: Iterable[np.ndarray], restored: Iterable[np.ndarray]) -> float:
    return statistics.fmean(one.psnr for one in _scored(clean, restored))


def summary(scores: Sequence[Scored], seconds: Sequence[float]) -> dict[str, Any]:
    """What a record says of restored images: means, every score, median seconds of an image."""
    psnr, ssim = map(statistics.fmean, zip(*scores, strict=True))
    told = {"psnr_db": psnr, "ssim": ssim, "of_images": [tuple(one) for one in scores]}
    return told | {"seconds": statistics.median(seconds)}
