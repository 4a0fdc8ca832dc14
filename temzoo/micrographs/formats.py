"""Which format a file has: by how it begins, since exports are often named .png and are none."""

from __future__ import annotations

from pathlib import Path

from temzoo.micrographs.source import MicrographError

# Written by microscopes; their exports as TIFF or PNG often lie beside them.
MICROSCOPE_SUFFIXES = (".dm3", ".dm4", ".ser", ".emd", ".mrc")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *MICROSCOPE_SUFFIXES, ".npy")
# Where a signature lies in the file, and what it says. The longer ones are looked for first: by
# its width alone, an MRC file may begin like a BMP or a Digital Micrograph file.
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\x89HDF\r\n\x1a\n", "EMD"),
    (0, b"\x93NUMPY", "NumPy array"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II\x97\x01", "TIA series"),
    (208, b"MAP", "MRC"),  # MRC2014, word 53
    (0, b"\x00\x00\x00\x03", "Digital Micrograph"),
    (0, b"\x00\x00\x00\x04", "Digital Micrograph"),
    (0, b"BM", "BMP"),
)
NAMES = "PNG, JPEG, BMP, TIFF, a NumPy array, MRC, Digital Micrograph, TIA series or EMD"


def format_of(path: Path) -> str:
    """The name of the format, one of those in ``SIGNATURES``.

    Raises:
        MicrographError: the file's suffix, or its beginning, is of no format that is read.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise MicrographError(
            f"{path}: the name must end in one of {', '.join(SUFFIXES)}. Received: "
            f"{path.suffix.lower()!r}. Export the image as TIFF or PNG."
        )
    with path.open("rb") as file:
        head = file.read(256)
    for place, signature, kind in SIGNATURES:
        if head.startswith(signature, place):
            return kind
    raise MicrographError(
        f"{path}: does not begin like {NAMES}. Received: {head[:8]!r} as its first bytes. "
        "It is damaged or of another format; export it once more."
    )
