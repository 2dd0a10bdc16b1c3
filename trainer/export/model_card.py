"""The model card of a version: signatures, data, quality and index, in Markdown."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from features.disk.layout import ModelName
from features.disk.manifest import Manifest
from trainer.index.report import IndexReport

_PURPOSE: Mapping[ModelName, str] = {
    "retrieval": "Finds the best items for a query with an index over the whole catalogue.",
    "retrieval_exact": "Finds the best items for a query by scoring every item. Stock TensorFlow operations only.",
    "ranking": "Scores given items for a query.",
    "recommender": "Retrieves candidates, drops the items in the user's history, ranks the rest, returns the best.",
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


def model_card(model: ModelName, signatures: str, report: IndexReport | None, manifest: Manifest) -> str:
    """Writes the model card.

    Args:
        model: The model.
        signatures: Section on the signatures, made by `signatures_section`.
        report: Report of the index; None for a model without one.
        manifest: Manifest of the version.

    Returns:
        Markdown.
    """
    parts = [
        f"# {model}",
        _PURPOSE[model],
        "Made by " + ", ".join(f"{name} {version}" for name, version in manifest.producer.items()) + ".",
        signatures,
        _data(manifest),
        _quality(manifest),
        _index(report),
        _use(model, report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def input_defaults(signature: Any) -> Mapping[str, Any]:
    """Default value of each input of a signature made by `make_signature`; None for a required input."""
    defaults: Mapping[str, Any] = inspect.signature(signature.python_function).parameters["inputs"].default
    return defaults


def signatures_section(signatures: Mapping[str, Any], outputs: Mapping[str, Mapping[str, tf.TensorSpec]]) -> str:
    """Lists the inputs and outputs of each signature.

    Args:
        signatures: Signatures by name, made by `make_signature`.
        outputs: Outputs by signature and name, as `saved_outputs` reads them.

    Returns:
        Markdown.
    """
    lines = ["## Signatures"]
    for name, signature in signatures.items():
        lines += [f"\n`{name}`\n", "| input | type | shape | |", "|---|---|---|---|"]
        lines += _inputs(signature)
        lines += ["\n| output | type | shape |", "|---|---|---|"]
        lines += [f"| `{key}` | {_type(spec)} | {_shape(spec)} |" for key, spec in outputs[name].items()]
    return "\n".join(lines)


def _inputs(signature: Any) -> Iterator[str]:
    (specs,) = signature.input_signature
    defaults = input_defaults(signature)
    for key, spec in specs.items():
        given = "required" if defaults[key] is None else "optional"
        yield f"| `{key}` | {_type(spec)} | {_shape(spec)} | {given} |"


def _type(spec: Any) -> str:
    return str(spec.dtype.name)


def _shape(spec: Any) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in spec.shape.as_list()) + "]"


def _data(manifest: Manifest) -> str:
    counts = manifest.counts
    rows = [f"| {name.replace('_', ' ')} | {counts[name]:,} |" for name in _SHOWN_COUNTS if name in counts]
    return "\n".join(["## Data", "", "| | |", "|---|---|", *rows])


def _quality(manifest: Manifest) -> str:
    evaluations = manifest.metrics.get("evaluation", {})
    if not evaluations:
        return "## Quality\n\nNot evaluated before this export."
    return "\n\n".join(["## Quality", *(_evaluation(stage, result) for stage, result in evaluations.items())])


def _evaluation(stage: str, result: Mapping[str, Any]) -> str:
    lines = [f"{stage}, {result['split']} split{_confidence(result)}:", "", "| metric | value | |", "|---|---|---|"]
    lines += [f"| {name} | {each['value']:.4f} | {_interval(each)} |" for name, each in result["metrics"].items()]
    return "\n".join(lines)


def _confidence(result: Mapping[str, Any]) -> str:
    confidence = result.get("confidence")
    return "" if confidence is None else f", with {100 * confidence:g}% confidence intervals"


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


def _use(model: ModelName, report: IndexReport | None) -> str:
    return f"""## Use

- {_requirements(report)}
- Users and items unseen in training are handled through their other features; the empty string, 0 seconds and NaN mean
  "unknown".
- If fewer items are found than requested, the answer is padded with id `""` and score -inf. No item is returned twice.
- `examples/` holds one request for each signature: `*.grpc.json` is a `PredictRequest` in protobuf's JSON form,
  `*.rest.json` is a body for `POST /v1/models/{model}:predict`.
- Over gRPC the server fills in optional inputs. Over REST, and in a Python program that calls a loaded signature, pass
  every input: use the values that mean "unknown", and NaN bounds or `""` entries for filters that restrict nothing."""


def _requirements(report: IndexReport | None) -> str:
    if report is None or report.parameters is None:
        return "Needs only stock TensorFlow, or an unmodified TensorFlow Serving."
    return "Needs TensorFlow and `scann` built for the same TensorFlow version, or a server with ScaNN's operations."
