from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from evals.suite import load_suite
from evals.synth import accepting
from evals.synth.accepting import Accepted, CurrentPages, Wording, accept, reject
from evals.synth.proposal import FILE, Proposal, add_proposals, read_proposals
from evals.synth.suite_lock import suite_lock
from lockgate.actor import Actor
from lockgate.errors import Conflict, NotFound, UserError
from tests.evals.synth.pages import proposal

ANN = Actor("ann")
SUITE = """\
# Ours.
name: tiny
version: 7   # raise me
corpus: docs

metrics: [recall@1, token_f1]   # two
"""
CASES = (
    '{"id": "port",  "question": "Which port is it?", "reference": "8000", "pages": ["keys.md"], '
    '"answerable": true, "split": "dev"}\n\n'
)
GATE = proposal(id="0123456789cd", question="What is a gate?", reference="A gate is a file.")
NEAR = proposal(id="0123456789ef", answerable=False, question="How do I rename a gate?", page="keys.md")
PAGES = CurrentPages("s" * 64, {"keys.md": ("v1", frozenset({"c1", "c2"}))})


class Bench:
    """A project with one suite and some proposals."""

    def __init__(self, project: Path, proposals: tuple[Proposal, ...]) -> None:
        self.project = project
        self.folder = project / "evals" / "suites" / "tiny"
        self.folder.mkdir(parents=True)
        (project / "docs").mkdir()
        (project / "docs" / "keys.md").write_text("# Keys\n")
        (self.folder / "suite.yaml").write_text(SUITE)
        (self.folder / "cases.jsonl").write_text(CASES)
        add_proposals(self.folder, proposals)

    def accept(self, *names: str, **options: Any) -> Accepted:
        return accept(self.project, "tiny", names, options.pop("pages", PAGES), ANN, **options)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, (proposal(), GATE, NEAR))


def test_an_accepted_proposal_is_a_case_with_its_own_provenance(bench: Bench) -> None:
    done = bench.accept("0123456789ab", "0123456789ef")
    assert done == Accepted(("signing-key", "rename-gate"), 8, 2)
    suite = load_suite(bench.project, "tiny")
    _, key, near = suite.cases
    assert (key.question, key.reference, key.pages) == (
        "What is a signing key?",
        "A signing key is a secret.",
        ("keys.md",),
    )
    assert (key.tags, near.tags) == (("synth", "definition"), ("synth", "near", "no-such-fact"))
    assert (near.answerable, near.reference, near.pages) == (False, "", ())
    assert key.provenance is not None
    said = key.provenance.model_dump(mode="json", exclude={"accepted_at"})
    assert said == {
        "source": "synth",
        "proposal": "0123456789ab",
        "maker": "rules-1",
        "snapshot": "s" * 64,
        "chunks": ["c1"],
        "accepted_by": "ann",
        "edited": False,
    }


def test_every_other_byte_of_the_suite_stays(bench: Bench) -> None:
    bench.accept("0123456789ab")
    assert (bench.folder / "suite.yaml").read_text() == SUITE.replace("version: 7 ", "version: 8 ")
    cases = (bench.folder / "cases.jsonl").read_text()
    assert cases.startswith(CASES)
    assert cases.count("\n") == CASES.count("\n") + 1
    before, after = proposal(), read_proposals(bench.folder)
    assert after[1:] == [GATE, NEAR]
    assert (after[0].state, after[0].passage, after[0].question) == ("accepted", "", before.question)
    decision = after[0].decision
    assert decision is not None and (decision.by, decision.verified, decision.case) == ("ann", False, "signing-key")


@pytest.mark.parametrize(
    ("suite", "cases"),
    [
        (SUITE.replace("\n", "\r\n"), CASES.replace("\n", "\r\n")),
        (SUITE, CASES.rstrip("\n")),
        (SUITE, ""),
        (SUITE, None),
        ('{"name": "tiny", "version": 7, "corpus": "docs", "metrics": ["token_f1"]}', CASES),
        (SUITE.replace("version: 7", "'version':   7"), CASES),
        ("\ufeff" + SUITE, "\ufeff" + CASES),
    ],
)
def test_files_in_any_form_are_added_to_in_that_form(tmp_path: Path, suite: str, cases: str | None) -> None:
    bench = Bench(tmp_path, (proposal(),))
    (bench.folder / "suite.yaml").write_bytes(suite.encode())
    if cases is None:
        (bench.folder / "cases.jsonl").unlink()
    else:
        (bench.folder / "cases.jsonl").write_bytes(cases.encode())
    bench.accept("0123456789ab")
    assert (bench.folder / "suite.yaml").read_bytes() == suite.replace("7", "8", 1).encode()
    written = (bench.folder / "cases.jsonl").read_bytes().decode()
    assert written.startswith(cases or "")
    assert written.endswith("}\r\n" if "\r\n" in (cases or "") else "}\n")
    loaded = load_suite(bench.project, "tiny")
    assert (loaded.definition.version, loaded.cases[-1].id) == (8, "signing-key")


