#!/bin/sh
# A network asked about NaN pixels: ONNX Runtime answers NaN, OpenVINO an ordinary probability.
#
# Guess: pixels without a value (masked dead pixels, the rim of a drift-corrected stack) give an answer
#     without one, so that it shows.
# Seen, OpenVINO 2026.4.1 and ONNX Runtime 1.32.0 with one ONNX file of a convolution, ReLU, another
#     convolution and a sigmoid, on a CPU: ONNX Runtime gives NaN wherever a NaN lies within reach;
#     OpenVINO's ReLU makes 0 of NaN, and every pixel comes out finite, between 0 and 1.
# So: look for NaN before a network runs in OpenVINO. Nothing in its answer tells.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/ask.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

path, size = f"{sys.argv[1]}/net.onnx", 16
rng = np.random.default_rng(0)
kernels = {"w1": rng.normal(size=(4, 1, 3, 3)), "w2": rng.normal(size=(1, 4, 3, 3))}
weights = [numpy_helper.from_array(k.astype(np.float32), name) for name, k in kernels.items()]
nodes = [
    helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["a"], ["b"]),
    helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
    helper.make_node("Sigmoid", ["c"], ["y"]),
]
x, y = (
    helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, size, size]) for name in "xy"
)
graph = helper.make_graph(nodes, "net", [x], [y], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(model, path)

image = rng.random((1, 1, size, size), np.float32)
image[0, 0, 8, 8] = np.nan
(by_onnx,) = onnxruntime.InferenceSession(path).run(None, {"x": image})
by_openvino = openvino.Core().compile_model(path, "CPU")(image)[0]
whole = np.nan_to_num(image, nan=0.5)
agree = np.abs(
    onnxruntime.InferenceSession(path).run(None, {"x": whole})[0]
    - openvino.Core().compile_model(path, "CPU")(whole)[0]
).max()
print("without NaN they differ by at most", agree)
print("NaN in the answer: ONNX Runtime", np.isnan(by_onnx).sum(), "OpenVINO", end=" ")
print(np.isnan(by_openvino).sum(), "of", image.size, "at the NaN itself:", by_openvino[0, 0, 8, 8])
assert agree < 0.02
assert np.isnan(by_onnx).sum() == 25
assert np.isfinite(by_openvino).all()
assert by_openvino.min() >= 0 and by_openvino.max() <= 1
PYTHON
"$folder/env/bin/python" "$folder/ask.py" "$folder"
