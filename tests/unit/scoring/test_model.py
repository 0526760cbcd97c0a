"""Weights survive the way through a file, nothing else passes for weights, and a score is a share."""

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import BadWeights, Scorer, Weights
from scoring.features import BUCKETS, features
from scoring.model import SHIPPED

PACKAGE = Path(str(files("scoring")))
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=300)


def some_weights(*, scale: float = 0.01, intercept: float = 0.4, byte: int = 1) -> Weights:
    return Weights(
        target="weakfail",
        values=bytes([byte]) * BUCKETS,
        scale=scale,
        intercept=intercept,
        quantiles=tuple(index / 100 for index in range(101)),
        rows=3,
        pairs=("small/large",),
    )


def _resealed(header: dict[str, object], body: bytes = bytes(BUCKETS)) -> bytes:
    data = json.dumps(header).encode() + b"\n" + body
    return data + hashlib.sha256(data).digest()


def _header(**changes: object) -> dict[str, object]:
    header: dict[str, object] = json.loads(some_weights().to_bytes().partition(b"\n")[0])
    return {key: value for key, value in {**header, **changes}.items() if value is not None}


def test_weights_survive_the_way_through_bytes() -> None:
    weights = some_weights(byte=255)
    assert Weights.from_bytes(weights.to_bytes()) == weights


@given(st.integers(0, len(some_weights().to_bytes()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_wherever_it_is(place: int, change: int) -> None:
    data = bytearray(some_weights().to_bytes())
    data[place] ^= change
    with pytest.raises(BadWeights):
        Weights.from_bytes(bytes(data))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a weights file"),
        (b"\x1f\x8b\x08 something else" * 5000, "not a weights file"),
        (b'{"format": "other"}\n', "not a weights file"),
        (b"[]\n" + bytes(BUCKETS), "not a weights file"),
        (some_weights().to_bytes()[:-1], "cut off"),
        (some_weights().to_bytes() + b"\n", "added to"),
        (some_weights().to_bytes()[:-1] + b"\0", "checksum"),
        (_resealed(_header(features=999)), "version 999"),
        (_resealed(_header(target="other")), "target 'other'"),
        (_resealed(_header(scale=None)), "lacks something"),
        (_resealed(_header(scale="much")), "lacks something"),
        (_resealed(_header(scale=float("nan"))), "not finite"),
        (_resealed(_header(quantiles=[0.5])), "101 rising"),
        (_resealed(_header(quantiles=list(range(101, 0, -1)))), "101 rising"),
    ],
)
def test_what_is_no_weights_is_refused_in_words(data: bytes, complaint: str) -> None:
    with pytest.raises(BadWeights, match=complaint):
        Scorer.from_bytes(data)


def test_a_score_is_intercept_plus_what_the_weights_say() -> None:
    weights = bytearray(BUCKETS)
    found = features("one two")
    bucket, value = next(iter(found.items()))
    weights[bucket] = 256 - 5  # minus five
    scorer = Scorer(Weights("weakfail", bytes(weights), 0.02, 0.6, tuple(map(float, range(101))), 1, ("a",)))
    assert scorer.score("one two") == pytest.approx(0.6 - 5 * 0.02 * value, abs=1e-6)


@given(ANY_TEXT)
def test_a_score_is_a_share_whatever_the_text_and_the_weights(text: str) -> None:
    for scorer in (Scorer.shipped(), Scorer(some_weights(scale=9.0)), Scorer(some_weights(scale=9.0, byte=200))):
        assert 0.0 <= scorer.score(text) <= 1.0
        assert scorer.score(text) == scorer.score(text)


def test_a_text_without_a_word_is_given_the_mean() -> None:
    assert Scorer(some_weights(intercept=0.4)).score(" \n") == 0.4


def test_a_threshold_leaves_its_share_above() -> None:
    scorer = Scorer(some_weights())
    assert [scorer.threshold(share) for share in (1.0, 0.75, 0.255)] == pytest.approx([0.0, 0.25, 0.745])
    assert scorer.threshold(0.0) > 1.0
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            scorer.threshold(share)


def test_the_shipped_weights_are_those_that_the_notice_names() -> None:
    notice = (PACKAGE / "NOTICE.md").read_text(encoding="utf-8")
    data = (PACKAGE / SHIPPED).read_bytes()
    assert re.findall(r"sha256 (\w{64})", notice) == [hashlib.sha256(data).hexdigest()]
    weights = Scorer.shipped().weights
    assert f"{weights.rows:,} outcomes" in notice
    assert (weights.target, weights.rows, len(weights.pairs)) == ("weakfail", 45_058, 5)


def test_the_shipped_weights_find_a_proof_harder_than_a_capital() -> None:
    scorer = Scorer.shipped()
    easy = scorer.score("What is the capital of France?")
    hard = scorer.score("Find the number of homomorphisms from Z_12 to the symmetric group S_5. A. 0 B. 12 C. 60 D. 96")
    assert easy < scorer.weights.intercept < hard


def test_the_shipped_quantiles_rise() -> None:
    scorer = Scorer.shipped()
    thresholds = [scorer.threshold(share / 10) for share in range(10, 0, -1)]
    assert thresholds == sorted(set(thresholds))
