#!/bin/sh
# RapidOCR cannot write "Å": a scale bar of "20 Å" is read as "A", with a confidence near 1.
#
# Guess: an OCR whose alphabet has 6,623 characters, Greek among them, reads the units of a scale bar,
#     or is unsure of what it does not know.
# Seen, rapidocr-onnxruntime 1.4.4, its own models: "20 Å" comes out as "20" and "A", the "A" with a
#     confidence of 0.9 and more. The alphabet, which the model's metadata hold, has the Greek mu
#     (U+03BC) and neither Å (U+00C5, U+212B) nor the micro sign (U+00B5), which microscopes write:
#     "5 µm" comes out with the Greek letter, and does not equal what was drawn.
# So: take "A" behind a number for Å only where the scale makes sense, and compare units after
#     unicodedata.normalize("NFKC", …), which makes one of both mu.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet rapidocr-onnxruntime==1.4.4 onnxruntime==1.20.1 \
    opencv-python-headless==4.10.0.84 numpy==1.26.4 pillow==11.0.0 \
    matplotlib==3.9.2
cat > "$folder/read.py" <<'PYTHON'
from pathlib import Path

import matplotlib
import numpy as np
import onnxruntime
import rapidocr_onnxruntime
from PIL import Image, ImageDraw, ImageFont

read = rapidocr_onnxruntime.RapidOCR()
fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 40)


def texts(drawn):
    picture = Image.new("L", (320, 90), 255)
    ImageDraw.Draw(picture).text((40, 20), drawn, fill=0, font=font)
    found, _ = read(np.array(picture.convert("RGB")))
    print(repr(drawn), "->", [(text, round(float(score), 2)) for _, text, score in found])
    return {text.strip(): float(score) for _, text, score in found}


angstrom, micrometres = texts("20 \u00c5"), texts("5 \u00b5m")
(model,) = Path(rapidocr_onnxruntime.__file__).parent.glob("models/*_rec_*.onnx")
session = onnxruntime.InferenceSession(str(model))
alphabet = session.get_modelmeta().custom_metadata_map["character"].splitlines()
names = {"Å": "\u00c5", "Å, the unit sign": "\u212b", "micro": "\u00b5", "Greek mu": "\u03bc"}
print({name: letter in alphabet for name, letter in names.items()}, len(alphabet), "characters")
said = "".join(angstrom)
assert "A" in said and "\u00c5" not in said, said
assert max(score for text, score in angstrom.items() if "A" in text) > 0.9
assert "\u03bcm" in "".join(micrometres) and "\u00b5" not in "".join(micrometres)
assert [letter in alphabet for letter in names.values()] == [False, False, False, True]
PYTHON
"$folder/env/bin/python" "$folder/read.py"
