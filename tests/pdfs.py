"""PDFs for tests, made as they are needed: a manual of real prose, and files that a parser must refuse.

`import pdfs` (tests/ is on the path). Every function returns the file's bytes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import pymupdf


@dataclass(frozen=True)
class Topic:
    """A page of the manual: its heading, a question that only this page answers, and the sentence that answers it."""

    heading: str
    question: str
    answer: str
    detail: str


TOPICS = (
    Topic(
        "Opening hours",
        "When does the reading room close on Thursdays?",
        "On Thursdays the reading room closes at nine in the evening.",
        "On all other working days it closes at six, and on Sundays it does not open at all.",
    ),
    Topic(
        "Membership",
        "What does an annual membership card cost?",
        "An annual membership card costs 24 euros.",
        "Students and the unemployed pay half of that, and children under twelve pay nothing.",
    ),
    Topic(
        "Lending periods",
        "How long may a novel be borrowed?",
        "A novel may be borrowed for 28 days.",
        "The period is extended twice on request, unless somebody else has reserved the copy.",
    ),
    Topic(
        "Fines",
        "What is the fine for each overdue day?",
        "The fine is 30 cents for each overdue day.",
        "It stops growing at ten euros, after which the copy is treated as lost.",
    ),
    Topic(
        "Lost cards",
        "Who replaces a lost library card?",
        "The desk on the ground floor replaces a lost library card for five euros.",
        "The old number is blocked at once, and every loan moves to the new card.",
    ),
    Topic(
        "Rare books",
        "At what humidity are the rare books kept?",
        "The rare books are kept at a humidity of 45 percent.",
        "Two instruments write it down every quarter of an hour, and an alarm calls the keeper.",
    ),
    Topic(
        "Photography",
        "Is flash photography allowed in the map hall?",
        "Flash photography is forbidden in the map hall.",
        "A copying stand with cold light is free for everyone who has signed the form.",
    ),
    Topic(
        "The fire alarm",
        "Where do people gather after a fire alarm?",
        "After a fire alarm everyone gathers under the plane trees on Harbour Street.",
        "The wardens count their floors there and report to the caretaker in yellow.",
    ),
    Topic(
        "Meeting rooms",
        "How many people fit in the Lighthouse room?",
        "The Lighthouse room seats 14 people.",
        "It has a screen, a whiteboard and a door that opens onto the roof terrace.",
    ),
    Topic(
        "Printing",
        "How much does a colour page cost to print?",
        "Printing a colour page costs 18 cents.",
        "A black page costs six, and the first ten pages of each day are free.",
    ),
    Topic(
        "The bicycle shed",
        "What is the code of the bicycle shed based on?",
        "The code of the bicycle shed changes on the first Monday of each month.",
        "It is printed on the back of the monthly programme, which lies at the exit.",
    ),
    Topic(
        "Interlibrary loans",
        "How long does an interlibrary loan take to arrive?",
        "An interlibrary loan takes nine working days to arrive.",
        "The reader is told by e-mail, and the copy waits for a fortnight at the desk.",
    ),
    Topic(
        "Volunteers",
        "Who coordinates the volunteers?",
        "Marguerite Okonkwo coordinates the volunteers.",
        "She plans the shifts four weeks ahead and answers the telephone on Tuesdays.",
    ),
    Topic(
        "The archive",
        "In which year was the newspaper archive founded?",
        "The newspaper archive was founded in 1887.",
        "Its oldest volumes are read on film, because the paper no longer bears turning.",
    ),
    Topic(
        "Wireless network",
        "How much traffic does a guest of the wireless network get?",
        "A guest of the wireless network gets two gigabytes a day.",
        "Members have no such limit, and nobody's visited addresses are written down.",
    ),
    Topic(
        "Children",
        "On which day is the story hour for children?",
        "The story hour for children is on Saturday at eleven.",
        "It lasts forty minutes, and grown-ups may wait with coffee in the gallery.",
    ),
    Topic(
        "Donations",
        "Which books are not accepted as donations?",
        "Encyclopaedias are not accepted as donations.",
        "All other books are looked through within a month and sold if they do not fit.",
    ),
    Topic(
        "Lockers",
        "What coin do the lockers need?",
        "The lockers need a one euro coin, which they give back.",
        "Whatever is still inside at closing time is taken to the caretaker.",
    ),
    Topic(
        "Guide dogs",
        "Are dogs admitted to the library?",
        "Only guide dogs are admitted to the library.",
        "A bowl of water stands beside the lift for them on warm days.",
    ),
    Topic(
        "The budget",
        "How large is the budget for new acquisitions?",
        "The budget for new acquisitions is 312,000 euros a year.",
        "A third of it is spent on recordings and on databases that are read from home.",
    ),
)
"""Twenty pages of a library's manual."""


