"""What a microscope makes of a scene: contrast, defocus, noise."""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage

from temzoo.core.round_numbers import round_down
from temzoo.data.synthetic.dislocations import Line, absorption_of
from temzoo.data.synthetic.scene import Body, Scene, draw

# CODATA 2018, in the units used here: nm, V.
PLANCK_EV_NM = 1239.841984  # h c
REST_ENERGY_EV = 510998.95


def film_texture(rng: np.random.Generator, shape: tuple[int, int], beta: float) -> np.ndarray:
    """Random field of mean 0 and rms 1 whose power spectrum falls as 1 / frequency ** beta.

    Args:
        rng: source of randomness.
        shape: (height, width).
        beta: 0 is white noise; thin amorphous films have about 2.

    Returns:
        (height, width) float32, periodic.
    """
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    k_squared = _k_squared(shape, 1.0, real=True)
    k_squared[0, 0] = np.inf
    field = scipy.fft.irfft2(spectrum * k_squared ** np.float32(-beta / 4), s=shape)
    return field / max(field.std(), np.finfo(np.float32).tiny)


def electron_wavelength_nm(voltage_kv: float) -> float:
    """Relativistic de Broglie wavelength (Kirkland 2010, chapter 2), in nm."""
    energy = voltage_kv * 1e3
    return PLANCK_EV_NM / math.sqrt(energy * (2 * REST_ENERGY_EV + energy))


def interaction_constant(voltage_kv: float) -> float:
    """Phase per volt and nanometre of specimen (Kirkland 2010, chapter 5), in rad / (V nm)."""
    energy = voltage_kv * 1e3
    relativity = (REST_ENERGY_EV + energy) / (2 * REST_ENERGY_EV + energy)
    return 2 * math.pi / (electron_wavelength_nm(voltage_kv) * energy) * relativity


def defocus_wave(
    wave: np.ndarray, *, defocus_nm: float, wavelength_nm: float, nm_per_pixel: float
) -> np.ndarray:
    """Intensity of a wave seen out of focus; positive is underfocus.

    Args:
        wave: (H, W) complex, at the specimen's exit; taken as periodic.
        defocus_nm, wavelength_nm, nm_per_pixel: of the microscope and the sampling.

    Returns:
        (H, W) real; its mean is that of ``abs(wave) ** 2``.
    """
    if defocus_nm:
        k_squared = _k_squared(wave.shape, nm_per_pixel)
        # An underfocused lens sees a plane before the specimen: against the propagation.
        propagator = np.exp(1j * np.float32(math.pi * wavelength_nm * defocus_nm) * k_squared)
        wave = scipy.fft.ifft2(scipy.fft.fft2(wave) * propagator)
    return np.abs(wave) ** 2


def intensity_of(
    rng: np.random.Generator,
    scene: Scene,
    shape: tuple[int, int],
    bodies: list[Body],
    lines: list[Line],
) -> np.ndarray:
    """(H, W) share of the electrons that reach the camera's pixels, before noise."""
    # The propagator is periodic: what comes round the edge stays in a margin that is cut away.
    margin = max(16, math.ceil(16 / scene.nm_per_pixel))
    canvas = tuple(scipy.fft.next_fast_len(size + 2 * margin) for size in shape)
    support = _support_nm(rng, scene, canvas, shape, margin)
    particles, absorption, cavities = _thicknesses_nm(rng, scene, canvas, margin, bodies)
    support = np.maximum(support - cavities, 0)
    absorption += support / scene.support_free_path_nm
    absorption += absorption_of(rng, scene, canvas, bodies=bodies, lines=lines, margin=margin)
    potential = scene.support_volt * support + scene.particle_volt * particles
    phase = np.float32(interaction_constant(scene.voltage_kv)) * potential
    defocus_nm = draw(rng, scene.defocus_nm)
    intensity = defocus_wave(
        np.exp(-absorption / 2 + 1j * phase),
        defocus_nm=defocus_nm,
        wavelength_nm=electron_wavelength_nm(scene.voltage_kv),
        nm_per_pixel=scene.nm_per_pixel,
    )
    blur_nm = abs(defocus_nm) * scene.convergence_mrad * 1e-3
    if blur_nm:
        intensity = scipy.ndimage.gaussian_filter(intensity, blur_nm / scene.nm_per_pixel)
    return intensity[margin : margin + shape[0], margin : margin + shape[1]]


