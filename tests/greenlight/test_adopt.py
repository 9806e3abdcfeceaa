"""`manage.py adopt`, from a database."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from mlflow import MlflowClient

from access.models import User
from approvals import services as approvals
from core.errors import PermissionDenied
from events.models import Event
from events.verification import verify_chain
from registry import artifacts
from registry import services as registry
from registry.lineage import lineage_of
from registry.models import (
    Alias,
    ModelVersion,
    RegisteredModel,
    Schema,
)
from registry.store import store
from tests.greenlight.conftest import Adopt, lines


@pytest.fixture
def adopted(adopt: Adopt, url: str, mapping: str) -> dict[str, Any]:
    return adopt(url, "--map", mapping, "--unreadable", "fail")


def test_versions_keep_numbers_tags_runs_and_times(
    adopted: dict[str, Any], url: str
) -> None:
    theirs = MlflowClient(url, url).get_model_version("churn", "1")
    ours = store().get_model_version("prod.sales.churn", "1")
    for field in ("description", "run_id", "creation_timestamp"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert ours.tags == {"n": "1", "adopted_stage": "Production"}
    assert (ours.status, ours.current_stage) == ("READY", "None")
    model = store().get_registered_model("prod.sales.churn")
    assert (model.description, model.tags) == ("Who leaves", {"team": "sales"})
    assert model.aliases == {"Champion": 3, "first": 1}


def test_bytes_are_governed_and_lineage_says_where_from(
    adopted: dict[str, Any], url: str, owner: User
) -> None:
    version = ModelVersion.objects.get(model__full_name="prod.sales.churn", number=3)
    assert artifacts.verify(version) == []
    assert version.lineage["adopted_from"] == url
    assert version.lineage["adopted_name"] == "churn/3"
    assert version.lineage["adopted_aliases"] == ["Champion"]
    assert version.lineage["adopted_run_id"] == version.mlflow_run_id
    scorer = RegisteredModel.objects.get(full_name="prod.fraud.scorer")
    assert scorer.owner == owner


def test_lineage_graph_ends_at_the_old_registry(
    adopted: dict[str, Any], url: str, admin: User
) -> None:
    version = ModelVersion.objects.get(model__full_name="prod.sales.churn", number=3)
    nodes = {node.kind: node for node in lineage_of(version, admin).nodes}
    assert nodes.keys() == {"version", "adopted_version"}
    assert nodes["adopted_version"].details["registry"] == url
    assert nodes["adopted_version"].details["mlflow_run_id"] == version.mlflow_run_id


def test_numbers_that_were_deleted_are_not_given_again(
    adopted: dict[str, Any],
    make_version: Callable[..., ModelVersion],
) -> None:
    model = RegisteredModel.objects.get(full_name="prod.sales.churn")
    numbers = model.versions.values_list("number", flat=True)
    assert sorted(numbers) == [1, 3]
    assert make_version(model).number == 5


def test_unreadable_versions_are_failed_by_choice(adopted: dict[str, Any]) -> None:
    assert adopted["exit_code"] == 1
    assert lines(adopted, "failed") == ["prod.fraud.scorer/2"]
    lost = ModelVersion.objects.get(model__full_name="prod.fraud.scorer", number=2)
    assert lost.status == "failed"
    assert "there is no directory" in lost.status_message


def test_unreadable_versions_are_skipped_by_choice(
    adopt: Adopt, url: str, mapping: str
) -> None:
    report = adopt(url, "--map", mapping, "--unreadable", "skip")
    assert report["exit_code"] == 0
    assert lines(report, "left out") == ["prod.fraud.scorer/2"]
    assert ModelVersion.objects.count() == 4


def test_without_the_choice_nothing_is_written(
    adopt: Adopt, url: str, mapping: str
) -> None:
    with pytest.raises(CommandError, match="version 2 cannot be read"):
        adopt(url, "--map", mapping)
    assert not RegisteredModel.objects.exists()
    assert not Schema.objects.exists()


def test_code_in_old_versions_is_marked_and_blocks_nothing(
    adopted: dict[str, Any],
) -> None:
    version = ModelVersion.objects.get(model__full_name="prod.sales.churn", number=3)
    assert version.status == "ready"
    assert [finding["path"] for finding in version.code_findings] == ["old.pkl"]


def test_prompts_stay_prompts(adopted: dict[str, Any]) -> None:
    version = ModelVersion.objects.get(model__full_name="prod.sales.greeting")
    assert version.model.is_prompt
    assert artifacts.verify(version) == []
    tags = store().get_model_version("prod.sales.greeting", "1").tags
    assert tags["mlflow.prompt.text"] == "Hello {{ name }}"


def test_what_was_deleted_here_does_not_come_back(
    adopted: dict[str, Any], adopt: Adopt, url: str, admin: User
) -> None:
    model = RegisteredModel.objects.get(full_name="prod.fraud.scorer")
    registry.delete_model(model, principal=admin)
    again = adopt(url)
    assert lines(again, "left out") == ["Fraud model"]
    assert lines(again, "taken over") == []


def test_name_with_numbers_of_another_model_is_an_error(
    adopted: dict[str, Any], adopt: Adopt, admin: User, source: Path, tmp_path: Path
) -> None:
    model = RegisteredModel.objects.get(full_name="prod.fraud.scorer")
    registry.delete_model(model, principal=admin)
    (tmp_path / "copy.db").write_bytes((source / "mlflow.db").read_bytes())
    (tmp_path / "two.yaml").write_text("- {from: churn, to: prod.fraud.scorer}")
    plan = adopt(
        f"sqlite:///{tmp_path}/copy.db", "--map", f"{tmp_path}/two.yaml", "--dry-run"
    )
    assert any("never used again" in problem for problem in plan["problems"])


def test_everything_is_an_event(adopted: dict[str, Any], admin: User, url: str) -> None:
    events = Event.objects.filter(data__adopted_from=url).order_by("sequence")
    kinds = list(events.values_list("type", flat=True))
    assert kinds.count("registered_model.adopted") == 3
    assert kinds.count("model_version.adopted") == 5
    assert kinds.count("alias.set") == 2
    assert {event.actor_name for event in events} == {admin.username}
    assert not list(verify_chain())


def test_second_run_does_nothing_and_says_so(
    adopted: dict[str, Any], adopt: Adopt, url: str, mapping: str
) -> None:
    before = Event.objects.count()
    again = adopt(url, "--map", mapping)
    assert again["exit_code"] == 0
    assert {one["result"] for one in again["lines"]} == {"already here"}
    assert Event.objects.count() == before
    out = StringIO()
    call_command("adopt", url, "--into", "prod.sales", stdout=out)
    assert "nothing was done" in out.getvalue()


def test_alias_that_moved_here_is_not_moved_back(
    adopted: dict[str, Any], adopt: Adopt, url: str, admin: User
) -> None:
    model = RegisteredModel.objects.get(full_name="prod.sales.churn")
    first = registry.get_version(model, 1)
    approvals.set_alias(model, "Champion", first, principal=admin)
    adopt(url)
    assert Alias.objects.get(name="Champion").version == first


def test_dry_run_prints_the_plan_and_writes_nothing(
    adopt: Adopt, url: str, mapping: str, tmp_path: Path
) -> None:
    plan = adopt(url, "--map", mapping, "--dry-run", "--unreadable", "fail")
    assert plan["exit_code"] == 0
    assert plan["schemas"] == ["prod.fraud", "prod.sales"]
    named = {model["old_name"]: model["new_name"] for model in plan["models"]}
    assert named == {
        "Fraud model": "prod.fraud.scorer",
        "churn": "prod.sales.churn",
        "greeting": "prod.sales.greeting",
    }
    assert not Event.objects.exists()
    assert not RegisteredModel.objects.exists()
    assert not (tmp_path / "artifacts").exists()


def test_plan_is_a_table_with_every_error(
    admin: User, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        call_command("adopt", url, "--into", "prod.sales", "--dry-run")
    printed = capsys.readouterr().out
    assert "Champion → 3 (take over)" in printed
    assert "for instance to prod.sales.Fraud_model" in printed
    assert "2 errors; nothing can be done" in printed


def test_taken_name_is_an_error(adopt: Adopt, url: str, admin: User) -> None:
    registry.create_catalog("prod", principal=admin)
    registry.create_schema("prod.sales", principal=admin)
    registry.create_model("prod.sales.Churn", principal=admin)
    plan = adopt(url, "--dry-run")
    assert plan["exit_code"] == 1
    assert any("model prod.sales.churn already" in one for one in plan["problems"])


def test_two_old_names_for_one_new_one_are_an_error(
    adopt: Adopt, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("- from: '*'\n  to: prod.sales.one\n  owner: nobody\n")
    plan = adopt(url, "--map", str(path), "--dry-run")
    problems = "\n".join(plan["problems"])
    assert "Fraud model, churn would be prod.sales.one too" in problems
    assert "the owner 'nobody' is no principal here" in problems


def test_report_is_a_file_too(
    adopt: Adopt, url: str, mapping: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    adopt(url, "--map", mapping, "--unreadable", "skip", "--report", str(path))
    content = json.loads(path.read_text())
    assert content["counts"]["version"] == {"taken over": 4, "left out": 1}
    assert content["bytes"] > 0


def test_protected_alias_waits_for_its_approval(
    adopt: Adopt, url: str, mapping: str, schema: Schema, admin: User
) -> None:
    approvals.create_policy(schema.catalog, "champion", principal=admin)
    plan = adopt(url, "--map", mapping, "--unreadable", "skip", "--dry-run")
    report = adopt(url, "--map", mapping, "--unreadable", "skip")
    assert lines(report, "needs approval") == ["prod.sales.churn@Champion"]
    assert not Alias.objects.filter(name="Champion").exists()
    assert Alias.objects.filter(name="first").exists()
    assert "Champion → 3 (needs approval)" in str(plan["models"])
    again = adopt(url, "--map", mapping, "--unreadable", "skip", "--dry-run")
    assert "Champion → 3 (needs approval)" in str(again["models"])


def test_owner_may_not_set_an_alias_as_adopted(
    version: ModelVersion, owner: User
) -> None:
    with pytest.raises(PermissionDenied):
        approvals.adopt_alias(
            version.model, "x", version, adopted_from="this", principal=owner
        )
    assert not Alias.objects.exists()
