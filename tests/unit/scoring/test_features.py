"""The same text gives the same features, everywhere and for ever (or the version is raised)."""

import os
import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.features import BUCKETS, HALF, LEVEL_VALUE, capped, features

_PRINT = "import json, scoring.features as f; print(json.dumps(f.features('Is 7 > 5? Ja, größer.')))"


def _bucket(word: str) -> int:
    return zlib.crc32(word.encode()) % BUCKETS


def test_a_word_and_a_pair_are_where_crc32_puts_them() -> None:
    found = features("Hello hello WORLD")
    assert (_bucket("hello"), _bucket("world"), _bucket("hello world")) == (42630, 4419, 4485)
    words = {_bucket(word) for word in ("hello", "world", "hello hello", "hello world")}
    assert words <= found.keys()
    # hello is there twice: 1 + ln 2; the Euclidean length is over all four.
    length = ((1 + 0.6931471805599453) ** 2 + 3) ** 0.5
    assert found[_bucket("world")] == pytest.approx(1 / length)
    assert found[_bucket("hello")] == pytest.approx((1 + 0.6931471805599453) / length)
    levels = found.keys() - words
    assert {found[bucket] for bucket in levels} == {LEVEL_VALUE}
    # 17 characters: ⌊2·log₂ 18⌋ = 8 levels; 3 words: 4 levels; nothing else to count.
    assert len(levels) == 8 + 4


def test_the_features_of_a_text_are_those_of_this_version() -> None:
    # Whoever sees this fail has changed what weights mean: raise features.VERSION, train anew, then write the new sum.
    text = "def f(x):\n    return x['a'] + 2.5  # 50 % of \\frac{1}{2}\nA. yes\nB. no; (c) größer = $3?"
    written = ",".join(f"{bucket}:{value:.9f}" for bucket, value in sorted(features(text).items()))
    assert (len(features(text)), zlib.crc32(written.encode())) == (133, 2869471999)


def test_every_process_sees_the_same() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", _PRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert printed.pop().startswith("{")


def test_the_middle_of_a_long_text_is_not_read() -> None:
    begin, end = "a b " * (HALF // 4), " y z" * (HALF // 4)
    one, other = (begin + middle * 1000 + end for middle in ("secret ", "hidden "))
    assert features(one) == features(other)
    assert features(one) != features(begin + end), "how long it is counts"
    assert len(capped(one)) == 2 * HALF + 1


def test_a_text_at_the_cap_is_read_whole() -> None:
    text = "x" * (2 * HALF)
    assert capped(text) is text
    assert capped(text + "y") != text + "y"


@pytest.mark.parametrize("text", ["", " ", "\n\t \n"])
def test_a_text_without_a_word_has_no_features(text: str) -> None:
    assert features(text) == {}


@given(st.text(st.characters(exclude_categories=[]), max_size=400), st.integers(1, 40))
def test_any_text_has_features_within_bounds(text: str, times: int) -> None:
    found = features(text * times)
    assert all(0 <= bucket < BUCKETS for bucket in found)
    assert all(0 < value < 10 for value in found.values())


@pytest.mark.parametrize("text", ["\ud800 lone", "nul \0 nul", "İ" * 4000, ". " * 4000, "1" * 10**6, "🙂" * 3001])
def test_hostile_texts_have_features(text: str) -> None:
    assert features(text)
