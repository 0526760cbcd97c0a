"""What kind a text is, by examples; and no text is slow."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.kinds import KINDS, Kind, kind_of

EXAMPLES: dict[Kind, list[str]] = {
    "code": [
        "Write a Python function that reverses a list.",
        "How do I reverse a list in python?",
        "Explain what a LEFT JOIN does in SQL",
        "Why does this fail?\n```python\nprint(x)\n```",
        "def f(a):\n    return a\n\nWhat does f(3) return?",
        "#include <stdio.h>\nint main() {\n  printf(\"hi\");\n}\nfind the bug",
        "Optimise my PostgreSQL query, it takes 3 s",
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    import numpy\nImportError",
    ],
    "choice": [
        "Which planet is the largest?\nA. Mars\nB. Jupiter\nC. Venus\nD. Earth\nAnswer:",
        "Which of these is a noun? (A) run (B) house (C) quickly",
        "Pick one:\n  A) red\n  B) green\n  C) blue",
    ],
    "translation": [
        "Translate to German: The meeting was moved to Friday.",
        "The meeting was moved to Friday. Please give me a French translation.",
        "Traduce al inglés: ¿Dónde está la biblioteca?",
    ],
    "summary": [
        "Summarise the following article in three sentences: " + "The council met again. " * 60,
        "The council met again. " * 60 + "\nTL;DR",
        "Please give me a short summary of the plot of Hamlet.",
    ],
    "extraction": [
        "Extract the invoice number and the date: Invoice 4711 of 3 May",
        "List all people mentioned in this text: Anna met Bert.",
        "Anna met Bert in Rome. Return only JSON with the keys who and where.",
    ],
    "maths": [
        "Janet has 16 eggs and eats 3. How many eggs does she have left?",
        "Compute $\\frac{1}{2} + \\sqrt{2}$",
        "Solve the equation x^2 - 5x + 6 = 0",
        "What is 12 * 7 + 3 * 9?",
        "Solve 2x + 3 = 7",
        "Calculate 15 * 12",
        "Find the probability that two dice show 7.",
        "Prove that the integral of an odd function over a symmetric interval vanishes.",
    ],
    "other_language": [
        "Bagaimana saya belajar bahasa baru dengan cepat untuk kerja?",
        "Jak się uczyć, żeby nie zapomnieć? To jest dla mnie trudne.",
        "请告诉我如何学习弹钢琴",
        "Расскажи мне про свой день, пожалуйста",
        "Wie kann ich am besten für die Prüfung lernen und wie lange?",
        "¿Cómo puedo hacer que mi gato se lleve bien con el perro de la vecina?",
        "Je voudrais écrire une lettre pour ma grand-mère qui est malade",
    ],
    "chat": [
        "Hello there, how are you today?",
        "Write a poem about the sea in autumn.",
        "What should I cook tonight? I have rice and beans.",
        "Give me advice on a difficult conversation with my boss.",
        "",
        " \n\t ",
        "🙂",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in EXAMPLES.items() for text in texts])
def test_every_example_is_of_its_kind(kind: Kind, text: str) -> None:
    assert kind_of(text) == kind


def test_there_are_examples_of_every_kind() -> None:
    assert EXAMPLES.keys() == set(KINDS)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("A. first\nB. second, and no third", "chat"),
        ("My python escaped from its cage and I am worried.", "chat"),
        ("Write a poem about a python and a swift.", "chat"),
        ("Is The Matrix on Amazon Prime?", "chat"),
        ("Solve my problem: after 2 years my boss wants me to leave.", "chat"),
        ("Write an essay on the years 1939 to 1945: what many soldiers wrote home.", "chat"),
        ("Mix 1/2 cup of sugar, 3/4 cup of flour and vanilla extract: what do I bake?", "chat"),
        ("I bought it for $20 in 2007, and they want $30 now. Is that fair?", "chat"),
        ("The law:\nfirst, a duty;\nsecond, a right;\nWhat do you think of it?", "chat"),
        ("I lost my way. " + "We talked. " * 40 + "The translation was bad. " + "So we left. " * 40, "chat"),
        ("Tell me about the tour of the north of England", "chat"),
    ],
)  # fmt: skip
def test_what_only_looks_so_is_not(text: str, kind: Kind) -> None:
    assert kind_of(text) == kind


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_every_text_has_a_kind_and_always_the_same(text: str) -> None:
    assert kind_of(text) in KINDS
    assert kind_of(text) == kind_of(text)


@pytest.mark.parametrize(
    "piece",
    ["(", "(A", "$", "$a", "\\", "\n", " \t", "a", "A. ", "x=", "`", "```a", "find all a ", "return a\n", "\ny" * 3,
     "0", "ß", "a;", "from a.", "class a", "\n" + "y" * 199, "extract", "\0", "\ud800", "你", "find all " + "a" * 79],
)  # fmt: skip
def test_no_text_is_slow(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    best = min(_seconds(text) for _ in range(5))
    assert best < 0.02, "usually below 0.0007; a pattern that runs away takes seconds"


def _seconds(text: str) -> float:
    began = time.perf_counter()
    kind_of(text)
    return time.perf_counter() - began
