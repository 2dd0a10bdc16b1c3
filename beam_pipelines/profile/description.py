"""Writes what a new dataset looks like, and refuses one that has drifted too far from the one it would replace."""

from dataclasses import replace
from importlib import import_module
from threading import Thread

from beam_pipelines.config import PipelineConfig
from beam_pipelines.passes.catalogue import Catalogue
from beam_pipelines.passes.learning import EventsLearnt
from beam_pipelines.profile.dataset_profile import profile_dataset, value_counts, write_values
from beam_pipelines.profile.drift import DatasetSnapshot, Drift, former_dataset, measure_drift
from beam_pipelines.profile.report.data import ReportData
from features.disk.files import write_text_atomically
from features.disk.layout import DatasetLayout
from features.errors import RecstackError
from features.schema import Schema

_REPORT = "beam_pipelines.profile.report.page"


def import_report_meanwhile(config: PipelineConfig) -> None:
    """Imports the plots in the background: Matplotlib takes a second, and reading one file leaves other cores idle."""
    if config.report:
        Thread(target=import_module, args=(_REPORT,), daemon=True).start()


def take_snapshot(schema: Schema, learnt: EventsLearnt, catalogue: Catalogue) -> DatasetSnapshot:
    """The new dataset's numbers."""
    return DatasetSnapshot(
        profile_dataset(schema, learnt.reports, catalogue), value_counts(schema, learnt.values, catalogue)
    )


def describe_dataset(
    data: ReportData, config: PipelineConfig, *, target: DatasetLayout, former: DatasetLayout
) -> Drift | None:
    """Writes profile, counts of values and report.

    Args:
        data: what the report shows, without the drift.
        config: limits of the drift, and whether there is a report.
        target: the new dataset.
        former: the dataset it would replace, if there is one.

    Returns:
        How the new dataset differs from the former one, or None if there is none.

    Raises:
        RecstackError: it differs by more than a limit of the configuration.
    """
    data.profile.write(target.profile)
    write_values(data.values, target)
    before = former_dataset(former)
    now = DatasetSnapshot(data.profile, data.values)
    drift = measure_drift(before, now, data.schema, config.drift) if before else None
    refused = bool(drift and drift.exceeded)
    if config.report:
        page = import_module(_REPORT).render(replace(data, drift=drift))
        write_text_atomically(former.refused_report if refused else target.report, page)
    if drift and refused:
        where = f"; see {former.refused_report}" if config.report else ""
        raise RecstackError(
            f"the new dataset has drifted too far from {former.root}, which stays: {'; '.join(drift.exceeded)}{where}; "
            "mend the data, or raise the limit under pipeline.drift"
        )
    return drift
