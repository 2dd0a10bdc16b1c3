"""Fingerprints of what an export is made from."""

from collections.abc import Iterable

from features.disk.layout import Stage
from features.disk.manifest import read_manifest, require_schema
from trainer.export.assembly import ExportJob


def fingerprints(job: ExportJob, stages: Iterable[Stage]) -> dict[str, str]:
    """Of the dataset, the catalogue where it is another one, and the runs of some stages.

    Raises:
        InputError: one of them is missing, or was made with another schema.
    """
    path = job.workdir.dataset.manifest
    dataset = read_manifest(path, "dataset")
    require_schema(dataset, job.schema.fingerprint(), path)
    inputs = {"dataset": dataset.fingerprint()}
    if job.catalogue is not None:
        inputs["catalogue"] = read_manifest(job.catalogue.manifest, "catalogue").fingerprint()
    return inputs | {stage: read_manifest(job.workdir.stage(stage).manifest, "run").fingerprint() for stage in stages}
