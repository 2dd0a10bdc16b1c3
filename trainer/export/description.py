"""The files that describe a version: manifest, model card, plot of the index's curve, example requests."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from features.disk.exported import ExtraLayout
from features.disk.layout import ModelName
from features.disk.manifest import Manifest
from trainer.export.model_card import input_defaults, model_card, signatures_section
from trainer.export.plot import plot_curve
from trainer.export.requests import Request, predict_request
from trainer.index.report import IndexReport


@dataclass(frozen=True, kw_only=True)
class Description:
    """Everything that is written about one version."""

    model: ModelName
    signatures: Mapping[str, Any]
    """Signatures by name, made by `make_signature`."""
    outputs: Mapping[str, Mapping[str, tf.TensorSpec]]
    """Outputs by signature and name, as `saved_outputs` reads them."""
    requests: Mapping[str, Sequence[Request]]
    """Example requests by signature."""
    report: IndexReport | None
    """Report of the index; None for a model without one."""
    manifest: Manifest

    def write(self, extra: ExtraLayout) -> None:
        """Writes all files, the manifest last."""
        for signature, requests in self.requests.items():
            _write_example(extra, self.model, signature, requests[0], input_defaults(self.signatures[signature]))
        if self.report is not None and self.report.curve:
            plot_curve(self.report, extra.curve)
        signatures = signatures_section(self.signatures, self.outputs)
        card = model_card(self.model, signatures, self.report, self.manifest)
        extra.model_card.write_text(card, encoding="utf-8")
        self.manifest.write(extra.manifest)


def _write_example(
    extra: ExtraLayout, model: ModelName, signature: str, request: Request, defaults: Mapping[str, Any]
) -> None:
    given = {name: value for name, value in request.items() if defaults[name] is None or not _is_missing(value)}
    message = predict_request(model, signature, given)
    # TensorFlow Serving's REST API does not fill in defaults, so the REST example passes every input.
    body = {"signature_name": signature, "inputs": {name: _plain(value) for name, value in request.items()}}
    extra.example(signature, "grpc").parent.mkdir(exist_ok=True)
    extra.example(signature, "grpc").write_text(json_format.MessageToJson(message, sort_keys=True) + "\n", "utf-8")
    rest = json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True)
    extra.example(signature, "rest").write_text(rest + "\n", encoding="utf-8")


def _is_missing(value: "np.ndarray[Any, Any]") -> bool:
    """Whether an input holds nothing but missing values, so that a request may leave it out."""
    if value.dtype == object:
        return not any(value.ravel())
    return bool(np.isnan(value).all()) if value.dtype.kind == "f" else value.ndim > 0 and not value.any()


def _plain(value: "np.ndarray[Any, Any]") -> Any:
    """Nested lists of JSON values; bytes that are not UTF-8 become `{"b64": …}`, as in the REST API."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value
