"""Warm start: a training that goes on from the weights of a former run, over newer data or another catalogue."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.disk.layout import StageLayout
from features.disk.manifest import read_manifest
from features.errors import InputError
from features.serialization import unstructure
from trainer.config.tables import TABLES, FullConfig, TableConfig
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.layers.history_embedding import HistoryEmbedding
from trainer.layers.tables.matched_rows import MatchedRows, match_rows, tables_of_weights
from trainer.retrieval.semantic_ids import codes_of
from trainer.training.checkpoints import restore_best
from trainer.training.inputs import changes_since
from trainer.training.progress import Report, unreported
from trainer.training.stage import AnyStage


def warm_start(
    model: tfrs.Model, stage: AnyStage, dataset: EncodedDataset, former: StageLayout, report: Report = unreported
) -> None:
    """Gives the model the best weights of a former run of the stage.

    Rows of tables follow their values (`matched_rows`), so the former run may be of another catalogue with the same
    features. Semantic ids keep the former run's codes, so that their rows keep their meaning. Optimizer, learning rate
    and the count of steps start anew.

    Args:
        model: Of the new training.
        stage: What is trained, with the same layers as in the former run.
        dataset: Encoder and catalogue of the new training.
        former: The finished stage of the former run.
        report: Told how many rows of each table the former run knows.

    Raises:
        InputError: The former run is not finished, has other layers, or shares rows among values that are numbered
            in another way today.
    """
    if not former.manifest.exists():
        raise InputError(
            f"start_from: run {former.directory.parent.name} has no trained {stage.name}; choose another run of "
            "`recstack runs`, or leave start_from empty"
        )
    _require_same_rows(stage, former)
    before = encode_dataset(dataset.encoder.schema, former.dataset)
    matched = match_rows(before.encoder, dataset.encoder)
    _require_grown(stage, matched, former)
    # On its own and outside of any strategy: all of it is forgotten once its weights are copied.
    trained = stage.for_weights().make_model(before, None, seed=0)
    try:
        restore_best(trained, former)
    except InputError as error:
        changes = changes_since(read_manifest(former.manifest, "run"), stage)
        raise InputError(
            f"start_from: the weights of run {former.directory.parent.name} do not fit {stage.name} or are damaged; "
            f"leave start_from empty, or give the settings that decide about layers as they were:{changes}"
        ) from error
    tables = tables_of_weights(trained)
    for parts, old in zip(_parts_of_weights(model), trained.trainable_variables, strict=True):
        _assign(parts, old.numpy(), matched.get(tables.get(id(old), "")))
    for codes, before_codes in zip(codes_of(model), codes_of(trained), strict=True):
        codes.take_over(before_codes, matched)
    for embedding, before_embedding in zip(*(_history_embeddings(each) for each in (model, trained)), strict=True):
        embedding.take_over(before_embedding, matched[dataset.encoder.schema.item_id])
    report(_account(former, {name: matched[name] for name in sorted({*tables.values()} & {*matched})}))
    if read_manifest(former.manifest, "run").schema_fingerprint != dataset.encoder.schema.fingerprint():
        report(f"run {former.directory.parent.name} had other features, of which only those of today are taken over")


def _history_embeddings(model: tfrs.Model) -> list[HistoryEmbedding]:
    return [module for module in model.submodules if isinstance(module, HistoryEmbedding)]


def _assign(parts: Sequence[tf.Variable], old: np.ndarray, match: MatchedRows | None) -> None:
    """Gives a weight, which may lie in parts one below the other, the former values."""
    rows = np.cumsum([part.shape[0] if part.shape.rank else 1 for part in parts])
    if match is None:
        new = _grown(old, int(rows[-1]))
    else:
        new = match.carry_over(old, np.concatenate([tf.convert_to_tensor(part).numpy() for part in parts]))
    for part, values in zip(parts, np.split(new, rows[:-1]) if new.ndim else [new], strict=True):
        part.assign(values)


def _account(former: StageLayout, matched: Mapping[str, MatchedRows]) -> str:
    """One line: how many values of each table the former run knows."""
    tables = ", ".join(f"{match.num_known:,} of {match.num_values:,} of {name}" for name, match in matched.items())
    of_tables = f"; values that it knows: {tables}" if tables else ""
    return f"{former.directory.name} starts from run {former.directory.parent.name}{of_tables}"


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


def _require_grown(stage: AnyStage, matched: Mapping[str, MatchedRows], former: StageLayout) -> None:
    """Refuses values with other numbers where rows are shared by number, so that none belongs to one value."""
    tables: Mapping[str, TableConfig] = getattr(stage.config, "embedding", {})
    for name, config in tables.items():
        if not isinstance(config, FullConfig) and name in matched and not matched[name].is_grown:
            raise InputError(
                f"start_from: the values of {name!r} that run {former.directory.parent.name} knows are not the first "
                f"ones of the dataset's, and {stage.name}.embedding.{name}, of kind {TABLES.name_of(config)!r}, shares "
                "rows by their numbers; leave start_from empty, let `recstack prepare` extend the dataset that is "
                "there, or train both runs with kind 'full'"
            )


def _grown(old: np.ndarray, rows: int) -> np.ndarray:
    """The former rows of a weight whose rows belong to no single value, and means of them where rows are missing."""
    missing = rows - len(old) if old.ndim else 0
    if missing <= 0:
        return old
    return np.concatenate([old, np.repeat(old.mean(axis=0, keepdims=True), missing, axis=0)])
