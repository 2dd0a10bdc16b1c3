"""Adds ScaNN's operations to a source tree of TensorFlow Serving.

    python3 link_scann.py --serving /serving --scann /research/scann

TensorFlow Serving builds with a WORKSPACE, ScaNN with modules, and ScaNN's targets link against the TensorFlow of an
installed wheel. So ScaNN becomes a local repository of the WORKSPACE, its TensorFlow becomes the one that the server is
built from, and what only its Python package needs is left out. Every edit looks for the text it replaces and stops
where that is not there: another version then needs another edit, and not a broken binary.
"""

import argparse
import re
from pathlib import Path

OPERATIONS = "@com_google_scann//scann/scann_ops/cc:scann_ops_static"

LINKED = f"""SUPPORTED_TENSORFLOW_OPS = if_v2([]) + if_not_v2([
    "@org_tensorflow//tensorflow/contrib:contrib_kernels",
    "@org_tensorflow//tensorflow/contrib:contrib_ops_op_lib",
]) + [
    "{OPERATIONS}",
"""

STATIC_TARGET = """
cc_library(
    name = "scann_ops_static",
    deps = [
        ":scann_ops",
        ":scann_ops_kernels",
    ],
    alwayslink = 1,
)
"""

REPOSITORIES = """
local_repository(
    name = "com_google_scann",
    path = "{scann}",
    repo_mapping = {{"@eigen": "@eigen_archive"}},
)
"""

# Labels of the wheel's TensorFlow, and of what the server's own build calls the same.
TENSORFLOW = {
    '"@local_config_tf//:libtensorflow_framework",': '"@org_tensorflow//tensorflow/core:tensorflow_opensource",',
    '"@local_config_tf//:tf_header_lib",': "",
}
PYTHON_RULES = re.compile(r"^(pybind_library|pybind_extension|py_library|cc_binary)\(\n(?:    .*\n|\n)*?\)\n", re.M)
PYTHON_LOADS = re.compile(r'^load\("@(pybind11_bazel|rules_python)//.*\n', re.M)


def main() -> None:
    """Parses the arguments and edits both trees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serving", type=Path, required=True, help="source tree of TensorFlow Serving")
    parser.add_argument("--scann", type=Path, required=True, help="source tree of ScaNN")
    arguments = parser.parse_args()
    link(arguments.serving, arguments.scann)


def link(serving: Path, scann: Path) -> None:
    """Edits both trees in place.

    Raises:
        SystemExit: a text to be replaced is not there.
    """
    operations = LINKED.splitlines(keepends=True)
    _replace(serving / "tensorflow_serving" / "model_servers" / "BUILD", "".join(operations[:-1]), LINKED)
    workspace = serving / "WORKSPACE"
    workspace.write_text(workspace.read_text() + REPOSITORIES.format(scann=scann))
    builds = sorted(scann.rglob("BUILD.bazel")) + sorted(scann.rglob("BUILD"))
    if not any(_use_the_servers_tensorflow(build) for build in builds):
        raise SystemExit(f"{scann}: no target links TensorFlow as expected; this script is for scann 1.4")
    target = scann / "scann" / "scann_ops" / "cc" / "BUILD.bazel"
    target.write_text(target.read_text() + STATIC_TARGET)
    # A repository of a WORKSPACE is no module.
    (scann / "MODULE.bazel").unlink(missing_ok=True)
    (scann / "WORKSPACE").write_text('workspace(name = "com_google_scann")\n')


def _use_the_servers_tensorflow(build: Path) -> bool:
    text = PYTHON_LOADS.sub("", PYTHON_RULES.sub("", build.read_text(encoding="utf-8")))
    linked = text
    for wheel, server in TENSORFLOW.items():
        linked = linked.replace(wheel, server)
    build.write_text(linked, encoding="utf-8")
    return linked != text


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"{path}: the list of linked operations is not as in TensorFlow Serving 2.20")
    path.write_text(text.replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    main()
