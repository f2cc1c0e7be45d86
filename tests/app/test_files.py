"""`/files/{signed}`: originals come back byte for byte, to whoever has a link that is genuine and fresh."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import pytest
from yarl import URL

import pdfs
from core.ids import TenantId
from multipart import upload
from owner import as_owner, kept_files, uuid_of
from product import Person, Product

LINK = "query($id: ID!) { node(id: $id) { ... on Document { contentUrl } } }"
GONE = b"There is no such file, or it is no longer there."
TEXT = b"The harbour of Vexholm freezes in December.\n"


async def link_to(person: Person, document_id: str) -> str:
    """The signed link of a document."""
    return (await person.query(LINK, id=document_id))["node"]["contentUrl"]  # type: ignore[no-any-return]


async def get(product: Product, url: str, **options: Any) -> tuple[int, bytes, aiohttp.ClientResponse]:
    """Fetch a link as it stands, without a token."""
    async with product.http.get(URL(url, encoded=True), **options) as response:
        return response.status, await response.read(), response


async def tenant_of(product: Product, person: Person) -> TenantId:
    """The person's tenant."""
    ((tenant,),) = await as_owner(product.settings, "SELECT tenant_id FROM users WHERE email = $1", person.email)
    return TenantId(tenant)


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (pdfs.manual(2), "manual.pdf", "application/pdf"),
        (TEXT, "notes.txt", "text/plain"),
        ("Straße\r\n".encode("cp1252") * 20, "straße.txt", "text/plain"),
        (b"# Tides\n<script>alert(1)</script>\n", "tides.md", "text/markdown"),
        (b"Not a page: <script>alert(1)</script>\n", "page.txt", "text/plain"),
    ],
)
async def test_the_original_comes_back_byte_for_byte_and_cannot_run_as_a_page(
    product: Product, content: bytes, name: str, media_type: str
) -> None:
    person = await product.sign_up()
    document_id = (await upload(person, content, name))["document"]["id"]
    url = await link_to(person, document_id)
    assert url.startswith(f"{product.url}/files/")
    status, body, response = await get(product, url)
    assert (status, body) == (200, content)
    assert response.content_type == media_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    "name",
    [
        'the "old" harbour; filename=evil.exe',
        "Fähren 🚆.txt",
        "100% sure.txt",
        "../../etc/passwd",
        "a\\b.txt",
        "x" * 255,
        "'single'.txt",
    ],
)
async def test_whatever_the_name_it_is_sent_safely_and_whole(product: Product, name: str) -> None:
    person = await product.sign_up()
    document_id = (await upload(person, TEXT, "notes.txt", name=name))["document"]["id"]
    _, _, response = await get(product, await link_to(person, document_id))
    disposition = response.headers["Content-Disposition"]
    kind, _, parameter = disposition.partition("; ")
    assert kind == "attachment"
    told = parameter.removeprefix("filename*=utf-8''").removeprefix("filename=").strip('"')
    assert unquote(told) == name
    # Neither a quotation mark nor a semicolon of the name's may end the parameter.
    assert parameter.count(";") == 0
    assert parameter.count('"') in (0, 2)


async def test_a_part_of_the_original_can_be_asked_for(product: Product) -> None:
    person = await product.sign_up()
    document_id = (await upload(person, TEXT, "notes.txt"))["document"]["id"]
    url = await link_to(person, document_id)
    status, body, _ = await get(product, url, headers={"Range": "bytes=4-10"})
    assert (status, body) == (206, TEXT[4:11])


async def test_a_link_ends_when_its_time_is_over(product: Product) -> None:
    person = await product.sign_up()
    document_id = (await upload(person, TEXT, "notes.txt"))["document"]["id"]
    tenant = await tenant_of(product, person)
    signer, now = product.services.signer, int(time.time())
    status, body, _ = await get(product, f"{product.url}/files/{signer.sign_file(tenant, uuid_of(document_id), now)}")
    assert status == 403
    assert b"expired" in body
    fresh = signer.sign_file(tenant, uuid_of(document_id), now + 60)
    assert (await get(product, f"{product.url}/files/{fresh}"))[0] == 200
    # How long a link is good for is a setting.
    expires = int((await link_to(person, document_id)).rpartition("/")[2].split(".")[2])
    assert 0 <= expires - now - product.settings.file_link_ttl <= 5


