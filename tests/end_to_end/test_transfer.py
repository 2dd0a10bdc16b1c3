"""A small shop starts from the run of a large one that has other items and customers: what words mean comes along.

Customers and items of both shops belong to one of six groups. The words of an item's title and its maker say which; the
large log tells which words go together, and the small one is too small for that.
"""

import random
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recstack.config import StackConfig, parse_config
from recstack.stages import prepare, train
from trainer.retrieval.stage import RetrievalStage

GROUPS, ITEMS, WORDS, LENGTH = 6, 20, 12, 5

_CONFIG = """
workdir = "{folder}/work"
seed = 1

[[features.query]]
kind = "history"
length = 10

[[features.candidate]]
kind = "id"
name = "item_id"

[[features.candidate]]
kind = "text"
name = "title"
num_buckets = 512
max_tokens = 4

[[features.candidate]]
kind = "categorical"
name = "maker"

[pipeline]
num_shards = 1

[pipeline.interactions]
path = "{folder}/interactions.parquet"

[pipeline.items]
path = "{folder}/items.parquet"

[pipeline.split]
kind = "leave_last_out"

[retrieval]
dimension = 16
id_dropout = 0.5
batch_size = 128
epochs = {epochs}
patience = 0

[retrieval.encoder]
kind = "mean"
side_features = true

[retrieval.optimizer]
learning_rate = 0.01
"""


def shop(folder: Path, name: str, *, users_a_group: int, epochs: int) -> StackConfig:
    """A prepared shop, whose customers take items of their group alone."""
    draw = random.Random(name)
    folder.mkdir()
    items = {f"{name}-{group}-{n}": group for group in range(GROUPS) for n in range(ITEMS)}
    titles = [" ".join(f"word{group}x{n}" for n in draw.sample(range(WORDS), 3)) for group in items.values()]
    makers = [f"maker {group}" for group in items.values()]
    pq.write_table(pa.table({"item_id": list(items), "title": titles, "maker": makers}), folder / "items.parquet")
    events = []
    for number in range(GROUPS * users_a_group):
        own = [item for item, group in items.items() if group == number % GROUPS]
        chosen = draw.sample(own, LENGTH)
        events += [(f"{name}-u{number}", item, 1_700_000_000 + 60 * step) for step, item in enumerate(chosen)]
    columns = zip(("user_id", "item_id", "timestamp"), zip(*events, strict=True), strict=True)
    table = pa.table({column: list(values) for column, values in columns})
    pq.write_table(table, folder / "interactions.parquet")
    stack = parse_config(_CONFIG.format(folder=folder, epochs=epochs))
    prepare(stack)
    return stack


def quality(stack: StackConfig, report: list[str]) -> float:
    """Validation NDCG of a training."""
    return train(stack, "retrieval", report=report.append).manifest.metrics[RetrievalStage.objective]


@pytest.mark.slow
def test_what_words_mean_comes_along_to_another_catalogue(tmp_path: Path) -> None:
    large = shop(tmp_path / "large", "large", users_a_group=100, epochs=10)
    assert quality(large, []) > 0.2
    small = shop(tmp_path / "small", "small", users_a_group=2, epochs=1)
    alone = quality(small, [])
    lines: list[str] = []
    transferred = quality(replace(small, start_from=str(large.layout.current_run.root)), lines)
    assert transferred > 1.3 * alone
    assert transferred > 0.3
    # Both know the makers, and neither the other's items.
    (line,) = (line for line in lines if "starts from run" in line)
    assert f"{GROUPS} of {GROUPS} of maker" in line
    assert re.search(r"knows: 0 of \d+ of item_id", line)
