"""Makes servables of any catalogue size without training, by the exporter's own parts, for the serving benchmarks.

    .venv/bin/python benchmarks/served_models.py /tmp/models 100000
    .venv/bin/python benchmarks/served_models.py /tmp/models 1000000 --only retrieval

Writes `DIRECTORY/retrieval/1`, `DIRECTORY/recommender/1` with the ranking model as its second stage, and
`DIRECTORY/list_recommender/1` with the list ranker. The item vectors lie around a subspace of 16 components,
as trained ones do; the towers, the ranking model and the histories are of full size but untrained, so the answers mean
nothing and cost what trained ones cost.
"""

import argparse
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from features.disk.exported import ModelLayout
from features.disk.layout import DatasetLayout, ModelName
from features.disk.manifest import Manifest
from features.disk.shards import shard_name
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.statistics import NumericStatistics, Statistics
from features.encoding.vocabulary import Vocabulary
from features.records.contents import TRAIN_FREQUENCY
from features.schema import Schema
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from features.spec.numeric import NumericFeature
from trainer.cascade.counts import ITEM_COLUMNS
from trainer.cascade.features import CandidateFeatures
from trainer.cascade.model import ListRanker
from trainer.cascade.similarities import SameItem, Similarity, SparseSimilarity, VectorSimilarity
from trainer.cascade.tables import SIMILARITIES
from trainer.config.cascade import ListRankerConfig
from trainer.config.export import ExportConfig
from trainer.config.index import AutoConfig
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.export.assembly import ranker_of
from trainer.export.items import ItemFeatures
from trainer.export.new_items import NewItems
from trainer.export.orders import ListOrder, RankingOrder
from trainer.export.query import KnownHistories, QueryInputs, UserHistories
from trainer.export.recommender import ListRules, RecommenderServable
from trainer.export.saving import build_version, publish_version
from trainer.export.servables import RankingServable, RetrievalServable, Towers
from trainer.index.attributes import ItemAttributes
from trainer.index.build import build_index
from trainer.index.filtered_retriever import Retriever
from trainer.index.item_ids import ItemIds
from trainer.ranking.model import RankingModel
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.two_towers import TwoTowers

NUM_USERS, HISTORY, SUBSPACE = 10_000, 20, 16
WARMUP_BATCHES = (1, 32)
SCHEMA = Schema(
    query=(IdFeature(name="user_id"), HistoryFeature(name="history", length=HISTORY)),
    candidate=(IdFeature(name="item_id"), NumericFeature(name="year")),
)
RETRIEVAL, RANKING, LIST_RANKING = RetrievalConfig(), RankingConfig(), ListRankerConfig()
MODELS: Mapping[str, ModelName] = {
    "retrieval": "retrieval",
    "recommender": "recommender",
    "list_recommender": "recommender",
}
"""What each directory holds."""
NEIGHBOURS = 100  # as many as `recstack init` takes for 100,000 items


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("items", type=int, help="number of items")
    parser.add_argument("--only", choices=[*MODELS], help="save this one only")
    arguments = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        layout = DatasetLayout(Path(directory))
        write_learnt_parts(layout, arguments.items)
        encoder = SchemaEncoder(SCHEMA, layout)
        candidates = load_catalogue(layout, encoder)
        # The vocabularies become assets of the SavedModel: they must be there when it is written.
        for name, module in make_modules(encoder, candidates).items():
            if arguments.only in (None, name):
                save(ModelLayout(arguments.directory / name), MODELS[name], module, candidates)


def write_learnt_parts(layout: DatasetLayout, num_items: int) -> None:
    """What an encoder needs of a dataset directory: vocabularies, statistics and the catalogue."""
    layout.vocabulary("item_id").parent.mkdir()
    Vocabulary(tuple(item_ids(num_items))).write(layout.vocabulary("item_id"))
    Vocabulary(tuple(f"user-{number}" for number in range(NUM_USERS))).write(layout.vocabulary("user_id"))
    year = NumericStatistics(count=num_items, missing=0, mean=2000.0, std=10.0, minimum=1980.0, maximum=2019.0)
    Statistics(num_users=NUM_USERS, num_items=num_items, num_interactions=0, numeric={"year": year}).write(
        layout.statistics
    )
    layout.candidates.mkdir()
    with tf.io.TFRecordWriter(str(layout.candidates / shard_name(0, 1)), "GZIP") as writer:
        for row, item_id in enumerate(item_ids(num_items)):
            example = tf.train.Example()
            feature = example.features.feature
            feature["item_id"].bytes_list.value.append(item_id.encode())
            feature["year"].float_list.value.append(year_of(row))
            feature[TRAIN_FREQUENCY].int64_list.value.append(1)
            writer.write(example.SerializeToString())


def item_ids(num_items: int) -> Iterator[str]:
    """Ids as long as a typical catalogue's."""
    return (f"item-{row:08d}" for row in range(num_items))


def year_of(row: int) -> float:
    """The filterable attribute."""
    return 1980.0 + row % 40