async def test_a_link_that_was_changed_anywhere_opens_nothing(product: Product) -> None:
    person, other = await product.sign_up(), await product.sign_up()
    document_id = (await upload(person, TEXT, "notes.txt"))["document"]["id"]
    secret = (await upload(other, TEXT * 2, "secret.txt"))["document"]["id"]
    head, _, signed = (await link_to(person, document_id)).rpartition("/")
    tenant, document, expires, signature = signed.split(".")
    changed = [
        ".".join((tenant, document, str(int(expires) + 1), signature)),
        ".".join((tenant, uuid_of(secret).hex, expires, signature)),
        ".".join(((await tenant_of(product, other)).hex, uuid_of(secret).hex, expires, signature)),
        ".".join((tenant, document, expires, signature[:-1])),
        ".".join((tenant, document, expires, signature[:-1] + ("0" if signature[-1] != "0" else "1"))),
        ".".join((tenant, document, expires, "")),
        ".".join((tenant, document, expires)),
        signed + "0",
        signed.upper(),
    ]
    for one in changed:
        status, body, _ = await get(product, f"{head}/{one}")
        assert (status, body) == (404, GONE), one


@pytest.mark.parametrize(
    "text",
    [
        "x",
        ".",
        "...",
        "....",
        "a.b.c.d",
        "é.é.é.é",
        "\x00",
        "\udcff",
        "🚆" * 50,
        "%",
        "0" * 5_000,
        f"{'0' * 32}.{'0' * 32}.{'9' * 400}.{'0' * 64}",
        f"{'0' * 32}.{'0' * 32}.-1.{'0' * 64}",
        " ",
        "..%2f..%2fetc",
    ],
)
async def test_any_text_in_the_place_of_a_link_is_refused_and_nothing_more(product: Product, text: str) -> None:
    url = f"{product.url}/files/{quote(text, safe='%', errors='surrogateescape')}"
    status, body, _ = await get(product, url)
    assert status == 404
    # A slash makes it another address.
    assert body == GONE or "%2f" in text


async def test_an_original_that_is_gone_is_not_found(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    url = await link_to(person, document_id)
    (file,) = kept_files(person)
    file.unlink()
    status, body, response = await get(product, url)
    assert (status, body) == (404, GONE)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    # To the letter what is told of a link that was made up.
    forged = await get(product, url[:-1] + ("0" if url[-1] != "0" else "1"))
    assert forged[:2] == (status, body)
    varying = {"Date", "X-Request-Id"}
    assert [{k: v for k, v in one.headers.items() if k not in varying} for one in (response, forged[2])] == [
        {k: v for k, v in response.headers.items() if k not in varying}
    ] * 2
    await as_owner(product.settings, "DELETE FROM documents WHERE id = $1", uuid_of(document_id))
    assert (await get(product, url))[0] == 404


async def test_where_originals_are_not_kept_there_is_no_link(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    url = await link_to(person, document_id)
    await as_owner(product.settings, "UPDATE documents SET stored = false WHERE id = $1", uuid_of(document_id))
    assert await link_to(person, document_id) is None
    assert (await get(product, url))[0] == 404


async def test_only_reading_is_allowed(product: Product) -> None:
    person = await product.sign_up()
    url = await link_to(person, (await upload(person, TEXT, "notes.txt"))["document"]["id"])
    for method in ("POST", "PUT", "DELETE"):
        async with product.http.request(method, url) as response:
            assert response.status == 405
    async with product.http.head(url) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) == len(TEXT)


async def test_links_lead_where_the_client_reaches_us(product: Product) -> None:
    person = await product.sign_up()
    document_id = (await upload(person, TEXT, "notes.txt"))["document"]["id"]
    payload = {"query": LINK, "variables": {"id": document_id}}
    headers = {"Authorization": f"Bearer {person.token}", "Host": "docs.example.test:8443"}
    async with product.http.post(f"{product.url}/graphql", json=payload, headers=headers) as response:
        url = (await response.json())["data"]["node"]["contentUrl"]
    assert url.startswith("http://docs.example.test:8443/files/")
