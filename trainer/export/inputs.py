"""What an export is made from: fingerprints of its inputs, and how new its events are."""

import json
from collections.abc import Iterable

from features.disk.layout import DatasetLayout, StageName
from features.disk.manifest import read_manifest, require_schema
from trainer.export.assembly import ExportJob


def fingerprints(job: ExportJob, stages: Iterable[StageName]) -> dict[str, str]:
    """Fingerprints of the dataset, of a separate catalogue if there is one, and of the runs of some stages.

    Raises:
        InputError: One of them is missing or was made with another schema.
    """
    context = job.context
    path = context.dataset.manifest
    dataset = read_manifest(path, "dataset")
    require_schema(dataset, context.schema.fingerprint(), path)
    inputs = {"dataset": dataset.fingerprint()}
    if job.catalogue is not None:
        inputs["catalogue"] = read_manifest(job.catalogue.manifest, "catalogue").fingerprint()
    return inputs | {stage: read_manifest(context.run.stage(stage).manifest, "run").fingerprint() for stage in stages}


def newest_event(dataset: DatasetLayout) -> int:
    """Second of the dataset's newest event since 1970-01-01 UTC; 0 if its profile does not say."""
    try:
        splits = json.loads(dataset.profile.read_text("utf-8"))["splits"]
    except (OSError, ValueError, LookupError):
        return 0
    return max((int(split.get("last", 0)) for split in splits.values()), default=0)
