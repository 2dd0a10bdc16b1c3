"""The `[pipeline]` table of the configuration. Imports neither Beam nor TensorFlow."""

from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.config.pipeline import (
    CleaningConfig,
    DerivedKind,
    DriftConfig,
    LabelConfig,
    NegativesConfig,
    PipelineConfig,
    SplitConfig,
)
from beam_pipelines.config.source import ColumnRule, TableSource

__all__ = [
    "CleaningConfig",
    "ColumnRule",
    "DatabaseSource",
    "DerivedKind",
    "DriftConfig",
    "LabelConfig",
    "NegativesConfig",
    "PipelineConfig",
    "SplitConfig",
    "TableSource",
]
