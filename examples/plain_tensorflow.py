"""Recommendations from a SavedModel with TensorFlow and nothing else.

    python plain_tensorflow.py saved_models/retrieval_exact 42 7 --k 5
    python plain_tensorflow.py saved_models/recommender 42 --k 5        # needs `pip install scann==1.4.2`

A server fills in what a request leaves out; a program that calls a loaded signature gives every input. The defaults are
in the SavedModel, so this is the same few lines for every model.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line a user."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="base path of a model, with a directory a version")
    parser.add_argument("users", nargs="+", help="user ids")
    parser.add_argument("--k", type=int, default=10, help="items a user")
    given = parser.parse_args(arguments)
    version = newest_version(given.model)
    if b"Scann>" in (version / "saved_model.pb").read_bytes():
        import scann  # noqa: F401  -- registers its operations
    loaded = tf.saved_model.load(str(version))
    # `recommender` has one signature and calls the count `limit`.
    signature, count = ("retrieve", "k") if "retrieve" in loaded.signatures else ("serving_default", "limit")
    defaults = read_defaults(version, signature)
    answer = loaded.signatures[signature](
        **defaults | {"user_id": tf.constant(given.users), count: tf.constant(given.k, tf.int32)}
    )
    for user, items, scores in zip(given.users, answer["item_ids"].numpy(), answer["scores"].numpy(), strict=True):
        found = [f"{item.decode()} {score:.4f}" for item, score in zip(items, scores, strict=True) if item]
        print(f"{user}: {', '.join(found)}")


def newest_version(base: Path) -> Path:
    """What TensorFlow Serving would serve."""
    return max((path for path in base.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def read_defaults(version: Path, signature: str) -> dict[str, Any]:
    """The optional inputs of a signature and what they are when not given."""
    model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    defaults = model.meta_graphs[0].signature_def[signature].defaults
    return {name: tf.constant(tf.make_ndarray(value)) for name, value in defaults.items()}


if __name__ == "__main__":
    main()
