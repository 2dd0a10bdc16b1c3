"""The configuration's file is looked at again and again, whatever a look comes to."""

import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from serving import reloading
from serving.config import ServerConfig
from serving.metrics import Metrics
from serving.models.store import ModelStore
from serving.reloading import ConfigReloader

PATIENCE_SECONDS = 60


def models(base_path: Path, *names: str) -> bytes:
    entries = (f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" }}' for name in names)
    return f"model_config_list {{ {' '.join(entries)} }}".encode()


def test_a_store_that_fails_in_an_unknown_way_ends_no_poll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, applied, read = tmp_path / "models.config", threading.Event(), []
    path.write_bytes(models(tmp_path, "first"))
    store = mock.create_autospec(ModelStore, instance=True)
    store.labels = mock.Mock()
    store.labels.unavailable.return_value = []
    store.set_models.side_effect = lambda given: applied.set() if "second" in given else None
    config = ServerConfig(model_config_file=str(path), model_config_file_poll_wait_seconds=0.01)
    reloader = ConfigReloader(config, store, mock.create_autospec(Metrics, instance=True))
    reloader.start()
    configured_models = reloading.configured_models

    def failing(config: ServerConfig) -> Any:
        read.append(config)
        if len(read) <= 3:
            raise RuntimeError("a library of a store")
        return configured_models(config)

    monkeypatch.setattr(reloading, "configured_models", failing)
    path.write_bytes(models(tmp_path, "first", "second"))
    try:
        assert applied.wait(PATIENCE_SECONDS)
        assert len(read) > 3
    finally:
        reloader.stop()
