"""From set lines to written text."""

from __future__ import annotations

from ingest.layout import Line, compose

WIDTH = 5.0  # points a letter, so that lengths are edges


def line(
    text: str,
    y: float,
    *,
    x: float = 72.0,
    size: float = 10.0,
    block: int = 0,
    bold: bool = False,
    turned: bool = False,
) -> Line:
    right = x + WIDTH * len(text)
    return Line(text, x, y - size, right, y + 2, size, y, block, bold=bold, horizontal=not turned)


def text_of(*lines: Line) -> str:
    return compose(1, list(lines)).text


def test_lines_of_a_paragraph_become_one_line() -> None:
    assert text_of(
        line("The token is valid for fifteen minutes and then", 100),
        line("has to be renewed by the client that holds it,", 112),
        line("or it is refused.", 124),
    ) == (
        "The token is valid for fifteen minutes and then has to be renewed by the client that holds it, "
        "or it is refused."
    )


def test_ligatures_are_written_out_and_odd_spaces_become_one() -> None:
    assert (
        text_of(line("The o\ufb03ce \ufb01les  a\u00a0\ufb02at report\u00ad.", 100))
        == "The office files a flat report."
    )


def test_a_hyphen_at_a_line_end_goes_but_a_words_own_stays() -> None:
    assert text_of(
        line("What a well-known member said about the docu-", 100),
        line("ments that were shown to all the well-", 112),
        line("known people, and about the rules of self-", 124),
        line("service in the kitchen.", 136),
    ) == (
        "What a well-known member said about the documents that were shown to all the well-known people, "
        "and about the rules of self-service in the kitchen."
    )


def test_space_between_paragraphs_is_an_empty_line() -> None:
    assert (
        text_of(
            line("First paragraph of the text, long enough here.", 100),
            line("It has a second line, too.", 112),
            line("Second paragraph.", 136, block=1),
            line("Its next line.", 148, block=1),
        ).count("\n\n")
        == 1
    )


def test_a_first_lines_indent_begins_a_paragraph() -> None:
    assert text_of(
        line("    ", 90),
        line("The first paragraph is set as wide as the column.", 100),
        line("It ends right here, after the width of all lines.", 112),
        line("The second one begins further to the right and", 124, x=90),
        line("goes on to the end.", 136),
    ) == (
        "The first paragraph is set as wide as the column. It ends right here, after the width of all lines.\n\n"
        "The second one begins further to the right and goes on to the end."
    )


def test_headings_and_short_lines_stay_lines() -> None:
    assert (
        text_of(
            line("Opening hours", 100, size=16),
            line("Monday to Friday: nine to six, all through the year", 130, block=1),
            line("Saturday: ten", 142, block=1),
            line("Sunday: closed", 154, block=1),
        )
        == "Opening hours\n\nMonday to Friday: nine to six, all through the year\nSaturday: ten\nSunday: closed"
    )


def test_list_items_stay_lines_and_their_own_lines_are_joined() -> None:
    assert (
        text_of(
            line("• the first item of this list, which is so very", 100),
            line("long that it needs two lines", 112, x=80),
            line("• the second", 124),
        )
        == "• the first item of this list, which is so very long that it needs two lines\n• the second"
    )


def test_a_bold_line_of_nearly_the_same_size_is_a_heading() -> None:
    assert text_of(line("Access tokens", 100, bold=True), line("A token is valid for a while.", 112)) == (
        "Access tokens\n\nA token is valid for a while."
    )


def test_an_address_keeps_its_lines() -> None:
    assert (
        text_of(
            line("Harbour Library Association of the City", 100),
            line("Plane Tree Square 12", 112),
            line("4000 Basle", 124),
            line("Switzerland", 136),
        )
        == "Harbour Library Association of the City\nPlane Tree Square 12\n4000 Basle\nSwitzerland"
    )


def test_cells_beside_each_other_are_a_row() -> None:
    page = compose(
        1,
        [
            line("Role", 100, block=0),
            line("Rights", 100, x=200, block=1),
            line("USER", 114, block=2),
            line("chat", 114, x=200, block=3),
        ],
    )
    assert page.text == "Role\tRights\nUSER\tchat"
    assert page.source_map == [(0, len(page.text), 0)]


def test_chinese_lines_are_joined_without_a_space() -> None:
    wide = [Line(text, 72, y - 10, 272, y + 2, 10, y, 0) for text, y in (("我们的文件说明", 100), ("了一切", 112))]
    assert text_of(*wide) == "我们的文件说明了一切"


def test_a_new_column_begins_a_paragraph() -> None:
    assert text_of(line("Left column", 700), line("Right column", 100, x=300, block=1)) == "Left column\n\nRight column"
    assert text_of(line("It ends here.", 700), line("on it goes", 100, x=300, block=1)) == "It ends here.\n\non it goes"


def test_a_sentence_goes_on_at_the_top_of_the_next_column() -> None:
    page = compose(1, [line("The rest of this docu-", 700), line("ment is here.", 100, x=300, block=1)])
    assert page.text == "The rest of this document is here."
    assert page.source_map == [(0, 21, 0), (21, 34, 23)]
    assert text_of(line("The rest of it", 700), line("is here.", 100, x=300, block=1)) == "The rest of it is here."


def test_turned_lines_are_kept_apart() -> None:
    assert text_of(line("body", 100), line("watermark", 300, turned=True, block=1)) == "body\n\nwatermark"


def test_the_source_map_leads_back_to_the_lines() -> None:
    lines = [line("The o\ufb03ce has docu-", 100), line("ments, all of them", 112), line("Next.", 150, block=1)]
    original = "\n".join(each.text for each in lines)
    page = compose(1, lines)
    assert page.text == "The office has documents, all of them\n\nNext."
    copies = [(page.text[start:end], original[at : at + end - start]) for start, end, at in page.source_map]
    assert all(cleaned.replace("\n", " ") == source.replace("\n", " ") for cleaned, source in copies)
    assert "".join(cleaned for cleaned, _ in copies) == "The oce has documents, all of themNext."


def test_a_page_without_lines_is_empty() -> None:
    page = compose(3, [line("  ", 100)])
    assert (page.number, page.text, page.source_map) == (3, "", [])
