"""A stranger's words in a mail from us: no link of theirs, whatever they call themselves."""

from __future__ import annotations

import re

import pytest

from resolvers import account_mails

LINK = re.compile(r"\w[.\u3002\uff0e\uff61]\w|://")
"""What mail programs make a link of."""


@pytest.mark.parametrize(
    "name",
    [
        *("http://x.test/a", "Reset at evil.example/login", "www.evil.example", "WWW.EVIL.EXAMPLE", "me@evil.example"),
        *("пример.рф", "1.2.3.4/login", "a.b.c.d", "evil\u3002example", "evil\uff0eexample"),
    ],
)
def test_no_name_is_a_link_in_a_mail(name: str) -> None:
    assert LINK.search(name)
    inviter = account_mails.invitation_to_account(
        "ina@harbour.example", inviter=name, inviter_email="pat@harbour.example", organization=name
    )
    assert LINK.search(inviter.text.replace("pat@harbour.example", "")) is None
    founded = account_mails.welcome("ina@harbour.example", organization=name, link="LINK", hours=1)
    assert LINK.search(founded.text) is None


def test_a_name_keeps_its_letters_and_its_full_stops() -> None:
    mail = account_mails.welcome("ina@harbour.example", organization="J. R. Smith & Sons Ltd.", link="LINK", hours=1)
    assert "“J. R. Smith & Sons Ltd.”" in mail.text
