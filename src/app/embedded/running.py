"""The servers of a `make run` on this machine, for a command in another terminal."""

from __future__ import annotations

from pydantic import SecretStr

from app.embedded.files import read_record
from app.embedded.ports import LOOPBACK
from app.embedded.postgres import ROLES
from core.settings import Settings


def with_embedded_servers(settings: Settings) -> Settings:
    """The settings, with what is not set taken from the data folder's embedded servers, running or not.

    Unchanged where the folder has none, so that the command says what is not set.
    """
    folder = settings.data_dir.expanduser().absolute()
    postgres, redis = (read_record(folder / name / "server.json") for name in ("postgres", "redis"))
    found: dict[str, object] = {}
    if settings.database_url is None and {"port", "app", "platform"} <= postgres.keys():
        for field, role in (("database_url", "app"), ("database_platform_url", "platform")):
            found[field] = f"postgresql://{ROLES[role]}:{postgres[role]}@{LOOPBACK}:{postgres['port']}/colloquy"
    if settings.redis_url is None and {"port", "password"} <= redis.keys():
        found["redis_url"] = f"redis://:{redis['password']}@{LOOPBACK}:{redis['port']}/0"
    for field in ("secret_key", "encryption_keys"):
        secret = folder / field
        if getattr(settings, field) is None and secret.is_file():
            found[field] = SecretStr(secret.read_text(encoding="utf-8").strip())
    return settings.model_copy(update=found)
