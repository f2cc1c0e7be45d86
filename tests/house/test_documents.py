"""What README, CONTRIBUTING and docs/ say is true: commands, settings, links, and the loop for client authors."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from graphql import build_schema, parse, validate
from websockets.asyncio.server import ServerConnection, serve

from core.settings import Settings
from product import Product, running_product
from scripted_socket import COMPLETE, answer_event, refusal, scripted_socket
from wire import Fail, Say, gemini

ROOT = Path(__file__).resolve().parents[2]
NEVER_TRACKED = {".git", ".venv", ".cache", ".data", "node_modules", "dist", "__pycache__"}


def tracked_files() -> list[Path]:
    """What is, or is about to be, in version control; without git (an unpacked archive) whatever is not made here."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True)
        found = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not NEVER_TRACKED & set(path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file()]


def documents() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md" and path.parts[-2] != "documents"]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, made as most renderers make them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.long
@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/operations.md", "docs/architecture.md"])
def test_commands_that_are_told_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"(?:`|^|\$ |PORT=\d+ )make ([a-z]+)\b", text, re.MULTILINE))
    assert told <= targets
    help_text = subprocess.run([ROOT / ".venv/bin/colloquy", "--help"], capture_output=True, text=True, check=True)
    for command in re.findall(r"`colloquy ([a-z]+)", text):
        assert re.search(rf"\b{command}\b", help_text.stdout), command


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.+?) \|", page, re.MULTILINE))
    fields = Settings.model_fields
    assert set(rows) == {name.upper() for name in fields}
    for name, field in fields.items():
        default, told = field.default, rows[name.upper()]
        if default is None or default == ():
            assert not told.startswith("`") or name in ("database_platform_url", "chat_provider"), name
        else:
            expected = str(default).lower() if isinstance(default, bool) else str(default)
            assert told == f"`{expected}`", name


def test_relative_links_lead_somewhere() -> None:
    broken = []
    for page in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path) if path else page
            if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
                broken.append(f"{shown(page)}: {target}")
    assert broken == []


def test_files_that_the_documents_name_are_there() -> None:
    missing = []
    for page in documents():
        for name in re.findall(r"`((?:src|docs|tests|web|demo|bench|scripts|deploy)/[\w./-]+)`", page.read_text()):
            made_later = name.startswith("web/dist") or "web/node_modules" in name
            if not made_later and not (ROOT / name.rstrip("/")).exists():
                missing.append(f"{shown(page)}: {name}")
    assert missing == []


def test_the_architecture_names_modules_and_functions_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = {path.name for path in (ROOT / "src").iterdir() if path.is_dir()}
    wrong = []
    for name, functions in re.findall(r"`(\w+(?:/\w+)*/\w+\.py)(?:: ([\w., ]+))?`", page):
        if name.split("/")[0] not in packages:
            continue
        module = ROOT / "src" / name
        if not module.is_file():
            wrong.append(name)
            continue
        body = module.read_text()
        told = filter(None, re.split(r"[., ]+", functions))
        wrong += [
            f"{name}: {one}"
            for one in told
            if not re.search(rf"\b(?:def|class) {one}\b|^{one}\b.* = ", body, re.MULTILINE)
        ]
    assert wrong == []


@pytest.mark.parametrize("name", ["README.md", "docs/streaming.md"])
def test_operations_in_the_documents_fit_the_schema(name: str) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    page = (ROOT / name).read_text()
    operations = re.findall(r"```graphql\n(.*?)```", page, re.DOTALL)
    operations += [text.strip('`"') for text in re.findall(r'""".*?"""|`subscription.*?`', page, re.DOTALL)]
    assert operations
    for operation in operations:
        assert validate(schema, parse(operation)) == [], operation


