"""Mail as files: whole, private, once, and told of in the log with no more than may be there."""

from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from core.ids import new_id
from core.mail import Mail
from providers.mail.base import MailServerUnavailableError
from providers.mail.folder import MailFolder
from providers.mail.message import Sender

ID = UUID("0198c0de-0000-7000-8000-000000000001")
AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
LINK = "https://example.test/reset?token=8c7bK3n9Vq2LmZ0xW4tYpR6s"
MAIL = Mail("patricia@example.test", "Grüße", f"Hallo Jörg: {LINK}\n")


def folder(path: Path, *, development: bool = True) -> MailFolder:
    return MailFolder(path / "mail", Sender("colloquy@localhost", "Colloquy"), development=development)


async def send(mails: MailFolder, mail: Mail = MAIL, mail_id: UUID = ID) -> None:
    async with mails.session() as mailer:
        await mailer.send(mail, mail_id=mail_id, written_at=AT)


async def test_a_mail_is_a_file_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    await send(folder(tmp_path))
    (file,) = (tmp_path / "mail").iterdir()
    assert file.name == f"{ID.hex}.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert (message["To"], message["Subject"]) == (MAIL.to, MAIL.subject)
    assert LINK in file.read_text()


async def test_the_same_mail_twice_is_one_file_and_others_are_beside_it(tmp_path: Path) -> None:
    mails = folder(tmp_path)
    await asyncio.gather(*(send(mails) for _ in range(8)), *(send(mails, mail_id=new_id()) for _ in range(8)))
    names = sorted(file.name for file in (tmp_path / "mail").iterdir())
    assert len(names) == 9
    assert all(name.endswith(".eml") and not name.startswith(".") for name in names)


async def test_a_file_that_is_read_while_it_is_written_again_is_always_whole(tmp_path: Path) -> None:
    mails = folder(tmp_path)
    await send(mails)
    file = tmp_path / "mail" / f"{ID.hex}.eml"
    whole = file.read_bytes()
    writing = asyncio.gather(*(send(mails) for _ in range(20)))
    while not writing.done():
        assert file.read_bytes() == whole
        await asyncio.sleep(0)
    await writing


async def test_a_folder_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    with pytest.raises(MailServerUnavailableError, match="cannot be written"):
        await send(folder(tmp_path))
    (tmp_path / "mail").unlink()
    (tmp_path / "mail" / f"{ID.hex}.eml" / "in the way").mkdir(parents=True)
    with pytest.raises(MailServerUnavailableError, match="cannot be written"):
        await send(folder(tmp_path))
    assert [file.name for file in (tmp_path / "mail").iterdir()] == [f"{ID.hex}.eml"]


async def test_in_development_the_log_has_the_links(tmp_path: Path) -> None:
    with capture_logs() as lines:
        await send(folder(tmp_path))
    # A product that other tests share may say something, too.
    (line,) = [line for line in lines if line["event"] == "mail written"]
    assert (line["to"], line["subject"], line["links"]) == (MAIL.to, MAIL.subject, [LINK])
    assert "Hallo" not in str(line)


async def test_in_production_the_log_has_neither_links_nor_the_address(tmp_path: Path) -> None:
    with capture_logs() as lines:
        await send(folder(tmp_path, development=False))
    # A product that other tests share may say something, too.
    (line,) = [line for line in lines if line["event"] == "mail written"]
    assert (line["to"], line["subject"]) == ("p…@example.test", MAIL.subject)
    assert "example.test/reset" not in str(line)
    assert "atricia" not in str(line)
