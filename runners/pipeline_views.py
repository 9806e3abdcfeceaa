"""REST of pipelines."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from access.authz import is_browse_only, require_details
from access.permission_json import needed_json
from core.openapi import operation
from runners import services
from runners.paging import page_by_name
from runners.serializers import (
    PageQuerySerializer,
    PipelineSerializer,
    browsed_pipeline_json,
    pipeline_json,
    pipelines_json,
)
from runners.shapes import PipelineJson, PipelinesJson, PreflightJson


class PipelineList(APIView):
    """List the pipelines one may see or run; create one."""

    @operation(
        "List the pipelines that you may see or run.",
        query=PageQuerySerializer,
        answer=PipelinesJson,
    )
    def get(self, request: Request) -> Response:
        rows = services.visible_pipelines(caller(request))
        page, token = page_by_name(rows, request.query_params, "pipelines")
        found = pipelines_json(page, caller(request))
        return Response({"pipelines": found, "next_page_token": token})

    @operation(
        "Create a pipeline.", body=PipelineSerializer, answer=PipelineJson, status=201
    )
    def post(self, request: Request) -> Response:
        data = PipelineSerializer.read(request.data)
        package = services.get_package(data["package"], principal=caller(request))
        pipeline = services.create_pipeline(
            data["name"],
            package,
            data["target_model"],
            request_alias=data["request_alias"],
            dataset=data["dataset"],
            parameters=data["parameters"],
            timeout_seconds=data["timeout_seconds"],
            comment=data["comment"],
            principal=caller(request),
        )
        return Response(pipeline_json(pipeline), status=201)


class PipelineDetail(APIView):
    """One pipeline."""

    @operation("Show a pipeline.", answer=PipelineJson)
    def get(self, request: Request, full_name: str) -> Response:
        pipeline = services.get_pipeline(full_name, principal=caller(request))
        if is_browse_only(caller(request), pipeline):
            return Response(browsed_pipeline_json(pipeline))
        return Response(pipeline_json(pipeline))


class PipelinePreflight(APIView):
    """What a run of a pipeline needs."""

    @operation(
        "List what a run needs of its run-as principal, met or not.",
        answer=PreflightJson,
    )
    def get(self, request: Request, full_name: str) -> Response:
        """By what a need is met is left out; `permissions/explain` tells it."""
        pipeline = services.get_pipeline(full_name, principal=caller(request))
        require_details(caller(request), pipeline)
        needs = services.preflight(pipeline)
        return Response(
            {
                "run_as": pipeline.run_as.username,
                "is_ready": all(need.met for need in needs),
                "requirements": [needed_json(need) for need in needs],
            }
        )
