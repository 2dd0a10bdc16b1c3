"""What a version says of itself is complete, and true of the graph it lies beside."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from features.disk.exported import ExtraLayout
from features.disk.layout import MODEL_NAMES, ModelName, StageLayout
from features.disk.manifest import Manifest, read_manifest
from recstack.config import StackConfig
from trainer.export.job import evaluation_of
from trainer.export.model_card import model_card

RETRIEVAL = {"serving_default", "retrieve", "embed_query", "embed_item", "encode_query", "embed_encoded_query"}
SIGNATURES = {
    "retrieval": RETRIEVAL,
    "retrieval_exact": RETRIEVAL,
    "ranking": {"serving_default"},
    "recommender": {"serving_default", "explain"},
}


def extra(stack: StackConfig, model: ModelName) -> ExtraLayout:
    return stack.layout.model(model).extra(1)


def manifest(stack: StackConfig, model: ModelName) -> dict:
    return json.loads(extra(stack, model).manifest.read_text())


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_manifest_holds_schema_vocabularies_metrics_and_producers(checkerboard: StackConfig, model: ModelName) -> None:
    found = manifest(checkerboard, model)
    names = [feature["name"] for feature in found["config"]["schema"]["candidate"]]
    assert names == [feature.name for feature in checkerboard.features.candidate]
    assert set(found["vocabularies"]) == {"user_id", "item_id", "remainders"}
    evaluation = found["metrics"]["evaluation"]
    if model != "ranking":
        assert evaluation["retrieval"]["metrics"]["recall@2"]["value"] == 1.0
    if model in ("ranking", "recommender"):
        assert evaluation["ranking"]["metrics"]["label/auc"]["value"] == 1.0
    assert ("ranking" in found["metrics"]["evaluation"]) == (model in ("ranking", "recommender"))
    assert found["counts"]["indexed_items"] == 40
    if model != "ranking":
        assert found["metrics"]["index"]["recall"] >= 0.97


def judged(tmp_path: Path, text: str) -> StageLayout:
    """A finished ranking run with this `metrics.json`, in which RUN stands for the run's fingerprint."""
    run = StageLayout(tmp_path / "ranking")
    run.directory.mkdir()
    Manifest(kind="run", schema_fingerprint="s", inputs={}).write(run.manifest)
    run.metrics.write_text(text.replace("RUN", read_manifest(run.manifest, "run").fingerprint()))
    return run


def test_an_evaluation_of_one_label_alone_has_no_auc(tmp_path: Path) -> None:
    model = {"auc": None, "log_loss": 0.25, "num_examples": 3}
    result = {"inputs": {"run": "RUN"}, "split": "test", "confidence": 0.9, "tasks": {"liked": {"model": model}}}
    assert evaluation_of(judged(tmp_path, json.dumps(result))) == {
        "split": "test",
        "confidence": 0.9,
        "metrics": {"liked/log_loss": {"value": 0.25}},
    }


@pytest.mark.parametrize("text", ["", "[]", '{"inputs": {}}', '{"inputs": {"run": "another"}, "model": {}}'])
def test_what_is_no_evaluation_of_the_run_is_not_told(tmp_path: Path, text: str) -> None:
    assert evaluation_of(judged(tmp_path, text)) is None


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_warmup_has_a_record_of_each_signature_and_batch_size(checkerboard: StackConfig, model: ModelName) -> None:
    records = tf.data.TFRecordDataset(str(extra(checkerboard, model).warmup_requests)).as_numpy_iterator()
    seen = set()
    for record in records:
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        sizes = {value.tensor_shape.dim[0].size for value in request.inputs.values() if value.tensor_shape.dim}
        seen.add((request.model_spec.signature_name, max(sizes)))
    sizes = checkerboard.export.warmup_batch_sizes
    assert seen == {
        (name, size) for name in SIGNATURES[model] for size in ((min(sizes),) if name == "explain" else sizes)
    }


