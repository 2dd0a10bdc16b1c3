"""`recstack` with tables that are partitioned over parameter servers however small they are.

python -m tests.recstack.partitioned_training train retrieval --config FILE --strategy parameter_server

Prints where a table's parts lie when the training has ended.
"""

import sys

import tensorflow as tf

from recstack.__main__ import main
from trainer.training import cluster


def parts_of_a_table() -> list[str]:
    with cluster.make_cluster("parameter_server").strategy.scope():
        table = tf.Variable(tf.zeros([40, 8]))
    return [part.device for part in table.variables]


if __name__ == "__main__":
    cluster._LEAST_PART_BYTES = 64
    code = main(sys.argv[1:])
    sys.stdout.write(f"{parts_of_a_table()}\n")
    sys.exit(code)
