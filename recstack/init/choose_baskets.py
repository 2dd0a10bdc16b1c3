"""What helps to predict the next basket of a shop's customers, beside the encoder."""

from collections.abc import Iterable, Iterator, Sequence

from features.spec.base import Feature
from recstack.init.proposal import Setting

# On Online Retail this and side features are worth about one spread of the seeds each (docs/retrieval.md).
_HALF_LIFE = 0.25


def choose_baskets(examples: str, split: Iterable[Setting], of_items: Sequence[Feature]) -> Iterator[Setting]:
    """Settings of retrieval for logs of baskets; none for others.

    Args:
        examples: Kind of the training's examples.
        split: The settings of `pipeline.split`.
        of_items: What is known of an item beside its id.
    """
    if examples != "basket":
        return
    if any(setting.value == "global_time" for setting in split if setting.name == "kind"):
        why = "assortment and seasons change: an event weighs half when it is a quarter of the training time older"
        yield Setting(table="retrieval", name="half_life", value=_HALF_LIFE, why=why)
    if of_items:
        why = "the items of a history are told by their features too"
        yield Setting(table="retrieval.encoder", name="side_features", value=True, why=why)
