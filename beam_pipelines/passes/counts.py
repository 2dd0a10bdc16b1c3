"""The counts that a dataset's manifest records."""

from collections import Counter
from collections.abc import Sequence

from beam_pipelines.passes.catalogue import Catalogue
from beam_pipelines.passes.learning import LearnReport
from beam_pipelines.passes.shards import ShardReport
from beam_pipelines.passes.sorting import SortReport
from features.disk.layout import SPLITS


def dataset_counts(
    sorted_reports: Sequence[SortReport],
    learnt: Sequence[LearnReport],
    written: Sequence[ShardReport],
    catalogue: Catalogue,
) -> dict[str, int]:
    """Sums up what the passes after the first one report."""
    counts: Counter[str] = Counter()
    for report in sorted_reports:
        counts["earlier_events"] += report.earlier_events
        counts["interactions_duplicates"] += report.duplicates
        counts["near_duplicates"] += report.near_duplicates
        counts["bot_events"] += report.bot_events
        counts["users_duplicates"] += report.user_duplicates
    for learn in learnt:
        for split in SPLITS:
            counts[f"events_{split}"] += learn.events[split]
            counts[f"positives_{split}"] += learn.positives[split]
            counts[f"users_{split}"] += learn.users[split]
    for shard in written:
        counts.update({f"records: {directory}": n for directory, n in shard.records.items()})
        counts.update({f"targets: {directory}": n for directory, n in shard.targets.items()})
    return dict(counts) | {"candidates": catalogue.table.num_rows, "items_duplicates": catalogue.duplicates}
