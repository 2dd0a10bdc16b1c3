"""The query tower as a TensorFlow Lite file, for phones and other devices.

    python query_tower_tflite.py saved_models/retrieval_exact/1 query_tower.tflite 42

Converts the signature `embed_encoded_query`, which needs nothing but TensorFlow Lite's own kernels, and compares it
with the SavedModel. It takes indices into vocabularies. `encode_query` of the SavedModel makes them where strings are
at home; a device can keep them, or look ids up in the vocabulary files among the SavedModel's assets (index = number
of the line, counted from 0, + 1 + out-of-vocabulary buckets; 0 is padding).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.core.protobuf import saved_model_pb2

SIGNATURE = "embed_encoded_query"


def main(arguments: Sequence[str] | None = None) -> None:
    """Converts, compares, and prints the vector of each user."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", type=Path, help="directory of one version of retrieval_exact")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("users", nargs="+", help="user ids")
    given = parser.parse_args(arguments)
    given.output.write_bytes(convert(given.version))
    loaded = tf.saved_model.load(str(given.version))
    encoded = loaded.signatures["encode_query"](
        **defaults(given.version, "encode_query") | {"user_id": tf.constant(given.users)}
    )
    found = run(given.output, {name: value.numpy() for name, value in encoded.items()})
    expected = loaded.signatures[SIGNATURE](**encoded)["embedding"].numpy()
    print(f"{given.output}: {given.output.stat().st_size} bytes, off by at most {np.abs(found - expected).max():.1e}")
    for user, vector in zip(given.users, found, strict=True):
        print(f"{user}: {' '.join(f'{value:.6f}' for value in vector)}")


def convert(version: Path) -> bytes:
    """The tower as a TensorFlow Lite model."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(version), signature_keys=[SIGNATURE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return bytes(converter.convert())


def run(model: Path, encoded: Mapping[str, "np.ndarray[Any, Any]"]) -> "np.ndarray[Any, Any]":
    """The vectors of a batch of any size."""
    interpreter = Interpreter(model_path=str(model))
    return np.asarray(interpreter.get_signature_runner(SIGNATURE)(**encoded)["embedding"])


def defaults(version: Path, signature: str) -> dict[str, Any]:
    """The optional inputs of a signature and what they are when not given."""
    model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    values = model.meta_graphs[0].signature_def[signature].defaults
    return {name: tf.constant(tf.make_ndarray(value)) for name, value in values.items()}


if __name__ == "__main__":
    main()
