"""Warm start: a training that goes on from the weights of a former run, over newer data and longer vocabularies."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.disk.layout import StageLayout
from features.disk.manifest import read_manifest
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from features.serialization import unstructure
from trainer.config.tables import TABLES, FullConfig, TableConfig
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.training.checkpoints import restore_best
from trainer.training.stage import AnyStage


def warm_start(model: tfrs.Model, stage: AnyStage, dataset: EncodedDataset, former: StageLayout) -> None:
    """Gives the model the best weights of a former run of the stage.

    Vocabularies only grow at their end, so the rows of former values are the first ones of each table. The rows of new
    values start from the mean of these. Optimizer, learning rate and the count of steps start anew.

    Args:
        model: Of the new training.
        stage: What is trained, with the same layers as in the former run.
        dataset: Encoder and catalogue of the new training.
        former: The finished stage of the former run.

    Raises:
        InputError: The former run is not finished, has other layers, or its values are not the first ones of today's.
    """
    if not former.manifest.exists():
        raise InputError(
            f"start_from: run {former.directory.parent.name} has no trained {stage.name}; choose another run of "
            "`recstack runs`, or leave start_from empty"
        )
    _require_same_rows(stage, former)
    before = encode_dataset(dataset.encoder.schema, former.dataset)
    _require_grown(before.encoder, dataset.encoder, former)
    # On its own and outside of any strategy: all of it is forgotten once its weights are copied.
    trained = stage.make_model(before, None, seed=0)
    try:
        restore_best(trained, former)
    except InputError as error:
        raise InputError(
            f"start_from: the weights of run {former.directory.parent.name} do not fit {stage.name}: it was trained "
            f"with other layers, or its checkpoint is damaged; leave start_from empty ({error})"
        ) from error
    for parts, old in zip(_parts_of_weights(model), trained.trainable_variables, strict=True):
        rows = np.cumsum([part.shape[0] if part.shape.rank else 1 for part in parts])
        grown = _grown(old.numpy(), int(rows[-1]))
        for part, values in zip(parts, np.split(grown, rows[:-1]) if grown.ndim else [grown], strict=True):
            part.assign(values)


def _parts_of_weights(model: tfrs.Model) -> list[list[tf.Variable]]:
    """The trainable weights; of one that is cut into parts, which lie on several servers, all of these in order."""
    weights: list[list[tf.Variable]] = []
    former = None
    for variable in model.trainable_variables:
        whole = getattr(variable, "_sharded_container", lambda: None)()  # TensorFlow says it nowhere else
        if whole is not None and whole is former:
            weights[-1].append(variable)
        else:
            weights.append([variable])
        former = whole
    return weights


def _require_same_rows(stage: AnyStage, former: StageLayout) -> None:
    """Refuses tables in which a value's row is another one than in the former run."""
    tables: Mapping[str, TableConfig] = getattr(stage.config, "embedding", {})
    trained = read_manifest(former.manifest, "run").config.get("embedding", {})
    for name in sorted({*tables, *trained}):
        config = tables.get(name, FullConfig())
        field, run = f"{stage.name}.embedding.{name}", former.directory.parent.name
        if trained.get(name, unstructure(FullConfig())) != unstructure(config):
            raise InputError(
                f"start_from: run {run} stores the embeddings of {name!r} in another way; give {field} as it was "
                "there, or leave start_from empty"
            )
        if config.needs_counts:
            raise InputError(
                f"start_from: the rows of {field}, of kind {TABLES.name_of(config)!r}, depend on how often each item "
                "occurs, which newer data changes; leave start_from empty, or choose another kind for both runs"
            )


def _require_grown(before: SchemaEncoder, now: SchemaEncoder, former: StageLayout) -> None:
    for name in now.schema.vocabularies:
        known, tokens = before.lookup(name).vocabulary.tokens, now.lookup(name).vocabulary.tokens
        if tokens[: len(known)] != known:
            raise InputError(
                f"start_from: the values of {name!r} that run {former.directory.parent.name} knows are not the first "
                "ones of the dataset's, so its rows would mean others; leave start_from empty, and let `recstack "
                "prepare` extend the dataset that is there instead of beginning anew"
            )


def _grown(old: np.ndarray, rows: int) -> np.ndarray:
    """The former rows, and as many means of them as rows are missing."""
    missing = rows - len(old) if old.ndim else 0
    if missing <= 0:
        return old
    return np.concatenate([old, np.repeat(old.mean(axis=0, keepdims=True), missing, axis=0)])
