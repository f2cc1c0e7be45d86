"""The steps of graphiql.test, each as a person does it; imported in the Python that has Playwright."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from account_walk import through_the_links
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebSocket, expect, sync_playwright

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever the browser itself might want to ask has no address: only the product is reachable.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
DOCUMENT = """Colloquy and your documents

Colloquy cuts your documents into passages of about five hundred characters and keeps the page of each passage.
When you ask a question, Colloquy answers from the passages of your documents alone and quotes them exactly.
"""


class Witness:
    """What the page did besides what it showed: requests, socket frames, errors."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self._origin = urlsplit(origin).netloc
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.authorizations: list[str | None] = []
        self.socket_inits: list[dict[str, object]] = []
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))

    def watch(self, page: Page) -> None:
        page.on("websocket", self._websocket)

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._origin:
            self.foreign.append(request.url)
        if parts.path == "/graphql":
            self.authorizations.append(request.headers.get("authorization"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _websocket(self, opened: WebSocket) -> None:
        if urlsplit(opened.url).netloc != self._origin:
            self.foreign.append(opened.url)
        opened.on("framesent", self._frame)

    def _frame(self, frame: str | bytes) -> None:
        message = json.loads(frame)
        if message.get("type") == "connection_init":
            self.socket_inits.append(message.get("payload") or {})

    def testify(self) -> None:
        assert self.foreign == [], f"the page asked other hosts: {self.foreign}"
        assert self.errors == [], f"the page logged errors: {self.errors}"


def execute(page: Page) -> dict[str, object]:
    """Press the run button; the data of the response that comes."""
    with page.expect_response(lambda response: urlsplit(response.url).path == "/graphql") as caught:
        page.get_by_role("button", name="Execute query").click()
    result: dict[str, object] = caught.value.json()
    assert "errors" not in result, result
    data = result["data"]
    assert isinstance(data, dict)
    return data


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def sign_in_with_the_keyboard(page: Page, email: str, password: str) -> None:
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(email)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def signing_in(page: Page, email: str, password: str) -> None:
    sign_in_with_the_keyboard(page, email, "not-the-password")
    expect(page.get_by_role("form").get_by_role("alert")).not_to_be_empty()
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("Signed in as")).to_be_visible()


def reloading_keeps_the_session_and_storage_keeps_no_token(page: Page) -> None:
    page.reload()
    expect(page.get_by_text("Signed in as")).to_be_visible()
    token = json.loads(page.evaluate("sessionStorage.getItem('colloquy.session')"))["accessToken"]
    assert token not in page.evaluate("Object.values(localStorage).join()"), "localStorage outlives the tab"


def reading(page: Page) -> None:
    data = execute(page)
    assert data["viewer"], data
    expect(page.locator(".result-window")).to_contain_text("viewer")


def uploading(page: Page) -> None:
    page.get_by_role("button", name="Show Upload").click()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "from-the-browser.txt"
        # Never the same twice: the product refuses a document that it has.
        path.write_text(f"{DOCUMENT}\nReference {uuid4()}\n")
        page.get_by_label("Document (PDF, Word, EPUB, HTML, CSV, TXT or Markdown)").set_input_files(path)
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.get_by_role("status").filter(has_text="Ready")).to_be_visible(timeout=60_000)


def asking(page: Page) -> None:
    open_tab(page, "StartConversation")
    execute(page)
    page.get_by_role("button", name="Ask a question in it").click()
    data = execute(page)
    sent = data["sendMessage"]
    assert isinstance(sent, dict)
    assert sent.get("answer"), sent


def following(page: Page) -> None:
    page.get_by_role("button", name="Follow the answer").click()
    answer = page.get_by_role("region", name="Answer so far")
    # Text first, then the end: it arrives while it is being written.
    expect(answer.locator(".live-answer-text")).not_to_be_empty(timeout=20_000)
    expect(answer.locator(".live-answer-status")).to_have_text("Completed", timeout=20_000)
    expect(answer.get_by_role("listitem").first).to_contain_text("[1]")


def write_headers(page: Page, text: str) -> None:
    page.locator(".graphiql-editor-tool .monaco-editor").last.click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)


def the_headers_tab_is_used_for_http_and_sockets(page: Page, witness: Witness) -> None:
    page.get_by_role("button", name="Show Account").click()
    page.get_by_role("button", name="Sign out of this page").click()
    expect(page.get_by_label("E-mail")).to_be_visible()
    page.get_by_role("button", name="Headers", exact=True).click()
    write_headers(page, '{"Authorization": "Bearer from-the-headers-tab"}')
    page.get_by_role("button", name="Execute query").click()
    # Refused at once, and said so: no spinner while the client tries the same identity again and again.
    expect(page.locator(".result-window")).to_contain_text("message")
    assert witness.socket_inits[-1] == {"authorization": "Bearer from-the-headers-tab"}, witness.socket_inits[-1]
    open_tab(page, "Viewer")
    # Each tab has headers of its own.
    write_headers(page, '{"Authorization": "Bearer from-the-headers-tab"}')
    with page.expect_request(lambda request: urlsplit(request.url).path == "/graphql"):
        page.get_by_role("button", name="Execute query").click()
    assert witness.authorizations[-1] == "Bearer from-the-headers-tab", witness.authorizations[-1]


def walk(
    chromium: str, url: str, email: str, password: str, screenshots: Path | None, mails: Path | None = None
) -> None:
    """All steps in order; the account page's only where mails can be read. Raises AssertionError where one fails."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            headless=True,
            chromium_sandbox=False,
            args=FLAGS,
            viewport={"width": 1440, "height": 900},
        )
        context.set_default_timeout(20_000)
        page = context.pages[0]
        witness = Witness(context, url)
        witness.watch(page)

        def picture(name: str) -> None:
            print(f"browser: {name}", flush=True)  # noqa: T201
            if screenshots is not None:
                screenshots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=screenshots / f"{name}.png")

        try:
            page.goto(f"{url}/graphiql")
            expect(page.locator(".graphiql-query-editor .view-lines")).to_contain_text("Viewer")
            picture("1-opened")
            signing_in(page, email, password)
            reloading_keeps_the_session_and_storage_keeps_no_token(page)
            picture("2-signed-in")
            reading(page)
            picture("3-read")
            uploading(page)
            picture("4-uploaded")
            asking(page)
            picture("5-asked")
            following(page)
            picture("6-followed")
            assert str(witness.socket_inits[-1].get("authorization", "")).startswith("Bearer "), witness.socket_inits[
                -1
            ]
            witness.testify()
            the_headers_tab_is_used_for_http_and_sockets(page, witness)
            picture("7-headers-tab")
            assert witness.foreign == [], f"the page asked other hosts: {witness.foreign}"
            if mails is not None:
                witness.errors.clear()
                through_the_links(page, url, mails, picture)
                witness.testify()
        except Exception:
            # What the page itself complained about explains most failures.
            print(*witness.errors, sep="\n", flush=True)  # noqa: T201
            picture("failed")
            raise
        finally:
            context.close()
