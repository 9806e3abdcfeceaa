"""Prompts: texts under a model's name and a model's permissions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import InvalidParameter, NotFound, PermissionDenied
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from registry.prompts import IS_PROMPT, TEXT
from registry.store import store
from serving import services as serving

MARK = {IS_PROMPT: "true"}
NAME = "prod.fraud.greeting"


@pytest.fixture
def prompt(owner: User, use: Callable[..., None]) -> RegisteredModel:
    use(owner, Privilege.CREATE_MODEL, Privilege.CREATE_ENDPOINT)
    return registry.create_model(NAME, tags=MARK, principal=owner)


def say(prompt: RegisteredModel, text: str, principal: User) -> ModelVersion:
    return registry.create_version(
        prompt, "dummy-source", tags={**MARK, TEXT: text}, principal=principal
    )


def test_prompt_is_ready_at_once_and_its_text_is_its_digest(
    prompt: RegisteredModel, owner: User
) -> None:
    versions = [say(prompt, text, owner) for text in ("Hello", "Hi", "Hello")]
    assert [version.status for version in versions] == ["ready"] * 3
    assert versions[0].digest == versions[2].digest != versions[1].digest
    assert versions[0].size_bytes == 5
    assert artifacts.verify(versions[0]) == []


def test_changed_text_is_found(prompt: RegisteredModel, owner: User) -> None:
    version = say(prompt, "Hello", owner)
    with store().ManagedSessionMaker(read_only=False) as session:
        row = store()._get_sql_model_version(session, NAME, 1)
        next(tag for tag in row.model_version_tags if tag.key == TEXT).value = "Go away"
    assert artifacts.verify(version) == [f"the text of {NAME}/1 was changed"]


def test_owner_alone_writes_and_aliases_a_prompt(
    prompt: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.EXECUTE)
    version = say(prompt, "Hello", owner)
    approvals.set_alias(prompt, "formal", version, principal=owner)
    for principal, refusal in ((grantee, PermissionDenied), (stranger, NotFound)):
        with pytest.raises(refusal):
            say(prompt, "Go away", principal)
        with pytest.raises(refusal):
            approvals.set_alias(prompt, "rude", version, principal=principal)
    assert prompt.versions.count() == 1


def test_protected_alias_of_a_prompt_needs_approval_of_its_text(
    prompt: RegisteredModel, owner: User, approver: User, use: Callable[..., None]
) -> None:
    use(approver, Privilege.APPROVE)
    approvals.create_policy(prompt, "formal", principal=owner)
    version = say(prompt, "Hello", owner)
    request = approvals.request_alias(prompt, "formal", version, principal=owner)
    approvals.decide(request, "approve", digest=version.digest, principal=approver)
    alias = registry.get_alias(prompt, "formal")
    assert alias
    assert alias.version == version


def test_model_is_no_version_of_a_prompt(
    prompt: RegisteredModel, version: ModelVersion, owner: User
) -> None:
    with pytest.raises(InvalidParameter, match="is a prompt; a model cannot be"):
        registry.create_version(prompt, "models:/prod.fraud.scorer/1", principal=owner)
    assert not prompt.versions.exists()


def test_prompt_is_no_version_of_a_model(
    prompt: RegisteredModel, version: ModelVersion, owner: User
) -> None:
    say(prompt, "Hello", owner)
    with pytest.raises(InvalidParameter, match="is a model; a prompt cannot be"):
        say(version.model, "Hello", owner)
    with pytest.raises(InvalidParameter, match="is a prompt, not a model"):
        registry.create_version(version.model, f"models:/{NAME}/1", principal=owner)
    assert version.model.versions.count() == 1


@pytest.mark.parametrize(
    ("source", "tags"),
    [("http://evil.example", {**MARK, TEXT: "a"}), ("dummy-source", MARK)],
)
def test_version_of_a_prompt_is_a_text_and_nothing_else(
    prompt: RegisteredModel, owner: User, source: str, tags: dict[str, str]
) -> None:
    with pytest.raises(InvalidParameter):
        registry.create_version(prompt, source, tags=tags, principal=owner)


def test_text_and_kind_do_not_change(
    prompt: RegisteredModel, version: ModelVersion, owner: User
) -> None:
    said = say(prompt, "Hello", owner)
    with pytest.raises(InvalidParameter, match="immutable"):
        registry.set_version_tag(said, TEXT, "Go away", principal=owner)
    with pytest.raises(InvalidParameter, match="immutable"):
        registry.delete_version_tag(said, TEXT, principal=owner)
    for model in (prompt, version.model):
        with pytest.raises(InvalidParameter, match="set once"):
            registry.set_model_tag(model, IS_PROMPT, "true", principal=owner)
        with pytest.raises(InvalidParameter, match="set once"):
            registry.delete_model_tag(model, IS_PROMPT, principal=owner)


@pytest.mark.parametrize("mark", ["false", "True", "", "1"])
def test_mark_is_true_or_absent(
    owner: User, prompt: RegisteredModel, mark: str
) -> None:
    with pytest.raises(InvalidParameter, match="is_prompt"):
        registry.create_model("prod.fraud.odd", tags={IS_PROMPT: mark}, principal=owner)


def test_prompt_is_not_served(
    prompt: RegisteredModel, owner: User, grantee: User
) -> None:
    access.grant(prompt, Privilege.EXECUTE, grantee, principal=owner)
    with pytest.raises(InvalidParameter, match="is a prompt"):
        serving.create_endpoint("prod.fraud.live", prompt, "formal", principal=owner)
