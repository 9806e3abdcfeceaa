"""REST of models and versions."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from access.authz import require_details, require_visible
from access.ways import require_able
from core.http import read_page_token, sign_page_token
from core.openapi import operation
from registry import services, texts
from registry.lineage import lineage_of
from registry.listing import list_models
from registry.models import ModelVersion, RegisteredModel
from registry.paging import page_of
from registry.serializers import (
    CommentSerializer,
    ConsumersQuerySerializer,
    ModelsQuerySerializer,
    NewModelSerializer,
    NewVersionSerializer,
    PageSerializer,
    RenameSerializer,
    TagSerializer,
    consumer_json,
    lineage_json,
    model_detail_json,
    model_json,
    model_row_json,
    version_detail_json,
    versions_json,
)
from registry.shapes import (
    ConsumersJson,
    LineageJson,
    ModelDetailJson,
    ModelJson,
    ModelsJson,
    TagsJson,
    VersionDetailJson,
    VersionsJson,
)


class ModelList(APIView):
    """The registered models."""

    @operation(
        "List the models that you see, by full name.",
        query=ModelsQuerySerializer,
        answer=ModelsJson,
    )
    def get(self, request: Request) -> Response:
        asked = ModelsQuerySerializer.read(request.query_params)
        token, size = asked["page_token"], asked["max_results"]
        [after] = read_page_token(token, purpose="models") if token else [""]
        found = list_models(
            caller(request), within=asked["within"], after=after, limit=size + 1
        )
        answer: ModelsJson = {"models": [model_row_json(row) for row in found[:size]]}
        if len(found) > size:
            last = found[size - 1].name
            answer["next_page_token"] = sign_page_token([last], purpose="models")
        return Response(answer)

    @operation(
        "Create a model, named catalog.schema.model.",
        body=NewModelSerializer,
        answer=ModelJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = NewModelSerializer.read(request.data)
        model = services.create_model(
            data["name"],
            description=data["comment"],
            tags=data["tags"],
            principal=caller(request),
        )
        return Response(model_json(model), status=201)


class ModelDetail(APIView):
    """One model."""

    @operation("Show a model with its versions and aliases.", answer=ModelDetailJson)
    def get(self, request: Request, full_name: str) -> Response:
        """To who only browses, `browse_only` is true and nothing of versions shown."""
        model = _model(full_name, request)
        return Response(model_detail_json(model, caller(request)))

    @operation(
        "Change the comment of a model.", body=CommentSerializer, answer=ModelJson
    )
    def patch(self, request: Request, full_name: str) -> Response:
        comment = CommentSerializer.read(request.data)["comment"]
        model = _model(full_name, request)
        services.update_model(model, comment, principal=caller(request))
        return Response(model_json(model))

    @operation("Delete a model that has no alias and no endpoint.", status=204)
    def delete(self, request: Request, full_name: str) -> Response:
        services.delete_model(_model(full_name, request), principal=caller(request))
        return Response(status=204)


class ModelRename(APIView):
    """Another name for a model."""

    @operation("Rename a model.", body=RenameSerializer, answer=ModelJson)
    def post(self, request: Request, full_name: str) -> Response:
        """Grants, policies, versions, aliases, tags and history stay with it."""
        new_name = RenameSerializer.read(request.data)["new_name"]
        model = services.rename_model(
            _model(full_name, request), new_name, principal=caller(request)
        )
        return Response(model_json(model))


class ModelTags(APIView):
    """The tags of a model."""

    @operation("List the tags of a model.", answer=TagsJson)
    def get(self, request: Request, full_name: str) -> Response:
        return Response({"tags": texts.tags_of_model(_model(full_name, request))})


class ModelTag(APIView):
    """One tag of a model."""

    @operation("Set a tag of a model.", body=TagSerializer, answer=TagsJson)
    def put(self, request: Request, full_name: str, key: str) -> Response:
        value = TagSerializer.read(request.data)["value"]
        model = _model_to_tag(full_name, request)
        services.set_model_tag(model, key, value, principal=caller(request))
        return Response({"tags": texts.tags_of_model(model)})

    @operation("Delete a tag of a model.", status=204)
    def delete(self, request: Request, full_name: str, key: str) -> Response:
        model = _model_to_tag(full_name, request)
        services.delete_model_tag(model, key, principal=caller(request))
        return Response(status=204)


class VersionList(APIView):
    """The versions of a model."""

    @operation(
        "List the versions of a model, the newest first.",
        query=PageSerializer,
        answer=VersionsJson,
    )
    def get(self, request: Request, full_name: str) -> Response:
        asked = PageSerializer.read(request.query_params)
        model = _model_in_detail(full_name, request)
        rows = services.versions_of(model)
        page, more = page_of(rows, asked, "-number", purpose=f"versions:{model.pk}")
        return Response({"versions": versions_json(model, page), **more})

    @operation(
        "Register a version from a source.",
        body=NewVersionSerializer,
        answer=VersionDetailJson,
        status=201,
    )
    def post(self, request: Request, full_name: str) -> Response:
        """Take the bytes of `models:/m-<id>`, `models:/<name>/<version>`,
        `models:/<name>@<alias>` or `runs:/<run>/<path>`.

        `status` says what came of it: `ready`, `pending` while bytes are still
        copied, or `failed` with the reason in `status_message`.
        """
        data = NewVersionSerializer.read(request.data)
        version = services.create_version(
            services.get_model(full_name),
            data["source"],
            run_id=data["run_id"],
            description=data["comment"],
            tags=data["tags"],
            principal=caller(request),
        )
        return Response(version_detail_json(version), status=201)


class VersionDetail(APIView):
    """One version."""

    @operation(
        "Show a version with its files, digest and signature.", answer=VersionDetailJson
    )
    def get(self, request: Request, full_name: str, number: int) -> Response:
        return Response(version_detail_json(_version(full_name, number, request)))

    @operation(
        "Change the comment of a version.",
        body=CommentSerializer,
        answer=VersionDetailJson,
    )
    def patch(self, request: Request, full_name: str, number: int) -> Response:
        comment = CommentSerializer.read(request.data)["comment"]
        version = _version(full_name, number, request)
        services.update_version(version, comment, principal=caller(request))
        return Response(version_detail_json(version))

    @operation("Delete a version that nothing points at or serves.", status=204)
    def delete(self, request: Request, full_name: str, number: int) -> Response:
        """Its number is never used again; asked for, it says `deleted`."""
        version = _version(full_name, number, request)
        services.delete_version(version, principal=caller(request))
        return Response(status=204)


class VersionTags(APIView):
    """The tags of a version."""

    @operation("List the tags of a version.", answer=TagsJson)
    def get(self, request: Request, full_name: str, number: int) -> Response:
        version = _version(full_name, number, request)
        return Response({"tags": texts.tags_of_version(version)})


class VersionTag(APIView):
    """One tag of a version."""

    @operation("Set a tag of a version.", body=TagSerializer, answer=TagsJson)
    def put(self, request: Request, full_name: str, number: int, key: str) -> Response:
        value = TagSerializer.read(request.data)["value"]
        version = _version_to_tag(full_name, number, request)
        services.set_version_tag(version, key, value, principal=caller(request))
        return Response({"tags": texts.tags_of_version(version)})

    @operation("Delete a tag of a version.", status=204)
    def delete(
        self, request: Request, full_name: str, number: int, key: str
    ) -> Response:
        version = _version_to_tag(full_name, number, request)
        services.delete_version_tag(version, key, principal=caller(request))
        return Response(status=204)


class VersionLineage(APIView):
    """The lineage of a version."""

    @operation("Show what led to a version, and what came of it.", answer=LineageJson)
    def get(self, request: Request, full_name: str, number: int) -> Response:
        version = _version(full_name, number, request)
        return Response(lineage_json(lineage_of(version, caller(request))))


class VersionConsumers(APIView):
    """Who loads a version."""

    @operation(
        "List who read the bytes of a version, the latest first.",
        query=ConsumersQuerySerializer,
        answer=ConsumersJson,
    )
    def get(self, request: Request, full_name: str, number: int) -> Response:
        since = ConsumersQuerySerializer.read(request.query_params)["since"]
        model = services.get_model(full_name)
        # before the version is looked for: auditors need not see the model
        require_able(caller(request), "read_audit", model)
        version = services.get_version(model, number)
        found = services.consumers_of(version, since=since, principal=caller(request))
        return Response({"consumers": [consumer_json(one) for one in found]})


def _model(full_name: str, request: Request) -> RegisteredModel:
    model = services.get_model(full_name)
    require_visible(caller(request), model)
    return model


def _model_in_detail(full_name: str, request: Request) -> RegisteredModel:
    model = services.get_model(full_name)
    require_details(caller(request), model)
    return model


def _version(full_name: str, number: int, request: Request) -> ModelVersion:
    return services.get_version(_model_in_detail(full_name, request), number)


def _model_to_tag(full_name: str, request: Request) -> RegisteredModel:
    """Return a model to whom may tag it, which does not need the right to see it."""
    model = services.get_model(full_name)
    if not services.may_tag(model, principal=caller(request)):
        require_visible(caller(request), model)
    return model


def _version_to_tag(full_name: str, number: int, request: Request) -> ModelVersion:
    model = services.get_model(full_name)
    if not services.may_tag(model, principal=caller(request)):
        require_details(caller(request), model)
    return services.get_version(model, number)
