"""Reads and checks the model configuration: from flags, from a `ModelServerConfig` file or from a reload request."""

import re
from collections.abc import Collection
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from features.disk.object_store import is_url, open_folder
from features.errors import RecstackError
from serving.config import ServerConfig
from serving.errors import Code, ServingError, invalid_argument
from serving.protos import read_text

PLATFORM = "tensorflow"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9.]*://")


def configured_models(config: ServerConfig) -> Any:
    """The `ModelServerConfig` of the command line: that of its file, or one with its single model.

    Raises:
        ServingError: Neither is given, or the file does not parse.
    """
    if config.model_config_file:
        empty = model_server_config_pb2.ModelServerConfig()
        return read_text(config.model_config_file, empty, "tensorflow.serving.ModelServerConfig")
    if not config.model_base_path:
        raise invalid_argument("Both --model_base_path and --model_config_file are empty: give one of them")
    single = model_server_config_pb2.ModelServerConfig()
    single.model_config_list.config.add(
        name=config.model_name, base_path=config.model_base_path, model_platform=PLATFORM
    )
    return single


def checked_models(config: Any, served: Collection[str] = ()) -> dict[str, Any]:
    """Every `ModelConfig` in a `ModelServerConfig`, by name.

    Args:
        config: The `ModelServerConfig`.
        served: Names of the models that are served now, all of them of the platform `tensorflow`.

    Raises:
        ServingError: There is no list of models, a name occurs twice, a base path is relative or a URL whose
            library is not installed, or a platform is not supported.
    """
    kind = config.WhichOneof("config")
    if kind is None:
        return {}
    if kind != "model_config_list":
        raise invalid_argument("custom_model_config is not supported: list the models in model_config_list")
    models: dict[str, Any] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        _check_base_path(model)
        _check_platform(model, model.name in served)
        models[model.name] = model
    return models


def _check_base_path(model: Any) -> None:
    if not (model.base_path.startswith("/") or _URI.match(model.base_path)):
        raise invalid_argument(
            f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
        )
    if is_url(model.base_path):
        try:
            open_folder(model.base_path)
        except RecstackError as error:
            raise invalid_argument(f"model {model.name}: {error}") from None


def _check_platform(model: Any, is_served: bool) -> None:
    platform = _platform(model)
    if platform == PLATFORM:
        return
    if is_served:
        raise invalid_argument(
            f"Illegal to change a model's platform. For model {model.name} platform was {PLATFORM} and new platform "
            f"requested is {platform}"
        )
    raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def _platform(model: Any) -> str:
    platform = str(model.model_platform)
    if not model.model_type:
        if not platform:
            raise invalid_argument(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                "ModelServerConfig::model_platform."
            )
        return platform
    if platform:
        raise invalid_argument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
        )
    if model.model_type != model_server_config_pb2.TENSORFLOW:
        raise invalid_argument(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    return PLATFORM


def version_labels(models: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Version labels by model: version number by label."""
    return {name: dict(model.version_labels) for name, model in models.items() if model.version_labels}


def with_versions_of(wanted: dict[str, Any], served: dict[str, Any]) -> dict[str, Any]:
    """The models as they are served now, with the wanted versions beside theirs and no label moved.

    Args:
        wanted: `ModelConfig` by name, whose labels name versions that are not loaded yet.
        served: the `ModelConfig` of each model that is served now, by name.
    """
    merged: dict[str, Any] = {}
    for name, model in served.items():
        merged[name] = both = type(model)()
        both.CopyFrom(model)
        policy = both.model_version_policy
        if name in wanted and policy.WhichOneof("policy_choice") == "specific":
            more = wanted[name].model_version_policy.specific.versions
            policy.specific.versions.extend(version for version in more if version not in policy.specific.versions)
    return merged


def check_logging(models: dict[str, Any]) -> None:
    """Refuses `logging_config`, as an unmodified `tensorflow_model_server` does, once the models are loaded.

    Raises:
        ServingError: A model has one.
    """
    if any(model.HasField("logging_config") for model in models.values()):
        raise ServingError(Code.INVALID_ARGUMENT, "No request-logger-creator provided.")
