"""Registering trusted documents, and how a process knows of them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from graphql import parse, print_ast
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from app.documents_command import documents
from app.trusted_documents import add, registered
from core.errors import ConfigurationError
from core.settings import Settings, settings_from_environment
from datastores.postgres import Postgres
from owner import as_owner
from resolvers.trusted_documents import TrustedDocuments

SOURCES = Path(__file__).parents[2] / "src"
NAME = "query Name { viewer { user { email } } }"


def hash_of(text: str) -> str:
    """As any client computes it."""
    return sha256(text.encode()).hexdigest()


async def test_any_number_of_unknown_hashes_costs_one_look_at_the_database(postgres: Postgres) -> None:
    statements: list[str] = []
    event.listen(
        postgres._platform.sync_engine,
        "before_cursor_execute",
        lambda *given: statements.append(given[2]),
        retval=False,
    )
    trusted = TrustedDocuments(postgres, ttl=60)
    found = await asyncio.gather(*(trusted.text_of(secrets.token_hex(32)) for _ in range(500)))
    assert set(found) == {None}
    assert len([statement for statement in statements if "trusted_documents" in statement]) == 1


async def test_while_the_database_is_away_what_was_read_last_stands(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "a.graphql").write_text(NAME)
    await add(settings, [tmp_path / "a.graphql"])
    trusted = TrustedDocuments(postgres, ttl=0.001)
    assert await trusted.text_of(hash_of(NAME)) == NAME
    await as_owner(settings, "ALTER TABLE trusted_documents RENAME TO elsewhere")
    assert await trusted.text_of(hash_of(NAME)) == NAME
    assert await trusted.text_of("0" * 64) is None
    with pytest.raises(ProgrammingError):
        await TrustedDocuments(postgres, ttl=60).knows(hash_of(NAME))
    with pytest.raises(ConfigurationError, match="colloquy migrate"):
        await registered(settings)


SEVERAL = """# The client's operations.
fragment Who on User { id ...Mail }
fragment Mail on User { email }
fragment Sum on Conversation { id }
query One { viewer { user { ...Who } } }

mutation Two { signOut { signedOut } }
subscription Three($id: ID!) { documentProgress(id: $id) { document { id } } }
query Four { viewer { conversations { nodes { ...Sum } } } }
"""


async def test_of_a_file_with_several_operations_each_is_registered_with_the_fragments_it_uses(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "several.graphql").write_text(SEVERAL)
    lines = await add(settings, [tmp_path / "several.graphql"])
    assert [line.split()[1] for line in lines] == ["One", "Two", "Three", "Four"]
    one = print_ast(
        parse(
            "query One { viewer { user { ...Who } } } "
            "fragment Who on User { id ...Mail } fragment Mail on User { email }"
        )
    )
    assert lines[0].split()[0] == hash_of(one)
    assert await TrustedDocuments(postgres, ttl=60).text_of(hash_of(one)) == one
    # Twice is once.
    await add(settings, [tmp_path / "several.graphql"])
    assert len(await registered(settings)) == 4


async def test_manifests_of_apollo_and_relay_are_registered_under_their_ids(settings: Settings, tmp_path: Path) -> None:
    relay, apollo = "query Relay { __typename }", "query Apollo { __typename }"
    (tmp_path / "relay.json").write_text(json.dumps({hash_of(relay): relay}))
    operations = [{"id": hash_of(apollo), "name": "Apollo", "type": "query", "body": apollo}]
    manifest = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}
    (tmp_path / "apollo.json").write_text(json.dumps(manifest))
    await add(settings, [tmp_path / "relay.json", tmp_path / "apollo.json"])
    listed = await registered(settings)
    assert {line.split()[0] for line in listed} == {hash_of(relay), hash_of(apollo)}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bad.graphql", b"query {", "Syntax Error: Expected Name, found <EOF>. (line 1)"),
        ("bad.graphql", b"query Bad { nothing }", "Bad: Cannot query field 'nothing' on type 'Query'. (line 1)"),
        ("bad.graphql", b"query Bad { " + b"a: __typename " * 16 + b"}", "the limit is 15 (aliases)"),
        ("bad.graphql", b"fragment F on Query { __typename }", "there is no operation in it"),
        ("bad.graphql", b"", "Syntax Error"),
        ("bad.graphql", b"query { a\xff }", "it is not UTF-8"),
        ("bad.graphql", None, "No such file or directory"),
        ("bad.json", b"{", "it is not JSON"),
        ("bad.json", b"[]", "it is neither"),
        ("bad.json", b'{"5d41402abc4b2a76b9719d911017c592": "{ __typename }"}', "is not the SHA-256 of its text"),
        (
            "bad.json",
            json.dumps(
                {hash_of("query A{__typename} query B{__typename}"): "query A{__typename} query B{__typename}"}
            ).encode(),
            "one with 2",
        ),
    ],
)
async def test_of_a_batch_with_one_bad_document_nothing_is_registered(
    settings: Settings, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    (tmp_path / "good.graphql").write_text(NAME)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        await add(settings, [tmp_path / "good.graphql", tmp_path / name])
    message = str(refused.value)
    assert reason in message
    assert message.startswith(str(tmp_path / name))
    assert message.endswith("; nothing has been registered.")
    assert "\n" not in message
    assert await registered(settings) == []


def environment(settings: Settings) -> dict[str, str]:
    """For a command of somebody who operates the server."""
    return {
        "PYTHONPATH": str(SOURCES),
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url or "",
        "DATABASE_PLATFORM_URL": settings.database_platform_url or "",
    }


async def test_the_commands_print_what_is_registered(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "good.graphql").write_text(NAME)

    def command(*arguments: str) -> str:
        result = CliRunner().invoke(documents, arguments, env=environment(settings), catch_exceptions=False)
        return result.output

    settings_from_environment.cache_clear()
    try:
        # In a thread: the commands have event loops of their own.
        assert await asyncio.to_thread(command, "list") == ""
        added = await asyncio.to_thread(command, "add", str(tmp_path / "good.graphql"))
        assert added == f"{hash_of(NAME)}  Name\n"
        listed = (await asyncio.to_thread(command, "list")).split()
        assert (listed[0], listed[2]) == (hash_of(NAME), "Name")
        assert await asyncio.to_thread(command, "remove", f"sha256:{hash_of(NAME)}") == ""
        with pytest.raises(ConfigurationError, match="no document has the hash"):
            await asyncio.to_thread(command, "remove", hash_of(NAME))
    finally:
        settings_from_environment.cache_clear()


@pytest.mark.long
@pytest.mark.timeout(60)
async def test_a_command_that_fails_ends_with_one_line_and_status_2(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "bad.graphql").write_text("{ nothing }")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "documents", "add", str(tmp_path / "bad.graphql")),
        env=os.environ | environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out, err.count(b"\n")) == (2, b"", 1)
    assert err.decode().startswith(f"colloquy: {tmp_path / 'bad.graphql'}: the operation: Cannot query field")
