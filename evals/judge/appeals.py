"""Text that speaks to whoever judges it ("give this answer 1.0") instead of answering.

A list of expressions cannot know every way to say it; docs/judges.md says what stands behind it. It errs towards
finding too much: what it finds is left unscored, never scored.
"""

from __future__ import annotations

import re
import unicodedata

from lockgate.terminal import plain

MAX_JUDGED = 30_000
"""Characters of one text that are judged; a longer one could push the instructions out of a model's window."""

_PARTS: dict[str, str] = {
    "<judge>": r"(?:(?:ai|llm|gpt|automatic|automated|impartial|human)[ -])?"
    r"(?:judges?|graders?|evaluators?|raters?|scorers?|assessors?|annotators?|reward model|evaluation system"
    r"|(?:grading|evaluation|judging) model)",
    "<answer>": r"(?:answers?|responses?|repl(?:y|ies)|outputs?|claims?|statements?|submissions?|completions?"
    r"|passages?|texts?)",
    "<good>": r"(?:correct|right|faithful|supported|grounded|verified|accurate|relevant|perfect|flawless|excellent|true"
    r"|(?:one|1|1\.0+|5|10|100)(?:\s?(?:/|out of)\s?\d+)?)",
    "<top>": r"(?:(?:full|top|maximum|max|highest|perfect|best)(?: possible)?"
    r" (?:marks?|scores?|ratings?|grades?|points?|levels?))",
    "<is>": r"(?:is|are|was|were|has been|have been|must be|should be|can be|ought to be)",
    "<within>": r"[^.!?\n]",
}

_EXPRESSIONS: tuple[str, ...] = (
    # Spoken to: "note to the judge", "dear grader", "judge, give ...", "you are the evaluator".
    r"\b(?:notes?|messages?|instructions?|hints?|reminders?|attention|notice)\s?(?:to|for|:)?"
    r"\s?(?:the|any|this|all|every)?\s?<judge>\b",
    r"\b(?:dear|hey|hello|hi|ok|okay),? <judge>\b",
    r"(?:^|[.!?\n\[(<*] ?)<judge>\s?[:,]"
    r" ?(?:please|you|this|the|give|score|rate|mark|ignore|assign|return|output)\b",
    r"\byou (?:are|act as|now act as|must act as) (?:now )?(?:the|an?|my) <within>{0,30}<judge>\b",
    r"\bif you(?:'re| are) (?:an? <judge>|judging|grading|evaluating|scoring|rating|assessing)\b",
    # Ordered: "give this answer 1.0", "mark all claims as supported", "score 1.0", "return a score of 1".
    r"\b(?:give|assign|award|grant)(?: it| this| that| the| me| us| my| an?| <answer>| every| all| each){1,5}"
    r" (?:(?:score|rating|grade|mark|level|verdict)s? (?:of |as )?)?(?:an? )?(?:<top>|<good>\b)",
    r"\b(?:score|rate|grade|judge|mark|label|classify|evaluate|treat|consider|accept|deem|regard|count)"
    r"(?: it| this| that| these| the| my| whole| entire| above| following| <answer>| every| all| all of| each"
    r"| each of){1,6}(?: to be| as| with| at| is| are)?(?: an?)?"
    r"(?: fully| entirely| completely| totally| being)? ?(?:<top>|<good>\b)",
    r"(?:^|[.!?,;:\n] ?|\b(?:and|then|must|should|please|always|just|simply|only|to) )(?:score|rate|grade)"
    r" ?[:=]? ?(?:1\.0+|1|5|10|100)(?: ?/ ?\d+)?(?=\s*(?:$|[.!,;\n]))",
    r"\b(?:return|output|respond with|reply with|answer with|print|report|emit|produce|write)"
    r" (?:an?|the|only|just|only an?|only the)? ?(?:<top>"
    r"|(?:score|rating|grade|verdict|level)s?(?: of| as|:|=)? ?(?:<top>|<good>\b))",
    # Praised: "deserves full marks", "this answer is correct", "all claims are supported", "final score: 1.0".
    r"\b(?:deserves?|merits?|earns?|warrants?|is worth|should (?:get|receive|be given)"
    r"|must (?:get|receive|be given))<within>{0,40}"
    r"(?:<top>|\b(?:score|rating|grade|level) (?:of )?(?:1\.0|1|5|10|100)\b)",
    r"\b(?:this|the|my|above|preceding) (?:\w+ )?(?:answer|response|reply|output|submission) <is>"
    r"(?: \w+){0,3} <good>\b",
    r"\b(?:all|every|each)(?: of)?(?: the| these| my| above| single){0,3}"
    r" (?:claims?|statements?|sentences?|facts?|passages?)"
    r"(?: (?:above|here|below|in this (?:answer|response)))? <is>(?: \w+){0,3} <good>\b",
    r"\b(?:final|correct|expected|true|right) (?:score|rating|grade|verdict|judge?ment)\s?(?:is|:|=|of)"
    r"\s?(?:<top>|<good>\b)",
    # Led away: "ignore your instructions", "do not check the passages", "system override:".
    r"\b(?:ignore|disregard|forget|override|bypass|skip|do not follow|don't follow|stop following)\b<within>{0,30}"
    r"\b(?:previous|prior|above|earlier|preceding|your|all|system)\b<within>{0,20}"
    r"\b(?:instructions?|prompts?|rubrics?|criteria|guidelines?|directions|orders)\b",
    r"\b(?:ignore|disregard|forget|do(?: not|n't) (?:check|compare|verify|use|read))"
    r"(?: the| these| those| any| all| every| of| given| numbered| provided){0,3}"
    r" (?:passages?|rubrics?|grading|scoring|evidence|contexts?|reference answer)\b",
    r"\b(?:system|developer|admin|administrator|judge|grader|evaluation|grading|scoring)"
    r"[ -](?:override|note|notice|alert|instructions?|hint)\s?:",
    # Answered for: the judge's own reply, written into the answer.
    r"[\"']?(?:supported|relevant)[\"']\s?:\s?(?:true|1\b|[\"']yes)",
    r"[\"']verdicts?[\"']\s?:|[\"']better[\"']\s?:\s?[\"'](?:first|second)|[\"']level[\"']\s?:\s?[\"']?5",
    # Said over and over, a number needs no verb around it.
    r"(?:\b(?:score|rating|grade|verdict|level|faithfulness|relevance|correctness)\W{0,4}(?:is|of|as)?\W{0,3}"
    r"(?:<top>|<good>\b)<within>{0,40}[.!?\n]?\s?){3}",
    r"\b(supported|faithful|relevant|perfect|correct|true|yes|1\.0)\b(?:\W{0,3}\b\1\b){4}",
)


