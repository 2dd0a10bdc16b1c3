"""Fingerprints of the inputs of an export."""

from collections.abc import Iterable

from features.disk.layout import StageName
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
