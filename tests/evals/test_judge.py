"""The judge's client: what it sends, what it takes as a reply, and every way in which a server fails."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from evals.judge.book import PromptBook
from evals.judge.identity import host_of
from evals.judge.judge import ModelJudge, closed_shape, open_judge
from evals.judge.reply import BadReply, read_reply
from evals.judge.server import JudgeFailed, JudgeServer
from evals.judge.shapes import Level, Relevance, verdicts_on
from lockgate.errors import UserError
from lockgate.settings import Settings, load_settings
from lockgate.types import Message
from prompts.collection import prompt_files
from prompts.lint import lint_project
from tests.evals.judge_server import Reply, run_judge

PROMPT = [Message("system", "You judge."), Message("user", "Is it?")]
GOOD = {"reason": "r", "level": 4}


def make_judge(url: str, *, cache: Any = None, **options: Any) -> ModelJudge:
    async def no_sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    server = JudgeServer(url, "secret-key", **{"sleep": no_sleep, **options})
    return ModelJudge(server, "m", PromptBook(Path()), cache)


class Memory(dict[str, str]):
    """A cache for one test."""

    serves = True

    def put(self, key: str, value: str) -> None:
        self[key] = value


async def test_sends_the_schema_the_seed_and_the_key_and_returns_the_shape() -> None:
    with run_judge(lambda _: GOOD) as stub:
        async with make_judge(stub.url) as judge:
            reply = await judge.ask(PROMPT, Level, purpose="level")
    assert reply == Level(reason="r", level=4)
    assert reply.share == 0.75
    (request,) = stub.asked
    assert request["temperature"] == 0
    assert request["seed"] == 7
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
    assert stub.headers[0]["authorization"] == "Bearer secret-key"
    assert (judge.usage.asked, judge.usage.prompt_tokens, judge.usage.completion_tokens) == (1, 10, 5)


@pytest.mark.parametrize("status", [400, 404, 422, 501])
async def test_a_server_that_takes_no_schema_is_asked_in_words_from_then_on(status: int) -> None:
    with run_judge(lambda _: GOOD, refuses_schema=status) as stub:
        async with make_judge(stub.url) as judge:
            for _ in range(3):
                assert (await judge.ask(PROMPT, Level, purpose="level")).level == 4
    assert ["response_format" in request for request in stub.asked] == [True, False, False, False]
    assert '"level"' in stub.asked[-1]["messages"][-1]["content"]


BAD_REPLIES = {
    "prose": ("The answer deserves a four.", "not JSON"),
    "prose around JSON": ('Here it is: {"reason": "r", "level": 4}', "not JSON alone"),
    "prose around a fence": ('Sure!\n```json\n{"reason": "r", "level": 4}\n```', "not JSON"),
    "half JSON": ('{"reason": "r", "lev', "not complete JSON"),
    "a fence": ('```json\n{"reason": "r", "level": 4}\n```', "in a code fence"),
    "a fence without a language": ('\n```\n{"reason": "r", "level": 4}\n```\n', "in a code fence"),
    "a fence after a thought": ('<think>hm</think>```json\n{"reason": "r", "level": 4}\n```', "in a code fence"),
    "half a fence": ('```json\n{"reason": "r", "level": 4}', "in a code fence"),
    "range above": ('{"reason": "r", "level": 6}', "less than or equal to 5"),
    "range below": ('{"reason": "r", "level": 0}', "greater than or equal to 1"),
    "text for a number": ('{"reason": "r", "level": "5"}', "valid integer"),
    "a float for a level": ('{"reason": "r", "level": 4.0}', "valid integer"),
    "true for a number": ('{"reason": "r", "level": true}', "valid integer"),
    "null": ('{"reason": "r", "level": null}', "valid integer"),
    "nothing": ("", "empty"),
    "spaces": (" \n ", "empty"),
    "no content": (None, "empty"),
    "a list": ('[{"reason": "r", "level": 4}]', "object was expected"),
    "a key twice": ('{"reason": "r", "level": 1, "level": 5}', "given twice"),
    "a key too many": ('{"reason": "r", "level": 4, "score": 1.0}', "score"),
    "a key missing": ('{"level": 4}', "reason"),
    "NaN": ('{"reason": "r", "level": NaN}', "NaN"),
    "deep": ("[" * 100_000, "JSON"),
    "huge": ('{"reason": "' + "r" * 300_000 + '", "level": 4}', "characters"),
}


@pytest.mark.parametrize(("text", "reason"), BAD_REPLIES.values(), ids=BAD_REPLIES)
async def test_an_unusable_reply_is_asked_for_once_more_and_then_fails(text: str | None, reason: str) -> None:
    with run_judge(lambda _: Reply(text)) as stub:
        async with make_judge(stub.url) as judge:
            with pytest.raises(JudgeFailed, match=reason):
                await judge.ask(PROMPT, Level, purpose="level")
    assert len(stub.asked) == 2
    assert "could not be used" in stub.asked[1]["messages"][-1]["content"]
    assert stub.asked[1]["seed"] != stub.asked[0]["seed"]
    assert judge.usage.failed == 1


@pytest.mark.parametrize("first", ["Hm.", f"```json\n{json.dumps(GOOD)}\n```"])
async def test_a_second_reply_that_is_usable_counts(first: str) -> None:
    replies = iter([first, json.dumps(GOOD)])
    with run_judge(lambda _: next(replies)) as stub:
        async with make_judge(stub.url) as judge:
            assert (await judge.ask(PROMPT, Level, purpose="level")).level == 4
    assert judge.usage.again == 1
    assert stub.asked[1]["messages"][-1]["content"].endswith("the JSON object alone, without a code fence.")


@pytest.mark.parametrize(
    "reply", [Reply(json.dumps(GOOD), finish_reason="length"), Reply(json.dumps(GOOD), refusal="No.")]
)
async def test_a_reply_that_was_cut_off_or_refused_is_not_read_though_it_may_be_whole(reply: Reply) -> None:
    with run_judge(lambda _: reply) as stub:
        async with make_judge(stub.url) as judge:
            with pytest.raises(JudgeFailed):
                await judge.ask(PROMPT, Level, purpose="level")
    assert len(stub.asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"reason": "r", "level": 4}',
        '<think>\nfive? no.\n</think>\n{"reason": "r", "level": 4}',
        ' {"level": 4, "reason": "```"} ',
    ],
)
def test_a_thought_before_the_whole_is_passed_over(text: str) -> None:
    assert read_reply(text, Level).level == 4


@pytest.mark.parametrize(
    "numbers", [[1], [1, 2, 3], [2, 1], [1, 1], [0, 1], []], ids=["few", "many", "order", "twice", "zero", "none"]
)
def test_each_claim_gets_exactly_one_verdict(numbers: list[int]) -> None:
    verdicts = [{"claim": number, "reason": "r", "supported": True} for number in numbers]
    with pytest.raises(BadReply):
        read_reply(json.dumps({"verdicts": verdicts}), verdicts_on(2))


async def test_waits_as_long_as_the_server_asks_and_all_calls_wait() -> None:
    waits: list[float] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds
        await asyncio.sleep(0)

    replies = iter([Reply(status=429, headers={"retry-after": "7"}, body=b"{}")])
    with run_judge(lambda _: next(replies, Reply(json.dumps(GOOD)))) as stub:
        async with make_judge(stub.url, sleep=sleep, clock=lambda: now, concurrency=4) as judge:
            levels = await asyncio.gather(*(judge.ask(PROMPT, Level, purpose="l") for _ in range(4)))
            assert judge.server.limit.limit < 4
    assert [level.level for level in levels] == [4, 4, 4, 4]
    assert max(waits) == 7.0
    assert len(stub.asked) == 5


async def test_a_retry_after_of_an_hour_is_bounded() -> None:
    waits: list[float] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    headers = {"retry-after": "3600"}
    with run_judge(lambda _: Reply(status=429, headers=headers, body=b"{}")) as stub:
        async with make_judge(stub.url, sleep=sleep, clock=lambda: now) as judge:
            with pytest.raises(JudgeFailed, match="429"):
                await judge.ask(PROMPT, Level, purpose="l")
    assert max(waits) < 61
    assert sum(waits) < 200


async def test_500s_for_a_minute_are_waited_out() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def script(_request: dict[str, Any]) -> Reply:
        return Reply(status=500, body=b"oops") if now < 60 else Reply(json.dumps(GOOD))

    with run_judge(script) as stub:
        async with make_judge(stub.url, sleep=sleep, clock=lambda: now) as judge:
            assert (await judge.ask(PROMPT, Level, purpose="l")).level == 4
    assert 60 <= now <= 90
    assert len(stub.asked) <= 12


async def test_500s_without_end_fail_within_bounds_and_later_calls_at_once() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with run_judge(lambda _: Reply(status=503, body=b"oops")) as stub:
        async with make_judge(stub.url, sleep=sleep, clock=lambda: now, patience_s=30.0) as judge:
            with pytest.raises(JudgeFailed, match="503"):
                await judge.ask(PROMPT, Level, purpose="l")
            until, asked = now, len(stub.asked)
            for _ in range(50):
                with pytest.raises(JudgeFailed):
                    await judge.ask(PROMPT, Level, purpose="l")
            assert now == until
            assert len(stub.asked) <= asked + 1
            now += 11
            with pytest.raises(JudgeFailed):
                await judge.ask(PROMPT, Level, purpose="l")
            assert len(stub.asked) <= asked + 2


async def test_a_slow_judge_times_out() -> None:
    started = time.monotonic()
    with run_judge(lambda _: Reply(json.dumps(GOOD), delay=2.0)) as stub:
        async with make_judge(stub.url, timeout_s=0.05, patience_s=0.2) as judge:
            with pytest.raises(JudgeFailed, match=r"no answer within 0\.05 s"):
                await judge.ask(PROMPT, Level, purpose="l")
    assert time.monotonic() - started < 5
    assert 1 <= len(stub.asked) <= 12


async def test_nobody_listens() -> None:
    async with make_judge("http://127.0.0.1:9/v1", patience_s=0.0) as judge:
        with pytest.raises(JudgeFailed, match=r"127\.0\.0\.1:9/v1 cannot be reached"):
            await judge.ask(PROMPT, Level, purpose="l")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b"<html>"), "not a chat completion"),
        (Reply(body=b"{}"), "not a chat completion"),
        (Reply(body=b'{"choices": []}'), "not a chat completion"),
        (Reply(body=b'{"choices": [{"message": null}]}'), "not a chat completion"),
        (Reply(body=b'"' + b"x" * 3_000_000 + b'"'), "larger than 2 MB"),
        (Reply(status=401, body=b'{"error": {"message": "bad key secret-key"}}'), "LOCKGATE_JUDGE_API_KEY"),
        (Reply(status=404, body=b'{"error": {"message": "no model m \x1b[31m"}}'), "404: no model m"),
        (Reply(status=302, headers={"location": "http://example.org/"}, body=b""), "302"),
    ],
)
async def test_what_is_no_completion_fails_with_the_reason(reply: Reply, reason: str) -> None:
    with run_judge(lambda _: reply) as stub:
        async with make_judge(stub.url, patience_s=0.0) as judge:
            with pytest.raises(JudgeFailed, match=reason) as failed:
                await judge.ask(PROMPT, Level, purpose="l")
    assert "secret-key" not in str(failed.value)
    assert "\x1b" not in str(failed.value)


async def test_as_many_calls_run_at_once_as_the_setting_says() -> None:
    with run_judge(lambda _: Reply(json.dumps(GOOD), delay=0.02)) as stub:
        async with make_judge(stub.url, concurrency=3) as judge:
            await asyncio.gather(*(judge.ask(PROMPT, Level, purpose="l") for _ in range(12)))
    assert stub.peak == 3


async def test_a_cached_call_is_not_made_again_and_a_damaged_one_is() -> None:
    memory = Memory()
    with run_judge(lambda _: GOOD) as stub:
        async with make_judge(stub.url, cache=memory) as judge:
            for _ in range(2):
                await judge.ask(PROMPT, Level, purpose="l")
            assert (len(stub.asked), judge.usage.cached) == (1, 1)
            memory.update(dict.fromkeys(memory, '{"reason": "r", "level": 9}'))
            assert (await judge.ask(PROMPT, Level, purpose="l")).level == 4
            assert len(stub.asked) == 2


async def test_the_same_call_made_at_once_is_made_once_where_a_cache_serves() -> None:
    with run_judge(lambda _: Reply(json.dumps(GOOD), delay=0.05)) as stub:
        async with make_judge(stub.url, cache=Memory()) as judge:
            levels = await asyncio.gather(*(judge.ask(PROMPT, Level, purpose="l") for _ in range(5)))
        assert ([level.level for level in levels], len(stub.asked)) == ([4] * 5, 1)
        assert (judge.usage.asked, judge.usage.cached) == (1, 4)
        async with make_judge(stub.url) as judge:
            await asyncio.gather(*(judge.ask(PROMPT, Level, purpose="l") for _ in range(3)))
        assert len(stub.asked) == 4


async def test_who_waits_for_the_same_call_fails_with_it_and_asks_when_it_is_cancelled() -> None:
    with run_judge(lambda _: Reply("Prose.", delay=0.02)) as stub:
        async with make_judge(stub.url, cache=Memory()) as judge:
            asking = [judge.ask(PROMPT, Level, purpose="l") for _ in range(4)]
            failed = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in failed] == [JudgeFailed] * 4
        assert len(stub.asked) == 2
    with run_judge(lambda _: Reply(json.dumps(GOOD), delay=0.1)) as stub:
        async with make_judge(stub.url, cache=Memory()) as judge:
            tasks = [asyncio.create_task(judge.ask(PROMPT, Level, purpose="l")) for _ in range(3)]
            await asyncio.sleep(0.03)
            tasks[0].cancel()
            assert [reply.level for reply in await asyncio.gather(*tasks[1:])] == [4, 4]
        assert len(stub.asked) == 2


async def test_another_model_prompt_parameter_or_shape_is_another_call() -> None:
    memory = Memory()
    with run_judge(lambda _: Reply('{"reason": "r", "level": 4}')) as stub:
        async with make_judge(stub.url, cache=memory) as judge:
            await judge.ask(PROMPT, Level, purpose="l")
            judge.model = "n"
            await judge.ask(PROMPT, Level, purpose="l")
            judge.parameters = {**judge.parameters, "temperature": 1}
            await judge.ask(PROMPT, Level, purpose="l")
            await judge.ask([*PROMPT, Message("user", "Again.")], Level, purpose="l")
            with pytest.raises(JudgeFailed):
                await judge.ask(PROMPT, Relevance, purpose="l")
    assert len(memory) == 4
    assert judge.usage.cached == 0


def test_the_identity_names_model_host_prompts_and_parameters_and_no_key(tmp_path: Path) -> None:
    settings = Settings(
        project=tmp_path,
        judge_base_url="http://127.0.0.1:1/v1/",
        judge_model="m",
        judge_api_key="secret-key",
        _env_file=None,
    )
    first = open_judge(settings).identity
    assert first.host == "127.0.0.1:1/v1"
    assert first.prompt_hashes["judge-verify"]
    assert "secret-key" not in json.dumps(first.as_json()) + repr(settings) + repr(open_judge(settings))
    library = tmp_path / "prompts" / "library"
    library.mkdir(parents=True)
    shipped = (Path(__file__).parents[2] / "prompts" / "library" / "judge-verify.md").read_text()
    (library / "judge-verify.md").write_text(shipped.replace("You check claims", "You wave claims through"))
    edited = open_judge(settings).identity
    assert edited.id != first.id
    assert edited.narrowed(("judge-verify",)).id != first.narrowed(("judge-verify",)).id
    assert edited.narrowed(("judge-passage",)).id == first.narrowed(("judge-passage",)).id
    assert open_judge(settings, model="n").identity.id != edited.id


@pytest.mark.parametrize(("url", "missing"), [("", "BASE_URL"), ("http://h/v1", "MODEL")])
def test_without_a_judge_the_error_names_the_setting(url: str, missing: str) -> None:
    with pytest.raises(UserError, match=f"LOCKGATE_JUDGE_{missing}"):
        open_judge(Settings(_env_file=None, judge_base_url=url))


@pytest.mark.parametrize("url", ["http://user:hunter2@host/v1", "ftp://host", "http://["])
def test_an_address_with_a_password_is_refused_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCKGATE_JUDGE_BASE_URL", url)
    with pytest.raises(UserError, match="LOCKGATE_JUDGE_BASE_URL") as refused:
        load_settings(project=tmp_path)
    assert "hunter2" not in str(refused.value)


def test_the_judge_s_prompts_have_no_problem(tmp_path: Path) -> None:
    names = [name for name in prompt_files(tmp_path) if name.startswith("judge-")]
    findings = lint_project(Settings(project=tmp_path, _env_file=None), names)
    assert findings.prompts == 6
    assert findings.problems == []


@pytest.mark.parametrize("shape", [Level, Relevance, verdicts_on(3)])
def test_a_shape_allows_nothing_that_it_does_not_name(shape: type[BaseModel]) -> None:
    def check(part: Any) -> None:
        for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            check(each)
        if isinstance(part, dict) and "properties" in part:
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])

    check(closed_shape(shape.model_json_schema()))


def test_a_property_called_default_or_properties_stays() -> None:
    shape = {"type": "object", "properties": {"default": {"type": "string", "default": "x"}, "properties": {}}}
    assert closed_shape(shape)["properties"] == {"default": {"type": "string"}, "properties": {}}


def test_a_host_has_no_password_or_query() -> None:
    assert host_of("https://u:p@Example.org:8443/v1/?k=v#f") == "example.org:8443/v1"
