"""Image files to pixels inside a graph, as ``load_micrograph`` has them: what a server decodes.

TensorFlow's own decoders leave three things out, which are done here: the orientation that Exif
states, by which labels are drawn and files are loaded (Exif 2.32, 4.6.4; PNG 3rd ed., 11.3.4.5);
the exact inverse cosine transform of JPEG, which Pillow takes; and palettes of BMP files.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from temzoo.micrographs.channels import BT601
from temzoo.micrographs.plain_files import (
    FLIPPED_COLUMNS,
    FLIPPED_ROWS,
    ORIENTATION,
    ROWS_BECOME_COLUMNS,
)

PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
EXIF, EXIF_CHUNK, END_CHUNK = b"Exif\0\0", b"eXIf", b"IEND"
APP1, START_OF_SCAN, MARKER = 0xE1, 0xDA, 0xFF
DEPTH, COLOUR = 24, 25  # bytes of a PNG that hold bits per channel and colour type
ENTRY = 12  # bytes of a tag in a directory of TIFF, in whose form Exif is
AFTER = 2048  # zeros after a file, so that its header may be read where it has none
LARGEST = {"uint8": 255.0, "uint16": 65535.0}


def pixels_of(image_bytes, shape: tuple[int | None, ...], *, unit: bool = False):
    """Decodes image files of one size.

    Args:
        image_bytes: (B,) string.
        shape: (H, W, C) that the model takes, None for any; C is 1 or 3. Colour becomes luma for
            a grey model, as ``load_micrograph`` has it; grey is repeated; alpha is dropped.
        unit: divide by the largest number of the stored type.

    Returns:
        (B, H, W, C) float32.
    """

    def decoded(file):
        return _with_channels(_decoded(file, unit), shape[-1], unit)

    spec = tf.TensorSpec((None, None, shape[-1]), tf.float32)
    images = tf.map_fn(decoded, image_bytes, fn_output_signature=spec)
    if shape[0] is None:
        return images
    size = tf.shape(images)
    fits = tf.logical_and(size[1] == shape[0], size[2] == shape[1])
    message = f"this model takes images of {shape[0]} x {shape[1]} pixels"
    with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
        images = tf.identity(images)
    images.set_shape((None, *shape))  # ensure_shape would speak first, and of tensors
    return images


def as_float(numbers, dtype: str, unit: bool):
    """Stored whole numbers, a tensor or an array, as what a model takes."""
    pixels = keras.ops.cast(numbers, "float32")
    return pixels / LARGEST[dtype] if unit else pixels


def _decoded(file, unit: bool):
    """(H, W, 1 to 4) float32 of one file, upright; a PNG of 16 bits keeps them."""
    raw = tf.concat([tf.io.decode_raw(file, tf.uint8), tf.zeros([AFTER], tf.uint8)], axis=0)
    png, jpeg, bmp = (_holds(raw, 0, start) for start in (PNG, JPEG, BMP))
    deep = png & (raw[DEPTH] == 16)
    indexed = bmp & (_number(raw, 28, 2) <= 8) & (_number(raw, 14, 4) >= 40)

    def of_8_bits():
        pixels = tf.case(
            [
                (jpeg, lambda: tf.io.decode_jpeg(file, dct_method="INTEGER_ACCURATE")),
                (indexed, lambda: _indexed_bmp(raw)),
            ],
            default=lambda: tf.io.decode_image(file, expand_animations=False),
        )
        return as_float(pixels, "uint8", unit)

    def of_16_bits():
        return as_float(tf.io.decode_png(file, dtype=tf.uint16), "uint16", unit)

    cases = [
        (jpeg, lambda: _turn(raw, _jpeg_exif(raw))),
        # Colours of 16 bits are loaded as they are stored.
        (png & ~(deep & (raw[COLOUR] > 0)), lambda: _turn(raw, _png_exif(raw))),
    ]
    turn = tf.case(cases, default=lambda: tf.constant(1, tf.int64))
    return _upright(tf.cond(deep, of_16_bits, of_8_bits), turn)


def _number(raw, at, size: int, big=False):
    """A whole number of ``size`` bytes; of the high byte first where ``big``."""
    part = tf.cast(_part(raw, at, size), tf.int64)
    part = tf.where(big, part[::-1], part)
    return tf.reduce_sum(part * [256**place for place in range(size)])


def _part(raw, at, size):
    """``size`` bytes from ``at`` on, which stays inside the file."""
    at, size = tf.cast(at, tf.int64), tf.cast(size, tf.int64)
    return tf.slice(raw, [tf.clip_by_value(at, 0, _length(raw) - size)], [size])


def _length(raw):
    return tf.size(raw, tf.int64)


def _holds(raw, at, words: bytes):
    return tf.reduce_all(_part(raw, at, len(words)) == tf.constant(list(words), tf.uint8))


def _first(raw, start: int, is_it, is_over, length):
    """Where a segment is that ``is_it``, from ``start`` on by ``length``; -1: there is none."""

    def goes_on(at):
        return ~is_it(at) & ~is_over(at) & (at < _length(raw) - AFTER)

    (at,) = tf.while_loop(goes_on, lambda at: (at + length(at),), [tf.constant(start, tf.int64)])
    return tf.where(is_it(at), at, -1)


def _jpeg_exif(raw):
    """Where the TIFF header of a JPEG's Exif is; -1 where there is none."""
    at = _first(
        raw,
        2,
        lambda at: (_number(raw, at + 1, 1) == APP1) & _holds(raw, at + 4, EXIF),
        lambda at: (_number(raw, at, 1) != MARKER) | (_number(raw, at + 1, 1) == START_OF_SCAN),
        lambda at: 2 + _number(raw, at + 2, 2, big=True),
    )
    return tf.where(at < 0, at, at + 4 + len(EXIF))


