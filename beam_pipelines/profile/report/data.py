"""Inputs of the report. Imports no plotting library."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from beam_pipelines.profile.dataset_profile import DatasetProfile
from beam_pipelines.profile.drift import Drift
from features.encoding.vocabulary import Vocabulary
from features.schema import Schema


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Inputs of the page."""

    schema: Schema
    """The features."""
    profile: DatasetProfile
    """The dataset in numbers."""
    values: pa.Table
    """Counts of values, as `learning.COUNT_TYPE`."""
    vocabularies: Mapping[str, Vocabulary]
    """By feature."""
    counts: Mapping[str, int]
    """Of the manifest."""
    findings: tuple[str, ...] = ()
    """Notes of the manifest: what a person should know about the tables."""
    drift: Drift | None = None
    """Against the former dataset, if there was one."""
