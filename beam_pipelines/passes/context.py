"""What all passes of one run share."""

from dataclasses import dataclass

from beam_pipelines.config import PipelineConfig
from beam_pipelines.engine import Engine
from beam_pipelines.workspace import Workspace
from features.disk.files import make_directory
from features.disk.layout import DatasetLayout
from features.schema import Schema


@dataclass(frozen=True, kw_only=True)
class PassContext:
    """The run's inputs, and where its files go."""

    schema: Schema
    """Features and roles."""
    config: PipelineConfig
    """Sources and rules."""
    dataset: DatasetLayout
    """The unfinished dataset."""
    engine: Engine
    """Runs the passes."""
    seed: int
    """Seed of the sampled negatives."""

    @property
    def workspace(self) -> Workspace:
        """Where the passes leave files for each other."""
        return self.engine.workspace


def new_context(schema: Schema, config: PipelineConfig, dataset: DatasetLayout, *, seed: int) -> PassContext:
    """Makes the directories that the first pass and the catalogue are written to; later passes make their own."""
    workspace = Workspace(dataset.root / "workspace")
    for directory in (workspace.root, dataset.rejects, dataset.candidates):
        make_directory(directory)
    engine = Engine(
        workspace=workspace,
        num_workers=config.num_workers,
        runner=config.runner,
        runner_options=config.runner_options,
    )
    return PassContext(schema=schema, config=config, dataset=dataset, engine=engine, seed=seed)
