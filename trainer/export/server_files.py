"""The configuration files of a server for the exported models, in TensorFlow Serving's own form."""

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from features.files import write_text_atomically
from features.layout import Workdir


def write_model_config(workdir: Workdir, models: tuple[str, ...]) -> Path:
    """Writes `models.config`, which serves the newest version of each model.

    Args:
        workdir: holds the models' base paths; the file names them by their absolute paths, as the server asks.
        models: the servables.

    Returns:
        The file, for `--model_config_file`.
    """
    config = model_server_config_pb2.ModelServerConfig()
    for name in models:
        entry = config.model_config_list.config.add()
        entry.name = name
        entry.base_path = str(workdir.model(name).base.resolve())
        entry.model_platform = "tensorflow"
    path = workdir.model_config
    write_text_atomically(path, text_format.MessageToString(config))
    return path