def _png_exif(raw):
    """Where the TIFF header of a PNG's Exif is; -1 where there is none."""
    at = _first(
        raw,
        len(PNG),
        lambda at: _holds(raw, at + 4, EXIF_CHUNK),
        lambda at: _holds(raw, at + 4, END_CHUNK),
        lambda at: 12 + _number(raw, at, 4, big=True),
    )
    return tf.where(at < 0, at, at + 8)


def _turn(raw, header):
    """The orientation that the TIFF directory behind a header states; 1 where it states none."""
    big = _holds(raw, header, b"MM\0*")
    known = (header >= 0) & (big | _holds(raw, header, b"II*\0"))
    directory = header + _number(raw, header + 4, 4, big)
    count = tf.minimum(_number(raw, directory, 2, big), (_length(raw) - directory) // ENTRY - 1)
    count = tf.where(known, tf.maximum(count, 0), 0)
    entries = tf.cast(_part(raw, directory + 2, count * ENTRY), tf.int64)
    entries = tf.reshape(entries, (-1, ENTRY))
    tags, values = (_pairs(entries[:, at : at + 2], big) for at in (0, 8))
    return tf.concat([tf.boolean_mask(values, tags == ORIENTATION), [1]], axis=0)[0]


def _pairs(halves, big):
    """(N,) whole numbers of (N, 2) bytes."""
    weights = tf.cast(tf.where(big, [256, 1], [1, 256]), tf.int64)
    return tf.reduce_sum(halves * weights, axis=1)


def _upright(pixels, turn):
    """As ``micrographs.plain_files.upright``."""

    def among(turns):
        return tf.reduce_any(turn == tf.constant(turns, tf.int64))

    columns = among(ROWS_BECOME_COLUMNS)
    pixels = tf.cond(columns, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    pixels = tf.cond(among(FLIPPED_ROWS), lambda: pixels[::-1], lambda: pixels)
    return tf.cond(among(FLIPPED_COLUMNS), lambda: pixels[:, ::-1], lambda: pixels)


def _indexed_bmp(raw):
    """(H, W, 3) uint8 of a BMP of 1, 2, 4 or 8 bits, which index its palette."""
    start, header, width, signed, packing = (_number(raw, at, 4) for at in (10, 14, 18, 22, 30))
    signed = tf.where(signed < 2**31, signed, signed - 2**32)  # of one from the top down below 0
    bits, height = _number(raw, 28, 2), tf.abs(signed)
    stride = (width * bits + 31) // 32 * 4
    whole = start + stride * height <= _length(raw) - AFTER
    fits = (packing == 0) & (bits > 0) & (8 % tf.maximum(bits, 1) == 0) & whole
    message = "a BMP with a palette must be whole, and not packed"
    with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
        rows = tf.reshape(_part(raw, start, stride * height), (height, stride, 1))
    shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
    values = tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(rows, shifts), tf.cast(2**bits - 1, tf.uint8)
    )
    values = tf.reshape(values, (height, -1))[:, :width]
    values = tf.cond(signed > 0, lambda: values[::-1], lambda: values)
    palette = tf.reshape(_part(raw, 14 + header, 4 * 2**bits), (-1, 4))[:, 2::-1]
    return tf.gather(palette, tf.cast(values, tf.int32))


def _with_channels(pixels, channels: int, unit: bool):
    """(H, W, 1 to 4) to (H, W, channels)."""
    stored = tf.shape(pixels)[-1]
    pixels = pixels[..., : stored - tf.cast(stored % 2 == 0, tf.int32)]  # without alpha
    if channels == 3:
        return tf.broadcast_to(pixels, tf.concat([tf.shape(pixels)[:2], [3]], axis=0))
    coloured = tf.shape(pixels)[-1] == 3
    return tf.cond(coloured, lambda: _luma(pixels, unit), lambda: pixels)


def _luma(pixels, unit: bool):
    """(H, W, 3) to (H, W, 1), rounded to whole numbers where the pixels are such."""
    red, green, blue = tf.unstack(tf.cast(pixels, tf.float64), 3, axis=-1)
    luma = BT601[0] * red + BT601[1] * green + BT601[2] * blue
    return tf.cast(luma if unit else tf.round(luma), tf.float32)[..., None]
