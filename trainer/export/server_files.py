"""Configuration files for a server of the exported models, in TensorFlow Serving's text format.

`models.config`, beside the models, names them by their paths on this machine. The files in `server/` are for servers
that see the models elsewhere (`export.served_from`):

    models.config         the newest version of each model
    canary_load.config    first step of a canary: the versions of the second step and of the one before, no labels
    canary_labels.config  second step, once they are available: `stable` is the stable version, `canary` the newest
    batching.config       for `--enable_batching --batching_parameters_file`
    monitoring.config     for `--monitoring_config_file`: Prometheus metrics on the REST port

The stable version is the one that was last promoted (`trainer.export.labels`), and before any promotion the one before
the newest. The canary takes two steps because a server refuses labels of versions that are not available; `recstack
serve` takes both by itself where it polls the second file. None of the files has a `logging_config`, because an
unmodified TensorFlow Serving cannot write request logs and refuses it. The last two files are written as text because
`tensorflow-serving-api` does not publish their messages.
"""

from collections.abc import Mapping

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from features.disk.files import make_directory, write_text_atomically
from features.disk.layout import ModelName, ServerFile, Workdir
from trainer.config.export import ExportConfig
from trainer.export.labels import canary_version, stable_version
from trainer.export.rollback import is_rollback

METRICS_PATH = "/monitoring/prometheus/metrics"


def write_server_files(workdir: Workdir, export: ExportConfig) -> None:
    """Writes all files."""
    here = {model: str(workdir.model(model).base.resolve()) for model in export.models}
    write_text_atomically(workdir.model_config, _text(_models(here)))
    make_directory(workdir.server_file("models").parent)
    for name, text in server_texts(workdir, export, export.served_from).items():
        write_text_atomically(workdir.server_file(name), text)


def server_texts(workdir: Workdir, export: ExportConfig, served_from: str) -> dict[ServerFile, str]:
    """The files of servers that find the models' base paths below `served_from`, a folder or a URL."""
    there = {model: f"{served_from.rstrip('/')}/{model}" for model in export.models}
    return {
        "models": _text(_models(there)),
        "canary_load": _canary(workdir, there, with_labels=False),
        "canary_labels": _canary(workdir, there, with_labels=True),
        "batching": _batching(export),
        "monitoring": _monitoring(),
    }


def _models(base_paths: Mapping[ModelName, str]) -> model_server_config_pb2.ModelServerConfig:
    config = model_server_config_pb2.ModelServerConfig()
    for name, base_path in base_paths.items():
        config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def _canary(workdir: Workdir, base_paths: Mapping[ModelName, str], *, with_labels: bool) -> str:
    config = _models(base_paths)
    for model in config.model_config_list.config:
        stable, canary = _labelled(workdir, model.name)
        # A label stays on the version before until the next step, which therefore has to stay loaded.
        before = set() if with_labels else set(workdir.model(model.name).versions()[-2:])
        model.model_version_policy.specific.versions.extend(sorted({stable, canary} | before))
        if with_labels:
            model.version_labels["stable"], model.version_labels["canary"] = stable, canary
    return _text(config)


def _labelled(workdir: Workdir, model: ModelName) -> tuple[int, int]:
    """What `stable` and `canary` name; after a rollback without a promotion both name the newest, never the bad one."""
    stable, canary = stable_version(workdir, model), canary_version(workdir, model)
    if stable is not None:
        return stable, canary
    versions = workdir.model(model).versions()
    return canary if is_rollback(workdir.model(model).manifest(canary)) else versions[-2:][0], canary


def _batching(export: ExportConfig) -> str:
    """Batching parameters; allowed sizes double up to the maximum, which the server requires to be the last one."""
    sizes = [1]
    while sizes[-1] < export.max_batch_size:
        sizes.append(min(2 * sizes[-1], export.max_batch_size))
    lines = [
        f"max_batch_size {{ value: {export.max_batch_size} }}",
        f"batch_timeout_micros {{ value: {export.batch_timeout_micros} }}",
        "max_enqueued_batches { value: 100 }",
        *(f"allowed_batch_sizes: {size}" for size in sizes),
    ]
    return "\n".join(lines) + "\n"


def _monitoring() -> str:
    return f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'


def _text(message: Message) -> str:
    return str(text_format.MessageToString(message))
