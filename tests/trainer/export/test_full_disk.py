"""A disk that takes no more: the live version stays, and one line says so."""

import resource
from pathlib import Path

import pytest
import tensorflow as tf

from features.disk.exported import ModelLayout
from features.errors import RecstackError
from tests.trainer.export.test_publish import names, publish
from trainer.export.saving import build_version


def test_a_full_disk_leaves_the_live_version_and_nothing_else(tmp_path: Path) -> None:
    layout = ModelLayout(tmp_path / "m")
    publish(layout.base)
    module = tf.Module()
    module.big = tf.Variable(tf.zeros([1 << 21]))
    module.read = tf.function(lambda: {"big": module.big[:1]}, input_signature=[])
    described = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond 4 MiB, the variables need 8: the kernel refuses the write as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, limits[1]))
    try:
        with pytest.raises(RecstackError, match="published versions are unchanged"):
            build_version(
                layout, "retrieval", {"read": module.read}, module, requests={}, describe=lambda e: described.append(e)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert described == []
    assert names(layout.base) == ["1"]
    assert (layout.version(1) / "saved_model.pb").read_text() == "x"
