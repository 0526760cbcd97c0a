"""The documentation says what is so: every page can be made, every link leads somewhere, every table is complete."""

import re
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from contracts.outcomes import Outcome
from contracts.plans import PlanCatalogue
from devstack.repository import PLANS
from gateway.errors import catalogue, codes_of
from gateway.portal.assets import Assets
from gateway.portal.documentation.examples import FOLDER, LANGUAGES
from gateway.portal.documentation.figures import figures_of, spelled_size, spelled_time
from gateway.portal.documentation.library import CONTENT, Library, read_library
from gateway.portal.documentation.markdown import PLACES
from gateway.portal.documentation.meanings import WHEN_ERROR, WHEN_OUTCOME
from gateway.portal.rendering import Renderer
from gateway.portal.site import Site
from gateway.settings import Settings

SITE = Site(origin="https://portal.example")
SETTINGS = Settings(
    database_url=SecretStr("postgresql://nowhere"), data_dir=Path("/nowhere"), signing_key=SecretStr("k" * 32)
)
# What readers would copy and run has to be an example; the rest is output, or a form of something.
_NEVER_RUN = {"json", "text", "http"}
_HREF = re.compile(r'href="([^"]+)"')
_ID = re.compile(r'\bid="([^"]+)"')


@cache
def library() -> Library:
    return read_library(Renderer(SITE, Assets()).environment, SITE, figures_of(SETTINGS))


@cache
def pages() -> dict[str, str]:
    """The HTML of every page by its path."""
    return {page.path: rendered(page.slug) for page in library().pages}


def rendered(slug: str, **values: Any) -> str:
    page = library().find(slug)
    assert page is not None
    plans = PlanCatalogue.model_validate(yaml.safe_load(PLANS.read_text(encoding="utf-8"))).plans
    return page.body.render({"plans": plans, "cards": {}, "allowance": None, "token_name": "your token", **values})


def test_every_link_leads_to_a_page_and_a_place_on_it() -> None:
    ids = {path: set(_ID.findall(html)) for path, html in pages().items()}
    lost = []
    for path, html in pages().items():
        for href in _HREF.findall(html):
            page, _, anchor = href.partition("#")
            if page.startswith("/docs"):
                is_there = (page or path) in ids and (not anchor or anchor in ids[page or path])
            elif not page:
                is_there = anchor in ids[path]
            else:
                is_there = page in {*PLACES.values(), "/openapi.json"}
            if not is_there:
                lost.append(f"{path} -> {href}")
    assert lost == []


@pytest.mark.parametrize("attribute", ["id", "aria-label"])
def test_no_two_places_of_a_page_have_the_same_name(attribute: str) -> None:
    pattern = re.compile(rf'\b{attribute}="([^"]+)"')
    for path, html in pages().items():
        regions = html if attribute == "id" else "".join(re.findall(r'<[^>]*role="region"[^>]*>', html))
        names = pattern.findall(regions)
        assert sorted(names) == sorted(set(names)), path


def test_nothing_is_left_to_be_filled_in() -> None:
    for path, html in pages().items():
        assert "{{" not in html, path
        assert "{%" not in html, path
        assert not re.search("[\ue000-\uf8ff]", html), path


def test_examples_are_shown_with_the_base_url_of_the_site() -> None:
    assert "https://portal.example/v1/chat/completions" in pages()["/docs/quick-start"]
    assert "127.0.0.1" not in "".join(pages().values())


def test_the_name_of_a_token_is_text() -> None:
    html = rendered("quick-start", token_name="<script>alert(1)</script>")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in html


def test_every_example_is_on_a_page() -> None:
    shown = {name for page in library().pages for name in page.examples}
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert {path.stem for path in files} == shown
    assert {path.suffix for path in files} == set(LANGUAGES)


def test_what_can_be_run_is_an_example() -> None:
    """Nothing is shown as code that no test runs."""
    loose = {page.slug: set(page.languages) - _NEVER_RUN for page in library().pages}
    assert {slug: languages for slug, languages in loose.items() if languages} == {}


def test_every_outcome_is_in_the_table_with_its_price() -> None:
    html = pages()["/docs/outcomes"]
    assert set(WHEN_OUTCOME) == set(Outcome)
    for outcome in Outcome:
        row = html.partition(f'<tr id="{outcome.value}">')[2].partition("</tr>")[0]
        assert ("one&nbsp;prompt" in row) is outcome.is_charged, outcome
        assert outcome.reason in row