def _support_nm(
    rng: np.random.Generator,
    scene: Scene,
    canvas: tuple[int, int],
    shape: tuple[int, int],
    margin: int,
) -> np.ndarray:
    """Thickness of the film: a wedge, a sag, slow variation and grain."""
    rows, cols = (
        (np.arange(whole, dtype=np.float32) + 0.5 - margin) / size - 0.5
        for whole, size in zip(canvas, shape, strict=True)
    )
    direction = rng.uniform(0, 2 * math.pi)
    wedge = rows[:, None] * math.sin(direction) + cols[None, :] * math.cos(direction)
    sag = rows[:, None] ** 2 + cols[None, :] ** 2
    relative = 1 + draw(rng, scene.gradient) * wedge + draw(rng, scene.curvature) * 2 * sag
    rms, beta = draw(rng, scene.texture_rms), draw(rng, scene.texture_beta)
    relative += np.float32(rms) * film_texture(rng, canvas, beta)
    thickness = np.float32(draw(rng, scene.support_nm)) * relative
    # The number of atoms above a pixel varies as its root: coarser pixels see less of the grain.
    grain_nm = np.float32(scene.grain_nm * 0.5 / scene.nm_per_pixel)
    thickness += grain_nm * rng.standard_normal(canvas, dtype=np.float32)
    return np.maximum(thickness, 0)


def _thicknesses_nm(
    rng: np.random.Generator,
    scene: Scene,
    canvas: tuple[int, int],
    margin: int,
    bodies: list[Body],
) -> np.ndarray:
    """(3, H, W) summed thickness of the particles; by free path, each with its own; of cavities."""
    particles, absorption, cavities = sums = np.zeros((3, *canvas), dtype=np.float32)
    free_path_nm = draw(rng, scene.free_path_nm)
    for body in bodies:
        contrast = max(0.2, 1 + scene.contrast_spread * rng.standard_normal())
        window = body.window(canvas, margin)
        own = body.thickness(window, margin) * scene.nm_per_pixel
        if body.cavity:
            cavities[window] += own
        else:
            particles[window] += own
            absorption[window] += own * contrast / free_path_nm
    return sums


def _k_squared(shape: tuple[int, int], spacing: float, *, real: bool = False) -> np.ndarray:
    """Squared spatial frequency of the elements of a discrete Fourier transform, float32."""
    frequency = scipy.fft.rfftfreq if real else scipy.fft.fftfreq
    rows, cols = scipy.fft.fftfreq(shape[0], spacing), frequency(shape[1], spacing)
    return (rows[:, None] ** 2 + cols[None, :] ** 2).astype(np.float32)


def expose(rng: np.random.Generator, scene: Scene, intensity: np.ndarray) -> np.ndarray:
    """Electrons per pixel as the camera sees them."""
    low, high = np.broadcast_to(scene.dose_e_per_px, 2)
    dose = math.exp(rng.uniform(math.log(low), math.log(high)))
    electrons = dose * intensity
    if scene.noise:
        electrons = rng.poisson(electrons).astype(np.float32)
    if scene.spread_px:
        electrons = scipy.ndimage.gaussian_filter(electrons, scene.spread_px)
    return electrons


def stored(electrons: np.ndarray, scene: Scene) -> np.ndarray:
    if scene.dtype == "uint16":
        return np.clip(np.rint(scene.gain * electrons), 0, 65535).astype(np.uint16)
    low, high = np.percentile(electrons, (0.1, 99.9))
    stretched = (electrons - low) / max(high - low, np.finfo(np.float32).tiny)
    return np.clip(np.rint(255 * stretched), 0, 255).astype(np.uint8)


def drawn_scale_bar(shape: tuple[int, int], nm_per_pixel: float) -> np.ndarray:
    """(H, W) uint8, 255 on the bar and its length in words; about a fifth of the width."""
    import cv2

    length_nm = int(np.clip(round_down(0.25 * shape[1] * nm_per_pixel), 1, 10_000))
    length, scale = round(length_nm / nm_per_pixel), max(0.35, shape[1] / 900)
    stroke = max(1, round(2 * scale))
    text = f"{length_nm} nm" if length_nm < 1000 else f"{length_nm // 1000} um"
    canvas = np.zeros(shape, dtype=np.uint8)
    edge, thick = max(4, shape[1] // 40), max(2, shape[0] // 100)
    right, bottom = shape[1] - edge, shape[0] - edge
    canvas[bottom - thick : bottom, max(0, right - length) : right] = 255
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    corner = (max(0, right - (length + width) // 2), bottom - 2 * thick)
    cv2.putText(canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, stroke, cv2.LINE_8)
    return canvas
