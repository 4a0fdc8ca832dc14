"""A model's metadata and answers from TensorFlow Serving's PredictionService, by gRPC.

The service is that of ``tensorflow_serving/apis/prediction_service.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from temzoo.deploy.serving.address import Address
from temzoo.deploy.serving.failures import MALFORMED, failure

# Without these, answers above 4 MiB are refused here, and after a failed attempt the channel would
# not try to connect again for up to 2 minutes.
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


class OverGrpc:
    """One channel to a server; threads may share it."""

    def __init__(self, address: Address, timeout_s: float):
        import grpc
        from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

        self.address, self.timeout_s = address, timeout_s
        self.channel = grpc.insecure_channel(address.place, options=OPTIONS)
        self.stub = PredictionServiceStub(self.channel)

    def metadata(self) -> dict[str, Any]:
        """{"model_spec": …, "metadata": {"signature_def": …}}, as REST gives it."""
        from google.protobuf.json_format import MessageToDict
        from tensorflow_serving.apis.get_model_metadata_pb2 import (
            GetModelMetadataRequest,
            SignatureDefMap,
        )

        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        self._specify(request)
        answer = self._call(self.stub.GetModelMetadata, request)
        signatures = SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        return {
            "model_spec": MessageToDict(answer.model_spec, preserving_proto_field_name=True),
            "metadata": {
                "signature_def": MessageToDict(signatures, preserving_proto_field_name=True)
            },
        }

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """The named outputs of a signature.

        Raises:
            ValueError: one is missing, or is no array; others as ``failures.failure`` has it.
        """
        import tensorflow as tf
        from tensorflow_serving.apis.predict_pb2 import PredictRequest

        request = PredictRequest(output_filter=outputs)
        self._specify(request, signature)
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._call(self.stub.Predict, request)
        missing = [name for name in outputs if name not in answer.outputs]
        if missing:  # asked for it, the message would make up an empty one
            said = f"which gave no {', '.join(missing)}"
            raise failure(self.address, MALFORMED, said)
        try:
            return {name: tf.make_ndarray(answer.outputs[name]) for name in outputs}
        except (TypeError, ValueError) as error:
            said = f"which gave no array: {error}"
            raise failure(self.address, MALFORMED, said) from error

    def pin(self, version: int) -> None:
        """From now on this version is asked."""
        self.address = replace(self.address, version=version)

    def close(self) -> None:
        self.channel.close()

    def _specify(self, request: Any, signature: str = "") -> None:
        request.model_spec.name = self.address.name
        request.model_spec.signature_name = signature
        if self.address.version is not None:
            request.model_spec.version.value = self.address.version

    def _call(self, method: Any, request: Any) -> Any:
        import grpc

        try:
            return method(request, timeout=self.timeout_s)
        except grpc.RpcError as error:
            raise failure(self.address, error.code().name, error.details() or "") from error
