"""Outcomes made up for tests: the weak model fails where a prompt says `hard`, and at random elsewhere."""

import random

from scoring.outcomes import Outcome

_WORDS = ["sea", "sky", "stone", "river", "cloud", "field", "road", "house", "paper", "letter", "garden", "winter"]


def an_exam(rows: int = 400, *, seed: int = 7, pairs: tuple[str, ...] = ("small/large",)) -> list[Outcome]:
    """Half of the prompts hold the word `hard`: there the weak model fails four times in five, else once in five."""
    dice = random.Random(seed)
    outcomes = []
    for number in range(rows):
        is_hard = dice.random() < 0.5
        words = [*dice.choices(_WORDS, k=8), "hard" if is_hard else "easy"]
        dice.shuffle(words)
        outcomes.append(
            Outcome(
                pair=pairs[number % len(pairs)],
                suite="exam",
                task="second" if is_hard else "first",
                prompt=" ".join(words),
                weak_ok=dice.random() < (0.2 if is_hard else 0.8),
                strong_ok=dice.random() < 0.9,
            )
        )
    return outcomes
