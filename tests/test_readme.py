"""README's examples run as they stand."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.service.running import local_service, settings_values

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_client_example_runs_against_the_example_settings(tmp_path: Path) -> None:
    (example,) = [text for text in EXAMPLES if "service.client" in text]
    settings = yaml.safe_load((ROOT / "deploy" / "settings.example.yaml").read_text())
    names: dict[str, Any] = {}
    with local_service(settings_values(tmp_path, *settings["models"])) as (service, _):
        exec(example.replace("localhost:50051", service.address), names)  # noqa: S102 (our own README)
    assert names["rates"].shape == (3,)
    assert len(names["filters"].filters) > 0


def test_the_library_examples_run_one_after_the_other() -> None:
    examples = [text for text in EXAMPLES if "from scatonline import" in text]
    assert len(examples) == 3
    names: dict[str, Any] = {}
    for example in examples:
        exec(example, names)  # noqa: S102 (our own README)
    assert names["choice"].spec.bank.family in names["choice"].reason
    assert names["outcome"].prediction.values.shape == (2,)
    assert list(names["model"].sessions) == ["day 1", "day 2"]
