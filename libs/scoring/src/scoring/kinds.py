"""Of what kind a text is, by rules that can be read: word lists and signs in its first and last 1,500 characters.

A kind is the class under which outcomes are counted, so what matters is that the same request always falls into the
same one. Rules in order, the first that holds:

    code            a fence with a language, two lines of code, the name of a programming language (if it is another
                    word, too: together with what is done with code)
    choice          options A, B and C, each at the beginning of a line or in brackets
    translation     asked for at the beginning or the end
    summary         asked for at the beginning or the end
    extraction      asked for at the beginning or the end
    maths           two LaTeX commands or sums, words of mathematics, or numbers and a question of quantity
    other_language  mostly letters that are not Latin, or more function words of another language than of English
    chat            everything else
"""

import re
from typing import Final, Literal, get_args

from scoring.features import capped

Kind = Literal["choice", "code", "maths", "translation", "summary", "extraction", "chat", "other_language"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Where an instruction stands: this many characters from the beginning and from the end.
_EDGE = 250

_WORD = re.compile(r"[^\W\d_]+[+#]{0,2}")
_NUMBER = re.compile(r"\d+")
# Every pattern begins with a character to look for, and repeats nothing without a bound: no text makes one slow.
_OPTION_LINE = re.compile(r"\n[ \t]{0,3}\(?([A-J])[.):] ")
_OPTION_INSIDE = re.compile(r"\(([A-J])\) ")
_FENCE = re.compile(r"```[a-z+#]{1,12}\n")
_CODE_LINE = re.compile(
    r"\n[ \t]{0,12}(?:def \w{1,40}\(|class \w{1,40}[:({]|import \w|from [\w.]{1,60} import |#include\b|"
    r"return \w|elif |(?:export |async )?function \w|(?:const|let|var) \w{1,40} ?=|(?:public|private|static) \w|fn \w|"
    r"func \w|SELECT\b|INSERT INTO\b|CREATE TABLE\b|Traceback \(|<\?php|</?(?:div|html|script|body|span)\b|"
    r"\$ (?:git|pip|npm|cd) |[^\n]{0,200}(?:\);|[)>] ?\{)\n|\};?\n)"
)
_LATEX = re.compile(
    r"\\(?:d?frac|sqrt|sum|int|cdot|times|leq?|geq?|begin|pi|theta|infty|text|boxed|left|angle|log|sin|cos|"
    r"operatorname|[lcd]?dots|[lr]ceil|[lr]floor)\b"
    r"|\$(?:\\|[a-zA-Z](?:\$|\())"
)
_SUM = re.compile(r"[\dxyz)] ?[+*^=×÷] ?(?=[\dxyz(-])|\d / (?=\d)|[a-z]\^(?=[\d{])")  # noqa: RUF001
_EXTRACTION = re.compile(
    r"\bextract (?:the|all|any|every|each|only|just|from|key|names?|dates?|information|data)\b"
    r"|\b(?:pull out|list|find|identify) (?:all|every|each|any) [^.\n]{0,80}\b(?:from|in|mentioned)\b"
    r"|\bas (?:valid )?json\b|\bnamed entit|\b(?:return|output|respond with) (?:only )?(?:a )?json\b"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LANGUAGES = _words(
    "javascript typescript kotlin golang c++ c# php haskell sql postgresql mysql sqlite powershell html css django"
    " fastapi numpy regex kubernetes kubectl dockerfile terraform webpack npm github"
)
_ALSO_OTHER_THINGS = _words("python java swift rust ruby scala perl bash react vue flask node pandas go spark")
_CODING = _words(
    "code function functions script class method query debug refactor implement compile compiler unittest decorator"
    " module loop array api snippet exception dataframe async"
)
_MATHS = _words(
    "equation equations integral derivative polynomial eigenvalue theorem triangle hypotenuse probability modulo"
    " divisor divisible integer integers logarithm quadratic factorial perimeter circumference permutations"
)
_CALCULATING = _words(
    "calculate compute solve simplify evaluate prove radius prime matrix sum product square root area"
)
_QUANTITIES = tuple(f"how {word} " for word in ("many", "much", "old", "far", "long", "tall", "fast", "big"))
_AMOUNTS = _words(
    "total average mean sum number percentage percent combined remaining price cost distance speed weight"
)
_NUMERALS = _words("two three four five six seven eight nine ten half twice double dozen third quarter times")
_SUMMARY = _words("summarize summarise summary tldr condense summarizing summarising")
_ENGLISH = _words("the of and to in is that for it with as was on are this be you what how do i a an my can")
# Function words of languages written in Latin letters; some are English, too, so the two are counted and compared.
_OTHERS = _words(
    "der die das und ist nicht ein eine ich wie mit auf für den dem wir sind kann zu von"
    " le la les des est une et que qui dans pour avec je vous nous du ce pas sur aux"
    " el los las una por para con como qué es del se yo mi cómo está más"
    " il lo gli che di un per sono come non della nel è os um uma não em com você é"
    " het een van ik niet en dat hoe voor zijn op och att det är jag inte som hur"
    " nie się jest że jak na czy co bir ve bu için yang dan apa bagaimana saya untuk dengan"
    " là của và không tôi cho những"
)


def kind_of(text: str) -> Kind:
    """The kind of a text, whatever `str` it is; a text without a word is `chat`."""
    read = capped(text)
    lowered = read.lower()
    words = _WORD.findall(lowered)
    distinct = frozenset(words)
    lines = f"\n{read}\n"
    if _is_code(lines, lowered, distinct):
        return "code"
    if {"A", "B", "C"} <= {*_OPTION_LINE.findall(lines), *_OPTION_INSIDE.findall(read)}:
        return "choice"
    asked = _asked(lowered)
    if asked is not None:
        return asked
    if _is_maths(read, lowered, distinct):
        return "maths"
    return "other_language" if _is_other_language(words) else "chat"


def _is_code(lines: str, lowered: str, distinct: frozenset[str]) -> bool:
    if ("```" in lines and _FENCE.search(lines)) or distinct & _LANGUAGES or _has_two(_CODE_LINE, lines):
        return True
    named = distinct & _ALSO_OTHER_THINGS
    return bool(named) and (bool(distinct & _CODING) or any(f"in {name}" in lowered for name in named))


def _has_two(pattern: re.Pattern[str], text: str) -> bool:
    first = pattern.search(text)
    # One back: the line break that ends a line of code begins the next.
    return first is not None and pattern.search(text, first.end() - 1) is not None


def _asked(lowered: str) -> Kind | None:
    """What a sentence at one of the ends asks for."""
    edges = lowered if len(lowered) <= 2 * _EDGE else f"{lowered[:_EDGE]}\n{lowered[-_EDGE:]}"
    words = frozenset(_WORD.findall(edges))
    if words & {"translate", "translation", "übersetze", "traduce", "traduis", "traduire", "traduci"}:
        return "translation"
    if words & _SUMMARY or "tl;dr" in edges:
        return "summary"
    return "extraction" if _EXTRACTION.search(edges) else None


def _is_maths(read: str, lowered: str, distinct: frozenset[str]) -> bool:
    if _has_two(_LATEX, read) or _has_two(_SUM, read):
        return True
    terms, numbers = len(distinct & _MATHS), len(_NUMBER.findall(read)) + len(distinct & _NUMERALS)
    calculating = len(distinct & _CALCULATING)
    if terms and (numbers or terms + calculating >= 2 or _LATEX.search(read)):
        return True
    if calculating and (_SUM.search(read) or _LATEX.search(read) or (calculating >= 2 and numbers >= 2)):
        return True
    if numbers >= 2 and any(words in lowered for words in _QUANTITIES):
        return True
    return numbers >= 3 and bool(distinct & _AMOUNTS and distinct & {"what", "how", "find", "calculate"})


def _is_other_language(words: list[str]) -> bool:
    """Letters beyond Latin: written with code points from 0x370 on, up to 0x1E00, and from 0x2E80 on."""
    letters = "".join(words)
    foreign = sum(1 for letter in letters if "\u0370" <= letter < "\u1e00" or letter >= "\u2e80")
    if 2 * foreign > len(letters):
        return True
    others = sum(1 for word in words if word in _OTHERS)
    return others >= 2 and others > sum(1 for word in words if word in _ENGLISH)