@pytest.mark.parametrize("version", ["0x7", "7_0", "!!int '7'"])
def test_a_version_that_is_not_written_as_a_number_is_left_alone_and_nothing_is_accepted(
    bench: Bench, version: str
) -> None:
    (bench.folder / "suite.yaml").write_text(SUITE.replace("7", version))
    before = bench.files()
    with pytest.raises(UserError, match=r"suite\.yaml:3: the version cannot be raised here"):
        bench.accept("0123456789ab")
    assert bench.files() == before


def test_a_comment_with_another_version_is_not_the_version(bench: Bench) -> None:
    (bench.folder / "suite.yaml").write_text("# version: 3\n" + SUITE)
    assert bench.accept("0123456789ab").version == 8
    assert (bench.folder / "suite.yaml").read_text().startswith("# version: 3\n# Ours.\nname: tiny\nversion: 8 ")


@pytest.mark.parametrize(
    ("pages", "names", "problem"),
    [
        (CurrentPages("s", {}), ["0123456789ab"], r"0123456789ab: the page keys\.md is gone"),
        (CurrentPages("s", {"keys.md": ("v2", frozenset({"c1"}))}), ["0123456789ab"], "has changed"),
        (CurrentPages("s", {"keys.md": ("v1", frozenset({"c2"}))}), ["0123456789ab"], "has changed"),
        (CurrentPages("t" * 64, PAGES.pages), ["0123456789ef"], "the documents have changed since"),
        (CurrentPages("s", {}), ["0123456789ab", "0123456789cd"], "0123456789cd: the page"),
    ],
)
def test_what_the_documents_no_longer_say_is_refused_whole(
    bench: Bench, pages: CurrentPages, names: list[str], problem: str
) -> None:
    before = bench.files()
    with pytest.raises(Conflict, match=problem):
        bench.accept(*names, pages=pages)
    assert bench.files() == before


def test_a_page_that_did_not_change_is_good_whatever_else_did(bench: Bench) -> None:
    pages = CurrentPages("t" * 64, {**PAGES.pages, "new.md": ("v1", frozenset())})
    assert bench.accept("0123456789ab", pages=pages).cases == ("signing-key",)


def test_a_page_that_the_suites_corpus_does_not_have_is_refused(bench: Bench) -> None:
    (bench.project / "docs" / "keys.md").rename(bench.project / "docs" / "other.md")
    (bench.folder / "cases.jsonl").write_text("")
    with pytest.raises(Conflict, match=r"the page keys\.md is not in"):
        bench.accept("0123456789ab")


def test_a_question_that_is_there_already_is_refused(tmp_path: Path) -> None:
    again = proposal(id="0000000000aa", question="which PORT, is it?")
    twin = proposal(id="0000000000bb", question="What are the signing keys?")
    bench = Bench(tmp_path, (proposal(), again, twin))
    before = bench.files()
    with pytest.raises(Conflict, match="0000000000aa: the case port asks the same"):
        bench.accept("0000000000aa")
    with pytest.raises(Conflict, match="0000000000bb: the proposal 0123456789ab, accepted with it, asks the same"):
        bench.accept("0123456789ab", "0000000000bb")
    assert bench.files() == before
    with pytest.raises(Conflict, match="the case port asks the same"):
        bench.accept("0123456789ab", wording=Wording("Which port is it?"))


def test_a_decision_is_made_once(bench: Bench) -> None:
    bench.accept("0123456789ab")
    assert reject(bench.project, "tiny", ["0123456789cd"], ANN, "dull") == ["0123456789cd"]
    before = bench.files()
    for name, text in (("0123456789ab", "accepted already, by ann"), ("0123456789cd", "rejected already, by ann")):
        with pytest.raises(Conflict, match=text):
            bench.accept(name)
        with pytest.raises(Conflict, match=text):
            reject(bench.project, "tiny", ["0123456789ef", name], ANN)
    with pytest.raises(NotFound):
        bench.accept("ffff")
    assert bench.files() == before


def test_an_id_that_is_named_twice_is_one_case(bench: Bench) -> None:
    assert bench.accept("0123456789ab", "0123456789ab").cases == ("signing-key",)


