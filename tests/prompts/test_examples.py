from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lockgate.errors import UserError
from lockgate.types import Message
from prompts.prompt import Prompt, load_prompt, prompt_from_files
from tests.prompts.texts import example_rows, prompt_text, write_library

KEYS = "variables: {question: str}\n"
BODY = "# system\nBe brief.\n# user\nQ: {{ question }}\n"


class LetterEmbedder:
    """Vectors that count the letters of a text; notes what it was given."""

    name = "letters"
    dimension = 26
    max_tokens = 100

    def __init__(self, digest: str = "letters-1") -> None:
        self.digest = digest
        self.seen: list[list[str]] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.seen.append(list(texts))
        rows = [[float(text.lower().count(chr(97 + letter))) + 1e-3 for letter in range(26)] for text in texts]
        vectors = np.asarray(rows, dtype=np.float32)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def embed_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        yield list(range(len(texts))), self.embed(texts)


def _prompt(rows: str, *, examples: str = "", keys: str = KEYS, body: str = BODY) -> Prompt:
    head = keys + (f"examples: {examples}\n" if examples else "")
    files = {"greet/prompt.md": prompt_text(keys=head, body=body), "greet/examples.jsonl": rows}
    return prompt_from_files("greet", files, where="r")


ROWS = example_rows(("aaa", "A"), ("bbb", "B"), ("ccc", "C"), ("bbb", "B again"))


def test_fixed_examples_are_the_first_rows_as_turns_before_the_question() -> None:
    prompt = _prompt(ROWS, examples="{count: 2}")
    assert not prompt.need_embedder
    assert prompt.render(question="why?") == [
        Message("system", "Be brief."),
        Message("user", "Q: aaa"),
        Message("assistant", "A"),
        Message("user", "Q: bbb"),
        Message("assistant", "B"),
        Message("user", "Q: why?"),
    ]
    assert prompt.messages({"question": "why?"}) == prompt.render(question="why?")


def test_examples_stand_before_the_last_user_section_whatever_stands_before_it() -> None:
    prompt = _prompt(
        ROWS, examples="{count: 1}", body="# user\nStart\n# assistant\nGo on\n# user\n{{ question }}\n# assistant\n{"
    )
    assert [message.content for message in prompt.render(question="q")] == ["Start", "Go on", "aaa", "A", "q", "{"]


def test_without_a_choice_the_first_three_are_shown() -> None:
    assert len(_prompt(ROWS).render(question="q")) == 2 + 2 * 3


def test_similar_examples_are_the_nearest_ones_the_nearest_last() -> None:
    prompt = _prompt(ROWS, examples="{choose: similar, count: 2}")
    assert prompt.need_embedder
    said = [message.content for message in prompt.messages({"question": "aab"}, LetterEmbedder)]
    assert said == ["Be brief.", "Q: bbb", "B", "Q: aaa", "A", "Q: aab"]


def test_of_equally_near_examples_the_earlier_wins() -> None:
    prompt = _prompt(ROWS, examples="{choose: similar, count: 1}")
    assert prompt.messages({"question": "b"}, LetterEmbedder)[2].content == "B"


def test_a_request_embeds_only_its_question_once_the_rows_are_embedded() -> None:
    prompt = _prompt(ROWS, examples="{choose: similar, count: 1}")
    embedder = LetterEmbedder()
    for question in ("b", "c"):
        prompt.messages({"question": question}, lambda: embedder)
    assert sorted(embedder.seen) == sorted([["aaa", "bbb", "ccc", "bbb"], ["b"], ["c"]])
    other = LetterEmbedder("letters-2")
    prompt.messages({"question": "b"}, lambda: other)
    assert len(other.seen) == 2


