from __future__ import annotations

import pytest

from lockgate.content import ContentModel, parse_yaml
from lockgate.errors import UserError


class Named(ContentModel):
    name: str


@pytest.mark.parametrize(
    "value", ["1" * 5000, ":".join(["59"] * 3000), "0x" + "f" * 6000, ".nan", "2020-13-45", "!!binary x"]
)
def test_values_that_python_cannot_show_are_refused_clearly(value: str) -> None:
    with pytest.raises(UserError, match=r"^own\.yaml"):
        parse_yaml(f"name: {value}", Named, where="own.yaml")
