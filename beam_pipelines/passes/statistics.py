"""Statistics of the training data, which the encoders need."""

from collections.abc import Sequence

from beam_pipelines.passes.catalogue import Catalogue, item_statistics
from beam_pipelines.passes.learning import LearnReport
from beam_pipelines.passes.moments import numeric_statistics
from features.disk.layout import DatasetLayout
from features.encoding.statistics import Statistics
from features.schema import Schema


def write_statistics(
    schema: Schema, learnt: Sequence[LearnReport], catalogue: Catalogue, target: DatasetLayout
) -> None:
    """Writes the statistics of numbers, and how many users, items and interactions there are to learn from."""
    query = {
        feature.name: numeric_statistics(
            [report.numeric[feature.name] for report in learnt],
            feature.statistics.num_buckets,
        )
        for feature in schema.query
        if feature.statistics is not None
    }
    Statistics(
        num_users=sum(report.users["train"] for report in learnt),
        num_items=catalogue.table.num_rows,
        num_interactions=sum(report.positives["train"] for report in learnt),
        numeric=query | item_statistics(schema, catalogue),
    ).write(target.statistics)
