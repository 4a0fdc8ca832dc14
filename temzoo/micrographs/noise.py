"""How noisy a micrograph is, and a smoother one."""

from __future__ import annotations

import cv2
import numpy as np

from temzoo.micrographs.channels import to_grey

LEAST_SIDE = 16  # px; smaller images tell nothing of noise
MOST_SIGMA = 2.5  # px; more blurs small particles away
EDGES = 99.5  # percentile of the gradient that edges reach, if there are any
LEAST_EDGES = 3.0  # that percentile by the median; of noise 2.76, as Rayleigh's distribution has it
# Differences of second differences, which keep noise and lose what is smooth; of noise with the
# deviation 1 their deviation is 6.
SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
DEVIATION_PER_MEDIAN = 1 / 0.6745  # of the magnitudes of what is distributed normally


def noise_of(pixels: np.ndarray) -> float:
    """Standard deviation of a micrograph's noise as a share of that of its pixels.

    Measured on means of 2 x 2 pixels, since detectors and programs blur noise a little, and told as
    of single ones: 0.1 is clean, at 0.5 faint particles drown, above 1 the noise reaches over
    several pixels. The estimate is that of Immerkær 1996 (doi:10.1006/cviu.1996.0060) with the
    median in place of the mean, so that edges do not count.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3), of finite numbers.

    Returns:
        0 of a uniform image, and of one below 16 px.
    """
    grey = to_grey(pixels).astype(np.float32)
    contrast, (height, width) = float(grey.std(dtype=np.float64)), grey.shape
    if min(height, width) < LEAST_SIDE or not contrast:
        return 0.0
    means = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    found = np.abs(cv2.filter2D(means, -1, SECOND_DIFFERENCES)[1:-1, 1:-1])
    return 2 * DEVIATION_PER_MEDIAN * float(np.median(found)) / 6 / contrast


def smoothing_for(pixels: np.ndarray, borne: float) -> float:
    """Standard deviation in px of the Gaussian that a micrograph should be seen behind.

    Where no edges stand out behind one of twice that width, as of an empty field, there is none:
    the blobs of smoothed noise look like particles.

    Args:
        pixels: as of ``noise_of``.
        borne: the noise up to which there is none.
    """
    noise = noise_of(pixels)
    if noise <= borne:
        return 0.0
    sigma = round(min(1 + noise, MOST_SIGMA), 2)
    return sigma if _edges(smoothed(to_grey(pixels), 2 * sigma)) >= LEAST_EDGES else 0.0


def _edges(grey: np.ndarray) -> float:
    """How far the steepest places stand out from the others."""
    steep = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    usual, most = np.percentile(steep, [50, EDGES])
    return float(most / usual) if usual else 0.0


def smoothed(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """The same as float32, behind a Gaussian of a standard deviation in px."""
    return cv2.GaussianBlur(
        pixels.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101
    )
