from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chains.assembly import SharedModels, assemble_chain
from chains.release import build_manifest, build_release, keep_release, verify_release
from lockgate.errors import Corrupt, LockgateError, NotFound, UserError
from lockgate.release import Manifest
from lockgate.store.objects import ObjectStore
from lockgate.store.releases import open_releases
from tests.chains.fakes import ask
from tests.chains.projects import ANN, PAGES, Project, open_project
from tests.ingestion.fakes import WordEmbedder, handle

QUESTION = "How do I rotate a signing key?"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with open_project(tmp_path / "project") as opened:
        yield opened


def manifest_of(project: Project, chain: str = "docs") -> Manifest:
    return build_manifest(project.settings, project.db, project.service.embedder, chain)


def chain_file(project: Project, text: str, name: str = "docs") -> None:
    folder = project.folder / "chains" / "definitions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def prompt_file(project: Project, text: str) -> Path:
    folder = project.folder / "prompts" / "library"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answer.md").write_text(text)
    return folder / "answer.md"


PROMPT = """---
name: answer
description: Answers.
owner: me
variables: {question: str, passages: list}
---

# user

{{ question }} {{ passages | length }}
"""

BUILD = """
import sys
from pathlib import Path
from tests.chains.projects import open_project
with open_project(Path(sys.argv[1]), {name: text for name, text in eval(sys.argv[2])}) as project:
    print(project.build())
"""


def build_elsewhere(folder: Path, pages: list[tuple[str, str]], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder), repr(pages)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_same_inputs_give_the_same_id_on_another_machine(tmp_path: Path) -> None:
    pages = list(PAGES.items())
    here = build_elsewhere(tmp_path / "a", pages, TZ="Pacific/Auckland", LC_ALL="C", PYTHONHASHSEED="1")
    there = build_elsewhere(tmp_path / "b", pages[::-1], TZ="America/Lima", LC_ALL="C.UTF-8", PYTHONHASHSEED="2")
    assert len(here) == 64
    assert here == there


def test_a_changed_page_prompt_policy_or_setting_gives_another_id(project: Project) -> None:
    ids = [project.build()]
    prompt_file(project, PROMPT)
    ids.append(project.build())
    prompt_file(project, PROMPT.replace("Answers.", "Answers!"))
    ids.append(project.build())
    chain_file(project, "name: docs\npassages: 7\n")
    ids.append(project.build())
    policies = project.folder / "guardrails" / "policies"
    policies.mkdir(parents=True)
    (policies / "default.yaml").write_text("name: default\ndescription: none\nowner: me\n")
    ids.append(project.build())
    project.sync({"keys.md": "# Keys\n\nRotate keys weekly.\n"})
    ids.append(project.build())
    assert len(set(ids)) == len(ids)


def test_building_again_gives_the_release_that_is_there_with_its_first_provenance(project: Project) -> None:
    first = project.build()
    store = open_releases(project.settings, project.db)
    before = store.find(first)
    assert project.build() == first
    assert store.find(first) == before
    assert len(store.list()) == 1
    assert before.provenance["body"]["builder"] == "ann"


def test_line_ends_do_not_change_a_release(project: Project) -> None:
    path = prompt_file(project, PROMPT)
    first = project.build()
    path.write_bytes(PROMPT.replace("\n", "\r\n").encode())
    assert project.build() == first


def test_auto_mode_is_decided_when_the_release_is_built(project: Project) -> None:
    chain_file(project, "name: docs\nmode: auto\n")
    assert manifest_of(project).route.mode == "extractive"
    chain_file(project, "name: docs\nmode: generative\n")
    assert manifest_of(project).route.mode == "generative"


def test_a_chain_is_made_of_the_manifest_and_nothing_else(project: Project) -> None:
    prompt_file(project, PROMPT)
    chain_file(project, "name: docs\nabstention: As it was.\nmode: extractive\n")
    store = open_releases(project.settings, project.db)
    release = project.build()
    chain_file(project, "name: docs\nabstention: As it is now.\nmode: nonsense\n")
    prompt_file(project, "broken")
    (project.folder / "models.yaml").write_text("broken: [")
    project.sync({"keys.md": "# Keys\n\nNothing any more.\n"})
    chain = assemble_chain(store.manifest(release), project.db, project.service, SharedModels(project.settings))
    answer = ask(chain, QUESTION)[1].answer
    assert "ninety days" in answer.text
    assert answer.release == release
    assert answer.snapshot == store.manifest(release).snapshot.id
    assert ask(chain, "Quantum gravity?")[1].answer.text == "As it was."


def test_what_a_release_pins_is_there(project: Project) -> None:
    assert verify_release(project.settings, project.db, project.build(), deep=True) == []


def test_a_model_that_was_changed_is_found_by_a_deep_look(project: Project) -> None:
    release = project.build()
    for path in project.settings.models_path.glob("words-*/model"):
        path.write_bytes(b"other")
    assert verify_release(project.settings, project.db, release) == []
    assert any("words" in problem for problem in verify_release(project.settings, project.db, release, deep=True))