def make_modules(encoder: SchemaEncoder, candidates: EncodedCatalogue) -> dict[str, Any]:
    """The servables of `MODELS`, around one index."""
    two_tower = TwoTowerModel(RETRIEVAL, encoder, candidates, seed=0).towers
    ids = list(candidates.item_ids.numpy().tolist())
    lookup = ItemIds(ids)
    rng = np.random.default_rng(0)
    histories = rng.integers(0, len(ids), (NUM_USERS, HISTORY), np.int32)
    known = KnownHistories(rows=histories, kinds=None, kind_names=[], times=None)
    query = QueryInputs(SCHEMA, UserHistories(encoder, encoder.lookup("user_id"), known, ids))
    towers = Towers(
        embed_query=two_tower.query_tower,
        embed_candidate=two_tower.candidate_tower,
        variables=two_tower.variables,
    )
    years = np.array([year_of(row) for row in range(len(ids))], np.float32)
    retriever = Retriever(index_of(len(ids), two_tower, rng), ids, ItemAttributes(numeric={"year": years}))
    retrieval = RetrievalServable(encoder, query, towers, retriever, default_k=100)
    model = RankingModel(RANKING, encoder, candidates, seed=0)
    ranking = RankingServable(encoder, query, ranker_of(model), ItemFeatures(encoder, candidates, lookup))
    order = RankingOrder(ranking, RETRIEVAL.loss.temperature)
    rules = ListRules(new_items=NewItems(retriever, np.zeros(len(ids), bool), RETRIEVAL.loss.temperature))
    return {
        "retrieval": retrieval,
        "recommender": RecommenderServable(retrieval, order, ExportConfig(), rules, exclude_seen=True),
        "list_recommender": RecommenderServable(
            retrieval, list_order(len(ids), rng), ExportConfig(), rules, exclude_seen=True
        ),
    }


def list_order(num_items: int, rng: np.random.Generator) -> ListOrder:
    """The list ranker with tables of random items."""

    def vectors() -> Similarity:
        return VectorSimilarity(rng.normal(size=(num_items, RETRIEVAL.dimension)).astype(np.float32), "vectors")

    def neighbours() -> Similarity:
        columns = np.sort(rng.integers(0, num_items, (num_items, NEIGHBOURS), np.int32), axis=1)
        starts = np.arange(0, columns.size + 1, NEIGHBOURS)
        table = sp.csr_array((rng.random(columns.size, np.float32), columns.ravel(), starts), (num_items, num_items))
        return SparseSimilarity(table, "neighbours")

    kinds = {"same_item": lambda: SameItem(name="same_item"), "tower": vectors, "als": vectors}
    similarities = {name: kinds.get(name, neighbours)() for name in SIMILARITIES}
    columns = {name: rng.random(num_items, np.float32) for name in ITEM_COLUMNS}
    features = CandidateFeatures(similarities, columns, with_times=True)
    ranker = ListRanker(LIST_RANKING, len(features.names), seed=0)
    return ListOrder(features, ranker, LIST_RANKING.history)


def index_of(num_items: int, model: TwoTowers, rng: np.random.Generator) -> Any:
    """ScaNN over unit vectors of low intrinsic dimension, tuned by the default configuration."""
    dim = int(model.query_tower({name: value[:1] for name, value in _one_query(model).items()}).shape[1])
    basis = rng.normal(size=(SUBSPACE, dim)).astype(np.float32)

    def vectors(num: int) -> Any:
        values = rng.normal(size=(num, SUBSPACE)).astype(np.float32) @ basis
        values += 0.5 * rng.normal(size=(num, dim)).astype(np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    built = build_index(vectors(num_items), AutoConfig(), held_out_queries=vectors(512), seed=0)
    report = built.report
    print(f"{report.kind}, {num_items:,} items: recall@{report.tuned_k} {report.recall:.3f}")
    return built.index


def _one_query(model: TwoTowerModel) -> Mapping[str, tf.Tensor]:
    return {"user_id": tf.constant([1]), "history": tf.constant([[1] * HISTORY])}


def save(layout: ModelLayout, name: ModelName, module: Any, candidates: EncodedCatalogue) -> None:
    """Publishes version 1 with warm-up requests."""
    signatures = module.signatures()
    chosen = {key: value for key, value in signatures.items() if key in ("serving_default", "retrieve")}
    manifest = Manifest(kind="saved_model", schema_fingerprint=SCHEMA.fingerprint(), inputs={"made": "untrained"})
    staged = build_version(
        layout,
        name,
        signatures,
        module,
        requests={key: [request(function, size) for size in WARMUP_BATCHES] for key, function in chosen.items()},
        describe=lambda staged: manifest.write(staged.extra.manifest),
    )
    version = publish_version(staged)
    print(f"{layout.version(version)}: {len(candidates):,} items")


def request(function: Any, size: int) -> dict[str, Any]:
    """A request for known users; everything optional but the count is left out, as most clients do."""
    (specs,) = function.input_signature
    users = np.array([f"user-{number}".encode() for number in range(size)], object)
    return {"user_id": users} | {count: np.array(10, np.int32) for count in ("k", "limit") if count in specs}


if __name__ == "__main__":
    main()
