"""Every setting, read once from the environment. `docs/operations.md` lists them for operators."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from core.model_settings import ModelSettings
from core.origins import is_origin, is_page
from core.storage_settings import StorageSettings

MEBIBYTE = 1024 * 1024
MOST_PER_MINUTE = 1_000_000
"""One request in 60 microseconds: beyond that nothing is limited."""


class Settings(ModelSettings, StorageSettings):
    """Names are the environment variables' in lower case; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    public_url: str | None = None
    """Where clients reach this API, for links; by default `http://HOST:PORT`. Production needs it, or ACCOUNT_URL."""
    data_dir: Path = Path(".data")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    forwarded_allow_ips: str = "127.0.0.1,::1"
    """Addresses and networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    secret_key: SecretStr | None = None
    """Signs access tokens and file links, at least 32 characters. Required in production."""

    database_url: str | None = None
    database_platform_url: str | None = None
    """By default `database_url` with the user name `colloquy_platform`."""
    database_owner_url: str | None = None
    database_pool_size: int = Field(10, ge=1)
    database_pool_overflow: int = Field(20, ge=0)
    database_pool_timeout: float = Field(5.0, gt=0)
    """Seconds that a request waits for a connection before its client is told to come later."""
    database_prepared_statements: bool = True
    """Off behind a transaction-mode pooler such as PgBouncer."""

    redis_url: str | None = None
    redis_cache_url: str | None = None
    redis_max_connections: int = Field(50, ge=2)

    access_token_ttl: int = Field(900, ge=30)
    """Seconds an access token is good for."""
    refresh_token_ttl: int = Field(30 * 86_400, ge=60)
    """Seconds a session may stay idle before it ends."""
    cache_ttl_sessions: int = Field(1_800, ge=1)
    """Seconds that Redis remembers a session after its last use."""
    cache_ttl_conversations: int = Field(600, ge=0)
    """Seconds that what was said in a conversation is kept at hand; 0: not at all."""
    cache_ttl_llm_responses: int = Field(3_600, ge=0)
    """Seconds that a model's answer is given again to the same prompt; 0: never."""
    cache_ttl_query_embeddings: int = Field(3_600, ge=0, le=30 * 86_400)
    """Seconds that the vector of a question is kept at hand; 0: not at all."""
    api_keys_per_person: int = Field(20, ge=1)
    """That are not revoked."""
    password_reset_ttl: int = Field(3_600, ge=60)
    """Seconds that the link in a mail about a lost password is good for."""
    email_verification_ttl: int = Field(7 * 86_400, ge=60)
    """Seconds that the link is good for by which somebody shows that an e-mail address is theirs."""
    invitation_ttl: int = Field(7 * 86_400, ge=60)
    """Seconds that an invitation is open."""
    account_url: str | None = None
    """The page that links in mails lead to; by default `/account` of PUBLIC_URL."""
    file_link_ttl: int = Field(600, ge=10)
    """Seconds a signed link to an original is good for."""

    smtp_url: SecretStr | None = None
    """`smtp://user:password@host:587` or `smtps://…`; without it mail is written to DATA_DIR/mail."""
    smtp_root_certificates: Path | None = None
    """PEM file with the authorities to trust there instead of the public ones."""
    mail_from: str | None = None
    """`name@example.com` or `Name <name@example.com>`; required with SMTP_URL."""

    request_max_bytes: int = Field(MEBIBYTE, ge=1024)
    """Of a request without a file."""
    request_timeout: float = Field(30.0, gt=0)
    """Seconds that a request's head may take to arrive, then its body; an upload may pause for so long."""
    response_timeout: float = Field(30.0, gt=0)
    """Seconds after which a client that has taken next to nothing of its response is given up."""
    responses_max_bytes: int = Field(256 * MEBIBYTE, ge=MEBIBYTE)
    """Of responses that their clients have not taken yet, in one process; beyond, the slowest client is given up."""
    upload_max_bytes: int = Field(100 * MEBIBYTE, ge=1)
    document_max_pages: int = Field(5_000, ge=1)
    quota_documents: int = Field(10_000, ge=0)
    """That a tenant may keep, unless `colloquy quota` has given it a number of its own."""
    quota_bytes: int = Field(20 * 1024 * MEBIBYTE, ge=0)
    """The same of the bytes of originals."""
    parser_timeout: float = Field(120.0, gt=0)
    """Seconds a document's parser process may run."""
    parser_memory_bytes: int = Field(1024 * MEBIBYTE, ge=64 * MEBIBYTE)
    question_max_chars: int = Field(10_000, ge=1)

    merge_longest_ms: float = Field(40.0, ge=0)
    """The longest that a token waits for the next ones in a busy process; 0 sends each at once."""
    merge_from_load: float = Field(0.15, ge=0, le=1)
    """Load of the event loop from which tokens wait at all."""
    merge_full_load: float = Field(0.4, ge=0, le=1)
    """Load from which they wait the longest."""
    local_token_interval_ms: float = Field(8.0, ge=0)
    """Pace of the local answerer's words, so that a person sees them arrive; 0 sends them at once."""

    rate_limit_requests_per_minute: int = Field(60, ge=1, le=MOST_PER_MINUTE)
    """Of a person, in the long run; the burst is how many may come at once. So for the pairs below."""
    rate_limit_burst: int = Field(10, ge=1, le=MOST_PER_MINUTE)
    rate_limit_anonymous_per_minute: int = Field(60, ge=1, le=MOST_PER_MINUTE)
    """Of a network address, without a person."""
    rate_limit_anonymous_burst: int = Field(20, ge=1, le=MOST_PER_MINUTE)
    rate_limit_keys_per_minute: int = Field(120, ge=1, le=MOST_PER_MINUTE)
    """Of all API keys of a tenant."""
    rate_limit_keys_burst: int = Field(20, ge=1, le=MOST_PER_MINUTE)
    rate_limit_sockets_per_minute: int = Field(300, ge=1, le=MOST_PER_MINUTE)
    """Opened from a network address, whoever signs in on them."""
    rate_limit_sockets_burst: int = Field(100, ge=1, le=MOST_PER_MINUTE)
    rate_limit_sign_in_per_minute: int = Field(5, ge=1, le=MOST_PER_MINUTE)
    """Of a network address, new passwords by links in mails among them; an account may be tried twice as often."""
    rate_limit_sign_in_burst: int = Field(10, ge=1, le=MOST_PER_MINUTE)
    rate_limit_sign_up_per_minute: int = Field(1, ge=1, le=MOST_PER_MINUTE)
    """Of a network address."""
    rate_limit_sign_up_burst: int = Field(5, ge=1, le=MOST_PER_MINUTE)
    rate_limit_uploads_per_minute: int = Field(20, ge=1, le=MOST_PER_MINUTE)
    """Of a person, or of all API keys of a tenant."""
    rate_limit_uploads_burst: int = Field(10, ge=1, le=MOST_PER_MINUTE)
    rate_limit_mails_per_minute: int = Field(10, ge=1, le=MOST_PER_MINUTE)
    """Invitations and verifications that a person has sent; links to a new password asked for at a network address."""
    rate_limit_mails_burst: int = Field(20, ge=1, le=MOST_PER_MINUTE)
    rate_limit_concurrent_answers: int = Field(20, ge=1)
    """Of a tenant, over all processes."""

    socket_init_timeout: float = Field(10.0, gt=0)
    """Seconds from a WebSocket's handshake to its `connection_init`."""
    socket_idle_timeout: float = Field(300.0, gt=0)
    """Seconds that one stays open without an operation and without a message from the client."""
    socket_ping_interval: float = Field(20.0, gt=0)
    """Seconds between pings to its client."""
    socket_ping_timeout: float = Field(20.0, gt=0)
    """Seconds that the client has to answer one."""
    socket_stall_timeout: float = Field(10.0, gt=0)
    """Seconds that the client may read nothing of what waits for it."""
    socket_message_bytes: int = Field(128 * 1024, ge=1024)
    """Of a client's message: the longest question fits, were each of its 10,000 characters two escapes of six bytes."""
    socket_messages_per_second: int = Field(20, ge=1)
    """From a client on one socket, in the long run; frames of any kind."""
    socket_messages_burst: int = Field(150, ge=10)
    """Of these at once: more than `socket_operations`, which somebody who comes back may begin in one go."""
    socket_operations: int = Field(100, ge=1)
    """At once on one socket."""
    sockets_per_person: int = Field(20, ge=1)
    """Open at once in one process; also of all API keys of a tenant."""
    sockets_per_address: int = Field(100, ge=1)
    """The same of those on which nobody has signed in."""

    processes: int = Field(1, ge=1)
    """Of the API, on one port."""
    stream_heartbeat_interval: float = Field(5.0, gt=0)
    """Seconds between signs of life in a response that goes on, over SSE or in parts."""

    context_tokens: int = Field(8_000, ge=500)
    """Of a prompt: history, passages, instructions and question; an assistant may have its own."""
    retrieval_top_k: int = Field(5, ge=1, le=20)

    answer_log_ttl: int = Field(60, ge=1)
    """Seconds that a finished answer's log stays in Redis."""

    limit_document_bytes: int = Field(32_768, ge=1)
    """Of a GraphQL document. What each of these limits counts: `docs/operations.md`."""
    limit_tokens: int = Field(2_000, ge=1)
    limit_definitions: int = Field(100, ge=1)
    limit_operations: int = Field(20, ge=1)
    limit_selections: int = Field(500, ge=1)
    limit_depth: int = Field(15, ge=1)
    limit_aliases: int = Field(15, ge=1)
    limit_directives: int = Field(50, ge=1)
    limit_merges: int = Field(1_000, ge=1)
    limit_cost: int = Field(20_000, ge=1)
    limit_introspection_depth: int = Field(20, ge=1)
    limit_introspection_cost: int = Field(50_000, ge=1)
    limit_list_items: int = Field(100, ge=1)
    limit_input_depth: int = Field(10, ge=1)
    limit_input_bytes: int = Field(262_144, ge=1)
    limit_input_values: int = Field(10_000, ge=100)
    limit_input_digits: int = Field(32, ge=1)
    limit_response_bytes: int = Field(16 * MEBIBYTE, ge=1024)
    document_cache_entries: int = Field(1_000, ge=1)
    """Parsed and validated documents that a process keeps."""
    document_cache_bytes: int = Field(32 * MEBIBYTE, ge=1)
    """Memory that they may take, estimated."""

    trusted_documents_only: bool = False
    """Refuse every operation that `colloquy documents add` has not registered."""
    cache_ttl_trusted_documents: float = Field(5.0, gt=0)
    """Seconds after which a process asks anew which documents are registered."""
    introspection: bool | None = None
    graphiql: bool | None = None
    """Both by default on in development and off in production."""

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # Pages there may use a person's cookie, so "all" is no possible value.
        for origin in value:
            if not is_origin(origin):
                expected = "https://host, or https://host:port where it is not 443, without *"
                raise ValueError(f"{origin!r} is not an origin; expected {expected}")
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _networks(cls, value: str) -> str:
        # Who is believed says who the client is, so "all" is no possible value either.
        for network in value.split(","):
            try:
                ip_network(network.strip())
            except ValueError as error:
                raise ValueError(f"{error}; expected addresses and networks (172.16.0.0/12), without *") from None
        return value

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        origin = value.removesuffix("/")
        if not is_origin(origin):
            raise ValueError(
                "expected https://host, or https://host:port where it is not 443, in small letters, without a path"
            )
        return origin

    @field_validator("account_url")
    @classmethod
    def _page(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not is_page(value):
            raise ValueError("expected the http(s) address of a page, percent-encoded, with no name and no #…")
        return value

    @property
    def account_page(self) -> str | None:
        """The page that links in mails lead to; None where only the client's request can tell.

        Where mails reach people it never does: a stranger's `Host` header would send them to a page of the stranger's.
        """
        if self.account_url is not None:
            return self.account_url
        if self.public_url is not None or self.environment == "production" or self.smtp_url is not None:
            return f"{self.resolved_public_url}/account"
        return None

    @property
    def resolved_public_url(self) -> str:
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def introspection_enabled(self) -> bool:
        return self.environment == "development" if self.introspection is None else self.introspection

    @property
    def graphiql_enabled(self) -> bool:
        return self.environment == "development" if self.graphiql is None else self.graphiql


@lru_cache(maxsize=1)
def settings_from_environment() -> Settings:
    """The process's settings. Raises pydantic's ValidationError, which names the variable."""
    return Settings()
