from __future__ import annotations

import pytest

from lockgate.errors import UserError
from prompts.sections import Section, split_sections


def test_splits_a_body_at_role_headings() -> None:
    body = "\n# system\n\nBe brief.\n## A smaller heading\n\n# user\nHello\n# assistant \nHi\n# user\n\n\nBye\n\n"
    assert split_sections(body, where="p.md", first_line=5) == (
        Section("system", "Be brief.\n## A smaller heading", 8),
        Section("user", "Hello", 12),
        Section("assistant", "Hi", 14),
        Section("user", "Bye", 18),
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "p.md:5: a line '# system' or '# user' was expected"),
        ("\nHello\n# user\nHi", "p.md:6: a line '# system' or '# user' was expected"),
        ("# System\nHi", "p.md:5: a line '# system' or '# user' was expected"),
        (" # user\nHi", "p.md:5: a line '# system' or '# user' was expected"),
        ("# user\n\n# assistant\nHi", "p.md:5: the section '# user' has no text"),
        ("# user\nHi\n# assistant\n \n", "p.md:7: the section '# assistant' has no text"),
        ("# user\nHi\n# system\nBe brief.", "p.md:7: '# system' can only be the first section"),
        ("# system\nA\n# system\nB", "p.md:7: '# system' can only be the first section"),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_its_line(body: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        split_sections(body, where="p.md", first_line=5)
