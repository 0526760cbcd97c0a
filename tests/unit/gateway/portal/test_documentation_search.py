"""The search over the documentation."""

import pytest

from gateway.portal.documentation.searching import HITS_LIMIT, entries_of, search, words_of

STREAMING = entries_of(
    "/docs/streaming",
    "Streaming",
    "Answers while they are written",
    '<p>An answer comes as <code>events</code>.</p><h2 id="end"><a href="#end">The end</a></h2><p>It is [DONE].</p>',
)
ERRORS = entries_of(
    "/docs/errors", "Errors", "", '<p>In a stream &amp; elsewhere.</p><h2 id="codes">All codes</h2><p>x</p>'
)


def found(query: str) -> list[str]:
    return [hit.entry.href for hit in search([*STREAMING, *ERRORS], query)]


def test_a_word_in_a_title_comes_before_a_word_in_a_text() -> None:
    assert found("stream")[0] == "/docs/streaming"
    assert "/docs/errors" in found("stream")


def test_a_part_of_a_page_is_found_by_its_heading() -> None:
    assert found("all codes") == ["/docs/errors#codes"]


def test_every_word_has_to_occur() -> None:
    assert found("events written") == ["/docs/streaming"]
    assert found("events nowhere") == []


@pytest.mark.parametrize("query", ["", "   ", "<script>", "\\", "(", "%"])
def test_no_query_does_harm(query: str) -> None:
    assert found(query) == []


def test_what_is_shown_around_a_match_is_plain_text() -> None:
    hit = search(ERRORS, "elsewhere")[0]
    assert (hit.before, hit.match, hit.after) == ("In a stream & ", "elsewhere", ".")


def test_words_are_not_parted_by_tags_inside_of_a_line() -> None:
    assert words_of("<p>a <code>b</code>, c</p><p>d</p>") == "a b, c d"


def test_there_is_an_end_of_hits() -> None:
    many = [entry for number in range(50) for entry in entries_of(f"/docs/{number}", "Same", "", "<p>word</p>")]
    assert len(search(many, "word")) == HITS_LIMIT
