"""What kind of thing a question asks for, and whether a sentence offers one: who -> a name, when -> a time …"""

from __future__ import annotations

import enum
import re


class Asked(enum.Enum):
    """What the answer must contain."""

    PERSON = "person"
    NAME = "name"
    PLACE = "place"
    TIME = "time"
    DURATION = "duration"
    COUNT = "count"
    MONEY = "money"
    MEASURE = "measure"
    REASON = "reason"
    ANYTHING = "anything"


def _words(text: str) -> str:
    """A pattern for any of the blank-separated words (each may itself be a pattern)."""
    return "(?:" + "|".join(text.split()) + ")"


_NUMBER_WORDS = _words(
    """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen half quarter
    once twice third
    """
)
_ORDINALS = _words(
    """
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth fifteenth twentieth last
    \\d{1,2}(?:st|nd|rd|th)
    """
)
_NUMBER = rf"(?:\d[\d.,]*|\b{_NUMBER_WORDS}\b)"
_CALENDAR = _words(
    r"""
    jan(?:uary)? feb(?:ruary)? mar(?:ch)? apr(?:il)? may june? july? aug(?:ust)? sept?(?:ember)? oct(?:ober)?
    nov(?:ember)? dec(?:ember)? mondays? tuesdays? wednesdays? thursdays? fridays? saturdays? sundays? weekdays?
    weekends? today tomorrow yesterday easter christmas ramadan
    januar februar märz mai juni juli oktober dezember montags? dienstags? mittwochs? donnerstags? freitags?
    samstags? sonntags? janvier février mars avril juin juillet août septembre octobre novembre décembre lundis?
    mardis? mercredis? jeudis? vendredis? samedis? dimanches? enero febrero marzo abril mayo junio julio agosto
    septiembre octubre noviembre diciembre lunes martes miércoles jueves viernes sábados? domingos?
    """
)
_PERIOD = _words(
    """
    seconds? minutes? hours? days? weeks? months? years? century centuries decades? nights? quarters?
    sekunden? minuten? stunden? tage?n? wochen? monate?n? jahre?n? secondes? heures? jours? semaines? mois an(?:née)?s?
    segundos? minutos? horas? días? semanas? mes(?:es)? años?
    """
)
_MONEY = (
    r"(?:[$€£¥₹]|\b"
    + _words(
        r"""
        usd eur gbp dollars? euros? pounds? pence cents? francs? yen rupees? costs? price[ds]? fees? fares? pay paid
        pays charges? budget revenue reimbursed refund\w* covered up\sto kostet kosten preis gebühr coûte coûtent
        prix tarif vendue? cuesta cuestan precio
        """
    )
    + r"\b)"
)
# Whoever can do or owe something without being named.
_PEOPLE = _words(
    """
    tenants? landlords? managers? officers? owners? employees? staff customers? users? administrators? directors?
    department team company doctors? everyone nobody institute members? board committee engineers? council
    """
)
_SPENDING = _words("costs? pay paid spend spent earn price rent fee charge ticket get lost reimburse\\w*")
_PRICES = _words("costs? price fee fare salary rent dividend revenue fine")
_DIMENSIONS = _words("much tall high heavy large big wide deep far old hot cold thick steep strong")
_MEASURES = _words("temperature percentage share size height weight speed distance number age")

_COMMON_PLACES = _words("here there everywhere nowhere upstairs downstairs outside inside abroad home online")