def test_no_file_names_a_package_registry() -> None:
    # Put together from parts, so that this file does not name them itself.
    hosts = [
        ".".join(parts)
        for parts in (
            ("pypi", "org"),
            ("pypi", "python", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("yarnpkg", "com"),
            ("crates", "io"),
            ("rubygems", "org"),
            ("proxy", "golang", "org"),
            ("repo", "maven", "apache", "org"),
            ("hub", "docker", "com"),
            ("docker", "io"),
            ("ghcr", "io"),
            ("quay", "io"),
        )
    ]
    pattern = re.compile(rb"(?<![\w-])(?:" + b"|".join(re.escape(host.encode()) for host in hosts) + rb")(?![\w-])")
    named = [shown(path) for path in tracked_files() if pattern.search(path.read_bytes())]
    assert named == []


def test_the_licence_is_the_whole_text_letter_for_letter() -> None:
    # As published by the Free Software Foundation.
    expected = "0d96a4ff68ad6d4b6f1f30f713b18d5184912ba8dd389f86aa7710db079abcb0"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == expected


Watch = Callable[..., Awaitable[tuple[int | None, str, str]]]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """Runs the Python loop of the streaming page as it stands: exit status, what it printed, what it complained of."""
    page = (ROOT / "docs" / "streaming.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    script = tmp_path / "watch.py"
    script.write_text(code)

    async def run(*arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        return process.returncode, out.decode().strip(), err.decode().strip()

    return run


@pytest.mark.long
async def test_the_python_loop_of_the_streaming_page_runs_as_it_stands(product: Product, watch: Watch) -> None:
    person = await product.sign_up()
    await person.ready_document(b"The ferry to Vexholm leaves from pier nine at half past seven.\n")
    sent = await person.send(await person.conversation(), "When does the ferry to Vexholm leave?")
    url = product.url.replace("http", "ws") + "/graphql"
    status, text, said = await watch(url, person.token, sent["answer"]["id"])
    assert (status, said) == (0, "")
    last = [event async for event in person.follow(sent["answer"]["id"])][-1]
    assert text == last["answer"]["message"]["text"]
    assert "half past seven" in text
    refused = "refused: 4403 UNAUTHENTICATED: The access token is not valid. Sign in again."
    assert await watch(url, "no token", sent["answer"]["id"]) == (1, "", refused)
    status, text, said = await watch(url, person.token, "ans_0")
    assert (status, text) == (1, "")
    assert "not an id" in said


@pytest.mark.long
async def test_the_python_loop_does_not_take_a_failed_answer_for_a_finished_one(
    settings: Settings, tmp_path: Path, watch: Watch
) -> None:
    async with gemini(settings, tmp_path, chat_provider="gemini") as (server, changed):
        server.script = [Say("The ferry to"), Fail(grpc.StatusCode.UNAVAILABLE)]
        async with running_product(changed) as product:
            person = await product.sign_up()
            await person.ready_document(b"The ferry to Vexholm leaves from pier nine at half past seven.\n")
            sent = await person.send(await person.conversation(), "When does the ferry leave?")
            url = product.url.replace("http", "ws") + "/graphql"
            status, text, said = await watch(url, person.token, sent["answer"]["id"])
    assert (status, text) == (1, "")
    assert said.startswith("PROVIDER_UNAVAILABLE: ")


SCRIPT = (
    [refusal("RATE_LIMITED", "Too often.", retryAfterMs=700)],
    [answer_event("AnswerStarted", "c1"), answer_event("AnswerDelta", "c2", text="In ")],
    [refusal("RATE_LIMITED", "Too often.", retryAfterMs=10)],
    [answer_event("AnswerDelta", "c3", text="1432."), answer_event("AnswerCompleted", "c4"), COMPLETE],
)


async def test_the_python_loop_waits_as_long_as_it_is_told(watch: Watch) -> None:
    async with scripted_socket(*SCRIPT) as (port, asked):
        assert await watch(f"ws://127.0.0.1:{port}", "token", "ans_1") == (0, "In 1432.", "")
    assert [after for _, after in asked] == [None, None, "c2", "c2"]
    assert asked[1][0] - asked[0][0] >= 0.7


async def test_the_python_loop_waits_longer_from_time_to_time_until_something_comes(watch: Watch) -> None:
    one = [answer_event("AnswerStarted", "c1")]
    async with scripted_socket([], [], one, [COMPLETE]) as (port, asked):
        assert await watch(f"ws://127.0.0.1:{port}", "token", "ans_1") == (0, "", "")
    first, second, after_one = (later - earlier for (earlier, _), (later, _) in pairwise(asked))
    assert 0.5 <= first < second < 2
    assert second >= 1
    assert after_one < second


async def test_the_python_loop_tells_the_error_of_an_event_that_has_no_data(watch: Watch) -> None:
    async def api(socket: ServerConnection) -> None:
        frames = (
            {"type": "connection_ack"},
            {"id": "1", "type": "next", "payload": {"data": None, "errors": [{"message": "It broke."}]}},
        )
        for frame in frames:
            await socket.recv()
            await socket.send(json.dumps(frame))
        await socket.wait_closed()

    async with serve(api, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        assert await watch(f"ws://127.0.0.1:{port}/graphql", "token", "ans_1") == (1, "", "It broke.")
