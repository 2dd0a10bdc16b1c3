"""What is kept of retrainings: a record of each, and a line for each call of `retrain`.

Calls with equal data, settings and code are one retraining with one record. A call that fails before it is known which
retraining it belongs to, such as for a missing table, leaves only its line.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, TypeAlias

from features.disk.files import write_text_atomically
from features.disk.layout import ModelName, RetrainingLayout, RetrainingsLayout
from features.errors import InputError, RecstackError
from features.serialization import structure, unstructure

StepName: TypeAlias = Literal["prepare", "train", "evaluate", "export", "gate", "publish"]
Outcome: TypeAlias = Literal["unfinished", "refused", "published"]


@dataclass(frozen=True, kw_only=True)
class RetrainingRecord:
    """One retraining; equal data, settings and code have the same record."""

    id: str
    """Name of its directory."""
    began: str
    """When it was first started: ISO 8601, UTC."""
    updated: str
    """When the record was last written."""
    run: str
    """Id of the training run."""
    parent: str
    """Id of the run that was current before; empty for a first one."""
    dataset: str
    """Fingerprint of the dataset."""
    window: tuple[str, str]
    """First and last of the interactions' partitioned folders; empty texts where all were read."""
    code: str
    """Version of recstack."""
    seconds: Mapping[StepName, float] = field(default_factory=dict)
    """Wall time of each step that had something to do."""
    outcome: Outcome = "unfinished"
    """How it ended."""
    refused_by: tuple[str, ...] = ()
    """The rules of the gate that refused the models."""
    forced: str = ""
    """The reason given for publishing what the gate refused."""
    published: Mapping[ModelName, int] = field(default_factory=dict)
    """The version that each model was published as."""
    rolled_back: str = ""
    """Why these versions were taken back; empty if they were not."""
    earlier_rollbacks: tuple[str, ...] = ()
    """Why earlier versions of the same models were taken back, if `forced` published them again."""

    def write(self, layout: RetrainingLayout) -> None:
        """Writes the record."""
        layout.root.mkdir(parents=True, exist_ok=True)
        write_text_atomically(layout.record, json.dumps(unstructure(self), indent=1) + "\n")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One call of `retrain`."""

    began: str
    """ISO 8601, UTC."""
    ended: str
    """ISO 8601, UTC."""
    outcome: Literal["nothing to do", "failed", "refused", "published"]
    """How it ended."""
    step: str
    """The last step that it began; empty if it began none."""
    retraining: str = ""
    """Id of the retraining; empty if that was not known yet."""
    error: str = ""
    """What went wrong, if it failed."""

    def append(self, retrainings: RetrainingsLayout) -> None:
        """Appends a line to the log of attempts."""
        with retrainings.attempts.open("a", encoding="utf-8") as file:
            file.write(json.dumps(unstructure(self)) + "\n")


def read_record(layout: RetrainingLayout) -> RetrainingRecord | None:
    """The record of a retraining; None if there is none.

    Raises:
        InputError: it is damaged.
    """
    try:
        return structure(json.loads(layout.record.read_text("utf-8")), RetrainingRecord, layout.record.name)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecstackError) as error:
        raise InputError(f"{layout.record}: cannot be read ({error}); remove {layout.root}") from error


def read_records(retrainings: RetrainingsLayout) -> list[RetrainingRecord]:
    """All records, the newest first.

    Raises:
        InputError: one is damaged.
    """
    records = [record for layout in retrainings.all() if (record := read_record(layout)) is not None]
    return sorted(records, key=lambda record: (record.began, record.id), reverse=True)


def usual_seconds(records: list[RetrainingRecord]) -> dict[StepName, float]:
    """The median time of each step over the records that have it."""
    found: dict[StepName, list[float]] = {}
    for record in records:
        for step, seconds in record.seconds.items():
            found.setdefault(step, []).append(seconds)
    return {step: median(values) for step, values in found.items()}


def utc_now() -> str:
    """The time as ISO 8601, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
