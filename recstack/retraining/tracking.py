"""Logs retrainings to MLflow, where `[retrain.mlflow]` names a tracking server; needs `pip install 'recstack[mlflow]'`.

A retraining is one run there, found again by its tag, so that a night that was killed or repeated has one run.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from features.disk.layout import RetrainingLayout
from features.errors import ConfigError, RecstackError, first_line
from recstack.config import StackConfig
from recstack.retraining.comparison import deciding_settings
from recstack.retraining.gate.decision import Decision
from recstack.retraining.record import RetrainingRecord
from recstack.retraining.registry import evaluated

if TYPE_CHECKING:
    from mlflow import MlflowClient

RETRAINING_TAG = "recstack.retraining"
# MLflow's limits.
_PARAMS_A_CALL, _PARAM_CHARACTERS, _TAG_CHARACTERS = 100, 6000, 5000
_REFUSED_CHARACTERS = re.compile(r"[^\w\-. :/]")


def require_mlflow(stack: StackConfig) -> None:
    """Refuses a configuration that logs to MLflow where it is not installed, before any work is done.

    Raises:
        ConfigError: it is not.
    """
    uri = stack.retrain.mlflow.tracking_uri
    if uri and importlib.util.find_spec("mlflow") is None:
        raise ConfigError("retrain.mlflow.tracking_uri", uri, "MLflow: run `pip install 'recstack[mlflow]'`")


def log_retraining(
    stack: StackConfig, layout: RetrainingLayout, record: RetrainingRecord, decision: Decision | None
) -> None:
    """Writes settings, metrics, times and the gate's verdicts into the retraining's run; nothing without a server.

    Raises:
        RecstackError: the tracking server cannot be reached or refuses the run.
    """
    if not stack.retrain.mlflow.tracking_uri:
        return
    # MLflow's own patience with a server that is down is a matter of minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        _log(MlflowClient(tracking_uri=stack.retrain.mlflow.tracking_uri), stack, layout, record, decision)
    except (MlflowException, OSError) as error:
        raise RecstackError(f"MLflow at {stack.retrain.mlflow.tracking_uri}: {first_line(error)}") from error


def _log(
    client: "MlflowClient",
    stack: StackConfig,
    layout: RetrainingLayout,
    record: RetrainingRecord,
    decision: Decision | None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run = _run_of(client, stack.retrain.mlflow.experiment, record)
    ended = _milliseconds(record.updated)
    known = client.get_run(run).data.params
    params = [Param(name, value) for name, value in _params(stack) if name not in known]
    for start in range(0, len(params), _PARAMS_A_CALL):
        client.log_batch(run, params=params[start : start + _PARAMS_A_CALL])
    metrics = [Metric(_allowed(name), value, ended, 0) for name, value in _metrics(stack, record)]
    tags = [RunTag(name, value[:_TAG_CHARACTERS]) for name, value in _tags(layout, record, decision).items()]
    client.log_batch(run, metrics=metrics, tags=tags)
    client.set_terminated(run, end_time=ended)


def _run_of(client: "MlflowClient", experiment: str, record: RetrainingRecord) -> str:
    """Id of the retraining's run, which is made if it is not there."""
    found = client.get_experiment_by_name(experiment)
    experiment_id = client.create_experiment(experiment) if found is None else found.experiment_id
    known = client.search_runs([experiment_id], f"tags.`{RETRAINING_TAG}` = '{record.id}'")
    if known:
        return str(known[0].info.run_id)
    tags = {RETRAINING_TAG: record.id}
    made = client.create_run(experiment_id, start_time=_milliseconds(record.began), tags=tags, run_name=record.id)
    return str(made.info.run_id)


def _params(stack: StackConfig) -> Iterator[tuple[str, str]]:
    for name, value in _leaves(deciding_settings(stack)):
        if not name.startswith("retrain."):  # says how models are published, and perhaps a password of the server
            yield _allowed(name), str(value)[:_PARAM_CHARACTERS]


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _metrics(stack: StackConfig, record: RetrainingRecord) -> Iterator[tuple[str, float]]:
    run = stack.layout.runs.run(record.run)
    for name in run.finished():
        for metric, value in evaluated(run.stage(name)).items():
            yield f"{name}/{metric}", value
    for step, seconds in record.seconds.items():
        yield f"seconds/{step}", seconds


def _tags(layout: RetrainingLayout, record: RetrainingRecord, decision: Decision | None) -> dict[str, str]:
    verdicts: dict[str, list[str]] = {}
    for check in decision.checks if decision else ():
        measured = f"{check.verdict}: {check.what} {check.measured:.4g}, {check.bound} {check.threshold:.4g}"
        verdicts.setdefault(f"gate.{check.rule}", []).append(measured)
    return {
        "recstack.outcome": record.outcome,
        "recstack.refused_by": ", ".join(record.refused_by),
        "recstack.forced": record.forced,
        "recstack.run": record.run,
        "recstack.parent": record.parent,
        "recstack.dataset": record.dataset,
        "recstack.report": str(layout.report.resolve()),
        "recstack.published": ", ".join(f"{model} {version}" for model, version in record.published.items()),
        **{rule: "; ".join(measured) for rule, measured in verdicts.items()},
    }


def _allowed(name: str) -> str:
    """The name with `@` spelt out and without other characters that MLflow refuses."""
    return _REFUSED_CHARACTERS.sub("_", name.replace("@", "_at_"))


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
