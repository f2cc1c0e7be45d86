"""A person's way through the links in mails; imported in the Python that has Playwright."""

from __future__ import annotations

import email
import email.policy
import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.sync_api import Page, expect

SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) { __typename
  ... on SignUpPayload { session { accessToken } } ... on UserError { message } } }"""
SIGN_IN = "mutation($input: SignInInput!) { signIn(input: $input) { __typename } }"
INVITE = """mutation($input: InviteMemberInput!) { inviteMember(input: $input) { __typename
  ... on UserError { message } } }"""
LINK = re.compile(r"\S+#(?:reset|verify|invitation)=\S+")
PASSWORDS = ("thistle-ravine-omelet", "fjord-unmapped-quilt")
MAIL_SECONDS = 20


def mutate(url: str, query: str, values: dict[str, Any], token: str = "") -> dict[str, Any]:
    """The result of a mutation."""
    body = json.dumps({"query": query, "variables": {"input": values}}).encode()
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(urllib.request.Request(f"{url}/graphql", body, headers), timeout=20) as response:
        (result,) = json.load(response)["data"].values()
    return result  # type: ignore[no-any-return]


def link_to(mails: Path, address: str, kind: str) -> str:
    """The newest link of that kind in a mail to the address; waits for it."""
    deadline = time.monotonic() + MAIL_SECONDS
    while time.monotonic() < deadline:
        for path in sorted(mails.glob("*.eml"), reverse=True):
            letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTPUTF8)
            found = LINK.search(str(letter.get_content()))  # type: ignore[attr-defined]
            if found and f"#{kind}=" in found[0] and address in str(letter["To"]):
                return found[0]
        time.sleep(0.1)  # another process writes the file; nothing else tells
    raise AssertionError(f"no mail to {address} with a link to {kind} within {MAIL_SECONDS} s")


def signs_in(url: str, address: str, password: str) -> bool:
    """Whether these let somebody in."""
    return bool(mutate(url, SIGN_IN, {"email": address, "password": password})["__typename"] == "SignInPayload")


def through_the_links(page: Page, url: str, mails: Path, picture: Any) -> None:
    """Verify an address, invite somebody, accept, lose the password, choose another one."""
    first, second = f"{uuid4().hex}@example.test", f"{uuid4().hex}@example.test"
    account = {"organization": "Walkers", "name": "Wanda", "email": first, "password": PASSWORDS[0]}
    token = mutate(url, SIGN_UP, account)["session"]["accessToken"]

    page.goto(link_to(mails, first, "verify"))
    picture("account-1-verify")
    page.get_by_role("button", name="This is my address").click()
    expect(page.get_by_role("status")).to_have_text(f"{first} is verified.")
    assert "#" not in page.url, "the used token is still in the address bar"

    invited = mutate(url, INVITE, {"email": second, "role": "USER", "name": "Willi"}, token)
    assert invited["__typename"] == "InviteMemberPayload", invited
    page.goto(link_to(mails, second, "invitation"))
    page.get_by_label("Password").fill("password123")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("alert")).to_contain_text("too easily guessed")
    picture("account-2-invitation")
    page.get_by_label("Password").fill(PASSWORDS[0])
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("heading")).to_have_text("Welcome")
    assert signs_in(url, second, PASSWORDS[0])

    page.goto(f"{url}/account")
    page.get_by_label("E-mail").fill(second)
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_role("heading")).to_have_text("Look into your mail")
    link = link_to(mails, second, "reset")
    page.goto(link)
    page.get_by_label("New password").fill(PASSWORDS[1])
    picture("account-3-reset")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("status")).to_have_text(f"Sign in as {second} with the new one.")
    picture("account-4-changed")
    assert signs_in(url, second, PASSWORDS[1])
    assert not signs_in(url, second, PASSWORDS[0])

    page.goto("about:blank")
    page.goto(link)
    page.get_by_label("New password").fill(PASSWORDS[0])
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("alert")).to_contain_text("not good")
