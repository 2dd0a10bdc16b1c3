"""What the steps of a retraining share: the configuration, the lease, and what is on disk of it so far."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from features.disk.layout import ModelName, RetrainingLayout, RunLayout
from features.disk.manifest import finished_with
from features.errors import InputError
from features.schema import fingerprint
from recstack import stages
from recstack.config import StackConfig
from recstack.retraining.lease import Lease
from recstack.retraining.warm import retrained_stages

if TYPE_CHECKING:
    from trainer.export.assembly import ExportJob
    from trainer.training.progress import ProgressCallback


@dataclass(frozen=True, kw_only=True)
class Work:
    """One retraining at work."""

    stack: StackConfig
    """The configuration, with the window of data."""
    lease: Lease
    """Keeps others away from the work directory."""
    report: Callable[[str], None] = field(default=stages.silent, repr=False)
    """Told in one line what is being done."""
    training_progress: "ProgressCallback" = field(default=stages.silent, repr=False)
    """Called about once a second while a stage is trained."""
    forced: str = ""
    """The reason for publishing what the gate refuses; empty to keep to it."""

    @cached_property
    def run(self) -> RunLayout:
        """The run of these settings; look at it when its stages are trained.

        Raises:
            InputError: a stage is not trained.
        """
        return stages.run_with(self.stack, retrained_stages(self.stack))

    @cached_property
    def inputs(self) -> "dict[ModelName, dict[str, str]]":
        """Fingerprints of all that each model is made from."""
        from trainer.export.job import export_inputs

        return export_inputs(stages.export_job(self.stack, self.run))

    @cached_property
    def layout(self) -> RetrainingLayout:
        """The retraining's directory: equal inputs have the same, so that a killed retraining is found again."""
        return self.stack.layout.retrainings.retraining(fingerprint(self.inputs))

    @cached_property
    def staged_job(self) -> "ExportJob":
        """Exports the run into the retraining's own directory, where no server looks."""
        return replace(stages.export_job(self.stack, self.run, self.report), workdir=self.layout.staged)

    def staged_versions(self) -> dict[ModelName, int]:
        """The version of each staged model.

        Raises:
            InputError: one is missing.
        """
        found: dict[ModelName, int] = {}
        for model in self.stack.export.models:
            layout = self.layout.staged.model(model)
            if layout.current is None:
                raise InputError(f"{layout.base}: no staged version found; run `recstack retrain` again")
            found[model] = layout.current
        return found

    def is_live(self, model: ModelName) -> bool:
        """Whether the newest published version was made from the same inputs."""
        layout = self.stack.layout.model(model)
        if layout.current is None:
            return False
        return finished_with(layout.manifest(layout.current), "saved_model", self.inputs[model]) is not None

    def was_rolled_back(self) -> tuple[ModelName, ...]:
        """The models of which a version of the same inputs was published and rolled back."""
        from trainer.export.rollback import was_rolled_back

        layouts = {model: self.stack.layout.model(model) for model in self.stack.export.models}
        return tuple(
            model
            for model, layout in layouts.items()
            if layout.current is not None and was_rolled_back(layout.manifest(layout.current), self.inputs[model])
        )

    def all_live(self) -> bool:
        """Whether every model is published already."""
        return all(self.is_live(model) for model in self.stack.export.models)
