"""REST of models and versions, for owner, grantee and stranger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access.models import User
from access.privileges import Privilege
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

MODEL = "models/prod.fraud.scorer"
Call = Callable[..., Any]
# what asking itself leaves in the log
ASIDE = ("token.issued", "access.denied")


def test_owner_creates_changes_and_shows_a_model(
    call: Call, owner: User, use: Callable[..., None]
) -> None:
    use(owner, Privilege.CREATE_MODEL)
    body = {"name": "prod.fraud.scorer", "comment": "new", "tags": {"team": "fraud"}}
    made = call(owner, "post", "models", body)
    assert (made.status_code, made.json()["owner"]) == (201, "owner")
    changed = call(owner, "patch", MODEL, {"comment": "better"}).json()
    assert changed["comment"] == "better"
    shown = call(owner, "get", MODEL).json()
    assert (shown["comment"], shown["tags"]) == ("better", {"team": "fraud"})
    assert (shown["versions"], shown["aliases"]) == ([], [])
    twice = call(owner, "post", "models", body)
    assert twice.json()["error_code"] == "RESOURCE_ALREADY_EXISTS"


def test_owner_copies_a_version_and_comments_on_it(
    call: Call, version: ModelVersion, owner: User
) -> None:
    body = {
        "source": "models:/prod.fraud.scorer/1",
        "comment": "again",
        "tags": {"a": "b"},
    }
    made = call(owner, "post", f"{MODEL}/versions", body)
    assert made.status_code == 201
    copy = made.json()
    assert (copy["version"], copy["status"], copy["comment"]) == (2, "ready", "again")
    assert (copy["digest"], copy["tags"]) == (version.digest, {"a": "b"})
    changed = call(owner, "patch", f"{MODEL}/versions/2", {"comment": "kept"}).json()
    assert changed["comment"] == "kept"
    assert call(owner, "get", f"{MODEL}/versions/2").json() == changed


def test_version_shows_files_signature_and_aliases(
    call: Call, version: ModelVersion, owner: User
) -> None:
    registry.set_alias(version.model, "Shadow", version, principal=owner)
    shown = call(owner, "get", f"{MODEL}/versions/1").json()
    assert [file["path"] for file in shown["manifest"]] == ["MLmodel", "weights.json"]
    assert shown["signature"]["inputs"]
    assert shown["aliases"] == ["Shadow"]
    assert call(owner, "get", MODEL).json()["aliases"][0]["version"] == 1


def test_versions_come_in_pages_newest_first(
    call: Call,
    model: RegisteredModel,
    make_version: Callable[..., ModelVersion],
    owner: User,
) -> None:
    for _ in range(3):
        make_version(model)
    first = call(owner, "get", f"{MODEL}/versions?max_results=2").json()
    token = first["next_page_token"]
    rest = call(owner, "get", f"{MODEL}/versions?max_results=2&page_token={token}")
    numbers = [row["version"] for row in first["versions"] + rest.json()["versions"]]
    assert (numbers, "next_page_token" in rest.json()) == ([3, 2, 1], False)


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/1"])
def test_tags_are_set_and_deleted(
    call: Call, version: ModelVersion, owner: User, path: str
) -> None:
    set_ = call(owner, "put", f"{path}/tags/team/a b", {"value": " spaced "})
    assert set_.json() == {"tags": {"team/a b": " spaced "}}
    call(owner, "put", f"{path}/tags/empty", {"value": ""})
    assert call(owner, "get", f"{path}/tags").json()["tags"]["empty"] == ""
    assert call(owner, "delete", f"{path}/tags/team/a b").status_code == 204
    assert call(owner, "delete", f"{path}/tags/empty").status_code == 204
    assert call(owner, "get", f"{path}/tags").json() == {"tags": {}}


def test_holder_of_apply_tag_tags_and_does_no_more(
    call: Call, version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE, Privilege.APPLY_TAG)
    for path in (MODEL, f"{MODEL}/versions/1"):
        tagged = call(grantee, "put", f"{path}/tags/seen", {"value": "yes"})
        assert tagged.status_code == 200
        assert call(grantee, "patch", path, {"comment": "mine"}).status_code == 403


def test_grantee_of_execute_reads_and_changes_nothing(
    call: Call, version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    before = Event.objects.exclude(type__in=ASIDE).count()
    for path in (MODEL, f"{MODEL}/versions", f"{MODEL}/versions/1", f"{MODEL}/tags"):
        assert call(grantee, "get", path).status_code == 200
    copy = {"source": "models:/prod.fraud.scorer/1"}
    for method, path, body in [
        ("patch", MODEL, {"comment": "x"}),
        ("put", f"{MODEL}/tags/a", {"value": "b"}),
        ("delete", f"{MODEL}/tags/a", None),
        ("post", f"{MODEL}/versions", copy),
        ("patch", f"{MODEL}/versions/1", {"comment": "x"}),
        ("put", f"{MODEL}/versions/1/tags/a", {"value": "b"}),
        ("delete", f"{MODEL}/versions/1/tags/a", None),
    ]:
        refused = call(grantee, method, path, body)
        assert refused.status_code == 403, f"{method} {path}"
        assert refused.json()["details"]["reasons"]
    assert Event.objects.exclude(type__in=ASIDE).count() == before


def test_stranger_finds_nothing(
    call: Call, version: ModelVersion, stranger: User
) -> None:
    for path in (MODEL, f"{MODEL}/versions", f"{MODEL}/versions/1", f"{MODEL}/tags"):
        assert call(stranger, "get", path).status_code == 404
    assert call(stranger, "patch", MODEL, {"comment": "x"}).status_code == 404
    assert call(stranger, "delete", MODEL).status_code == 404
    assert call(stranger, "delete", f"{MODEL}/versions/1").status_code == 404
    name = {"new_name": "prod.fraud.mine"}
    assert call(stranger, "post", f"{MODEL}/rename", name).status_code == 404
    copy = {"source": "models:/prod.fraud.scorer/1"}
    assert call(stranger, "post", f"{MODEL}/versions", copy).status_code == 404
    assert call(stranger, "get", "models").json() == {"models": []}


def test_owner_renames_a_model_and_the_old_name_is_gone(
    call: Call, version: ModelVersion, owner: User
) -> None:
    renamed = call(owner, "post", f"{MODEL}/rename", {"new_name": "prod.fraud.judge"})
    assert (renamed.status_code, renamed.json()["id"]) == (200, str(version.model_id))
    assert call(owner, "get", MODEL).status_code == 404
    shown = call(owner, "get", "models/prod.fraud.judge/versions/1").json()
    assert (shown["model"], shown["digest"]) == ("prod.fraud.judge", version.digest)


def test_a_version_is_deleted_once_no_alias_points_at_it(
    call: Call, version: ModelVersion, owner: User
) -> None:
    registry.set_alias(version.model, "Shadow", version, principal=owner)
    refused = call(owner, "delete", f"{MODEL}/versions/1")
    assert refused.status_code == 409
    assert "Shadow" in refused.json()["message"]
    assert call(owner, "delete", MODEL).status_code == 409
    registry.delete_alias(version.model, "Shadow", principal=owner)
    assert call(owner, "delete", f"{MODEL}/versions/1").status_code == 204
    assert call(owner, "get", f"{MODEL}/versions").json() == {"versions": []}
    assert call(owner, "get", f"{MODEL}/versions/1").json()["status"] == "deleted"
    assert call(owner, "delete", MODEL).status_code == 204
    assert call(owner, "get", MODEL).status_code == 404


def test_who_manages_deletes_and_does_not_rename(
    call: Call, version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE, Privilege.CREATE_MODEL)
    name = {"new_name": "prod.fraud.mine"}
    assert call(grantee, "delete", f"{MODEL}/versions/1").status_code == 403
    assert call(grantee, "delete", MODEL).status_code == 403
    use(grantee, Privilege.MANAGE)
    assert call(grantee, "post", f"{MODEL}/rename", name).status_code == 403
    assert call(grantee, "delete", f"{MODEL}/versions/1").status_code == 204
    assert call(grantee, "delete", MODEL).status_code == 204


def test_models_come_in_pages_and_by_container(
    call: Call, owner: User, admin: User, model: RegisteredModel
) -> None:
    for name in ("b", "a"):
        registry.create_model(f"prod.fraud.{name}", principal=owner)
    registry.create_schema("prod.other", principal=admin)
    registry.create_model("prod.other.x", principal=admin)
    first = call(owner, "get", "models?max_results=2").json()
    token = first["next_page_token"]
    rest = call(owner, "get", f"models?max_results=2&page_token={token}").json()
    names = [row["full_name"] for row in first["models"] + rest["models"]]
    assert names == ["prod.fraud.a", "prod.fraud.b", "prod.fraud.scorer"]
    for query, count in [
        ("schema=prod.other", 1),
        ("schema=prod.fraud", 3),
        ("catalog=prod", 4),
        ("catalog=dev", 0),
    ]:
        found = call(admin, "get", f"models?{query}").json()["models"]
        assert len(found) == count, query


def test_model_with_many_versions_costs_the_same(
    call: Call,
    version: ModelVersion,
    owner: User,
    django_assert_max_num_queries: Any,
) -> None:
    ModelVersion.objects.bulk_create(
        ModelVersion(model=version.model, number=n, created_by=owner)
        for n in range(2, 60)
    )
    with django_assert_max_num_queries(17):  # half of them issue the token
        assert len(call(owner, "get", MODEL).json()["versions"]) == 59


@pytest.mark.parametrize(
    ("method", "path", "body", "word"),
    [
        ("post", "models", {"name": "fraud.scorer"}, "all three levels"),
        ("post", "models", {"name": "prod.fraud.a b"}, "name"),
        ("post", "models", {"name": "prod.fraud.x", "tags": ["a"]}, "tags"),
        ("post", "models", {"name": "prod.fraud.x", "tags": {"a": {}}}, "tags"),
        ("patch", MODEL, {}, "comment"),
        ("patch", MODEL, {"comment": 5 * ["x"]}, "comment"),
        ("post", f"{MODEL}/versions", {}, "source"),
        ("post", f"{MODEL}/versions", {"source": "s3://other/place"}, "source"),
        ("post", f"{MODEL}/versions", {"source": "http://evil.example/m"}, "source"),
        ("post", f"{MODEL}/versions", {"source": "runs:/1", "run_id": "x"}, "run_id"),
        ("put", f"{MODEL}/tags/a", {}, "value"),
        ("post", f"{MODEL}/rename", {"new_name": "judge"}, "all three levels"),
        ("post", f"{MODEL}/rename", {}, "new_name"),
        ("get", "models?max_results=5000", None, "max_results"),
        ("get", "models?schema=prod", None, "schema"),
        ("get", "models?schema=prod.fraud.x", None, "schema"),
        ("get", "models?catalog=dev&schema=prod.fraud", None, "catalog"),
    ],
)
def test_bad_input_names_the_field(
    call: Call,
    model: RegisteredModel,
    owner: User,
    method: str,
    path: str,
    body: Any,
    word: str,
) -> None:
    before = Event.objects.exclude(type__in=ASIDE).count()
    answered = call(owner, method, path, body)
    assert answered.status_code == 400
    assert word in answered.json()["message"]
    assert Event.objects.exclude(type__in=ASIDE).count() == before
