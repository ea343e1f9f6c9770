"""The examples of docs/client.md run as they stand, one after the other."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.service.running import local_service, settings_values

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_examples_run_against_the_example_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = yaml.safe_load((ROOT / "deploy" / "settings.example.yaml").read_text())
    names: dict[str, Any] = {}
    with local_service(settings_values(tmp_path, *settings["models"])) as (service, _):
        for example in EXAMPLES:
            exec(example.replace("localhost:50051", service.address), names)  # noqa: S102 (ours)
    assert len(EXAMPLES) == 9
    assert len(names["losses"]) == 38
    assert all(loss is not None for loss in names["losses"])
    assert (tmp_path / "frames.scat").stat().st_size > 0
