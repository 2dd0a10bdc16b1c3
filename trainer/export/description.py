"""What a version says of itself: manifest, model card, the index's curve, example requests."""

import base64
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import json_format

from features.disk.layout import ExtraLayout, ModelName
from features.disk.manifest import Manifest
from trainer.export.plot import plot_curve
from trainer.export.requests import Request, predict_request
from trainer.index.report import IndexReport

_PURPOSE: Mapping[ModelName, str] = {
    "retrieval": "Finds the items that fit a query best, by an index over the whole catalogue.",
    "retrieval_exact": "Finds the items that fit a query best, by scoring every one. Stock TensorFlow operations only.",
    "ranking": "Scores given items for a query.",
    "recommender": "Retrieves candidates, leaves out what the user knows, ranks the rest and returns the best.",
}

_SHOWN_COUNTS = (
    "interactions_read",
    "users_train",
    "positives_train",
    "positives_validation",
    "positives_test",
    "candidates",
    "indexed_items",
)


@dataclass(frozen=True, kw_only=True)
class Description:
    """All there is to say of one version."""

    model: ModelName
    signatures: Mapping[str, Any]
    """By name, made by `make_signature`."""
    requests: Mapping[str, Sequence[Request]]
    """Example requests by signature."""
    report: IndexReport | None
    """Of the index, where there is one."""
    manifest: Manifest

    def write(self, extra: ExtraLayout) -> None:
        """Writes everything, the manifest last."""
        _write_examples(extra, self)
        if self.report is not None and self.report.curve:
            plot_curve(self.report, extra.curve)
        extra.model_card.write_text(model_card(self), encoding="utf-8")
        self.manifest.write(extra.manifest)


def _write_examples(extra: ExtraLayout, description: Description) -> None:
    for signature, requests in description.requests.items():
        defaults = _defaults(description.signatures[signature])
        given = {name: value for name, value in requests[0].items() if defaults[name] is None or not _is_missing(value)}
        message = predict_request(description.model, signature, given)
        # Over REST, TensorFlow Serving fills no defaults in.
        body = {"signature_name": signature, "inputs": {name: _plain(value) for name, value in requests[0].items()}}
        extra.example(signature, "grpc").parent.mkdir(exist_ok=True)
        extra.example(signature, "grpc").write_text(json_format.MessageToJson(message, sort_keys=True) + "\n")
        rest = json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True)
        extra.example(signature, "rest").write_text(rest + "\n", encoding="utf-8")


def _is_missing(value: "np.ndarray[Any, Any]") -> bool:
    """Whether all of an input is what stands for "not given", so that a request may leave it out."""
    if value.dtype == object:
        return not any(value.ravel())
    return bool(np.isnan(value).all()) if value.dtype.kind == "f" else value.ndim > 0 and not value.any()


def _plain(value: "np.ndarray[Any, Any]") -> Any:
    """Nested lists of JSON values; bytes that are no UTF-8 as REST writes them."""
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


def model_card(description: Description) -> str:
    """The model card, in Markdown."""
    manifest = description.manifest
    parts = [
        f"# {description.model}",
        _PURPOSE[description.model],
        "Made by " + ", ".join(f"{name} {version}" for name, version in manifest.producer.items()) + ".",
        _signatures(description),
        _data(manifest),
        _quality(manifest),
        _index(description.report),
        _use(description),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _signatures(description: Description) -> str:
    lines = ["## Signatures"]
    for name, function in description.signatures.items():
        lines += [f"\n`{name}`\n", "| input | type | shape | |", "|---|---|---|---|"]
        lines += _inputs(function)
        lines += ["\n| output | type | shape |", "|---|---|---|"]
        outputs = function.get_concrete_function().structured_outputs
        lines += [f"| `{key}` | {_type(spec)} | {_shape(spec)} |" for key, spec in outputs.items()]
    return "\n".join(lines)


def _inputs(function: Any) -> Iterator[str]:
    (specs,) = function.input_signature
    defaults = _defaults(function)
    for key, spec in specs.items():
        given = "required" if defaults[key] is None else "optional"
        yield f"| `{key}` | {_type(spec)} | {_shape(spec)} | {given} |"


def _defaults(function: Any) -> Mapping[str, Any]:
    """What each input is where a request leaves it out; None where it may not."""
    defaults: Mapping[str, Any] = inspect.signature(function.python_function).parameters["inputs"].default
    return defaults


def _type(spec: Any) -> str:
    return str(spec.dtype.name)


def _shape(spec: Any) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in spec.shape.as_list()) + "]"


def _data(manifest: Manifest) -> str:
    counts = manifest.counts
    rows = [f"| {name.replace('_', ' ')} | {counts[name]:,} |" for name in _SHOWN_COUNTS if name in counts]
    return "\n".join(["## Data", "", "| | |", "|---|---|", *rows])


def _quality(manifest: Manifest) -> str:
    lines = ["## Quality", ""]
    for stage, result in manifest.metrics.get("evaluation", {}).items():
        lines += [
            f"{stage}, {result['split']} split, with 95 % intervals:",
            "",
            "| metric | value | |",
            "|---|---|---|",
        ]
        lines += [
            f"| {name} | {each['value']:.4f} | {_interval(each)} |" for name, each in result["metrics"].items()
        ] + [""]
    return "\n".join(lines).rstrip() if len(lines) > 2 else "## Quality\n\nNot evaluated before this export."


def _interval(metric: Mapping[str, float]) -> str:
    return f"{metric['low']:.4f} to {metric['high']:.4f}" if "low" in metric else ""


def _index(report: IndexReport | None) -> str:
    if report is None:
        return ""
    measured = "exact by construction" if report.num_queries == 0 else f"on {report.num_queries} held-out queries"
    text = (
        f"## Index\n\n{report.kind}, {report.precision}: {report.num_items:,} items of {report.dim} components, "
        f"recall@{report.tuned_k} {report.recall:.4f} ({measured}), target {report.target_recall}."
    )
    if report.parameters is None:
        return text
    point = report.parameters
    text += (
        f" {point.leaves_to_search} of {point.num_leaves} leaves searched, {point.num_rescored} candidates rescored."
    )
    return text + ("\n\n![recall over latency](recall_latency.svg)" if report.curve else "")


def _use(description: Description) -> str:
    needs = "`scann` of the same TensorFlow version, or a server with its operations" if _is_scann(description) else ""
    return f"""## Use

- Loads with {"TensorFlow and " + needs if needs else "stock TensorFlow and an unmodified TensorFlow Serving"}.
- Users and items that training did not see are answered by their other features; the empty string, 0 seconds and NaN
  mean "not known".
- Fewer items than asked for are padded at the end with id `""` and score -inf; no item is returned twice.
- `examples/` holds a request of each signature: `*.grpc.json` is a `PredictRequest` in protobuf's JSON form,
  `*.rest.json` the body of `POST /v1/models/{description.model}:predict`.
- Over gRPC a server fills in the optional inputs. Over REST, and in a Python program that calls a loaded signature,
  every input is given: what means "not known", and NaN for a bound or `""` in a list that restricts nothing."""


def _is_scann(description: Description) -> bool:
    return description.report is not None and description.report.kind != "exact"
