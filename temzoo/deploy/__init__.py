"""Trained models in other programs: TensorFlow Serving, ONNX Runtime, OpenVINO."""
