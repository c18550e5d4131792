"""What kind of answer it is: one that refuses, or one that goes on for too long."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from guardrails.check import NOTHING, Action, CheckSettings, Found, GuardTools, Seen, Span, Stage

Language = Literal["en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "ru", "zh", "ja"]

_OPENING = 300
"""Characters at the beginning of an answer in which a refusal is the answer; further on it may be about a part."""

_EN_CANNOT = (
    r"\bi(?: simply| really| also| just)?(?: ca[n]?(?:no|n?')t| can not| won't| will not| must not| may not"
    r"|(?:'m| am) (?:unable|not (?:able|allowed|permitted|authori[sz]ed|comfortable|going|in a position)) ?(?:to)?"
    r"| (?:refuse|decline) to)(?: be able to)?"
)
_EN_HELP = (
    r"(?:help|assist|answer|provide|comply|fulfil+|discuss|share|give|create|write|generate|engage|continue|respond"
    r"|support|offer|talk|do (?:that|this|it)|tell you|participate|facilitate|endorse|produce|recommend|in good)\b"
)

_REFUSALS: dict[Language, str] = {
    "en": rf"{_EN_CANNOT}(?: [a-z]{{2,12}}){{0,2}}? {_EN_HELP}"
    r"|\bi(?: must| have to|'ll have to| will have to| need to)?(?: respectfully| politely)? (?:decline|refuse)\b"
    r"|\bnot (?:something|a (?:topic|request)) (?:that )?i(?:'m| am)? (?:can|able|willing|comfortable|allowed)\b"
    r"|\b(?:against|outside|beyond|violates) my (?:guidelines|programming|polic|principles|ethic|scope|purpose)"
    r"|\b(?:unable|not able) to (?:assist|help|comply|fulfil+|answer)(?: you)? with (?:that|this|your)\b"
    r"|\bi(?:'d| would) rather not (?:answer|discuss|help|say)\b",
    "de": r"\b(?:kann|darf|werde|will|möchte) ich (?:(?:dir|ihnen|euch|dazu|dabei|das|diese|hier|da|leider) ){0,3}"
    r"(?:nicht|nichts|keine[nr]?)\b[^.!?\n]{0,60}?\b(?:helfen|weiterhelfen|antwort|beantworten|geben|liefern|sagen"
    r"|bereitstellen|unterstützen|erstellen|nachkommen|dienen|auskunft)"
    r"|\bich (?:kann|darf|werde|will|möchte) [^.!?\n]{0,50}?(?:nicht|nichts|keine[nr]?)\b[^.!?\n]{0,50}?\b(?:helfen"
    r"|weiterhelfen|beantworten|antworten|bereitstellen|unterstützen|erstellen|nachkommen|auskunft)"
    r"|\bich (?:muss|möchte) [^.!?\n]{0,50}?\bablehnen\b",
    "fr": r"\bje (?:ne|n')[ ]?(?:(?:vous|te|l'|y|t'|m'en) ?)?(?:peux|puis|pourrai|suis|veux|saurais)\b"
    r"(?: (?:malheureusement|donc|hélas))?(?: pas)?\b[^.!?\n]{0,50}?\b(?:aider|répondre|fournir|assister|donner|accéder"
    r"|satisfaire|discuter|mesure|autorisée?|habilitée?|créer|générer)"
    r"|\bje (?:dois|me vois contrainte? de) (?:décliner|refuser)\b|\bje refuse de\b",
    "es": r"\bno (?:te |le |os |les )?(?:puedo|podré|podría|debo|voy a|soy capaz de|me es posible|estoy autorizad[oa] a"
    r"|estoy en condiciones de|tengo permitido) [^.!?\n]{0,30}?(?:ayudar|responder|proporcionar|asistir|contestar"
    r"|facilitar|ofrecer|cumplir|generar|crear|compartir|hablar)"
    r"|\b(?:debo|tengo que) (?:rechazar|negarme|declinar)\b|\bme niego a\b",
    "it": r"\bnon (?:ti |le |vi )?(?:posso|potrò|sono in grado di|sono autorizzat[oa] a|mi è possibile|mi è consentito"
    r"|intendo) [^.!?\n]{0,30}?(?:aiutar|risponder|fornir|assister|soddisfar|generar|crear|discuter|condivider)"
    r"|\bdevo (?:rifiutare|declinare)\b|\bmi rifiuto di\b",
    "pt": r"\bnão (?:te |lhe |o |a )?(?:posso|poderei|consigo|sou capaz de|me é possível|me é permitido"
    r"|tenho permissão para|estou autorizad[oa] a) [^.!?\n]{0,30}?(?:ajud|respond|fornec|auxili|atend|ger(?:ar|e)\b"
    r"|criar|discutir|compartilhar|partilhar)|\b(?:devo|tenho que|preciso) (?:recusar|declinar)\b|\bme recuso a\b",
    "nl": r"\b(?:ik kan|kan ik|ik mag|mag ik|ik wil|ik zal) (?:(?:je|u|jullie|dat|dit|daar|hier|deze|helaas|vraag) )"
    r"{0,4}(?:niet|geen)\b[^.!?\n]{0,40}?\b(?:helpen|beantwoorden|antwoord|geven|bieden|voldoen|maken)"
    r"|\bik moet [^.!?\n]{0,40}?\b(?:weigeren|afwijzen)\b",
    "sv": r"\b(?:jag kan|kan jag|jag får|får jag|jag vill) (?:tyvärr )?inte [^.!?\n]{0,30}?\b(?:hjälpa|svara|ge|bistå"
    r"|tillhandahålla|skapa)\b|\bjag måste (?:tyvärr )?(?:avböja|neka|avstå)\b",
    "pl": r"\bnie (?:mogę|mogłabym|mógłbym|jestem w stanie|wolno mi|będę) [^.!?\n]{0,30}?(?:pomóc|odpowiedzieć|udzielić"
    r"|dostarczyć|stworzyć|pomagać|odpowiadać)|\bmuszę odmówić\b|\bodmawiam\b",
    "ru": r"\bя? ?не (?:могу|смогу|имею права|буду|в состоянии) [^.!?\n]{0,30}?(?:помочь|ответить|предоставить|помогать"
    r"|отвечать|выполнить|обсуждать|создать)|\bвынужден[а]? отказать",
    "zh": r"我(?:无法|不能|不可以|没办法|拒绝)[^。！？\n]{0,15}?(?:帮助|协助|回答|提供|帮你|帮您|讨论|满足)",
    "ja": r"(?:お答え|お手伝い|ご協力|対応|お力添え|提供|回答)(?:する)?(?:こと)?(?:は|が)?"
    r"(?:いた|致)?(?:しかねます|でき(?:ません|かねます))",
}
"""A person speaking of itself: "we cannot help with beta versions" is what documentation says."""


class RefusalSettings(CheckSettings):
    """Finds answers that refuse.

    ``languages``: whose words are looked for. The score is 1 for a refusal in the first 300 characters of the answer
    and 0.7 further on. An answer that says that the documents do not hold it refuses nothing. ::

        - check: refusal
          action: flag
    """

    check: Literal["refusal"]
    action: Literal["flag", "log", "block"]
    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = tuple(_REFUSALS)


class Refusal:
    """An answer that refuses, such as "I cannot help with that", in twelve languages."""

    name: ClassVar[str] = "refusal"
    stages: ClassVar[frozenset[Stage]] = frozenset({"output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"flag", "log", "block"})
    settings: ClassVar[type[CheckSettings]] = RefusalSettings

    def __init__(self, settings: RefusalSettings, _tools: GuardTools, /) -> None:
        self._pattern = re.compile("|".join(_REFUSALS[each] for each in settings.languages))

    def look(self, seen: Seen) -> Found:
        plain = seen.reading.plain
        text = plain.text
        lowered = text.lower() if len(text.lower()) == len(text) else text.translate(_LOWER)
        found = self._pattern.search(lowered.translate(_QUOTES))
        if found is None:
            return NOTHING
        start, end = plain.spans_back(found.start(), found.end())
        opening = len(seen.before) + start < _OPENING
        return Found(1.0 if opening else 0.7, (Span(start, end, "refusal"),), f"refuses: {found.group()!r}")


_LOWER = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}
_QUOTES = {ord("’"): "'", ord("\n"): " ", ord("\u00a0"): " "}


class AnswerLengthSettings(CheckSettings):
    """Finds answers of more than ``max_characters``.

    A streamed answer is stopped where it becomes too long: what came before was shown. ::

        - check: answer_length
          action: block
          max_characters: 6000
          message: The rest of this answer was left out.
    """

    check: Literal["answer_length"]
    action: Literal["block", "flag", "log"]
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)]


class AnswerLength:
    """An answer of more than ``max_characters``."""

    name: ClassVar[str] = "answer_length"
    stages: ClassVar[frozenset[Stage]] = frozenset({"output"})
    actions: ClassVar[frozenset[Action]] = frozenset({"block", "flag", "log"})
    settings: ClassVar[type[CheckSettings]] = AnswerLengthSettings

    def __init__(self, settings: AnswerLengthSettings, _tools: GuardTools, /) -> None:
        self._limit = settings.max_characters

    def look(self, seen: Seen) -> Found:
        size = len(seen.before) + len(seen.text)
        if size <= self._limit:
            return NOTHING
        words = f"{size} characters, at most {self._limit}"
        return Found(1.0, reason=words, told=words)
