"""The pages; each action's address lies under the page that it is shown on."""

from __future__ import annotations

from django.urls import path

from console.views import (
    access_requests,
    account,
    activity,
    aliases,
    approvals,
    catalog,
    compare,
    containers,
    datasets,
    delegations,
    endpoints,
    experiments,
    home,
    models,
    permissions,
    pipelines,
    policies,
    principals,
    runs,
    search,
    session,
    versions,
    webhooks,
)

app_name = "console"

_MODEL = "catalog/<str:catalog>/<str:schema>/<str:model>/"
_VERSION = f"{_MODEL}versions/<int:number>/"
_REQUEST = "approvals/<uuid:request_id>/"
_POLICIES = "approvals/policies/"
_POLICY = f"{_POLICIES}<uuid:policy_id>/"
_ENDPOINT = "endpoints/<str:full_name>/"
_PIPELINE = "pipelines/<str:full_name>/"
_DATASET = "datasets/<str:full_name>/"
# what every securable has; apart from the catalog's addresses, in which a schema
# may be called `permissions`
_OBJECT = "objects/<str:kind>/<path:full_name>/"
_GRANTS = f"{_OBJECT}permissions/"
_WEBHOOK = "webhooks/<uuid:webhook_id>/"
_DELIVERY = f"{_WEBHOOK}deliveries/<uuid:delivery_id>/"
_PRINCIPAL = "principals/<str:name>/"

