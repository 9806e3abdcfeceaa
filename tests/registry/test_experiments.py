"""Experiments: who makes, renames, deletes and restores them, and who finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as configured

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry import services as registry
from registry.experiments import Level
from registry.models import Experiment, Schema
from registry.store import tracking_store

Use = Callable[..., None]


@pytest.fixture
def private(owner: User) -> Experiment:
    return registry.create_experiment("my study", principal=owner)


@pytest.fixture
def shared(owner: User, use: Use) -> Experiment:
    use(owner, Privilege.CREATE_EXPERIMENT)
    return registry.create_experiment("prod.fraud.study", principal=owner)


def last_event(subject: Experiment) -> str:
    return Event.objects.filter(subject_id=subject.pk).latest("sequence").type


def in_mlflow(experiment: Experiment) -> Any:
    return tracking_store().get_experiment(experiment.experiment_id)


def test_plain_name_is_private_to_its_owner(
    private: Experiment, owner: User, stranger: User
) -> None:
    assert private.schema is None
    assert in_mlflow(private).name == "my study"
    assert last_event(private) == "experiment.created"
    registry.require_experiment(private.experiment_id, Level.EDIT, principal=owner)
    with pytest.raises(NotFound):
        registry.require_experiment(
            private.experiment_id, Level.SEE, principal=stranger
        )


def test_private_experiment_needs_no_use_to_be_granted(
    private: Experiment, owner: User, grantee: User
) -> None:
    access.grant(private, Privilege.READ_EXPERIMENT, grantee, principal=owner)
    registry.require_experiment(private.experiment_id, principal=grantee)
    with pytest.raises(PermissionDenied) as refusal:
        registry.require_experiment(
            private.experiment_id, Level.EDIT, principal=grantee
        )
    assert refusal.value.details["reasons"] == [
        {
            "missing": "EDIT EXPERIMENT",
            "securable_type": "experiment",
            "full_name": "my study",
            "who_can_grant": ["owner"],
            "request_url": f"{configured.PUBLIC_URL}/access-requests/ask/"
            "?kind=experiment&full_name=my+study&add=edit_experiment",
        }
    ]


def test_grant_counts_at_once_and_no_longer_than_it_is_there(
    private: Experiment, owner: User, grantee: User
) -> None:
    access.grant(private, Privilege.EDIT_EXPERIMENT, grantee, principal=owner)
    registry.require_experiment(private.experiment_id, Level.EDIT, principal=grantee)
    access.revoke(private, Privilege.EDIT_EXPERIMENT, grantee, principal=owner)
    with pytest.raises(NotFound):
        registry.require_experiment(private.experiment_id, principal=grantee)


def test_name_in_a_schema_needs_create_experiment_there(
    owner: User, grantee: User, stranger: User, use: Use, schema: Schema
) -> None:
    use(grantee)
    with pytest.raises(PermissionDenied, match="CREATE EXPERIMENT"):
        registry.create_experiment("prod.fraud.study", principal=grantee)
    with pytest.raises(NotFound, match="three levels"):
        registry.create_experiment("prod.fraud.study", principal=stranger)
    with pytest.raises(NotFound, match="three levels"):
        registry.create_experiment("prod.nowhere.study", principal=stranger)
    use(owner, Privilege.CREATE_EXPERIMENT)
    made = registry.create_experiment("prod.fraud.study", principal=owner)
    assert made.schema == schema
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize(
    "name", ["a.b", "a.b.c.d", "/Users/me/v1.2.study", "v1.2. beta", "…"]
)
def test_name_that_is_no_full_name_is_private(owner: User, name: str) -> None:
    assert registry.create_experiment(name, principal=owner).schema is None


@pytest.mark.parametrize("name", ["x" * 256, "a\u202eb", "a\nb", "a\x7fb", "", "  "])
def test_bad_names_are_refused(owner: User, name: str) -> None:
    with pytest.raises(InvalidParameter, match="name"):
        registry.create_experiment(name, principal=owner)
    assert not Experiment.objects.exists()


def test_taken_name_says_so_and_no_more(
    private: Experiment, owner: User, stranger: User
) -> None:
    with pytest.raises(AlreadyExists):
        registry.create_experiment("my study", principal=owner)
    with pytest.raises(PermissionDenied, match="choose another name"):
        registry.create_experiment("my study", principal=stranger)
    tracking_store().create_experiment("nobody's")  # as MLflow's own "Default"
    with pytest.raises(PermissionDenied, match="choose another name"):
        registry.create_experiment("nobody's", principal=owner)


def test_rename_keeps_id_and_grants(
    private: Experiment, owner: User, grantee: User
) -> None:
    access.grant(private, Privilege.READ_EXPERIMENT, grantee, principal=owner)
    registry.rename_experiment(private, "better", principal=owner)
    private.refresh_from_db()
    assert private.name == in_mlflow(private).name == "better"
    assert last_event(private) == "experiment.renamed"
    registry.require_experiment(private.experiment_id, principal=grantee)


def test_manager_renames_but_only_the_owner_moves(
    shared: Experiment, owner: User, grantee: User, use: Use
) -> None:
    use(grantee, Privilege.CREATE_EXPERIMENT)
    access.grant(shared, Privilege.MANAGE, grantee, principal=owner)
    registry.rename_experiment(shared, "prod.fraud.renamed", principal=grantee)
    with pytest.raises(PermissionDenied, match="ownership"):
        registry.rename_experiment(shared, "taken out", principal=grantee)
    registry.rename_experiment(shared, "taken out", principal=owner)
    shared.refresh_from_db()
    assert (shared.name, shared.schema) == ("taken out", None)


def test_rename_to_a_taken_or_bad_name_changes_nothing(
    private: Experiment, owner: User, stranger: User
) -> None:
    registry.create_experiment("other", principal=stranger)
    tracking_store().create_experiment("nobody's")
    for name in ("other", "nobody's", "a.b.c", "x" * 300):
        with pytest.raises((PermissionDenied, NotFound, InvalidParameter)):
            registry.rename_experiment(private, name, principal=owner)
    registry.rename_experiment(private, "my study", principal=owner)
    assert in_mlflow(private).name == "my study"
    assert last_event(private) == "experiment.created"


def test_delete_and_restore(private: Experiment, owner: User) -> None:
    registry.delete_experiment(private, principal=owner)
    assert in_mlflow(private).lifecycle_stage == "deleted"
    assert last_event(private) == "experiment.deleted"
    registry.restore_experiment(private, principal=owner)
    assert in_mlflow(private).lifecycle_stage == "active"
    assert last_event(private) == "experiment.restored"


@pytest.mark.parametrize("name", ["delete", "restore"])
def test_editor_and_stranger_neither_delete_nor_restore(
    private: Experiment, owner: User, grantee: User, stranger: User, name: str
) -> None:
    service = getattr(registry, f"{name}_experiment")
    access.grant(private, Privilege.EDIT_EXPERIMENT, grantee, principal=owner)
    with pytest.raises(PermissionDenied):
        service(private, principal=grantee)
    with pytest.raises(NotFound):
        service(private, principal=stranger)
    assert in_mlflow(private).lifecycle_stage == "active"


def test_new_owner_has_it_and_the_old_one_no_more(
    private: Experiment, owner: User, grantee: User
) -> None:
    access.transfer_ownership(private, grantee, principal=owner)
    registry.require_experiment(private.experiment_id, Level.EDIT, principal=grantee)
    with pytest.raises(NotFound):
        registry.require_experiment(private.experiment_id, principal=owner)


def test_hidden_experiment_is_not_named_in_a_refusal(
    private: Experiment, stranger: User
) -> None:
    run = tracking_store().create_run(private.experiment_id, "owner", 0, [], "best")
    for ask in (
        lambda: registry.require_run(run.info.run_id, principal=stranger),
        lambda: registry.require_experiment(private.experiment_id, principal=stranger),
    ):
        with pytest.raises(NotFound) as refusal:
            ask()
        assert "my study" not in refusal.value.message


def test_runs_of_many_experiments_are_checked_in_few_queries(
    owner: User, grantee: User, django_assert_max_num_queries: Any
) -> None:
    runs, ids = [], []
    for number in range(15):
        made = registry.create_experiment(f"study {number}", principal=owner)
        access.grant(made, Privilege.READ_EXPERIMENT, grantee, principal=owner)
        run = tracking_store().create_run(made.experiment_id, "owner", 0, [], "r")
        runs.append(run.info.run_id)
        ids.append(made.experiment_id)
    with django_assert_max_num_queries(3):
        registry.require_runs(runs, Level.READ, principal=grantee)
    with django_assert_max_num_queries(2):
        found = registry.readable_experiments([*ids, "0"], principal=grantee)
    assert found == ids
    with django_assert_max_num_queries(3):
        registry.require_run(runs[0], principal=grantee)


def test_one_hidden_run_among_many_is_refused_by_its_own_name(
    private: Experiment, owner: User, stranger: User
) -> None:
    theirs = tracking_store().create_run(private.experiment_id, "o", 0, [], "r")
    mine = registry.create_experiment("mine", principal=stranger)
    own = tracking_store().create_run(mine.experiment_id, "s", 0, [], "r")
    runs = [own.info.run_id, theirs.info.run_id]
    with pytest.raises(NotFound, match=theirs.info.run_id):
        registry.require_runs(runs, Level.READ, principal=stranger)
