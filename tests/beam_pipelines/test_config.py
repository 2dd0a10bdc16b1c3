import pytest

from beam_pipelines.config import LabelConfig, NegativesConfig, PipelineConfig, SplitConfig, TableSource
from features.errors import ConfigError
from features.serialization import structure, unstructure


@pytest.mark.parametrize(
    ("field", "table"),
    [
        ("pipeline.interactions.timestamp_format", {"interactions": {"path": "a.csv", "timestamp_format": "seconds"}}),
        ("pipeline.items.time_zone", {"items": {"path": "a.csv", "time_zone": "Berlin"}}),
        ("pipeline.users.path", {"users": {"path": "a.csv", "format": "movielens"}}),
        ("pipeline.interactions", {"interactions": {}}),
        ("pipeline.split.validation", {"split": {"validation": -0.1}}),
        ("pipeline.split.test", {"split": {"validation": 0.5, "test": 0.5}}),
        ("pipeline.label.event_weights", {"label": {"event_type_column": "kind"}}),
        ("pipeline.label.event_weights", {"label": {"event_type_column": "kind", "event_weights": {"view": -1.0}}}),
        ("pipeline.label.ranking_label", {"label": {"ranking_label": "rating"}}),
        ("pipeline.label.min_positive_rating", {"label": {"min_positive_rating": 4.0}}),
        ("pipeline.negatives.per_positive", {"negatives": {"per_positive": 0}}),
        ("pipeline.negatives.alpha", {"negatives": {"alpha": 3.0}}),
        ("pipeline.drift.max_new_items", {"drift": {"max_new_items": -0.1}}),
        ("pipeline.max_reject_ratio", {"max_reject_ratio": 1.5}),
        ("pipeline.num_shards", {"num_shards": -1}),
        ("pipeline.max_events_per_record", {"max_events_per_record": 1}),
        ("pipeline.compression_level", {"compression_level": 0}),
        ("pipeline.split.kind", {"split": {"kind": "random"}}),
        ("pipeline.runner", {"runner": "samza"}),
        ("pipeline.runner_options", {"runner_options": ["--parallelism=2"]}),
        ("pipeline.shards", {"shards": 3}),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, table: dict) -> None:
    with pytest.raises(ConfigError) as caught:
        structure(table, PipelineConfig, "pipeline")
    assert caught.value.field == field


@pytest.mark.parametrize("runner", ["dask", "DaskRunner"])
def test_the_dask_runner_is_refused_with_the_reason(runner: str) -> None:
    with pytest.raises(ConfigError, match=r"pipeline\.runner = .*drops and mixes up outputs without an error"):
        PipelineConfig(runner=runner)


def test_a_configuration_survives_the_way_through_plain_tables() -> None:
    config = PipelineConfig(
        interactions=TableSource(path="x/*.csv", columns={"user_id": "u"}, timestamp_format="%d.%m.%Y"),
        label=LabelConfig(event_type_column="kind", event_weights={"view": 0.0, "buy": 2.0}),
        split=SplitConfig(kind="leave_last_out"),
    )
    assert structure(unstructure(config), PipelineConfig) == config


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (LabelConfig(), "uniform"),
        (LabelConfig(rating_column="stars"), "none"),
        (LabelConfig(event_type_column="kind", event_weights={"view": 1.0}), "uniform"),
        (LabelConfig(event_type_column="kind", event_weights={"view": 0.0, "click": 1.0}), "none"),
    ],
)
def test_auto_samples_negatives_only_where_the_log_has_none(label: LabelConfig, kind: str) -> None:
    assert PipelineConfig(label=label).negatives_kind == kind
    assert PipelineConfig(label=label, negatives=NegativesConfig(kind="popularity")).negatives_kind == "popularity"
