"""Seven flat packages and a kernel: other distributions install packages of the same names, so origin is asserted."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("lockgate", "ingestion", "prompts", "guardrails", "chains", "evals", "finetune", "serving")


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_is_this_project_s_own(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ == str(ROOT / name / "__init__.py")


@pytest.mark.parametrize("name", PACKAGES)
def test_an_init_holds_a_docstring_only(name: str) -> None:
    for path in (ROOT / name).rglob("__init__.py"):
        code = re.sub(r'^""".*?"""\s*', "", path.read_text(), flags=re.DOTALL)
        assert code.strip() == "", path


def test_no_module_is_called_utils_helpers_common_or_manager() -> None:
    bad = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc)(_|$)")
    found = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if bad.search(path.stem)]
    assert found == []


def test_the_project_cannot_be_uploaded_by_mistake() -> None:
    assert '"Private :: Do Not Upload"' in (ROOT / "pyproject.toml").read_text()


def test_torch_is_the_build_without_cuda_where_there_is_no_gpu() -> None:
    import shutil

    import torch

    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has an NVIDIA GPU: the CUDA build is the right one")
    assert torch.version.cuda is None


def test_no_machine_path_or_secret_is_committed() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    assert files
    bad = re.compile(rb"/(?:work|root|home)/[a-z]+/|BEGIN (?:RSA |EC )?PRIVATE KEY")
    found = [
        name
        for name in files
        if name and (ROOT / name.decode()).is_file() and bad.search((ROOT / name.decode()).read_bytes())
    ]
    assert found == []


def test_imports_go_down_only() -> None:
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
