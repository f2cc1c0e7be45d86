"""The mails about accounts: plain, short; who caused each, and what to do if that was not you."""

from __future__ import annotations

import re

from core.mail import Mail

NAME_CHARS = 80
"""A name is a stranger's words in a mail from us: no room for a letter of their own."""
_DOT = re.compile(r"(?<=\w)[.\u3002\uff0e\uff61](?=\w)")
"""Within what could be a host's name: the full stop, and what IDNA takes for one."""


def address_to_verify(to: str, *, organization: str, link: str, hours: int) -> Mail:
    """After a sign-up, or asked for again."""
    return Mail(
        to,
        "Confirm your e-mail address",
        f"Somebody, most likely you, signed up for Colloquy with this address, for the organisation\n"
        f"{_named(organization)}. To confirm that the address is yours, open this page:\n\n"
        f"{link}\n\n"
        f"The link is good for {_time(hours)} and works once.\n\n"
        "If it was not you, do nothing: the address stays unconfirmed. To take the account over, ask for a new\n"
        "password there; that signs everybody else out.\n",
    )


def welcome(to: str, *, organization: str, link: str, hours: int) -> Mail:
    """To the first person of an organisation that an administrator has founded."""
    return Mail(
        to,
        "Your organisation on Colloquy",
        f"An administrator of this Colloquy has founded the organisation {_named(organization)}, and you manage it.\n"
        "To choose a password, open this page:\n\n"
        f"{link}\n\n"
        f"The link is good for {_time(hours)} and works once; later, ask for a new password there.\n\n"
        "If you do not know what this is about, do nothing: nobody can sign in with this address until then.\n",
    )


def lost_password(to: str, *, link: str, hours: int) -> Mail:
    """Asked for by anybody who knows the address."""
    return Mail(
        to,
        "A new password for Colloquy",
        "Somebody, most likely you, asked for a new password for the account with this address.\n"
        "To choose one, open this page:\n\n"
        f"{link}\n\n"
        f"The link is good for {_time(hours)} and works once. A new password signs you out everywhere, and\n"
        "your API keys end with it.\n\n"
        "If it was not you, do nothing: your password stays as it is, and nobody has learned anything about it.\n",
    )


def password_changed(to: str) -> Mail:
    """After the fact, to whoever it was taken from, if it was."""
    return Mail(
        to,
        "Your password was changed",
        "The password of your Colloquy account was changed a moment ago, and other devices were signed out.\n\n"
        "If it was not you, ask for a new password at once, where you sign in, and tell whoever manages your\n"
        "organisation.\n",
    )


def invitation(to: str, *, inviter: str, inviter_email: str, organization: str, link: str, hours: int) -> Mail:
    """To an address without an account."""
    return Mail(
        to,
        "You are invited to Colloquy",
        f"{_named(inviter)} ({inviter_email}) invites you to the organisation {_named(organization)}\n"
        "on Colloquy. To accept, choose a password on this page:\n\n"
        f"{link}\n\n"
        f"The link is good for {_time(hours)} and works once.\n\n"
        "If you do not know them, or do not want this, do nothing: there is no account until you accept.\n",
    )


def invitation_to_account(to: str, *, inviter: str, inviter_email: str, organization: str) -> Mail:
    """To an address that has an account, which the inviter is not told of."""
    return Mail(
        to,
        "You are invited to Colloquy",
        f"{_named(inviter)} ({inviter_email}) invites you to the organisation {_named(organization)}\n"
        "on Colloquy. This address has a Colloquy account already, and an address belongs to one organisation.\n\n"
        "To accept, ask them to invite another address of yours, or have this account removed by whoever manages\n"
        "its organisation and ask for another invitation. They have not been told that you have an account.\n\n"
        "If you do not know them, or do not want this, do nothing.\n",
    )


def _named(name: str) -> str:
    """The name between quotation marks, and no link: mail programs make one of whatever looks like it."""
    plain = _DOT.sub(r"\g<0> ", name.replace("://", ": //"))
    return f"“{plain if len(plain) <= NAME_CHARS else plain[: NAME_CHARS - 1] + '…'}”"


def _time(hours: int) -> str:
    if hours < 1:
        return "less than an hour"
    if hours == 1:
        return "an hour"
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"
