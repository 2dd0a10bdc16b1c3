"""Exports the embeddings of users and items: as Parquet files, and for TensorBoard's projector."""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from features.disk.exported import EmbeddingsLayout, Entity
from features.disk.files import make_directory, staged_directory
from features.disk.manifest import Manifest, StageResult, finished_with, producer_versions
from features.schema import fingerprint
from trainer.export.assembly import Assembly, ExportJob
from trainer.export.inputs import fingerprints
from trainer.restore import require_trained

MOST_PROJECTED = 10_000
"""Maximum number of points for TensorBoard's projector, which gets slow beyond; more are sampled."""

_BLOCK = 4096

Vectors = npt.NDArray[np.float32]


def export_embeddings(job: ExportJob) -> StageResult:
    """Writes the vectors of all items of the catalogue and of all users with an embedding.

    A user's vector is that of a request with the user's id only: with the history that the exported models hold, and
    without context. The inner product of a query's and an item's vector is the score that retrieval ranks by.

    Raises:
        InputError: An earlier stage is missing.
    """
    began = time.perf_counter()
    layout = job.workdir.embeddings
    inputs = fingerprints(job, ("retrieval",)) | {"lookup_history": fingerprint(job.export.lookup_history)}
    finished = finished_with(layout.manifest, "embeddings", inputs)
    if finished is not None:
        return StageResult(manifest=finished, directory=layout.root, nothing_to_do=True)
    require_trained(job.context, job.stages["retrieval"])
    assembly = Assembly(job)
    with staged_directory(layout.root) as staging:
        target = EmbeddingsLayout(staging)
        # The items first: this restores the model, which cannot be done while a function is traced.
        vectors: dict[Entity, tuple[Sequence[bytes], Vectors]] = {"items": (assembly.item_ids, assembly.vectors)}
        vectors |= _users(assembly)
        for of, (ids, matrix) in vectors.items():
            write_vectors(target, of, ids, matrix, job.context.seed)
        _write_projector_config(target, list(vectors))
        manifest = Manifest(
            kind="embeddings",
            schema_fingerprint=job.context.schema.fingerprint(),
            inputs=inputs,
            counts={of: len(ids) for of, (ids, _) in vectors.items()},
            producer=producer_versions("tensorflow", "pyarrow"),
            seconds=time.perf_counter() - began,
        )
        manifest.write(target.manifest)
    return StageResult(manifest=manifest, directory=layout.root, nothing_to_do=False)


def _users(assembly: Assembly) -> dict[Entity, tuple[Sequence[bytes], Vectors]]:
    """Ids and vectors of the users; empty if queries do not name their user."""
    if assembly.query.required != assembly.job.context.schema.user_id:
        return {}
    embed = tf.function(assembly.query_embedder(), input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    ids = assembly.user_ids
    blocks = [ids[start : start + _BLOCK] for start in range(0, len(ids), _BLOCK)]
    return {"users": (ids, np.concatenate([embed(tf.constant(block)).numpy() for block in blocks]))}


def write_vectors(layout: EmbeddingsLayout, of: Entity, ids: Sequence[bytes], vectors: Vectors, seed: int) -> None:
    """Writes the vectors of users or items.

    Args:
        layout: The directory.
        of: Whose vectors these are.
        ids: `[n]`, UTF-8.
        vectors: `[n, d] float32`.
        seed: Seed of the sample for the projector.
    """
    names = pa.array(ids, pa.binary()).cast(pa.string())
    flat = pa.array(vectors.ravel(), pa.float32())
    table = pa.table({"id": names, "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})
    pq.write_table(table, layout.table(of))
    chosen = np.arange(len(ids))
    if len(ids) > MOST_PROJECTED:
        chosen = np.sort(np.random.default_rng(seed).choice(len(ids), MOST_PROJECTED, replace=False))
    make_directory(layout.projector)
    np.savetxt(_vectors_file(layout, of), vectors[chosen], fmt="%.6g", delimiter="\t")
    with _labels_file(layout, of).open("w", newline="", encoding="utf-8") as file:
        # The projector wants one column without a header.
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([[names[int(row)].as_py()] for row in chosen])


def _write_projector_config(layout: EmbeddingsLayout, entities: Sequence[Entity]) -> None:
    from tensorboard.plugins import projector

    config = projector.ProjectorConfig()
    for of in entities:
        config.embeddings.add(
            tensor_name=of, tensor_path=_vectors_file(layout, of).name, metadata_path=_labels_file(layout, of).name
        )
    projector.visualize_embeddings(str(layout.projector), config)


def _vectors_file(layout: EmbeddingsLayout, of: Entity) -> Path:
    return layout.projector / f"{of}.tsv"


def _labels_file(layout: EmbeddingsLayout, of: Entity) -> Path:
    return layout.projector / f"{of}_labels.tsv"
