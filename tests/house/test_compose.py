"""docker-compose.yml, the Dockerfile and the script that makes the owner: no engine runs here, so they are read,
validated, and the script is run on the embedded server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.embedded.account import account_for_postgres, installation
from app.embedded.postgres import EmbeddedPostgres
from core.errors import ConfigurationError
from core.settings import Settings
from datastores.migrate import migrate
from datastores.postgres import Postgres
from datastores.postgres_url import connect_arguments

ROOT = Path(__file__).resolve().parents[2]
SECRETS = (
    "SECRET_KEY",
    "POSTGRES_PASSWORD",
    "OWNER_PASSWORD",
    "APP_PASSWORD",
    "PLATFORM_PASSWORD",
    "REDIS_PASSWORD",
)
OURS = ("api", "worker", "migrate")


@pytest.fixture(scope="module")
def compose() -> Any:
    """The file with its anchors and merges resolved, its variables not."""
    return YAML(typ="safe").load(ROOT / "docker-compose.yml")


def interpolated(text: str, values: dict[str, str]) -> str:
    """`${NAME:-default}` and `${NAME:?message}` as compose reads them."""
    return re.sub(r"\$\{(\w+):[-?]([^}]*)\}", lambda found: values.get(found[1], found[2]), text)


def settings_of(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the service's process would read from its environment, every secret being `letters4digits`."""
    for name, text in service["environment"].items():
        given = dict.fromkeys(SECRETS, "letters4digits" * 3) | {"PUBLIC_URL": "https://colloquy.example"}
        monkeypatch.setenv(name, interpolated(text, given))
    return Settings()


def test_the_file_is_valid_by_the_compose_specification() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, ROOT / "docker-compose.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_part_is_there_with_limits_and_all_that_stay_with_a_health_check(compose: Any) -> None:
    services = compose["services"]
    assert set(services) == {"api", "worker", "migrate", "postgres", "redis", "redis-cache"}
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= limits.keys(), name
        assert ("healthcheck" in service) is (name != "migrate"), name
        assert service["logging"]["options"]["max-size"], name


def test_the_two_redis_differ_in_what_they_may_forget(compose: Any) -> None:
    def option(name: str, key: str) -> str:
        command = compose["services"][name]["command"]
        return str(command[command.index(key) + 1])

    assert option("redis", "--maxmemory-policy") == "noeviction"
    assert option("redis", "--appendonly") == "yes"
    assert option("redis-cache", "--maxmemory-policy") == "allkeys-lru"


def test_every_secret_is_required_with_a_line_that_names_it(compose: Any) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in SECRETS:
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses, name
        assert all(use.startswith(f":?put {name} into .env") for use in uses), name
    # Where links in mails lead has no default that could be right.
    assert "${PUBLIC_URL:?put PUBLIC_URL into .env" in text
    others = set(re.findall(r"\$\{(\w+)", text)) - {*SECRETS, "PUBLIC_URL"}
    assert others == set(re.findall(r"\$\{(\w+):-", text)), "whatever is not a secret has a default"


def test_only_the_api_and_the_worker_have_a_way_out_and_only_the_api_is_published(compose: Any) -> None:
    assert compose["networks"]["backend"] == {"internal": True}
    outside = {name for name, service in compose["services"].items() if "outside" in service["networks"]}
    assert outside == {"api", "worker"}
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"api"}
    assert interpolated(published["api"][0], {}) == "127.0.0.1:8000:8000"


def test_only_the_migration_gets_the_owner_and_only_the_api_the_key(compose: Any) -> None:
    environments = {name: compose["services"][name]["environment"] for name in OURS}
    assert {name for name, values in environments.items() if "DATABASE_OWNER_URL" in values} == {"migrate"}
    assert {name for name, values in environments.items() if "SECRET_KEY" in values} == {"api"}


@pytest.mark.parametrize("name", OURS)
def test_the_environment_is_made_of_settings_that_production_accepts(
    compose: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = compose["services"][name]
    unknown = {variable for variable in service["environment"] if variable.lower() not in Settings.model_fields}
    assert unknown == set()
    settings = settings_of(service, monkeypatch)
    assert settings.environment == "production"
    assert settings.chat_provider is None, "an empty variable counts as not set"
    for url in (settings.database_url, settings.database_platform_url):
        assert url is not None
        assert connect_arguments(settings, url)["ssl"] == "disable", "there is no TLS inside the compose network"


def test_services_wait_for_what_they_need(compose: Any) -> None:
    services = compose["services"]
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in ("api", "worker"):
        needs = services[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
        assert needs["redis"]["condition"] == "service_healthy"
    assert services["migrate"]["restart"] == "no"


def test_the_api_and_the_worker_share_the_folder_of_originals(compose: Any) -> None:
    assert all(compose["services"][name]["volumes"] == ["data:/data"] for name in ("api", "worker"))
    assert "DATA_DIR=/data" in (ROOT / "Dockerfile").read_text()


def test_files_that_are_mounted_or_copied_exist_and_reach_the_build(compose: Any) -> None:
    mounted = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert mounted
    assert copied
    for name in (*mounted, *copied):
        assert (ROOT / name).exists(), name
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) <= let_in


def test_the_image_runs_as_an_ordinary_user_and_installs_by_hash() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    last = dockerfile.rindex("FROM ")
    assert re.search(r"^USER colloquy$", dockerfile[last:], re.MULTILINE)
    assert dockerfile.index("USER colloquy") > dockerfile.rindex("RUN ")
    assert "--require-hashes -r requirements.lock" in dockerfile


def as_superuser(port: str, *arguments: str) -> None:
    """Run psql as the image runs its scripts; the owner is to get a password that needs quoting."""
    done = subprocess.run(
        [
            *(installation(account_for_postgres()) / "bin" / "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1"),
            *("--host=127.0.0.1", f"--port={port}", "--username=postgres", "--dbname=postgres"),
            *arguments,
        ],
        env=os.environ | {"OWNER_PASSWORD": "it's a password"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long
async def test_the_owner_made_by_the_script_can_migrate_and_the_application_is_kept_in(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    server.start()
    server.stop()
    # The embedded cluster never lets its superuser in; the image's, which the script is for, does.
    rules = server.cluster / "pg_hba.conf"
    rules.write_text("host all postgres 127.0.0.1/32 trust\n" + rules.read_text())
    server.start()
    try:
        port = server.owner_url.rpartition(":")[2].partition("/")[0]
        as_superuser(port, "-c", "DROP DATABASE colloquy", "-c", "DROP ROLE colloquy_owner")
        as_superuser(port, "-f", str(ROOT / "deploy" / "create-owner.sql"))
        owner = f"postgresql://colloquy_owner:it%27s%20a%20password@127.0.0.1:{port}/colloquy"
        settings = Settings(
            database_owner_url=owner, database_url=server.app_url, database_platform_url=server.platform_url
        )
        await migrate(settings)
        doors = Postgres(settings)
        try:
            await doors.refuse_unsafe_roles()
        finally:
            await doors.aclose()
        as_owner = Postgres(settings.model_copy(update={"database_url": owner}))
        try:
            with pytest.raises(ConfigurationError, match="owns tables"):
                await as_owner.refuse_unsafe_roles()
        finally:
            await as_owner.aclose()
    finally:
        server.stop()