def test_ones_own_words_are_kept_and_said_to_be_that(bench: Bench) -> None:
    bench.accept("0123456789ab", wording=Wording("What are\x1b[31m keys\nfor?", "To sign."))
    case = load_suite(bench.project, "tiny").cases[-1]
    assert (case.question, case.reference) == ("What are[31m keys for?", "To sign.")
    assert case.provenance is not None and case.provenance.edited
    bench.accept("0123456789ef", wording=Wording("", "A reference that nobody asked for"))
    assert load_suite(bench.project, "tiny").cases[-1].reference == ""


def test_cases_go_to_the_half_that_has_fewer_of_their_kind(bench: Bench) -> None:
    bench.accept("0123456789ab", "0123456789cd", "0123456789ef")
    assert [case.split for case in load_suite(bench.project, "tiny").cases] == ["dev", "test", "dev", "dev"]


def test_the_half_can_be_named(bench: Bench) -> None:
    bench.accept("0123456789cd", split="dev")
    assert load_suite(bench.project, "tiny").cases[-1].split == "dev"


def test_ids_stay_unique(tmp_path: Path) -> None:
    bench = Bench(tmp_path, (proposal(question="Port?? Port!"), proposal(id="0000000000aa", question="Is it?")))
    assert bench.accept("0123456789ab", "0000000000aa", wording=None).cases == ("port-port", "is-it")
    other = proposal(id="0000000000bb", question="How do I get to a port port of the sea?")
    add_proposals(bench.folder, [other, proposal(id="0000000000cc", question="\u6771\u4eac \u306f \u4f55?")])
    assert bench.accept("0000000000cc").cases == ("case",)


def test_one_who_accepts_one_after_another_raises_the_version_once(bench: Bench) -> None:
    bench.accept("0123456789ab")
    assert bench.accept("0123456789cd", raise_version=False).version == 8


def test_a_process_that_ends_midway_leaves_a_suite_that_is_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    before = bench.files()
    with monkeypatch.context() as patched:
        patched.setattr(accepting, "_append", die)
        with pytest.raises(KeyboardInterrupt):
            bench.accept("0123456789ab")
    assert load_suite(bench.project, "tiny").definition.version == 8
    assert bench.files()[FILE] == before[FILE]
    with monkeypatch.context() as patched:
        patched.setattr(accepting, "change_proposals", die)
        with pytest.raises(KeyboardInterrupt):
            bench.accept("0123456789ab")
    cases = (bench.folder / "cases.jsonl").read_bytes()
    done = bench.accept("0123456789ab")
    assert (done.cases, done.version) == (("signing-key",), 9)
    assert (bench.folder / "cases.jsonl").read_bytes() == cases
    assert read_proposals(bench.folder)[0].state == "accepted"


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    letters = [f"{letter * 2}zine" for letter in "bcdfghkm"]
    many = tuple(proposal(id=f"{n:012x}", question=f"What is a {word} lamp?") for n, word in enumerate(letters))
    bench = Bench(tmp_path, many)
    threads = [threading.Thread(target=bench.accept, args=(each.id,)) for each in many]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    suite = load_suite(bench.project, "tiny")
    assert (len(suite.cases), suite.definition.version) == (9, 15)
    assert {each.state for each in read_proposals(bench.folder)} == {"accepted"}


def test_a_suite_that_somebody_else_is_changing_is_waited_for_and_then_left(tmp_path: Path) -> None:
    with (
        suite_lock(tmp_path),
        pytest.raises(Conflict, match="another process is changing this suite"),
        suite_lock(tmp_path, wait=0.05),
    ):
        pass
    with suite_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_suite_reads_its_proposals_as_cases(bench: Bench) -> None:
    assert [case.id for case in load_suite(bench.project, "tiny").cases] == ["port"]
    (bench.folder / "suite.yaml").write_text(SUITE + "cases: proposals.jsonl\n")
    with pytest.raises(UserError, match=r"proposals\.jsonl:1: "):
        load_suite(bench.project, "tiny")


def test_files_keep_their_rights(bench: Bench) -> None:
    (bench.folder / "cases.jsonl").chmod(0o640)
    bench.accept("0123456789ab")
    assert (bench.folder / "cases.jsonl").stat().st_mode & 0o777 == 0o640


def test_a_proposal_that_somebody_edited_into_no_case_is_refused(bench: Bench) -> None:
    lines = [json.loads(line) for line in (bench.folder / FILE).read_text().splitlines()]
    lines[0]["page"] = "../../../etc/passwd"
    (bench.folder / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    pages = CurrentPages("s", {"../../../etc/passwd": ("v1", frozenset({"c1"}))})
    before = bench.files()
    with pytest.raises(Conflict, match="is not in"):
        bench.accept("0123456789ab", pages=pages)
    assert bench.files() == before
