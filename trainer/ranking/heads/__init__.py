"""The heads of the ranking model, one file a type of task; `HEADS` is the table from a task's type to its head."""

from collections.abc import Mapping

from features.spec.tasks import TaskType
from trainer.ranking.heads.binary import BinaryHead
from trainer.ranking.heads.contract import Head
from trainer.ranking.heads.regression import RegressionHead

HEADS: Mapping[TaskType, type[Head]] = {"binary": BinaryHead, "regression": RegressionHead}
