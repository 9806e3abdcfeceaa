"""The parts of an adoption that need no registry: names, rules, places of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from django.conf import LazySettings

from access.models import User
from core.errors import InvalidParameter, PermissionDenied
from registry.adoption import rows
from registry.adoption.files import Place, Unreachable, find, list_files
from registry.adoption.mapping import read_mapping, suggest
from registry.adoption.origins import Origin, OriginModel, without_credentials
from registry.adoption.plan import Action, PlannedModel
from registry.models import RegisteredModel, Schema

RULES = """\
- from: churn
  to: prod.sales.leavers
- from: "fraud-*"
  to: prod.fraud.*
- from: "b?"
  to: dev.b
- from: "*"
  to: dev.rest
"""


@dataclass(frozen=True)
class Somewhere:
    """An origin that only says where its files are."""

    artifacts: str = ""
    is_server: bool = False
    address: str = "http://old"


def find_in(uri: str, artifacts: str = "", *, is_server: bool = False) -> Place:
    return find(uri, cast("Origin", Somewhere(artifacts, is_server)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("churn", "prod.sales.leavers"),
        ("fraud-cards", "prod.fraud.cards"),
        ("b1", "dev.b.b1"),
        ("churn.eu", "dev.rest.churn.eu"),
    ],
)
def test_first_rule_that_matches_decides(old: str, new: str) -> None:
    assert read_mapping(RULES, "prod.x").target_of(old) == new


def test_what_no_rule_names_goes_into_the_default() -> None:
    assert read_mapping("", "prod.x").target_of("churn") == "prod.x.churn"


def test_three_levels_that_are_here_already_stay() -> None:
    mapping = read_mapping("", "prod.x")
    assert mapping.target_of("a.b.c", in_place=True) == "a.b.c"
    assert mapping.target_of("a.b.c") == "prod.x.a.b.c"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from: churn", "must be a list"),
        ("- to: a.b.c", "rule 1 of the mapping must have 'from'"),
        ("- {from: a, into: b.c}", "unknown keys into"),
        ("- {from: a, to: onlyone}", "'to' of rule 1"),
        ("- {from: 'a*b*', to: c.d.*}", "the one '\\*' in 'from'"),
        ("- {from: a, owner: [b]}", "'owner' must be text"),
        ("- {from: a, aliases: [b]}", "'aliases' must map"),
        ("- [", "not valid YAML"),
    ],
)
def test_mapping_says_which_rule_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        read_mapping(text, "prod.x")


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("Fraud model (v2)", "Fraud_model_v2"),
        ("größter", "gr_ter"),
        ("--x", "x"),
        ("漢字", "model"),
        ("a" * 120, "a" * 100),
    ],
)
def test_suggestions_are_valid(name: str, valid: str) -> None:
    assert suggest(name) == valid


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql+psycopg://me:secret@db:5432/m?x=y", "postgresql://db:5432/m"),
        ("https://me:secret@mlflow.example/p", "https://mlflow.example/p"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
    ],
)
def test_addresses_hold_no_secret(url: str, address: str) -> None:
    assert without_credentials(url) == address


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://evil.example/model", "not a place"),
        ("mlflow-artifacts://evil.example/x", "another server"),
        ("mlflow-artifacts:/1/../../etc", "leaves its directory"),
        ("mlflow-artifacts:/1/%2e%2e/etc", "leaves its directory"),
        ("file://other/x", "another machine"),
        ("file:///nowhere/at/all", "there is no directory"),
        ("dummy", "there is no directory"),
    ],
)
def test_places_that_are_not_read(uri: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=reason):
        find_in(uri, str(tmp_path))


def test_server_cannot_point_at_files_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="its own directory"):
        find_in(f"file://{tmp_path}", "http://old", is_server=True)
    named = find_in(f"file://{tmp_path}", str(tmp_path), is_server=True)
    assert named.directory == tmp_path


def test_greenlights_own_directories_are_not_read(settings: LazySettings) -> None:
    settings.KEYS_DIR.mkdir()
    with pytest.raises(Unreachable, match="Greenlight's own"):
        find_in(str(settings.KEYS_DIR))


def test_directory_without_mlmodel_is_no_model(tmp_path: Path) -> None:
    place = find_in(str(tmp_path))
    with pytest.raises(Unreachable, match="no MLmodel file"):
        list_files(place)


@pytest.fixture
def planned(schema: Schema, owner: User) -> PlannedModel:
    origin = OriginModel("churn", "", {}, {}, 0, 0, (), 0)
    return PlannedModel(origin, "prod.fraud.churn", owner, Action.TAKE)


def test_only_an_admin_adopts(planned: PlannedModel, owner: User) -> None:
    with pytest.raises(PermissionDenied):
        rows.adopt_model(planned, "http://old", principal=owner)
    with pytest.raises(PermissionDenied):
        rows.ensure_schema("prod.new", principal=owner)
    with pytest.raises(PermissionDenied):
        rows.adopt_experiment("7", "training", owner, principal=owner)
    assert not RegisteredModel.objects.exists()


def test_admin_adopts_for_the_owner(
    planned: PlannedModel, admin: User, owner: User
) -> None:
    adoption = rows.adopt_model(planned, "http://old", principal=admin)
    assert adoption.model.owner == owner
    assert adoption.adopted_by == admin
