"""The `[remote]` table. Imports no TensorFlow."""

from dataclasses import dataclass

from features.disk.object_store import is_url
from features.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RemoteConfig:
    """Where `recstack push` copies the dataset and runs to, and `recstack pull` takes them from."""

    url: str = ""
    """URL of a folder in an object store, such as `s3://bucket/shop`; empty for none."""

    def __post_init__(self) -> None:
        if self.url and not is_url(self.url):
            raise ConfigError("remote.url", self.url, "a URL such as s3://bucket/shop, or nothing")
