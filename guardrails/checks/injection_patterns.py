"""Phrases that attacks on a model are made of, in nine languages. Each is linear in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """``needs``: one of these stands in every text that the pattern matches, so others are not searched.

    ``indirect``: it counts in documents only; a user may say it.
    """

    name: str
    pattern: re.Pattern[str]
    needs: tuple[str, ...]
    indirect: bool = False


def _phrase(name: str, pattern: str, needs: str, *, indirect: bool = False) -> Phrase:
    return Phrase(name, re.compile(pattern, re.I), tuple(needs.split("|")), indirect)


_GAP = r"(?:[\w'’,-]{1,15}[ \t\n]{1,3}){0,3}"
_RULES = (
    r"(?:instructions?|directions|directives?|guidelines|prompts?|programming|system (?:message|prompt)|"
    r"commands|orders|"
    r"restrictions|constraints|rules|training|safety (?:rules|guidelines|policy|training))"
)
_DROP = (
    r"(?:ignore|disregard|forget|override|overrule|bypass|discard|erase|wipe|neglect|set aside|throw away|"
    r"pay no attention to|stop (?:following|obeying)|(?:do not|don't|no longer) (?:follow|obey))"
)
_BEFORE = r"(?:previous|prior|earlier|above|preceding|former|foregoing)"
_PROMPT = (
    r"(?:system prompt|system message|pre-?prompt|developer message|(?:initial|hidden|secret|confidential|original) "
    r"(?:instructions|prompt|rules|guidelines)|instructions (?:that )?you (?:were given|have|got))"
)
_SHOW = (
    r"(?:print|repeat|show|reveal|output|write out|display|leak|recite|give me|quote|copy|tell me|dump|"
    r"translate|encode|spell)"
)

PHRASES: tuple[Phrase, ...] = (
    _phrase(
        "override",
        rf"\b{_DROP}\s{{1,3}}{_GAP}{_BEFORE}(?: and following)?\s{{1,3}}{_GAP}"
        r"(?:instructions?|directions|directives?|guidelines|prompts?)\b",
        "instruction|directi|guidelines|prompt",
    ),
    _phrase(
        "override",
        rf"\b(?:ignore|disregard|forget)\s{{1,3}}{_GAP}{_BEFORE}(?: and following)?\s{{1,3}}{_GAP}"
        r"(?:orders|rules|context|constraints|restrictions|commands)\b",
        "ignore|disregard|forget",
    ),
    _phrase(
        "override",
        rf"\b{_DROP}\s{{1,3}}(?:all |any |of |every one of ){{0,2}}(?:your|its)\s{{1,3}}{_GAP}{_RULES}\b",
        "your|its",
    ),
    _phrase(
        "override",
        r"\b(?:ignore|disregard|forget|drop) (?:all|everything)(?: of)?(?: that)?(?: you were told| said|"
        r" was said| written)?"
        r" ?(?:above|before(?: this)?|previously|so far|until now|up to (?:here|now))",
        "ignore|disregard|forget|drop",
    ),
    _phrase(
        "override",
        r"\b(?:your|the) (?:previous|prior|earlier|old|former|existing) (?:instructions|rules|guidelines|prompt|"
        r"directives) "
        r"(?:no longer apply|are (?:void|cancelled|canceled|suspended|lifted|overridden|replaced))",
        "no longer|void|cancel|suspend|lifted|overrid|replaced",
    ),
    _phrase(
        "persona",
        r"\b(?:do anything now|DAN mode|developer mode (?:enabled|on)|jailbr(?:eak|oken) mode|god mode enabled|"
        r"(?:act|behave|answer|respond|speak) as (?:if you (?:had|have) no|an? (?:ai|model|chatbot|"
        r"assistant) (?:without|with no)) "
        r"{0,2}(?:any )?(?:rules|filters?|restrictions|limits|limitations|content policy|ethics|morals))",
        "anything now|mode|act|behave|answer|respond|speak",
    ),
    _phrase(
        "persona",
        r"\b(?:you are|you're|become|be|pretend|act|roleplay|simulate|play)\b[^.\n]{0,80}\b(?:unrestricted|"
        r"uncensored|unfiltered|"
        r"amoral|jailbroken|without (?:any )?(?:restrictions|filters?|rules|limits|limitations|morals|ethics|"
        r"censorship)|"
        r"no (?:restrictions|filters?|rules|morals|ethics|content policy|limitations)|"
        r"(?:broke|broken|freed?) (?:free )?(?:of|from) (?:its|your|the|all) (?:\w{1,12} ){0,2}(?:rules|"
        r"confines|limits|restrictions|instructions))",
        "restrict|censor|filter|moral|jailbroken|without|no |free",
    ),
    _phrase(
        "prompt",
        rf"\b{_SHOW}\b(?: me| us| back| exactly| verbatim| the| your| all| of| full| complete| entire| whole|"
        rf" whatever){{0,5}} "
        rf"{{0,2}}your {_GAP}{_PROMPT}",
        "prompt|message|instructions|rules|guidelines",
    ),
    _phrase(
        "prompt",
        r"\b(?:repeat|print|output|show|recite|reveal) (?:me )?(?:all(?: of)? the (?:text|words)|everything|"
        r"the text|all text|the words|"
        r"(?:the )?messages?) (?:that (?:stands|comes|is) )?(?:above|before mine|before this|"
        r"from the (?:beginning|start))",
        "above|before|beginning|start",
    ),
    _phrase(
        "prompt",
        rf"\bwhat (?:is|are|was|were|does)(?: it)? your (?:\w{{1,12}} )?{_PROMPT}|\bwhat(?:'s|"
        rf" is) (?:in )?(?:ur|your) system prom",
        "system prom|instructions|message|preprompt|pre-prompt|rules|guidelines|initial",
    ),
    _phrase(
        "role marker",
        r"<\|(?:im_start|im_end|system|endoftext|end|start_header_id|eot_id)\|?>|\[/?INST\]|<</?SYS>>|"
        r"</?(?:system|sys|admin)>|"
        r"\[/?(?:system|admin)(?: override| message| prompt)?\]|^\s{0,3}#{1,4} ?(?:system|instruction|response|"
        r"assistant)\s?:?\s*$",
        "<|[|<<|#|<s|</s|<a|</a",
    ),
    _phrase(
        "role marker",
        r"</(?:context|document|documents|passage|passages|user_input|user|input|data|sources?|question)>\s{0,5}\S",
        "</",
    ),
    _phrase(
        "role marker",
        r"\"role\"\s{0,3}:\s{0,3}\"(?:system|developer)\"\s{0,3},\s{0,3}\"content\"\s{0,3}:\s{0,3}\"[^\"\n]{0,80}\b"
        r"(?:ignore|disregard|forget|obey|unrestricted|reveal)\b",
        '"role"',
    ),
    _phrase(
        "role marker",
        r"(?:^|[-=#*\n]{2,20}\s{0,3})(?:begin|start|new) (?:of )?(?:system|developer|admin) (?:message|prompt|"
        r"instructions?)",
        "system|developer|admin",
    ),
    _phrase(
        "hijack",
        r"\b(?:stop|never ?mind|forget|instead|ignore|disregard|whatever)\b[^\n]{0,100}\b(?:just|only|simply) "
        r"(?:print|say|output|write|reply|respond|repeat)\b",
        "just|only|simply",
    ),
    _phrase(
        "refusal",
        r"\b(?:never (?:say (?:sorry|no\b|that you can(?:no|')t)|refuse|decline)|refus(?:ing|"
        r"al) is (?:not an option|forbidden)|"
        r"(?:you )?(?:may|can|must) not refuse|without (?:ever )?refusing)\b",
        "refus|sorry|never|declin",
    ),
    _phrase(
        "to a model",
        r"\b(?:note|notice|instructions?|attention|message|dear|hey|hello|important|to)\b[ :,]{1,3}(?:for |"
        r"to )?(?:the |all |any |you |an? )?"
        r"(?:ai|llms?|chat ?bots?|language models?|ai assistants?|ai agents?|virtual assistants?|"
        r"assistant)\b[^.\n]{0,60}?[:,!]\s",
        "ai|llm|bot|model|assistant",
        indirect=True,
    ),
    _phrase(
        "to a model",
        r"\bif (?:you are|you're) (?:an? |one of the )?(?:ai|llm|chat ?bot|language model|assistant|automated|bot)\b|"
        r"\bif an? (?:ai|llm|chat ?bot|language model|ai assistant) (?:is reading|reads|processes|summari[sz]es)|"
        r"\b(?:ai assistants?|language models?|llms?|chat ?bots?|ai agents?) (?:reading|that (?:read|process|"
        r"summari[sz]e)|who read|processing) "
        r"this\b",
        "ai|llm|bot|model|assistant|automated",
        indirect=True,
    ),
    _phrase(
        "secrecy",
        r"\b(?:do not|don't|never|without) (?:tell|telling|inform|informing|mention|mentioning|reveal|revealing|"
        r"show|showing)\b"
        r"[^.\n]{0,30}\bthe user\b|\bwithout the user(?:'s)? (?:knowing|knowledge|noticing)",
        "the user",
        indirect=True,
    ),
    _phrase(
        "exfiltration",
        r"\b(?:send|post|forward|upload|append|add|include|put|exfiltrate|encode|"
        r"copy)\b[^\n]{0,60}\b(?:the (?:conversation|chat history|user's|"
        r"system prompt|api keys?|session token|previous messages)|chat history|conversation so far|"
        r"what the user)\b[^\n]{0,80}"
        r"(?:https?://|\bto \S{1,60}\.\w{2,6}\b|\burl\b|\blink\b|\bimage\b|\baddress\b)",
        "send|post|forward|upload|append|add|include|put|exfil|encode|copy",
        indirect=True,
    ),
    _phrase(
        "exfiltration",
        r"!\[[^\]\n]{0,80}\]\(\s{0,3}https?://[^)\n{\[<$]{1,200}?(?:[{\[<$]|%7B|BASE64|DATA_?HERE|SECRET|SUMMARY)",
        "![",
    ),
    _phrase(
        "tool",
        r"\b(?:call|invoke|use|run|execute)\b[^.\n]{0,60}\b(?:without (?:asking|confirmation|telling|the user)|"
        r"silently|"
        r"(?:before|instead of) (?:answering|you (?:answer|reply)))\b",
        "without|silently|before|instead",
        indirect=True,
    ),
    _phrase(
        "Deutsch",
        r"\b(?:ignorier\w{0,3}|vergiss|vergesst|missachte\w?|übergeh\w{0,2})\b[^.\n]{0,40}\b(?:anweisung(?:en)?|"
        r"regeln|vorgaben|instruktionen|"
        r"richtlinien|anleitungen)\b|\b(?:zeig\w?|nenn\w?|verrat\w?|gib|wiederhol\w?|wie lautet)\b[^.\n]{0,40}"
        r"(?:\bsystem-?prompt|\bsystemanweisung|\b(?:geheime|versteckte|interne)n? anweisungen)|\bohne (?:jede |"
        r"alle )?(?:regeln|filter|einschränkung\w{0,2})"
        r" (?:antworte|und beantwort)|\b(?:ki|modell)\b ohne (?:regeln|filter|grenzen)",
        "anweisung|regeln|vorgaben|instruktionen|richtlinien|system|grenzen|filter|anleitungen|einschränkung",
    ),
    _phrase(
        "français",
        r"\b(?:ignor(?:e|ez|er)|oubli(?:e|ez|er)|ne ten(?:ez|ir) pas compte d\w{1,2})\b[^.\n]{0,30}\b"
        r"(?:consignes|règles|(?:instructions|directives) "
        r"(?:précédentes|antérieures|ci-dessus|initiales|système|du système))\b|"
        r"\b(?:montre|affiche|révèle|donne|répète)\w{0,2}\b[^.\n]{0,30}\b(?:prompt système|message système|"
        r"instructions (?:cachées|secrètes|initiales))|"
        r"\b(?:ia|modèle) sans (?:aucune )?(?:limite|règle|morale|filtre|restriction)",
        "instructions|consignes|règles|directives|système| sans ",
    ),
    _phrase(
        "español",
        r"\b(?:ignor(?:a|e|ar|ad)|olvid(?:a|e|ar)|haz caso omiso d\w{1,3})\b[^.\n]{0,30}\b(?:instrucciones|"
        r"reglas|indicaciones|normas)\b|"
        r"\b(?:muestra|muéstrame|revela|dime|repite)\b[^.\n]{0,30}\b(?:prompt|instrucciones (?:ocultas|secretas|"
        r"iniciales|del sistema)|mensaje del sistema)|"
        r"\b(?:ia|modelo) sin (?:filtros?|reglas|límites|restricciones)",
        "instrucciones|reglas|indicaciones|normas|prompt|mensaje| sin ",
    ),
    _phrase(
        "português",
        r"\b(?:ignor(?:e|a|ar|em)|esqueç?a|esqueça|desconsidere)\b[^.\n]{0,30}\b(?:instruções|regras|diretrizes|"
        r"orientações)\b|"
        r"\b(?:mostre|revele|diga|repita|exiba)\b[^.\n]{0,30}\b(?:prompt|instruções (?:do sistema|ocultas|secretas))|"
        r"\b(?:ia|modelo) sem (?:filtros?|regras|limites|restrições)",
        "instruções|regras|diretrizes|orientações|prompt| sem ",
    ),
    _phrase(
        "italiano",
        r"\b(?:ignora(?:te|re)?|dimentica(?:re)?|trascura)\b[^.\n]{0,30}\b(?:istruzioni|regole|direttive|"
        r"indicazioni)\b|"
        r"\b(?:mostra|mostrami|rivela|dimmi|ripeti)\w{0,2}\b[^.\n]{0,30}\b(?:prompt|istruzioni (?:nascoste|"
        r"segrete|di sistema|iniziali))|"
        r"\b(?:ia|modello) senza (?:filtri|regole|limiti|restrizioni)",
        "istruzioni|regole|direttive|indicazioni|prompt|senza",
    ),
    _phrase(
        "русский",
        r"(?:игнорируй|проигнорируй|забудь|не обращай внимания на|отмени)(?:те)?[^.\n]{0,40}(?:инструкци|правил|"
        r"указани|команд|промпт)|"
        r"(?:покажи|раскрой|выведи|напиши|повтори|назови)(?:те)?[^.\n]{0,30}(?:системн\w{1,4} (?:промпт|"
        r"сообщени)|скрыт\w{1,4} инструкци|промпт)|"
        r"(?:ии|модель|бот) без (?:ограничений|правил|цензуры|фильтров)",
        "инструкци|правил|указани|команд|промпт|системн|ограничений|цензуры|фильтров",
    ),
    _phrase(
        "中文",
        r"(?:忽略|无视|無視|忘记|忘記|忘掉|不要理会|不用遵守|覆盖)[^。\n]{0,15}(?:指令|指示|提示|规则|規則|要求|设定|命令|限制)|"
        r"(?:输出|輸出|显示|顯示|告诉|告訴|说出|透露|泄露|重复|打印)[^。\n]{0,10}(?:系统提示|系統提示|提示词|初始指令|隐藏的?指令)|"
        r"(?:系统提示|提示词)[^。\n]{0,8}(?:告诉我|输出|显示|说出来)|没有任何(?:限制|约束|道德)的?(?:人工智能|AI|模型|助手)",
        "指令|指示|提示|规则|規則|要求|设定|命令|限制|约束|道德",
    ),
    _phrase(
        "日本語",
        r"(?:指示|命令|ルール|規則|プロンプト|制約|制限)[^。\n]{0,12}(?:無視して|無視し|忘れて|破って|従わないで|取り消し)|"
        r"(?:システムプロンプト|システムメッセージ|隠された指示|内部の?指示)[^。\n]{0,12}(?:表示|教えて|見せて|出力|書いて)|"
        r"(?:制限|制約|フィルター)(?:の|が)?な[いし]の?(?:ai|アシスタント|モデル|人工知能)",
        "指示|命令|ルール|規則|プロンプト|制約|制限|システム|フィルター",
    ),
)

_LEET = re.compile(r"\b(?=[a-z@$]{0,14}[01345@$7])(?=[01345@$7]{0,4}[a-z])[a-z01345@$7]{4,15}\b", re.I)
_FROM_LEET = str.maketrans("013457@$", "oieastas")
_SIGNS = re.compile(
    r"ignore|disregard|forget|override|previous|instruction|instructions|rules|prompt|system|reveal|"
    r"restrictions|filters"
)


@dataclass(frozen=True, slots=True)
class Match:
    name: str
    start: int
    end: int


def matches(text: str, *, indirect: bool) -> Iterator[Match]:
    """Every phrase in ``text``; digits that stand for letters are read as letters."""
    lowered = text.lower()
    for phrase in PHRASES:
        if phrase.indirect and not indirect:
            continue
        if any(need in lowered for need in phrase.needs):
            for found in phrase.pattern.finditer(text):
                yield Match(phrase.name, found.start(), found.end())
    plain = _LEET.sub(_unleeted, text) if any(each in text for each in "013457@$") else text
    if plain != text:
        yield from matches(plain, indirect=indirect)


def _unleeted(word: re.Match[str]) -> str:
    """A word that attacks are made of, written with digits; any other stays, so that names are not read as words."""
    said = word.group().lower().translate(_FROM_LEET)
    return said if _SIGNS.fullmatch(said) else word.group()
