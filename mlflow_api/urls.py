"""The allow-list of MLflow's routes; what is not here is denied."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from mlflow_api import experiments, files, grants, graph, rest, tracking, ui, viewer
from mlflow_api.messages import denied, rpc

_registry = [
    path("registered-models/create", rpc(POST=rest.create_registered_model)),
    path("registered-models/get", rpc(GET=rest.get_registered_model)),
    path("registered-models/rename", rpc(POST=rest.rename_registered_model)),
    path("registered-models/delete", rpc(DELETE=rest.delete_registered_model)),
    path("registered-models/update", rpc(PATCH=rest.update_registered_model)),
    path("registered-models/search", rpc(GET=rest.search_registered_models)),
    path(
        "registered-models/get-latest-versions",
        rpc(POST=rest.get_latest_versions, GET=rest.get_latest_versions),
    ),
    path("registered-models/set-tag", rpc(POST=rest.set_registered_model_tag)),
    path("registered-models/delete-tag", rpc(DELETE=rest.delete_registered_model_tag)),
    path(
        "registered-models/alias",
        rpc(
            GET=rest.get_version_by_alias, POST=rest.set_alias, DELETE=rest.delete_alias
        ),
    ),
    path("model-versions/create", rpc(POST=rest.create_version)),
    path("model-versions/get", rpc(GET=rest.get_version)),
    path("model-versions/get-download-uri", rpc(GET=rest.get_download_uri)),
    path("model-versions/transition-stage", rpc(POST=rest.transition_stage)),
    path("model-versions/delete", rpc(DELETE=rest.delete_version)),
    path("model-versions/update", rpc(PATCH=rest.update_version)),
    path("model-versions/search", rpc(GET=rest.search_versions)),
    path("model-versions/set-tag", rpc(POST=rest.set_version_tag)),
    path("model-versions/delete-tag", rpc(DELETE=rest.delete_version_tag)),
]

_tracking = [
    path("experiments/create", rpc(POST=experiments.create)),
    path("experiments/update", rpc(POST=experiments.update)),
    path("experiments/delete", rpc(POST=experiments.delete)),
    path("experiments/restore", rpc(POST=experiments.restore)),
    path("artifacts/list", viewer.run_listing),
    path("get-artifact", viewer.run_file),
    path("logged-models/<model_id>/artifacts/directories", viewer.logged_model_listing),
    path("logged-models/<model_id>/artifacts/files", viewer.logged_model_file),
    *(path(name, tracking.route(name)) for name in tracking.ROUTES),
]

_artifacts = [
    path("artifacts", files.list_files),
    path("artifacts/<path:path>", files.one_file),
    re_path(r"^mpu/(?:create|complete|abort)/(?P<path>.+)$", files.no_multipart),
]

_prefixed: list[URLPattern | URLResolver] = [
    path("2.0/mlflow/", include([*_registry, *_tracking])),
    path("2.0/mlflow-artifacts/", include(_artifacts)),
    path("3.0/mlflow/server-info", tracking.server_info),
]

# Unity Catalog's own API, as far as it is about grants and owners. The names in these
# paths may hold slashes: those of experiments do.
_UC = "api/2.1/unity-catalog"
_unity_catalog = [
    path(
        f"{_UC}/permissions/<str:securable_type>/<path:full_name>",
        rpc(GET=grants.list_permissions, PATCH=grants.change_permissions),
    ),
    path(
        f"{_UC}/effective-permissions/<str:securable_type>/<path:full_name>",
        rpc(GET=grants.list_effective_permissions),
    ),
    *(
        path(
            f"{_UC}/{kind}s/<str:full_name>",
            rpc(PATCH=grants.change_owner),
            {"securable_type": kind},
        )
        for kind in ("catalog", "schema", "model")
    ),
]

# MLflow's page calls relative to itself, so its session reaches these and no other.
_ui: list[URLPattern | URLResolver] = [
    path("", ui.page, name="mlflow-ui"),
    path("static-files/<path:path>", ui.static_file),
    path("ajax-api/", include(_prefixed)),
    *(path(f"ajax-api/{name}", ui.chatter) for name in ui.CHATTER),
    path("get-artifact", viewer.run_file),
    path("model-versions/get-artifact", viewer.version_file),
    path("graphql", graph.graphql),
    re_path(r"", denied),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("mlflow", RedirectView.as_view(url="/mlflow/")),
    path("mlflow/", include(_ui)),
    path("api/", include(_prefixed)),
    path("ajax-api/", include(_prefixed)),
    *_unity_catalog,
    re_path(
        r"^(?:api/\d[^/]*|ajax-api|graphql|gateway|get-artifact|model-versions"
        r"|jobs|v1|static-files|build|signup|version)(?:/|$)",
        denied,
    ),
]
