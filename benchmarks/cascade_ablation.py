"""What each group of the list ranker's features is worth, on validation: the ranker trained without it.

    .venv/bin/python benchmarks/cascade_ablation.py --config configs/movielens.toml --seed 7

The candidates, and so retrieval, are the same for all. A feature that is left out is zero for every candidate. The test
split is never read. Trainings of retrieval stay in `--work`, where `benchmarks/cascade.py` finds them too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import RunLayout, Workdir
from recstack.config import load_config
from trainer.cascade.features import GROUP_OF_COLUMNS, GROUP_OF_REPEATS, GROUP_OF_SCORES
from trainer.cascade.lists import CandidateLists
from trainer.cascade.stage import ListRankingStage, feature_layout, item_values
from trainer.cascade.validation import ListValidation
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.metrics.intervals import paired_test
from trainer.restore import restore
from trainer.stage import stages_of, train_stage
from trainer.training.stage import StageContext

GROUPS: Mapping[str, tuple[str, ...]] = {
    "retrieval's score, gap and rank": (GROUP_OF_SCORES,),
    "vectors of the candidate tower": ("tower",),
    "EASE": ("ease",),
    "cosine and co-visitation": ("cosine", "co_visitation"),
    "what follows what": ("sequence", "next", "around"),
    "ALS": ("als",),
    "being the same item": ("same_item",),
    "times of earlier events": (GROUP_OF_REPEATS,),
    "counts of events": (GROUP_OF_COLUMNS,),
}
"""Groups of features that are left out together; the similarities of item features are one more."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: configuration, seed and folder of the trainings."""

    config: Path
    """Configuration whose list ranker is taken apart."""
    seed: int = 0
    """Of every training."""
    work: Path = Path("cascade-benchmark")
    """Where the dataset and the trainings of retrieval stay."""


@dataclass(frozen=True, kw_only=True)
class AblatedStage(ListRankingStage):
    """The list ranking stage on lists that are given, in which some features are zero."""

    train: CandidateLists
    validation: CandidateLists

    def load_events(self, context: StageContext, dataset: EncodedDataset) -> CandidateLists:
        """The training lists."""
        return self.train

    def make_validation(self, context: StageContext, dataset: EncodedDataset) -> ListValidation:
        """The validation lists."""
        return ListValidation(self.validation, cutoff=self.cutoff)


def main(arguments: Arguments) -> None:
    """Retrieves once, then trains a ranker without each group and prints its NDCG beside that of all features."""
    stack = load_config(arguments.config)
    workdir = Workdir(arguments.work / "work")
    prepare_dataset(stack.features, stack.pipeline, workdir.dataset, seed=stack.seed, progress=print)
    run = RunLayout(arguments.work / str(arguments.seed))
    context = StageContext(schema=stack.features, dataset=workdir.dataset, run=run, seed=arguments.seed)
    dataset = encode_dataset(context.schema, context.dataset)
    stage = stages_of(stack)["list_ranking"]
    assert isinstance(stage, ListRankingStage)
    validation = stage.make_validation(context, dataset)
    assert validation is not None
    lists = {"train": stage.load_events(context, dataset), "validation": validation.lists}
    of_features = np.array(feature_layout(dataset).groups)
    groups = {"none": (), **GROUPS, "item features": tuple(item_values(dataset))}
    table = Table("left out", "features", f"validation NDCG@{stage.cutoff}", "difference to all features")
    users = np.unique(lists["validation"].records, return_inverse=True)[1]
    whole: np.ndarray | None = None
    for name, left_out in groups.items():
        is_left = ~np.isin(of_features, left_out)
        if left_out and is_left.all():
            continue
        ndcg = trained_ndcg(stage, context, {split: without(part, is_left) for split, part in lists.items()})
        whole = ndcg if whole is None else whole
        difference = paired_test(ndcg, whole, users).difference
        spread = f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        table.add_row(name, str(int((~is_left).sum())), f"{ndcg.mean():.4f}", spread if left_out else "")
        print(name, round(float(ndcg.mean()), 4), flush=True)
    table.add_row("no ranker: retrieval's order", "", f"{validation.retrieval_ndcg.mean():.4f}", "")
    Console(width=120).print(table)


def without(lists: CandidateLists, is_left: np.ndarray) -> CandidateLists:
    """The lists with zeros for the features that are not left, `[F] bool`."""
    return replace(lists, features=lists.features * is_left.astype(np.float32))


def trained_ndcg(stage: ListRankingStage, context: StageContext, lists: Mapping[str, CandidateLists]) -> np.ndarray:
    """NDCG of each validation list, `[lists] float64`, in the order of a ranker that was trained on the lists."""
    ablated = AblatedStage(
        config=stage.config, retrieval=stage.retrieval, train_retrieval=stage.train_retrieval, **lists
    )
    with TemporaryDirectory() as directory:
        own = replace(context, run=RunLayout(Path(directory)))
        train_stage(own, ablated)
        return ListValidation(lists["validation"], cutoff=stage.cutoff).ndcg_of(restore(own, ablated).model)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