def test_every_error_is_in_the_table_with_its_status_and_type() -> None:
    html = pages()["/docs/errors"]
    codes = {code for error in catalogue() for code in codes_of(error)}
    assert set(WHEN_ERROR) == codes
    for error in catalogue():
        for code in codes_of(error):
            row = html.partition(f'<tr id="{code}">')[2].partition("</tr>")[0]
            assert f"<td>{error.status}</td>" in row, code
            assert error.kind in row, code


def test_every_operation_has_a_page_and_is_in_the_reference() -> None:
    everything = unescape("".join(html for path, html in pages().items() if path != "/docs/reference"))
    for operation in library().reference.operations:
        assert f'aria-label="{operation.method} {operation.path}"' in everything, operation.id
        assert f'id="{operation.anchor}"' in pages()["/docs/reference"], operation.id


def test_the_reference_describes_every_schema_once() -> None:
    document = library().reference.document
    for name in document["components"]["schemas"]:
        assert pages()["/docs/reference"].count(f'id="schema-{name.lower()}"') == 1, name


def test_the_fields_of_a_body_are_told_with_their_types_and_bounds() -> None:
    fields = {
        field.name: field for field in library().reference.operation("create_chat_completion").takes[0].properties
    }
    assert fields["messages"].type == "list of ChatMessage"
    assert fields["messages"].is_required
    assert fields["messages"].links == ("ChatMessage",)
    assert "1 or more, 2000 at most" in fields["messages"].text
    assert fields["temperature"].type == "number or null"
    inside = {field.name for field in fields["response_format"].inside}
    assert inside == {"type", "json_schema"}


def test_headers_say_with_which_statuses_they_come() -> None:
    headers = {header.name: header.statuses for header in library().reference.headers}
    assert headers["x-request-id"] == ()
    assert headers["x-smartroute-daily-remaining"] == ("200", "429")
    assert headers["idempotent-replayed"] == ("200",)


def test_pages_are_in_the_order_of_their_files_and_know_their_neighbours() -> None:
    found = library()
    slugs = [path.stem[3:] for path in sorted(CONTENT.glob("*.md"))]
    assert [page.slug for page in found.pages] == [*slugs, "reference"]
    first, second = found.pages[:2]
    assert found.beside(first) == (None, second)
    assert found.beside(found.pages[-1])[1] is None


def test_limits_are_those_of_the_settings() -> None:
    smaller = figures_of(SETTINGS.model_copy(update={"body_limit_bytes": 1_500_000, "answer_limit_seconds": 90.0}))
    assert figures_of(SETTINGS)["body_limit"] == "8 MiB"
    assert smaller["body_limit"] == "1,500,000 bytes"
    assert smaller["answer_limit"] == "90 seconds"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2, "2 seconds"),
        (1, "1 second"),
        (90, "90 seconds"),
        (3600, "1 hour"),
        (86_400, "24 hours"),
        (2_592_000, "30 days"),
    ],
)
def test_times_are_spelled_in_the_largest_whole_unit(seconds: float, words: str) -> None:
    assert spelled_time(seconds) == words


def test_sizes_are_spelled_in_whole_units() -> None:
    assert [spelled_size(size) for size in (16_384, 1_048_576, 1000)] == ["16 KiB", "1 MiB", "1,000 bytes"]


def test_a_page_that_names_what_there_is_not_cannot_be_made(tmp_path: Path) -> None:
    environment = Renderer(SITE, Assets()).environment
    for number, text in enumerate(["@example nowhere", "@table nowhere", "@operation nowhere", "{{ nowhere }}"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        page = f"---\ntitle: T\nsummary: S\nsection: X\n---\n{text}\n"
        (folder / "10-page.md").write_text(page, encoding="utf-8")
        with pytest.raises((KeyError, ValueError)):
            read_library(environment, SITE, figures_of(SETTINGS), content=folder)


def test_a_form_leads_back_to_pages_of_the_documentation_only() -> None:
    assert library().path_back("/docs/streaming") == "/docs/streaming"
    for elsewhere in ("https://elsewhere.example", "//elsewhere.example", "/sign-out", ""):
        assert library().path_back(elsewhere) == "/docs"