def test_a_model_that_is_gone_is_named_with_the_command(project: Project) -> None:
    release = project.build()
    for path in project.settings.models_path.glob("words-*/lockgate.json"):
        path.unlink()
    (problem,) = verify_release(project.settings, project.db, release)
    assert "lockgate models pull words" in problem


def test_a_manifest_that_was_touched_is_refused(project: Project) -> None:
    release = project.build()
    path = project.settings.state_dir / "objects" / release[:2] / release[2:]
    path.write_bytes(path.read_bytes().replace(b'"passages":8', b'"passages":9'))
    (problem,) = verify_release(project.settings, project.db, release)
    assert "hash" in problem
    with pytest.raises(Corrupt):
        open_releases(project.settings, project.db).manifest(release)


def test_a_snapshot_that_is_gone_is_told(project: Project, tmp_path: Path) -> None:
    release = project.build()
    manifest = open_releases(project.settings, project.db).manifest(release)
    with open_project(tmp_path / "other", {"else.md": "# Else\n\nOther pages.\n"}) as other:
        keep_release(other.settings, other.db, manifest, ANN)
        problems = verify_release(other.settings, other.db, release)
        assert any("import the release with its index" in problem for problem in problems)
        with pytest.raises(NotFound, match="no snapshot"):
            assemble_chain(manifest, other.db, other.service, SharedModels(other.settings))


def test_texts_that_do_not_have_their_pinned_hash_are_refused(project: Project) -> None:
    manifest = manifest_of(project)
    pinned = manifest.prompts["answer"]
    forged = pinned.model_copy(update={"hash": "0" * 64})
    other = manifest.model_copy(update={"prompts": {**manifest.prompts, "answer": forged}})
    keep_release(project.settings, project.db, other, ANN)
    assert any("another hash" in problem for problem in verify_release(project.settings, project.db, other.id))
    with pytest.raises(Corrupt, match="pinned hash"):
        assemble_chain(other, project.db, project.service, SharedModels(project.settings))


def test_nothing_indexed_and_an_unknown_snapshot_say_what_to_run(tmp_path: Path) -> None:
    with open_project(tmp_path) as project:
        embedder = project.service.embedder
        with pytest.raises(NotFound, match="lockgate ingestion snapshots"):
            build_release(project.settings, project.db, embedder, "docs", actor=ANN, snapshot="abcdef")
        with pytest.raises(NotFound, match="no chain"):
            build_release(project.settings, project.db, embedder, "nope", actor=ANN)
    empty = project.settings.model_copy(update={"state": tmp_path / "empty"})
    from lockgate.store.database import open_database

    with open_database(f"sqlite:///{tmp_path / 'empty.db'}") as db, pytest.raises(NotFound, match="ingestion sync"):
        build_release(empty, db, embedder, "docs", actor=ANN)


def test_a_snapshot_of_another_embedder_cannot_be_pinned(project: Project) -> None:
    other = WordEmbedder()
    other.digest = "b" * 64
    with pytest.raises(UserError, match="another embedding model"):
        build_release(project.settings, project.db, handle(other), "docs", actor=ANN)


def test_a_chain_cannot_have_the_name_of_a_channel(project: Project) -> None:
    chain_file(project, "name: staging\n", name="staging")
    with pytest.raises(UserError, match="name of a channel"):
        project.build("staging")


def test_a_chain_that_this_version_does_not_understand_is_refused(project: Project) -> None:
    manifest = manifest_of(project)
    newer = manifest.model_copy(update={"chain": {**manifest.chain, "teleport": True}})
    with pytest.raises(Corrupt, match="teleport"):
        assemble_chain(newer, project.db, project.service, SharedModels(project.settings))


def test_a_broken_prompt_file_names_file_and_line(project: Project) -> None:
    path = prompt_file(project, PROMPT.replace("{{ question }}", "{{ qestion }}"))
    with pytest.raises(LockgateError, match=f"{path}:10"):
        project.build()


def test_the_lexicon_of_the_first_version_does_not_change_the_id(project: Project) -> None:
    """It was stored with the time of day in its bytes."""
    import io

    import numpy as np
    from sqlalchemy import update

    from ingestion.terms import Lexicon
    from lockgate.store.tables import Snapshot

    release = project.build()
    objects = ObjectStore(project.settings.state_dir / "objects")
    current = project.service.current()
    lexicon = Lexicon.from_bytes(objects.get(current.record.lexicon))
    old = io.BytesIO()
    np.savez_compressed(old, chunks=np.int64(lexicon.chunks), ids=lexicon.ids, counts=lexicon.counts)
    with project.db.session() as session:
        session.execute(update(Snapshot).values(lexicon=objects.put(old.getvalue())))
    assert project.build() == release
