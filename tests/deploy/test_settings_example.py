"""The example settings, through the service's own class."""

from pathlib import Path

import pytest
import yaml

from scatonline.model import Model
from service import settings


@pytest.fixture(scope="module")
def example(deploy: Path) -> settings.Settings:
    return settings.load(deploy / "settings.example.yaml")


def test_the_example_shows_the_defaults(example: settings.Settings) -> None:
    bare = settings.Settings(models=example.models)
    assert example == bare


def test_the_example_shows_every_key_of_the_service(
    example: settings.Settings, deploy: Path
) -> None:
    shown = yaml.safe_load((deploy / "settings.example.yaml").read_text(encoding="utf-8"))
    known = example.model_dump(mode="json")
    assert set(shown) == set(known)
    for name in set(known) - {"models"}:
        if isinstance(known[name], dict):
            assert set(shown[name]) == set(known[name]), name


def test_the_models_of_the_example_can_be_made(example: settings.Settings) -> None:
    for spec in example.models:
        assert Model(spec).event == 0
