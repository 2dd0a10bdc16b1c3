"""What the model is compared with: the baselines that are hard to beat on such a log."""

from collections.abc import Iterator

from recstack.init.log import Log
from recstack.init.proposal import Setting


def choose_baselines(log: Log, examples: str, *, with_content: bool) -> Iterator[Setting]:
    """`[evaluation.baselines]`, where others than the default ones tell more.

    Args:
        log: The events.
        examples: Kind of the training's examples.
        with_content: Whether items without events come and have words.
    """
    names, reasons = ["popularity", "item_cf"], []
    if log.recommends_again(examples):
        names.append("repeat")
        reasons.append("`repeat`, what a user took most often, is hard to beat where users take the same again")
    if with_content:
        names.append("content")
        reasons.append("`content` finds new items by their words")
    if reasons:
        why = f"{'; '.join(reasons)}: the model has to be better"
        yield Setting(table="evaluation.baselines", name="names", value=names, why=why)
