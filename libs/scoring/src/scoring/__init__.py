"""How likely a weak model fails at a text, and of what kind the text is, in a tenth of a millisecond.

Standard library alone. Only `scoring.training` needs more (the extra `train`), and nothing here imports it.
"""

from scoring.kinds import Kind, kind_of
from scoring.model import BadWeights, Scorer, Weights

__all__ = ["BadWeights", "Kind", "Scorer", "Weights", "kind_of"]
