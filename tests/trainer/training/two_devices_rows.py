"""Steps of the row-wise optimizers on two devices, each with some of a step's rows; run as a process of its own.

python -m tests.trainer.training.two_devices_rows OUT.npz
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import sys

import numpy as np
import tensorflow as tf

from tests.trainer.training.test_row_wise import SHAPE, STEPS, adagrad, adam


def main(out: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    tables = {}
    for make in (adam, adagrad):
        with strategy.scope():
            table, optimizer = tf.Variable(np.ones(SHAPE, np.float32)), make()
            optimizer.build([table])
        for rows, values in STEPS:
            # The first device has the first row, the second one the others, of which there may be none.
            parts = [(rows[:1], values[:1]), (rows[1:], values[1:])]
            parts = [(np.array(part, np.int32), gradients) for part, gradients in parts]

            def replica_step(number, parts=parts, optimizer=optimizer, table=table):
                indices = tf.switch_case(number, [lambda part=part: tf.constant(part[0]) for part in parts])
                gradients = tf.switch_case(number, [lambda part=part: tf.constant(part[1]) for part in parts])
                optimizer.apply_gradients([(tf.IndexedSlices(gradients, indices, tf.constant(SHAPE)), table)])

            numbers = strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(context.replica_id_in_sync_group)
            )
            strategy.run(tf.function(replica_step, autograph=False), args=(numbers,))
        copies = [copy.numpy() for copy in strategy.experimental_local_results(table)]
        np.testing.assert_array_equal(*copies)
        tables[make.__name__] = copies[0]
    np.savez(out, **tables)


if __name__ == "__main__":
    main(*sys.argv[1:])