# The first that fits decides.
_QUESTIONS: tuple[tuple[re.Pattern[str], Asked], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), asked)
    for pattern, asked in (
        (r"\bhow (?:long|quickly|soon|often|frequently)\b", Asked.DURATION),
        (r"\bhow fast (?:do|does|did|can|will|is it)\b", Asked.DURATION),
        (r"\b(?:wie (?:lange?|oft)|(?:pendant )?combien de temps|cuánto (?:tiempo|dura))\b", Asked.DURATION),
        (r"\b(?:was kostet|wie ?viel kost|wie (?:teuer|hoch (?:ist|sind) die (?:miete|kosten|gebühr)))", Asked.MONEY),
        (
            r"\b(?:combien (?:coûte|ça coûte|faut-il payer)|quel est le (?:prix|tarif)|cuánto (?:cuesta|vale))",
            Asked.MONEY,
        ),
        (r"\b(?:wie ?viele?|combien|cuánt[oa]s?)\b", Asked.COUNT),
        (r"\bwie (?:hoch|groß|schwer|alt|tief|weit|breit|warm)\b", Asked.MEASURE),
        (r"^\W*(?:(?:bis|ab|seit) )?wann\b|^\W*um wie ?viel uhr\b", Asked.TIME),
        (r"^\W*(?:depuis |jusqu.à )?quand\b|\bquel(?:le)? (?:jour|heure|année|date)\b", Asked.TIME),
        (r"^\W*(?:desde |hasta )?cuándo\b|\bqué (?:día|hora|año|fecha)\b", Asked.TIME),
        (r"^\W*(?:wer|wem|wen|qui|quién(?:es)?)\b", Asked.PERSON),
        (r"^\W*(?:wo|wohin|où|dónde)\b", Asked.PLACE),
        (r"^\W*(?:warum|weshalb|wieso|pourquoi|por qué)\b", Asked.REASON),
        (r"\bfor how many (?:seconds|minutes|hours|days|weeks|months|years)\b", Asked.DURATION),
        (rf"\bhow much (?:money|do|does|did|is|are|was|were|will|can|could|would)\b.*\b{_SPENDING}\b", Asked.MONEY),
        (rf"\b(?:what|which) (?:is|are|was|were|do|does|did)\b.*\b{_PRICES}\b", Asked.MONEY),
        (r"\bhow many\b", Asked.COUNT),
        (r"\bwhat (?:do|does|did|will) .*\bcosts?\b", Asked.MONEY),
        (rf"\bhow {_DIMENSIONS}\b|\bhow fast\b", Asked.MEASURE),
        (rf"\b(?:what|which) {_MEASURES}\b", Asked.MEASURE),
        (r"^\W*(?:when|(?:since|until|by|till) when)\b", Asked.TIME),
        (r"\b(?:what|which) (?:time|date|days?|year|month|week|century|weekday)\b", Asked.TIME),
        (r"^\W*(?:who|whose|whom|(?:by|to|with) whom)\b", Asked.PERSON),
        (r"\b(?:what|which) (?:is|are|was|were) .*\b(?:names?|called)\b", Asked.NAME),
        (r"\b(?:what|which) (?:company|firm|person|country|city|town|brand|organi[sz]ation)\b", Asked.NAME),
        (r"^\W*where\b", Asked.PLACE),
        (r"^\W*why\b|\bwhat (?:is|was|were|are) the (?:reason|cause)\b", Asked.REASON),
        (r"\bfor what reason\b|\bwhat (?:caused?|causes)\b", Asked.REASON),
    )
)
_CAPITAL = r"(?<=[^\W_][\s,;:(])[A-Z\u00c0-\u00de][^\W\d_]+|^[A-Z][a-z]+ [A-Z][a-z]+"
_WHERE = _words(
    r"""
    in at on under beneath below beside behind near between above opposite inside outside next\sto across to im am auf
    unter neben hinter vor beim dans sur sous chez à au en sobre
    """
)
# `on Mondays` and `in two weeks` are no places.
_PLACE = rf"\b{_WHERE} (?!(?:{_CALENDAR}|{_NUMBER}|{_PERIOD})\b)\w|\b{_COMMON_PLACES}\b"
_PERSON = rf"{_CAPITAL}|(?i:\b{_PEOPLE}\b)"
_WHEN = _words(
    r"""
    before after afterwards when until during morning evening noon midnight from within as\ssoon\sas annual vor nach ab
    bis während morgens abends mittags avant après jusqu pendant antes después hasta
    """
)
_TIME = "|".join(
    (
        r"\d{1,2}[:.]\d\d",
        r"\b(?:1\d|20)\d\d\b",
        rf"\b{_CALENDAR}\b",
        rf"\b{_ORDINALS} (?:[^\W\d_]+ )?(?:of|day|{_PERIOD}|{_CALENDAR})\b",
        r"\bthe \d{1,2}(?:st|nd|rd|th)\b",
        r"\b\d{1,2} ?(?:uhr|h|o.clock)\b",
        r"\b\d{1,2} ?(?:am|pm|a\.m|p\.m)",
        rf"\b{_WHEN}\b",
        rf"{_NUMBER}[\s-]{_PERIOD}\b",
    )
)
_DURATION = "|".join(
    (
        rf"{_NUMBER}[\s-]?(?:[^\W\d_]+[\s-])?(?:{_PERIOD}|times)\b",
        r"\b(?:annual|week|month|dai|year|hour)ly\b",
        r"\b(?:once|twice|every|each|until)\b",
        r"\b\d{1,2}[:.]\d\d\b",
        # A length is asked for with the same words.
        rf"{_NUMBER} ?(?:k?m|cm|mm|metres?|meters?|kilomet\w+|miles?|feet|inch\w*)\b",
    )
)
_BECAUSE = _words(
    r"""
    because since due\sto caused? causes reasons? owing as\sit therefore so\sthat in\sorder as\sa\sresult attacks?
    prevents? leads?\sto led\sto after otherwise when why considered driven\sby too weil denn
    damit deshalb wegen parce puisque afin car porque debido
    """
)
_EVIDENCE: dict[Asked, re.Pattern[str]] = {
    # Capitals name a person, so this one pattern minds the case.
    Asked.PERSON: re.compile(_PERSON),
    Asked.NAME: re.compile(_CAPITAL),
    Asked.PLACE: re.compile(_PLACE, re.IGNORECASE),
    Asked.TIME: re.compile(_TIME, re.IGNORECASE),
    Asked.DURATION: re.compile(_DURATION, re.IGNORECASE),
    Asked.COUNT: re.compile(rf"{_NUMBER}|\b(?:no|none|single|both|several|pair)\b", re.IGNORECASE),
    Asked.MONEY: re.compile(rf"{_MONEY}.*{_NUMBER}|{_NUMBER}.*{_MONEY}|\bfree\b", re.IGNORECASE),
    Asked.MEASURE: re.compile(_NUMBER, re.IGNORECASE),
    Asked.REASON: re.compile(rf"\b{_BECAUSE}\b", re.IGNORECASE),
}