def test_requests_at_the_same_time_embed_the_rows_once() -> None:
    prompt = _prompt(ROWS, examples="{choose: similar, count: 1}")
    embedder = LetterEmbedder()
    threads = [threading.Thread(target=prompt.messages, args=({"question": "b"}, lambda: embedder)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([texts for texts in embedder.seen if len(texts) == 4]) == 1


def test_similar_examples_without_an_embedder_are_refused_and_one_is_not_loaded_for_nothing() -> None:
    def never() -> Any:
        raise AssertionError("loaded")

    with pytest.raises(UserError, match="an embedder is needed"):
        _prompt(ROWS, examples="{choose: similar, count: 2}").render(question="q")
    assert _prompt(ROWS, examples="{choose: similar, count: 4}").messages({"question": "q"}, never)
    assert _prompt(ROWS, examples="{choose: fixed, count: 2}").messages({"question": "q"}, never)


def test_similarity_may_compare_another_variable() -> None:
    rows = json.dumps({"input": {"topic": "aaa", "n": 1}, "output": "A"}) + "\n"
    rows += json.dumps({"input": {"topic": "bbb", "n": 2}, "output": {"is": "B"}}) + "\n"
    keys = "variables: {topic: str, n: int}\n"
    prompt = _prompt(rows, examples="{choose: similar, count: 1, by: topic}", keys=keys, body="# user\n{{ n }}\n")
    said = [message.content for message in prompt.messages({"topic": "b", "n": 3}, LetterEmbedder)]
    assert said == ["2", '{"is": "B"}', "3"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("", r"r/greet/examples\.jsonl:1: the file has no rows"),
        ("\n\n{\n", r"r/greet/examples\.jsonl:3: not valid JSON"),
        ("[1]\n", r"r/greet/examples\.jsonl:1: a JSON object was expected"),
        ('{"input": {"question": "q"}}\n', "key 'output' is missing"),
        ('{"input": {"question": "q"}, "output": 3}\n', "key 'output': text, a mapping or a list was expected"),
        ('{"input": "q", "output": "a"}\n', "key 'input': a mapping was expected"),
        ('{"input": {"question": "q"}, "output": "a", "note": 1}\n', "unknown key 'note'"),
        ('{"input": {}, "output": "a"}\n', "the input cannot be used: no value for 'question'"),
        ('{"input": {"question": 1}, "output": "a"}\n', "'question' is str, not int"),
        ('{"input": {"question": "q", "more": 1}, "output": "a"}\n', "no variable 'more'"),
        ('{"input": {"question": "\\ud800"}, "output": "a"}\n', "half of a surrogate pair"),
        ('{"input": {"question": "q"}, "output": [NaN]}\n', "NaN is not a JSON number"),
        ('{"input": {"question": ' + "[" * 100_000 + "}\n", "nested too deeply"),
        ('{"input": {"question": ' + "[" * 50 + "]" * 50 + '}, "output": ""}\n', "nested more than 20 deep"),
        (ROWS * 300, "at most 1000 and 1000000"),
    ],
)
def test_a_row_that_cannot_be_shown_is_refused_with_its_line(rows: str, says: str) -> None:
    start = time.perf_counter()
    with pytest.raises(UserError, match=says):
        _prompt(rows)
    assert time.perf_counter() - start < 1


def test_every_bad_row_is_named() -> None:
    with pytest.raises(UserError, match=r"jsonl:1: (.|\n)*jsonl:3: "):
        _prompt('{"input": {}, "output": "a"}\n' + example_rows(("q", "a")) + "{\n")


@pytest.mark.parametrize(
    ("examples", "keys", "says"),
    [
        ("{choose: similar, by: topic}", KEYS, "greet/prompt.md:6: examples are chosen by 'topic', which is not"),
        ("{choose: similar}", "variables: {question: list}\n", "chosen by 'question', which is not a variable of type"),
        ("{choose: best}", KEYS, "key 'examples.choose'"),
        ("{count: 0}", KEYS, "key 'examples.count'"),
        ("{chose: fixed}", KEYS, "unknown key 'examples.chose'"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(examples: str, keys: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        _prompt(ROWS, examples=examples, keys=keys)


def test_examples_need_a_folder_and_a_question_to_stand_before(tmp_path: Path) -> None:
    library = write_library(tmp_path, {"greet.md": prompt_text(keys=KEYS + "examples: {count: 1}\n", body=BODY)})
    with pytest.raises(UserError, match=r"greet\.md:6: 'examples' needs a file greet/examples\.jsonl"):
        load_prompt(library / "greet.md")
    with pytest.raises(UserError, match="shown as '# user' messages, and there is no such section"):
        _prompt(ROWS, body="# system\nBe brief.\n")


SCHEMA = KEYS + "output: {type: object, properties: {answer: {type: string}}, required: [answer]}\n"


def test_an_example_must_not_break_the_output_schema() -> None:
    right = example_rows(("q", {"answer": "a"}), ("q", '{"answer": "b"}'))
    prompt = _prompt(right, keys=SCHEMA)
    assert prompt.render(question="q")[2].content == '{"answer": "a"}'
    assert prompt.output_errors('{"answer": 1}') == ["answer: 1 is not of type 'string'"]
    with pytest.raises(UserError, match=r"jsonl:3: the output breaks the output schema: answer: 1 is not"):
        _prompt(right + example_rows(("q", {"answer": 1})), keys=SCHEMA)
    with pytest.raises(UserError, match=r"jsonl:3: the output breaks the output schema: the whole: is not JSON"):
        _prompt(right + example_rows(("q", "a")), keys=SCHEMA)


@pytest.mark.parametrize(
    ("rows", "body"),
    [
        (example_rows(*[("q", "a")] * 999), "# user\n{% for i in range(99999) %}{% endfor %}{{ question }}\n"),
        (example_rows(*[("y" * 30_000, "a")] * 30), "# user\n{% for i in range(6) %}{{ question }}{% endfor %}\n"),
        (example_rows(("q", "a")), "# user\n{% for i in range(9999) %}" + "x" * 20_000 + "{% endfor %}{{ question }}"),
        (example_rows(("q", "a")), "# user\n{{ question.__class__ }}\n"),
    ],
)
def test_examples_that_loop_or_swell_are_refused_within_a_second(rows: str, body: str) -> None:
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"examples\.jsonl:\d+: "):
        _prompt(rows, body=body)
    assert time.perf_counter() - start < 1


def test_a_row_is_never_read_as_a_template() -> None:
    assert _prompt(example_rows(("{{ 7 * 7 }}", "{% x %}"))).render(question="q")[1].content == "Q: {{ 7 * 7 }}"