@pytest.mark.slow
def test_example_requests_are_answered_and_both_forms_say_the_same(checkerboard: StackConfig) -> None:
    layout, answers = checkerboard.layout.model("retrieval_exact"), {}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(layout.version(1)))
        for name in SIGNATURES["retrieval_exact"]:
            request = json_format.Parse(layout.extra(1).example(name, "grpc").read_text(), predict_pb2.PredictRequest())
            body = json.loads(layout.extra(1).example(name, "rest").read_text())
            assert body["inputs"].get("exclude_seen", True) == checkerboard.evaluation.exclude_seen
            assert body["signature_name"] == request.model_spec.signature_name == name
            given = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            assert set(body["inputs"]) == set(graph.signature_def[name].inputs)  # REST fills no defaults in
            assert {
                key: value.astype(str if value.dtype == object else value.dtype).tolist()
                for key, value in given.items()
            } == {key: body["inputs"][key] for key in given}
            signature = graph.signature_def[name]
            answers[name] = answer = session.run(
                {key: info.name for key, info in signature.outputs.items()},
                {signature.inputs[key].name: value for key, value in given.items()},
            )
            assert all(len(value) == 1 for value in answer.values())
            assert all(np.isfinite(value).all() for value in answer.values() if value.dtype == np.float32)
    encoded = json.loads(layout.extra(1).example("embed_encoded_query", "rest").read_text())["inputs"]
    assert encoded == {key: value.tolist() for key, value in answers["encode_query"].items()}


def test_model_card_names_every_signature_and_input(checkerboard: StackConfig) -> None:
    card = extra(checkerboard, "retrieval").model_card.read_text()
    for name in SIGNATURES["retrieval"]:
        assert f"`{name}`" in card
    assert "| `user_id` | string | [?] | required |" in card
    assert "| `number_max` | float32 | [?] | optional |" in card
    assert "recall@2 | 1.0000" in card
    assert "| `item_ids` | string | [?, ?] |\n| `scores` | float32 | [?, ?] |" in card
    assert "(recall_latency.svg)" in card


@pytest.mark.parametrize(("confidence", "percent"), [(0.95, "95%"), (0.9, "90%"), (0.999, "99.9%")])
def test_model_card_names_the_confidence_of_the_evaluation(confidence: float, percent: str) -> None:
    evaluation = {"split": "test", "confidence": confidence, "metrics": {"auc": {"value": 0.5, "low": 0, "high": 1}}}
    metrics = {"evaluation": {"ranking": evaluation}}
    manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={}, metrics=metrics)
    card = model_card("ranking", "", None, manifest)
    assert f"ranking, test split, with {percent} confidence intervals:" in card
    assert "| auc | 0.5000 | 0.0000 to 1.0000 |" in card


def test_model_card_of_a_model_that_was_not_evaluated() -> None:
    manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={})
    assert "Not evaluated before this export." in model_card("ranking", "", None, manifest)


def test_curve_is_a_picture_where_there_is_a_curve(checkerboard: StackConfig) -> None:
    assert ElementTree.parse(extra(checkerboard, "retrieval").curve).getroot().tag.endswith("svg")
    assert not extra(checkerboard, "retrieval_exact").curve.exists()


def operations(directory: Path) -> set[str]:
    model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    return {node.op for node in graph.node} | {n.op for function in graph.library.function for n in function.node_def}


def test_exact_retrieval_and_ranking_hold_stock_operations_only(checkerboard: StackConfig) -> None:
    # Operations of libraries have a namespace before ">".
    for model in ("retrieval_exact", "ranking"):
        assert not [op for op in operations(checkerboard.layout.model(model).version(1)) if ">" in op]
    assert "Scann>TensorsToScann" in operations(checkerboard.layout.model("retrieval").version(1))


def test_only_trained_tables_are_gathered_from_directly(checkerboard: StackConfig) -> None:
    """See `trainer.index.vectors.read_rows`: a variable gathered from directly is copied at every read."""
    for model in MODEL_NAMES:
        path = checkerboard.layout.model(model).version(1) / "saved_model.pb"
        graph = saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0].graph_def
        nodes = [node for function in graph.library.function for node in function.node_def]
        gathered = {node.input[0] for node in nodes if node.op == "ResourceGather"}
        assert all(name.startswith(("query_tower", "candidate_tower", "member")) for name in gathered), gathered