urlpatterns = [
    path("", home.home, name="home"),
    path("sign-in/", session.sign_in, name="sign_in"),
    path("sign-out/", session.sign_out, name="sign_out"),
    path("account/", account.account, name="account"),
    path("account/issue-token/", account.issue_token, name="issue_token"),
    path("account/revoke-token/", account.revoke_token, name="revoke_token"),
    path("account/mail/", account.save_mail, name="save_mail"),
    path("account/theme/", account.choose_theme, name="choose_theme"),
    path("catalog/", catalog.catalogs, name="catalogs"),
    path("catalog/<str:catalog>/", catalog.catalog, name="catalog"),
    path("catalog/<str:catalog>/<str:schema>/", catalog.schema, name="schema"),
    path(_MODEL, models.model, name="model"),
    path(f"{_MODEL}tag/", models.tag_model, name="tag_model"),
    path(f"{_MODEL}untag/", models.untag_model, name="untag_model"),
    path(f"{_MODEL}settings/", models.model_settings, name="model_settings"),
    path(f"{_MODEL}describe/", models.describe_model, name="describe_model"),
    path(f"{_MODEL}rename/", models.rename_model, name="rename_model"),
    path(f"{_MODEL}delete/", models.delete_model, name="delete_model"),
    path(f"{_MODEL}compare/", compare.compare, name="compare"),
    path(f"{_MODEL}aliases/<str:alias>/", aliases.alias, name="alias"),
    path(_VERSION, versions.version, name="version"),
    path(f"{_VERSION}request-alias/", versions.request_alias, name="request_alias"),
    path(f"{_VERSION}describe/", versions.describe_version, name="describe_version"),
    path(f"{_VERSION}delete/", versions.delete_version, name="delete_version"),
    path(f"{_VERSION}tag/", versions.tag_version, name="tag_version"),
    path(f"{_VERSION}untag/", versions.untag_version, name="untag_version"),
    path("approvals/", approvals.requests, name="requests"),
    path(_POLICIES, policies.policies, name="policies"),
    path(f"{_POLICIES}new/", policies.new_policy, name="new_policy"),
    path(_POLICY, policies.policy, name="policy"),
    path(f"{_POLICY}change/", policies.change_policy, name="change_policy"),
    path(f"{_POLICY}retire/", policies.retire_policy, name="retire_policy"),
    path("approvals/delegations/", delegations.delegations, name="delegations"),
    path("approvals/delegations/give/", delegations.delegate, name="delegate"),
    path(
        "approvals/delegations/end/", delegations.end_delegation, name="end_delegation"
    ),
    path(_REQUEST, approvals.request, name="request"),
    path(f"{_REQUEST}decide/", approvals.decide, name="decide"),
    path(f"{_REQUEST}revoke/", approvals.revoke, name="revoke_decision"),
    path(f"{_REQUEST}bypass/", approvals.bypass, name="bypass"),
    path(f"{_REQUEST}comment/", approvals.comment, name="comment"),
    path(f"{_REQUEST}cancel/", approvals.cancel, name="cancel"),
    path("endpoints/", endpoints.endpoints, name="endpoints"),
    path(_ENDPOINT, endpoints.endpoint, name="endpoint"),
    path(f"{_ENDPOINT}<str:verb>/", endpoints.steer, name="steer"),
    path("pipelines/", pipelines.pipelines, name="pipelines"),
    path(_PIPELINE, pipelines.pipeline, name="pipeline"),
    path(f"{_PIPELINE}start/", pipelines.start_run, name="start_run"),
    path("runs/", runs.runs, name="runs"),
    path("runs/<uuid:run_id>/", runs.run, name="run"),
    path("runs/<uuid:run_id>/cancel/", runs.cancel_run, name="cancel_run"),
    path("datasets/", datasets.datasets, name="datasets"),
    path(_DATASET, datasets.dataset, name="dataset"),
    path(f"{_DATASET}snapshots/<str:digest>/", datasets.snapshot, name="snapshot"),
    path("experiments/", experiments.experiments, name="experiments"),
    path(
        "experiments/<uuid:experiment_id>/", experiments.experiment, name="experiment"
    ),
    path("search/", search.search, name="search"),
    path("activity/", activity.activity, name="activity"),
    path("activity/log/", activity.audit_log, name="audit_log"),
    path(
        "activity/export/<str:form>", activity.export_activity, name="export_activity"
    ),
    path(_GRANTS, permissions.permissions, name="permissions"),
    path(f"{_GRANTS}grant/", permissions.grant, name="grant"),
    path(f"{_GRANTS}change/", permissions.change_grants, name="change_grants"),
    path(f"{_GRANTS}why/", permissions.why, name="why"),
    path(f"{_GRANTS}who/", permissions.who_may, name="who_may"),
    path(f"{_OBJECT}transfer/", permissions.transfer_form, name="transfer_form"),
    path(f"{_OBJECT}transfer/confirm/", permissions.transfer, name="transfer"),
    path(f"{_OBJECT}activity/", activity.object_activity, name="object_activity"),
    path(f"{_OBJECT}settings/", containers.settings, name="container_settings"),
    path(f"{_OBJECT}settings/change/", containers.change, name="change_container"),
    path(f"{_OBJECT}settings/delete/", containers.delete, name="delete_container"),
    path("access-requests/", access_requests.access_requests, name="access_requests"),
    path("access-requests/ask/", access_requests.ask, name="ask_access"),
    path("access-requests/send/", access_requests.send, name="send_access_request"),
    path(
        "access-requests/<uuid:request_id>/<str:verb>/",
        access_requests.answer,
        name="answer_access_request",
    ),
    path("webhooks/", webhooks.webhooks, name="webhooks"),
    path("webhooks/new/", webhooks.new_webhook, name="new_webhook"),
    path("webhooks/create/", webhooks.create_webhook, name="create_webhook"),
    path(_WEBHOOK, webhooks.webhook, name="webhook"),
    path(f"{_WEBHOOK}settings/", webhooks.webhook_settings, name="webhook_settings"),
    path(f"{_WEBHOOK}update/", webhooks.update_webhook, name="update_webhook"),
    path(f"{_WEBHOOK}rotate-secret/", webhooks.rotate_secret, name="rotate_secret"),
    path(f"{_WEBHOOK}ping/", webhooks.ping_webhook, name="ping_webhook"),
    path(f"{_WEBHOOK}delete/", webhooks.delete_webhook, name="delete_webhook"),
    path(
        f"{_WEBHOOK}redeliver-failed/",
        webhooks.redeliver_failed,
        name="redeliver_failed",
    ),
    path(_DELIVERY, webhooks.delivery, name="delivery"),
    path(f"{_DELIVERY}redeliver/", webhooks.redeliver, name="redeliver"),
    path(f"{_WEBHOOK}<str:verb>/", webhooks.steer_webhook, name="steer_webhook"),
    path("principals/", principals.principals, name="principals"),
    path("principals/create/", principals.create_principal, name="create_principal"),
    path(_PRINCIPAL, principals.principal, name="principal"),
    path(f"{_PRINCIPAL}add-member/", principals.add_member, name="add_member"),
    path(f"{_PRINCIPAL}remove-member/", principals.remove_member, name="remove_member"),
    path(f"{_PRINCIPAL}issue-token/", principals.issue_token_of, name="issue_token_of"),
    path(
        f"{_PRINCIPAL}revoke-token/", principals.revoke_token_of, name="revoke_token_of"
    ),
]