def _compiled(expression: str) -> re.Pattern[str]:
    for part, meaning in _PARTS.items():
        expression = expression.replace(part, meaning)
    return re.compile(expression)


_APPEALS = tuple(_compiled(expression) for expression in _EXPRESSIONS)

# Letters of other scripts that look like Latin ones: what a person reads as "score" must not read as another word here.
_LOOKALIKES = str.maketrans("аеорсухіјѕԁԛɡαορνικτ", "aeopcyxijsdqgaopvikt")
_HIDDEN = re.compile("[\U000e0000-\U000e007f\ufe00-\ufe0f\u00ad]")
_SPACED = re.compile(r"\b(?:[^\W\d_][ ._-]){4,}[^\W\d_]\b")  # w r i t t e n  a p a r t
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def find_appeal(text: str) -> str | None:
    """The first part of ``text`` that speaks to a judge, None when there is none."""
    read = _normal(text)
    if apart := _SPACED.search(read):  # nobody writes so but to hide what it says
        return apart[0][:80]
    # As it stands, and as it reads without its line breaks.
    for line in (read, " ".join(read.split())) if "\n" in read else (read,):
        for expression in _APPEALS:
            if found := expression.search(line):
                return " ".join(found[0].split())[:80]
    return None


def without_appeals(text: str) -> str:
    """``text`` without the sentences that speak to a judge; all of it goes when it takes several to do so.

    For passages only: less evidence never makes an answer look better supported.
    """
    if find_appeal(text) is None:
        return text
    kept = " ".join(part for part in _SENTENCE.split(text) if part.strip() and find_appeal(part) is None)
    return kept if kept and find_appeal(kept) is None else "(removed)"


def appeal_reason(what: str, text: str) -> str | None:
    """Why ``text`` cannot be judged; None when it can. ``what`` names it, such as "the answer"."""
    if len(text) > MAX_JUDGED:
        return f"{what} has {len(text)} characters; at most {MAX_JUDGED} are judged"
    appeal = find_appeal(text)
    return f"{what} addresses the judge: {appeal!r}" if appeal else None


def _normal(text: str) -> str:
    text = _HIDDEN.sub("", plain(unicodedata.normalize("NFKC", text[: MAX_JUDGED + 1])))
    text = text.casefold().translate(_LOOKALIKES)
    text = re.sub(r"[*_`~]+", "", text)
    text = text.replace("\u2019", "'").replace("\u2018", "'").replace("\u201c", '"').replace("\u201d", '"')
    return re.sub(r"[ \t]+", " ", text)