_HOW_MANY = re.compile(r"\b(?:how many|wie ?viele|combien d(?:e |['’])|cuánt[oa]s) ?([^\W\d_]+)", re.IGNORECASE)
# The look-ahead lets the words after one number hold the next number.
_COUNTS = re.compile(rf"{_NUMBER}(?=\W+((?:[\w-]+\W+){{0,3}}[\w-]+))", re.IGNORECASE)


def asked_for(question: str) -> Asked:
    """What an English question asks for; ANYTHING where no cue is known, other languages included."""
    return next((asked for pattern, asked in _QUESTIONS if pattern.search(question)), Asked.ANYTHING)


def offers(sentence: str, asked: Asked, question: str) -> bool:
    """Whether the sentence holds something of that kind which the question did not already say.

    True for ANYTHING. The sentence is one line of at most a few hundred characters.
    """
    evidence = _EVIDENCE.get(asked)
    if evidence is None:
        return True
    said = question.casefold()
    return any(match[0].strip().casefold() not in said for match in evidence.finditer(sentence))


def counted_noun(question: str) -> str:
    """What `how many` asks to count, lower case: `children`; "" where it does not say."""
    match = _HOW_MANY.search(question)
    return match[1].casefold() if match else ""


def counts_in(sentence: str) -> list[str]:
    """For each number of the sentence the up to four words after it: what it may be counting."""
    return [match[1] for match in _COUNTS.finditer(sentence)]
