"""What the rows of the rules need besides a model: each built once, then tried."""

from __future__ import annotations

import io

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from registry.models import ModelVersion, RegisteredModel
from runners import services as runners
from serving import services as serving
from serving.models import Endpoint
from tests.access.worlds import put_grant
from tests.runners.packages import package as zipped_package

Words = dict[str, str]


def endpoint(version: ModelVersion) -> Words:
    """prod.fraud.live follows Shadow of the model, with a rollout under way."""
    owner = _creator(version, Privilege.CREATE_ENDPOINT)
    approvals.set_alias(version.model, "Shadow", version, principal=owner)
    made = serving.create_endpoint(
        "prod.fraud.live", version.model, "Shadow", principal=owner
    )
    return {"rollout": str(made.rollouts.get().pk)}


def pipeline(version: ModelVersion) -> Words:
    """prod.fraud.training, whose runs register versions of the model."""
    owner = _creator(version, Privilege.CREATE_PIPELINE, Privilege.CREATE_DATASET)
    dataset = runners.create_dataset("prod.fraud.cells", principal=owner)
    files = iter([("a.csv", io.BytesIO(b"1,2\n"))])
    runners.create_snapshot(dataset, files, principal=owner)
    package = runners.create_package("prod.fraud.tree", principal=owner)
    runners.upload_package(package, zipped_package(), principal=owner)
    runners.create_pipeline(
        "prod.fraud.training",
        package,
        version.model.full_name,
        dataset=dataset.full_name,
        principal=owner,
    )
    return {}


def pipeline_without_rights(version: ModelVersion) -> Words:
    """The same, whose run-as principal has lost the model since."""
    words = pipeline(version)
    admin = User.objects.get(username="admin")
    RegisteredModel.objects.filter(pk=version.model_id).update(owner=admin)
    return words


def request(version: ModelVersion) -> Words:
    """A request for the protected alias Gold, asked by the owner of the model."""
    owner = version.model.owner
    approvals.create_policy(version.model, "Gold", principal=owner)
    asked = approvals.request_alias(
        version.model, "Gold", version, reason="better", principal=owner
    )
    return {"request": str(asked.pk), "digest": version.digest}


def _creator(version: ModelVersion, *privileges: Privilege) -> User:
    owner = version.model.owner
    for privilege in privileges:
        put_grant(version.model.schema, privilege.value, owner)
    return owner


def live() -> Endpoint:
    return Endpoint.objects.select_related("schema__catalog").get(name="live")
