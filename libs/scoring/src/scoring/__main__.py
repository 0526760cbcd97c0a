"""`python -m scoring train | score`: weights from outcomes, or the score and the kind of a text on stdin."""

import argparse
import hashlib
import sys
from pathlib import Path

from scoring.kinds import kind_of
from scoring.model import TARGETS, BadWeights, Scorer
from scoring.outcomes import COLUMNS, BadOutcomes, read


class CannotWrite(Exception):
    """The file for the weights cannot be written."""


def _train(options: argparse.Namespace) -> str:
    try:
        from scoring.training import train
    except ModuleNotFoundError as error:
        raise BadOutcomes(f"training needs {error.name}: install smartroute-scoring[train]") from None
    weights = train(read(options.outcomes), options.target)
    data = weights.to_bytes()
    try:
        options.out.write_bytes(data)
    except OSError as error:
        raise CannotWrite(f"{options.out} cannot be written: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    return f"{options.out}: {weights.target} from {weights.rows} rows of {len(weights.pairs)} pairs, sha256 {digest}"


def _score(options: argparse.Namespace) -> str:
    try:
        scorer = Scorer.from_bytes(options.weights.read_bytes()) if options.weights else Scorer.shipped()
    except OSError as error:
        raise BadWeights(f"cannot be read: {error.strerror}") from None
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    return f"{scorer.score(text):.6f} {kind_of(text)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scoring", description=__doc__)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="weights from outcomes")
    training.add_argument("--outcomes", type=Path, required=True, help=f"CSV, may be gzipped: {','.join(COLUMNS)}")
    training.add_argument("--out", type=Path, required=True, help="where to write the weights")
    training.add_argument("--target", choices=TARGETS, default="weakfail", help="gain only for a pair of your own")
    training.set_defaults(run=_train)
    scoring = commands.add_parser("score", help="score and kind of the text on stdin")
    scoring.add_argument("--weights", type=Path, help="instead of the shipped ones")
    scoring.set_defaults(run=_score)
    return parser


def main() -> int:
    options = _parser().parse_args()
    try:
        sys.stdout.write(f"{options.run(options)}\n")
    except BadWeights as error:
        sys.stderr.write(f"bad weights: {error}\n")
        return 1
    except (BadOutcomes, CannotWrite) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