def manual(pages: int = 20) -> bytes:
    """`pages` pages of prose, page n about `TOPICS[(n - 1) % 20]`."""
    document = pymupdf.open()
    for number in range(1, pages + 1):
        topic = TOPICS[(number - 1) % len(TOPICS)]
        page = document.new_page(width=595, height=842)
        page.insert_textbox(pymupdf.Rect(72, 60, 523, 95), topic.heading, fontsize=18)
        body = (
            f"This is page {number} of the manual of the Harbour Library, and it is about one thing alone. "
            f"{topic.answer} {topic.detail}\n\n"
            "Whoever works here is expected to know this rule by heart and to explain it to readers in a friendly "
            "way. Where a case is not covered by it, the head of the shift decides and writes the decision into the "
            "daily log, so that it can be discussed in the meeting on the following Wednesday."
        )
        page.insert_textbox(pymupdf.Rect(72, 100, 523, 770), body, fontsize=11, lineheight=1.4)
    return _saved(document)


def leaflets(pages: int) -> bytes:
    """Many pages with one short chunk each: many batches for whoever reads and embeds them, each of them quick."""
    document = pymupdf.open()
    for number in range(1, pages + 1):
        document.new_page().insert_text((72, 72), f"Ferry {number} leaves from pier {number}.")
    return bytes(document.tobytes())


def encrypted(user_password: str = "open sesame", owner_password: str = "owner") -> bytes:
    """With an empty `user_password` it opens without being asked, and only its printing is restricted."""
    document = pymupdf.open(stream=manual(1), filetype="pdf")
    return bytes(
        document.tobytes(
            encryption=pymupdf.PDF_ENCRYPT_AES_256,
            user_pw=user_password,
            owner_pw=owner_password,
            permissions=pymupdf.PDF_PERM_ACCESSIBILITY,
        )
    )


def image_only(pages: int = 2) -> bytes:
    """Pages that were scanned: the picture of a text, and no text."""
    source = pymupdf.open(stream=manual(pages), filetype="pdf")
    document = pymupdf.open()
    for number in range(pages):
        picture = source[number].get_pixmap(dpi=50).tobytes("png")
        document.new_page(width=595, height=842).insert_image(pymupdf.Rect(0, 0, 595, 842), stream=picture)
    return _saved(document)


def truncated(pages: int = 20, share: float = 0.5) -> bytes:
    """The beginning of a good file, as after a broken download."""
    whole = manual(pages)
    return whole[: int(len(whole) * share)]


def empty() -> bytes:
    """A valid file without a page."""
    return written([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"])


def many_pages(pages: int) -> bytes:
    """`pages` blank pages, 70 bytes each."""
    kids = b" ".join(b"%d 0 R" % number for number in range(3, pages + 3))
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>"
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages)
    return written([b"<< /Type /Catalog /Pages 2 0 R >>", tree, *[page] * pages])


def nested_forms(depth: int = 9, breadth: int = 10) -> bytes:
    """One page that draws a form that draws ten forms that draw ten …: `breadth ** depth` drawings in 3 KB."""
    forms = []
    for level in range(depth):
        resources = b"" if level == depth - 1 else b"/Resources << /XObject << /X %d 0 R >> >>" % (level + 6)
        content = b"BT /F 9 Tf (x) Tj ET" if level == depth - 1 else b"/X Do " * breadth
        forms.append(_stream(content, b"/Type /XObject /Subtype /Form /BBox [0 0 595 842] " + resources))
    return written(_one_page(b"/XObject << /X 5 0 R >>", b"/X Do", *forms))


def wall_of_text(characters: int) -> bytes:
    """One page of so many letters (rounded down to 800,000): small as a file, large to whoever lays it out."""
    line = b"(" + b"abcdefghi " * 100 + b") Tj 0 -1 Td\n"
    sheet = b"BT /F 1 Tf 20 820 Td\n" + line * 800 + b"ET\n"
    content = sheet * (characters // 800_000)
    return written(_one_page(b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>", content))


def typeset(*lines: tuple[float, float, str], size: float = 11, font: str | None = None) -> bytes:
    """One page with each text at its x and baseline y in points; `font` is the path of a font with all its glyphs."""
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    for x, y, text in lines:
        page.insert_text((x, y), text, fontsize=size, **({"fontname": "F0", "fontfile": font} if font else {}))
    return _saved(document)


def without_index(pages: int = 3) -> bytes:
    """A complete file whose table of objects is wrong, as careless tools write it: readers repair it."""
    whole = manual(pages)
    at = whole.rindex(b"startxref")
    return whole[:at] + b"startxref\n7\n%%EOF\n"


def written(objects: list[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1, the first of them its catalogue."""
    parts = [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"]
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = sum(map(len, parts))
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    parts.extend(b"%010d 00000 n \n" % offset for offset in offsets)
    parts.append(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return b"".join(parts)


def _one_page(resources: bytes, content: bytes, *more: bytes) -> list[bytes]:
    return [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << %s >> >>" % resources,
        _stream(content),
        *more,
    ]


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    packed = zlib.compress(content)
    return b"<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (entries, len(packed), packed)


def _saved(document: pymupdf.Document) -> bytes:
    return bytes(document.tobytes(garbage=3, deflate=True))
