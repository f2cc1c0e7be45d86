"""Content words of a text and a light stemmer: the lexical half of the extractive answerer."""

from __future__ import annotations

import re
import unicodedata

# Words that carry no topic, in English, and the most frequent of three more languages; others simply keep theirs,
# which costs a little precision.
_TOPICLESS = """
    a about above after again all also am an and any are aren as at be because been before being below between
    both but by can cannot could couldn did didn do does doesn doing don done down during each else ever every few for
    from further get gets getting give given go goes got had has hasn have haven having he her here hers him his how i
    if in into is isn it its itself just let like ll make many may me might mine more most much must my need needs no
    nor not now of off on once one only onto or other our ours out over own per please re said same say shall she
    should shouldn so some such tell than that the their theirs them then there these they this those through to too
    under until up upon us use used using very want was wasn way we were what when where whether which while who whom
    whose why will with within without won would wouldn yes yet you your yours kind sort mean means happen happens
    long old often far exactly actually currently
"""
_TOPICLESS_GERMAN = """
    aber als auch auf aus bei bin das dass dem den der des die dies diese dieser dieses du durch ein eine einem einen
    einer eines er es für gibt hat haben ich ihr im ist ja kann kein keine man mein meine mit muss müssen nach nicht
    noch nur oder sein sich sie sind soll um und uns unter vom von vor wann warum was welche welchem welchen welcher
    welches wem wen wenn wer werden wie wieviel wir wird wo zu zum zur über darf dürfen viel viele
"""
_TOPICLESS_ROMANCE = """
    au aux avec ce ces cet cette combien comment dans de des du elle elles en est et faut il ils je la le les leur lui
    ma mais mes mon ne nous ou où par pas peut pour pourquoi quand que quel quelle quelles quels qui quoi sa sans se
    ses son sont sur ta te toi tu un une vos votre vous con cuando cuándo cuánto cuántos cómo cuál del dónde el ella
    ellos es esta este están hay los las lo mi muy no para pero por porque puede qué quién se si sin su sus también
    una uno unos y
"""
_STOP_WORDS = frozenset(f"{_TOPICLESS} {_TOPICLESS_GERMAN} {_TOPICLESS_ROMANCE}".split())
# Words of German that hardly occur in other languages.
_ONLY_GERMAN = frozenset(
    [
        "das",
        "dem",
        "der",
        "ein",
        "eine",
        "einen",
        "einer",
        "gibt",
        "ist",
        "kann",
        "mit",
        "nicht",
        "und",
        "welche",
        "wer",
        "wie",
        "wird",
    ]
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NAME = re.compile(r"(?<=[\w,] )[A-Z\u00c0-\u00de][\w-]*|\d+(?:[.,]\d+)*")
# Scripts written without spaces: each pair of neighbouring characters stands for a word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_IRREGULAR = {
    "children": "child", "women": "woman", "men": "man", "feet": "foot", "teeth": "tooth", "mice": "mouse",
    "paid": "pay", "bought": "buy", "sold": "sell", "began": "begin", "begun": "begin", "took": "take",
    "taken": "take", "gave": "give", "made": "make", "kept": "keep", "left": "leave", "lost": "lose",
    "found": "find", "built": "build", "sent": "send", "spent": "spend", "written": "write", "wrote": "write",
    "held": "hold", "led": "lead", "met": "meet", "rose": "rise", "risen": "rise", "fell": "fall",
    "fallen": "fall", "grown": "grow", "grew": "grow", "won": "win", "born": "birth", "stolen": "steal",
    "stole": "steal", "heavy": "weight", "weigh": "weight", "weighs": "weight", "tall": "height", "deep": "depth",
    "wide": "width", "chose": "choose", "chosen": "choose", "drove": "drive", "driven": "drive", "ran": "run",
}  # fmt: skip
# Longest first; the rest of the word keeps at least three letters.
_ENDINGS = """
    ational ization isation fulness ousness iveness ations ation ments ment ities ances ences ance ence ings ing edly
    ies ied ers ions ion ity able ible ness less ful ous ive est ed er es ly al s e y
"""
_SUFFIXES = tuple(_ENDINGS.split())


def content_words(text: str) -> list[str]:
    """The words that carry the topic, in order, lower case, without stop words; may repeat."""
    words: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).lower()):
        word = match[0].replace("’", "'").removesuffix("'s")
        if _UNSPACED.search(word):
            for run in _UNSPACED.findall(word):
                words.extend(run[index : index + 2] for index in range(max(1, len(run) - 1)))
        elif word.split("'")[0] not in _STOP_WORDS and (len(word) > 1 or word.isdigit()):
            words.append(word)
    return words


def is_topical(word: str) -> bool:
    """Whether one word, in any case, carries a topic; False for punctuation."""
    folded = word.casefold()
    return folded not in _STOP_WORDS and any(character.isalnum() for character in folded)


def names(question: str) -> list[str]:
    """What the question names, case-folded: words with a capital letter inside the sentence, and numbers.

    In German, where every noun has a capital, numbers only.
    """
    german = any(match[0].casefold() in _ONLY_GERMAN for match in _WORD.finditer(question))
    found = (match[0] for match in _NAME.finditer(question))
    return [name.casefold().removesuffix("'s") for name in found if name[0].isdigit() or (not german and name != "I")]


def stem(word: str) -> str:
    """A word's trunk, equal for most of its inflected and many of its derived forms: `deliveries` -> `deliver`."""
    if word in _IRREGULAR:
        return stem(_IRREGULAR[word])
    if not word.isascii() or not word.isalpha() or len(word) < 4:
        return word
    for _ in range(3):
        suffix = next((suffix for suffix in _SUFFIXES if word.endswith(suffix) and len(word) - len(suffix) >= 3), None)
        if suffix is None or (suffix == "s" and word.endswith("ss")):
            break
        word = word.removesuffix(suffix)
        if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
            word = word[:-1]  # `stopped` -> `stopp` -> `stop`
    return word
