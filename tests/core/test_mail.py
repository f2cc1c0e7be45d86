"""A mail is one address, one line of subject, and text: nothing in it can become a header or another recipient."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError
from hypothesis import example, given
from hypothesis import strategies as st

from core.mail import Mail, shortened

LINE_ENDS = ["\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0", "\x1b"]


@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
@pytest.mark.parametrize("place", ["{end}Bcc: eve@example.test", "before{end}after", "after{end}"])
def test_an_end_of_a_line_in_address_or_subject_is_refused(place: str, end: str) -> None:
    text = place.format(end=end)
    with pytest.raises(ValueError, match="subject is not one line"):
        Mail("pat@example.test", text, "text")
    with pytest.raises(ValueError, match="to is not one line"):
        Mail("pat@example.test" + text, "subject", "text")
    with pytest.raises(ValueError, match="to is not one line"):
        Mail(text + "pat@example.test", "subject", "text")


@pytest.mark.parametrize(
    "to",
    [
        "pat@example.test, eve@example.test",
        "pat@example.test eve@example.test",
        "pat@example.test>",
        "Pat <pat@example.test>",
        "<pat@example.test>",
        '"pat eve"@example.test',
        "pat@[127.0.0.1]",
        "pat",
        "@example.test",
        "",
    ],
)
def test_what_is_not_one_bare_address_is_refused(to: str) -> None:
    with pytest.raises(EmailNotValidError):
        Mail(to, "subject", "text")


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d of a pair"])
def test_text_that_cannot_be_stored_or_sent_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="The mail") as caught:
        Mail("pat@example.test", "subject", text)
    assert text not in repr(caught.value)


def test_the_text_is_not_shown_where_a_mail_is_printed() -> None:
    assert "secret" not in repr(Mail("pat@example.test", "subject", "https://example.test/reset/secret"))


@pytest.mark.long
@given(st.text())
@example("subject\r\nBcc: eve@example.test")
def test_a_subject_is_taken_whole_or_not_at_all(subject: str) -> None:
    try:
        mail = Mail("pat@example.test", subject, "text")
    except ValueError:
        return
    assert mail.subject == subject
    assert len(subject.splitlines()) <= 1


def test_a_shortened_address_keeps_its_first_letter_and_its_domain() -> None:
    assert shortened("patricia@example.test") == "p…@example.test"
    assert shortened("no address") == "…@no address"
