"""A runner of composite actions, as far as action.yml needs one: steps in order, ``if``, expressions, files.

The steps that use other people's actions are stood in for: a cache in a folder, an artifact as a copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def load_action() -> dict[str, Any]:
    return dict(yaml.safe_load(ACTION.read_text()))


@dataclass
class Outcome:
    """``code`` is that of the first step that failed, 0 when none did."""

    code: int
    outputs: dict[str, str]
    log: str
    ran: list[str]


@dataclass
class Runner:
    """One job on a repository. ``path`` comes first on PATH; ``variables`` are the runner's own."""

    repository: Path
    home: Path
    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def caches(self) -> Path:
        return self.home / "caches"

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def summary(self) -> str:
        file = self.home / "summary"
        return file.read_text() if file.exists() else ""

    def run(self, event: Mapping[str, Any], **inputs: str) -> Outcome:
        """Run every step. Inputs that are not given have the action's defaults; _ stands for - in their names."""
        action = load_action()
        temp = self.home / "temp"
        shutil.rmtree(temp, ignore_errors=True)
        temp.mkdir(parents=True)
        (self.home / "event.json").write_text(json.dumps(event))
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert not given.keys() - action["inputs"].keys()
        values = {f"inputs.{name}": str(each.get("default", "")) for name, each in action["inputs"].items()}
        values |= {f"inputs.{name}": value for name, value in given.items()}
        values |= {"github.token": "", "runner.temp": str(temp)}
        code, ran, log = 0, [], []
        for number, step in enumerate(action["runs"]["steps"]):
            name = step.get("id") or step.get("uses", "").partition("@")[0] or str(number)
            if not self._is_due(step.get("if"), values, failed=code != 0):
                continue
            ran.append(name)
            if "uses" in step:
                self._use(step["uses"], {key: self._fill(text, values) for key, text in step["with"].items()})
                continue
            done, outputs = self._shell(step, values, temp)
            log.append(done.stdout + done.stderr)
            values |= {f"steps.{name}.outputs.{key}": value for key, value in outputs.items()}
            code = code or done.returncode
        outputs = {name: self._fill(each["value"], values) for name, each in action["outputs"].items()}
        return Outcome(code, outputs, "".join(log), ran)

    def _shell(
        self, step: Mapping[str, Any], values: Mapping[str, str], temp: Path
    ) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
        assert step["shell"] == "bash"
        script, results = temp / "step.sh", temp / "output"
        script.write_text(self._fill(step["run"], values))
        results.write_text("")
        environment = {
            "PATH": f"{self.path}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(self.repository),
            "GITHUB_EVENT_PATH": str(self.home / "event.json"),
            "GITHUB_OUTPUT": str(results),
            "GITHUB_PATH": str(temp / "path"),
            "GITHUB_STEP_SUMMARY": str(self.home / "summary"),
            "GITHUB_REPOSITORY": "team/docs",
            "RUNNER_TEMP": str(temp),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **self.variables,
            **{key: self._fill(text, values) for key, text in step.get("env", {}).items()},
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = subprocess.run(
            command, cwd=self.repository, env=environment, capture_output=True, text=True, check=False
        )
        pairs = (line.partition("=") for line in results.read_text().splitlines())
        return done, {name: value for name, _, value in pairs}

    def _use(self, action: str, given: Mapping[str, str]) -> None:
        name = action.partition("@")[0]
        if name == "actions/cache/restore":
            kept = self.caches / given["key"]
            if kept.is_dir():
                shutil.copytree(kept, given["path"], dirs_exist_ok=True)
        elif name == "actions/cache/save":
            if not (self.caches / given["key"]).exists():  # a cache is never written twice
                shutil.copytree(given["path"], self.caches / given["key"])
        elif name == "actions/upload-artifact":
            shutil.rmtree(self.artifacts, ignore_errors=True)
            if Path(given["path"]).is_dir():
                shutil.copytree(given["path"], self.artifacts)
        else:
            assert name == "actions/setup-python", name

    def _fill(self, text: object, values: Mapping[str, str]) -> str:
        return _EXPRESSION.sub(lambda found: values.get(found[1], ""), str(text))

    def _is_due(self, condition: str | None, values: Mapping[str, str], *, failed: bool) -> bool:
        if condition == "always()":
            return True
        if failed:
            return False
        return all(self._holds(part, values) for part in (condition or "").split("&&") if part.strip())

    def _holds(self, part: str, values: Mapping[str, str]) -> bool:
        found = re.fullmatch(r"\s*([\w.-]+)\s*(==|!=)\s*'([^']*)'\s*", part)
        assert found, f"the runner does not know the condition {part!r}"
        return (values.get(found[1], "") == found[3]) == (found[2] == "==")


def write_command(path: Path, body: str, flags: str = "") -> None:
    """A command named lockgate in the folder ``path``, in Python."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / "lockgate"
    file.write_text(f"#!{sys.executable} {flags}\n{body}")
    file.chmod(0o755)
    # The runner's own Python, without the start of a version manager, and without any package.
    python = path / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "$@"\n')
    python.chmod(0o755)
