"""Libraries of custom operations, loaded by flag."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from features.errors import ConfigError
from serving.models.op_libraries import load_op_libraries

CODE = """
import sys
import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from serving.models.op_libraries import load_op_libraries
assert op_def_registry.get("Scann>ScannSearch") is None
load_op_libraries(sys.argv[1])
assert op_def_registry.get("Scann>ScannSearch") is not None
"""


@pytest.mark.slow
def test_operations_of_a_library_are_known_once_it_is_loaded():
    spec = find_spec("scann")
    assert spec is not None
    assert spec.submodule_search_locations
    (library,) = Path(spec.submodule_search_locations[0]).rglob("_scann_ops.so")
    done = subprocess.run([sys.executable, "-c", CODE, str(library)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", [None, b"no library"])
def test_what_is_no_library_is_refused(tmp_path, content):
    path = tmp_path / "ops.so"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"op_libraries = '{path}': expected a library of TensorFlow operations"):
        load_op_libraries(str(path))


def test_no_library_is_the_default():
    load_op_libraries("")
