"""Settings come from the environment; a bad value is told by the variable's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import Settings, settings_from_environment


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eight thousand"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("ENVIRONMENT", "staging"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_PREPARED_STATEMENTS", "perhaps"),
        ("ACCESS_TOKEN_TTL", "1"),
        ("UPLOAD_MAX_BYTES", "0"),
        ("PARSER_TIMEOUT", "0"),
        ("PARSER_MEMORY_BYTES", "1"),
        ("RETRIEVAL_TOP_K", "21"),
        ("CHAT_PROVIDER", "nobody"),
        ("EMBEDDING_PROVIDER", "nobody"),
        ("OPENAI_EMBEDDING_DIMENSIONS", "4001"),
        ("OPENAI_EMBEDDING_BATCH", "0"),
        ("OPENAI_EMBEDDING_MAX_DISTANCE", "2.1"),
        ("FALLBACK_CHAT_PROVIDER", "nobody"),
        ("PROVIDER_TRIES", "0"),
        ("PROVIDER_RETRY_PAUSE", "0"),
        ("REDIS_MAX_CONNECTIONS", "1"),
        ("RATE_LIMIT_BURST", "0"),
        ("RATE_LIMIT_SIGN_IN_PER_MINUTE", "0"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "1000001"),
        ("RATE_LIMIT_CONCURRENT_ANSWERS", "0"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "https://app.example.com,https://*.example.com"),
        ("CORS_ORIGINS", "https://app.example.com/"),
        ("CORS_ORIGINS", "app.example.com"),
        ("REQUEST_TIMEOUT", "0"),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("FORWARDED_ALLOW_IPS", "proxy.example.com"),
        ("FORWARDED_ALLOW_IPS", "172.16.0.1/12"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"][0] for error in caught.value.errors()] == [variable.lower()]
    assert variable.lower() in str(caught.value)


def test_every_setting_has_a_default_so_that_an_empty_environment_is_enough() -> None:
    settings = Settings()
    assert (settings.environment, settings.host, settings.port) == ("development", "127.0.0.1", 8000)
    assert settings.data_dir == Path(".data")
    assert settings.database_url is None


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PORT", "DATABASE_URL", "GEMINI_API_KEY", "CORS_ORIGINS"):
        monkeypatch.setenv(variable, "")
    settings = Settings()
    assert (settings.port, settings.database_url, settings.gemini_api_key) == (8000, None, None)
    assert settings.cors_origins == ()


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", " https://a.test, https://b.test ,")
    assert Settings().cors_origins == ("https://a.test", "https://b.test")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "172.16.0.0/12, ::1")
    assert Settings().forwarded_allow_ips == "172.16.0.0/12, ::1"


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SECRET_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(variable, f"the hidden {variable}")
    settings = Settings()
    assert "hidden" not in repr(settings)
    assert "hidden" not in str(settings.model_dump())


def test_a_key_chooses_the_provider_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().resolved_chat_provider == "local"
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    assert Settings().resolved_chat_provider == "gemini"
    monkeypatch.setenv("CHAT_PROVIDER", "local")
    assert Settings().resolved_chat_provider == "local"


@pytest.mark.parametrize("variable", ["INTROSPECTION", "GRAPHIQL"])
def test_what_shows_the_schema_is_off_in_production_unless_switched_on(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    enabled = f"{variable.lower()}_enabled"
    assert getattr(Settings(), enabled) is True
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert getattr(Settings(), enabled) is False
    monkeypatch.setenv(variable, "true")
    assert getattr(Settings(), enabled) is True


def test_links_begin_where_clients_reach_us(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(port=8123).resolved_public_url == "http://127.0.0.1:8123"
    monkeypatch.setenv("PUBLIC_URL", "https://colloquy.test/")
    assert Settings().resolved_public_url == "https://colloquy.test"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://x", "colloquy.example.com", "javascript:alert(1)", "https://u:p@a.example", "https://a.example/#x"),
        *("HTTPS://A.example", "https://a.example/path", "https://a.example//", "https://", ""),
        *("https://a.example:443", "http://a.example:80", "https://a.example:0", "https://a.example:00443"),
        *(
            "https://a.example:0080",
            "https://a.example:65536",
            "https://.",
            "https://-",
            "https://a..b",
            "https://-a.b",
        ),
        *("https://[:::::]", "https://[::0]", "https://[0:0:0:0:0:0:0:1]", "https://1.2.3", "https://256.1.1.1"),
        *(f"https://{'a' * 64}.example", "https://a.0x1"),
    ],
)
def test_a_public_url_that_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected https://host"):
        Settings(public_url=url)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://a.example",
            "https://a.example:80",
            "http://a.example:443",
            "http://localhost:8000",
            "https://a-1.b2.",
        ),
        *("https://[::1]", "http://[2001:db8::1]:8000", "http://127.0.0.1:8000", "https://xn--bcher-kva.example"),
    ],
)
def test_what_a_browser_sends_as_an_origin_is_one(url: str) -> None:
    assert Settings(public_url=url, cors_origins=(url,)).public_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("https://a b/x", "https://a:abc/", "https://a/<script>", "https://user:pw@a/x", "https://a/x#y", "ftp://a/x"),
        *(
            'https://a/"',
            "https://a/%zz",
            "https://a\\b/x",
            "https://a/\n",
            "https:///x",
            "/account",
            "",
            "https://a:0/x",
        ),
    ],
)
def test_an_account_page_that_no_link_could_lead_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected the http"):
        Settings(account_url=url)


@pytest.mark.parametrize(
    "url", ["https://A.example:443/account", "http://localhost:3000", "https://a.example/a/%C3%BC?next=/x&y=(1)"]
)
def test_an_account_page_is_taken_as_it_is(url: str) -> None:
    assert Settings(account_url=url).account_page == url


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings_from_environment.cache_clear()
    monkeypatch.setenv("PORT", "8001")
    first = settings_from_environment()
    monkeypatch.setenv("PORT", "8002")
    assert settings_from_environment() is first
    assert first.port == 8001
    settings_from_environment.cache_clear()


def test_settings_do_not_change_under_way() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]
