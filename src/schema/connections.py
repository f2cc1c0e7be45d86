"""Relay connections over keyset pages. Cursors are computed only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import strawberry

from core.ids import ListKind, cursor_of_message, cursor_of_time
from datastores.pages import Page

CursorOf = Callable[[Any], str]


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(slots=True)
class EdgeRecord:
    """One item of a page and how its cursor is made."""

    node: Any
    cursor_of: CursorOf


@dataclass(slots=True)
class ConnectionRecord:
    """A page and how its cursors are made."""

    page: Page[Any]
    cursor_of: CursorOf

    @property
    def edges(self) -> list[EdgeRecord]:
        """One edge to each item, in order."""
        return [EdgeRecord(item, self.cursor_of) for item in self.page.items]

    @property
    def nodes(self) -> list[Any]:
        """The items themselves."""
        return self.page.items

    @property
    def page_info(self) -> PageInfo:
        """Relay's page information."""
        items = self.page.items
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=self.cursor_of(items[0]) if items else None,
            end_cursor=self.cursor_of(items[-1]) if items else None,
        )


def edge_cursor() -> Any:
    """The `cursor` field of an edge."""

    def resolve(root: Any) -> str:
        return str(root.cursor_of(root.node))

    return strawberry.field(resolver=resolve, description="For `after` and `before`.")


def assistant_cursor(record: Any) -> str:
    """The cursor of `Viewer.assistants`."""
    return cursor_of_time(ListKind.ASSISTANTS, record.created_at, record.id)


def conversation_cursor(record: Any) -> str:
    """The cursor of `Viewer.conversations`."""
    return cursor_of_time(ListKind.CONVERSATIONS, record.last_message_at, record.id)


def document_cursor(record: Any) -> str:
    """The cursor of `Viewer.documents`."""
    return cursor_of_time(ListKind.DOCUMENTS, record.created_at, record.id)


def message_cursor(record: Any) -> str:
    """The cursor of `Conversation.messages`."""
    return cursor_of_message(record.conversation_id, record.sequence)


def member_cursor(record: Any) -> str:
    """The cursor of `Viewer.members`."""
    return cursor_of_time(ListKind.MEMBERS, record.created_at, record.id)


def invitation_cursor(record: Any) -> str:
    """The cursor of `Viewer.invitations`."""
    return cursor_of_time(ListKind.INVITATIONS, record.created_at, record.id)


def session_cursor(record: Any) -> str:
    """The cursor of `Viewer.sessions`."""
    return cursor_of_time(ListKind.SESSIONS, record.created_at, record.id)


def tenant_cursor(record: Any) -> str:
    """The cursor of `Viewer.tenants`."""
    return cursor_of_time(ListKind.TENANTS, record.created_at, record.id)


def audit_cursor(record: Any) -> str:
    """The cursor of `Viewer.auditLog`."""
    return cursor_of_time(ListKind.AUDIT_LOG, record.at, record.id)


def prompt_cursor(record: Any) -> str:
    """The cursor of `Viewer.prompts`."""
    return cursor_of_time(ListKind.PROMPTS, record.created_at, record.id)


def prompt_version_cursor(record: Any) -> str:
    """The cursor of `Viewer.promptVersions`."""
    return cursor_of_time(ListKind.PROMPT_VERSIONS, record.created_at, record.id)


def api_key_cursor(record: Any) -> str:
    """The cursor of `Viewer.apiKeys`."""
    return cursor_of_time(ListKind.API_KEYS, record.created_at, record.id)
