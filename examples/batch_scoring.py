"""Recommendations for many users by an Apache Beam pipeline, with RunInference.

    python batch_scoring.py --model saved_models/retrieval_exact/1 --users users.txt --output recommendations --k 10

Reads a user id a line, writes a JSON object a line. Any of Beam's runners takes it (`--runner`, and what it wants).
Each worker process loads the model once, and RunInference puts users together into batches, which an index answers many
times faster than one by one.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference
from apache_beam.options.pipeline_options import PipelineOptions


@dataclass
class Model:
    """A loaded SavedModel; it holds the variables, so it has to live as long as its signatures."""

    loaded: Any
    optional: Mapping[str, Any]
    """The inputs that a request may leave out."""


class RetrievalHandler(ModelHandler[str, PredictionResult, Model]):
    """Loads a SavedModel and answers batches of user ids."""

    def __init__(self, model: str, k: int, batch_size: int) -> None:
        """Remembers what to load; `model` is the directory of one version."""
        super().__init__(min_batch_size=1, max_batch_size=batch_size)
        self._model, self._k = model, k

    def load_model(self) -> Model:
        """Runs once in each worker process."""
        import tensorflow as tf
        from tensorflow.core.protobuf import saved_model_pb2

        with tf.io.gfile.GFile(f"{self._model}/saved_model.pb", "rb") as file:
            content = file.read()
        if b"Scann>" in content:
            import scann  # noqa: F401  -- registers its operations
        defaults = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def["retrieve"].defaults
        optional = {name: tf.constant(tf.make_ndarray(value)) for name, value in defaults.items()}
        return Model(tf.saved_model.load(self._model), optional | {"k": tf.constant(self._k)})

    def run_inference(
        self, batch: Sequence[str], model: Model, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """One call of the signature for the whole batch."""
        import tensorflow as tf

        answer = model.loaded.signatures["retrieve"](**model.optional | {"user_id": tf.constant(batch)})
        for user, items, scores in zip(batch, answer["item_ids"].numpy(), answer["scores"].numpy(), strict=True):
            found = [[item.decode(), float(score)] for item, score in zip(items, scores, strict=True) if item]
            yield PredictionResult(example=user, inference=found)


def to_json(result: PredictionResult) -> str:
    """One line of the output."""
    return json.dumps({"user_id": result.example, "items": result.inference})


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="directory of one version")
    parser.add_argument("--users", required=True, help="text file with a user id a line")
    parser.add_argument("--output", required=True, help="prefix of the files to write")
    parser.add_argument("--k", type=int, default=10, help="items a user")
    parser.add_argument("--batch-size", type=int, default=256, help="most users in one call")
    given, rest = parser.parse_known_args(arguments)
    handler = RetrievalHandler(given.model, given.k, given.batch_size)
    with beam.Pipeline(options=PipelineOptions(rest)) as pipeline:
        (
            pipeline
            | beam.io.ReadFromText(given.users)
            | RunInference(handler)
            | beam.Map(to_json)
            | beam.io.WriteToText(given.output, file_name_suffix=".jsonl")
        )


if __name__ == "__main__":
    main()
