"""REST of packages, datasets, pipelines and runs."""

from __future__ import annotations

from typing import IO
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.http import FileResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from access.authz import is_browse_only, require, require_details
from access.privileges import Privilege
from core.errors import InvalidParameter, unseen
from core.openapi import FILE, operation
from runners import datasets, services
from runners.models import Dataset
from runners.paging import page_by_name, page_of_runs
from runners.serializers import (
    CreateSerializer,
    FolderQuerySerializer,
    LogQuerySerializer,
    PageQuerySerializer,
    RunSerializer,
    dataset_json,
    datasets_json,
    log_json,
    output_json,
    package_json,
    package_version_json,
    run_details_json,
    run_json,
    snapshot_json,
)
from runners.shapes import (
    ONE_FILE,
    PARTS,
    ArtifactsJson,
    DatasetJson,
    DatasetsJson,
    LogJson,
    PackageJson,
    PackagesJson,
    PackageVersionJson,
    PackageVersionsJson,
    ResultsJson,
    RunDetailsJson,
    RunJson,
    RunsJson,
    SnapshotDetailJson,
    SnapshotJson,
    SnapshotsJson,
)


class DatasetList(APIView):
    """List the datasets one may see; create one."""

    @operation(
        "List the datasets that you see.",
        query=PageQuerySerializer,
        answer=DatasetsJson,
    )
    def get(self, request: Request) -> Response:
        rows = services.visible_datasets(caller(request))
        page, token = page_by_name(rows, request.query_params, "datasets")
        found = datasets_json(page, caller(request))
        return Response({"datasets": found, "next_page_token": token})

    @operation(
        "Create a dataset.", body=CreateSerializer, answer=DatasetJson, status=201
    )
    def post(self, request: Request) -> Response:
        data = CreateSerializer.read(request.data)
        dataset = services.create_dataset(
            data["name"], comment=data["comment"], principal=caller(request)
        )
        return Response(dataset_json(dataset), status=201)


def _visible_dataset(request: Request, full_name: str) -> Dataset:
    rows = services.visible_datasets(caller(request))
    found = rows.filter(full_name=full_name).first()
    if found is None:
        raise unseen("dataset", full_name)
    return found


class DatasetDetail(APIView):
    """One dataset."""

    @operation("Show a dataset.", answer=DatasetJson)
    def get(self, request: Request, full_name: str) -> Response:
        dataset = _visible_dataset(request, full_name)
        browse_only = is_browse_only(caller(request), dataset)
        return Response(dataset_json(dataset, browse_only=browse_only))


class SnapshotList(APIView):
    """List the snapshots of a dataset; upload one.

    An upload is multipart/form-data: the *field name* of each part is the path
    of the file in the snapshot.
    """

    @operation("List the snapshots of a dataset.", answer=SnapshotsJson)
    def get(self, request: Request, full_name: str) -> Response:
        dataset = _visible_dataset(request, full_name)
        require_details(caller(request), dataset)
        rows = dataset.snapshots.select_related("dataset", "created_by")
        return Response({"snapshots": [snapshot_json(row) for row in rows[:200]]})

    @operation(
        "Upload a snapshot: the name of each part is the path of its file.",
        body=PARTS,
        answer=SnapshotJson,
        status=201,
    )
    def post(self, request: Request, full_name: str) -> Response:
        dataset = services.get_dataset(full_name)
        require(caller(request), Privilege.WRITE_DATASET, dataset)
        files: list[tuple[str, IO[bytes]]] = [
            (path, file)
            for path in request.FILES
            for file in request.FILES.getlist(path)
        ]
        snapshot = services.create_snapshot(dataset, files, principal=caller(request))
        return Response(snapshot_json(snapshot), status=201)


class SnapshotDetail(APIView):
    """The manifest of a snapshot, or of a folder of it; needs READ DATASET."""

    @operation(
        "Show a snapshot with its files, or those of a folder.",
        query=FolderQuerySerializer,
        answer=SnapshotDetailJson,
    )
    def get(self, request: Request, full_name: str, digest: str) -> Response:
        folder = FolderQuerySerializer.read(request.query_params)["folder"]
        dataset = services.get_dataset(full_name)
        require(caller(request), Privilege.READ_DATASET, dataset)
        snapshot = services.get_snapshot(dataset, digest)
        manifest = datasets.entries_in(snapshot, folder)
        return Response({**snapshot_json(snapshot), "manifest": manifest})


class PackageList(APIView):
    """List the packages one may read; create one."""

    @operation(
        "List the packages that you may read.",
        query=PageQuerySerializer,
        answer=PackagesJson,
    )
    def get(self, request: Request) -> Response:
        rows = services.visible_packages(caller(request))
        page, token = page_by_name(rows, request.query_params, "packages")
        found = [package_json(package) for package in page]
        return Response({"packages": found, "next_page_token": token})

    @operation(
        "Create a package.", body=CreateSerializer, answer=PackageJson, status=201
    )
    def post(self, request: Request) -> Response:
        data = CreateSerializer.read(request.data)
        package = services.create_package(
            data["name"], comment=data["comment"], principal=caller(request)
        )
        return Response(package_json(package), status=201)


class PackageDetail(APIView):
    """One package."""

    @operation("Show a package.", answer=PackageJson)
    def get(self, request: Request, full_name: str) -> Response:
        package = services.get_package(full_name, principal=caller(request))
        return Response(package_json(package))


class PackageVersionList(APIView):
    """List the versions of a package; upload one, as the part `file` of a form."""

    @operation("List the versions of a package.", answer=PackageVersionsJson)
    def get(self, request: Request, full_name: str) -> Response:
        package = services.get_package(full_name, principal=caller(request))
        rows = package.versions.select_related(
            "package", "created_by", "parent_version"
        )
        return Response({"versions": [package_version_json(row) for row in rows[:200]]})

    @operation(
        "Upload a package as the part `file` of a form; it is a new major version.",
        body=ONE_FILE,
        answer=PackageVersionJson,
        status=201,
    )
    def post(self, request: Request, full_name: str) -> Response:
        package = services.get_package(full_name, principal=caller(request))
        file = request.FILES.get("file")
        if not isinstance(file, UploadedFile):
            raise InvalidParameter("Send the package as the part 'file' of a form.")
        version = services.upload_package(package, file, principal=caller(request))
        return Response(package_version_json(version), status=201)


class PackageVersionDetail(APIView):
    """One version of a package."""

    @operation("Show a version of a package.", answer=PackageVersionJson)
    def get(self, request: Request, full_name: str, number: str) -> Response:
        package = services.get_package(full_name, principal=caller(request))
        version = services.get_package_version(package, number)
        return Response(package_version_json(version))


class PackageZip(APIView):
    """The bytes of a version of a package."""

    @operation("Download a version of a package.", answer=FILE)
    def get(self, request: Request, full_name: str, number: str) -> FileResponse:
        package = services.get_package(full_name, principal=caller(request))
        version = services.get_package_version(package, number)
        name = f"{package.name}-{version.number}.zip"
        return _download(services.open_package(version), name)


class RunList(APIView):
    """List the runs of a pipeline, newest first; start one, and return at once."""

    @operation(
        "List the runs of a pipeline, newest first.",
        query=PageQuerySerializer,
        answer=RunsJson,
    )
    def get(self, request: Request, full_name: str) -> Response:
        pipeline = services.get_pipeline(full_name, principal=caller(request))
        require_details(caller(request), pipeline)
        rows = services.visible_runs(caller(request)).filter(pipeline=pipeline)
        page, token = page_of_runs(rows, request.query_params)
        found = [run_json(run) for run in page]
        return Response({"runs": found, "next_page_token": token})

    @operation(
        "Start a run, and return at once.",
        body=RunSerializer,
        answer=RunJson,
        status=201,
    )
    def post(self, request: Request, full_name: str) -> Response:
        data = RunSerializer.read(request.data)
        pipeline = services.get_pipeline(full_name, principal=caller(request))
        run = services.start_run(
            pipeline,
            version=data["version"],
            dataset=data["dataset"],
            snapshot=data["snapshot"],
            parameters=data["parameters"],
            gpu=data["gpu"],
            timeout_seconds=data["timeout_seconds"],
            idempotency_key=request.headers.get("Idempotency-Key", "")[:128],
            principal=caller(request),
        )
        return Response(run_json(run), status=201)


class RunDetail(APIView):
    """One run, with its attempts and what it produced."""

    @operation(
        "Show a run with its attempts and what it produced.", answer=RunDetailsJson
    )
    def get(self, request: Request, run_id: UUID) -> Response:
        run = services.get_run(run_id, principal=caller(request))
        return Response(run_details_json(run))


class RunLog(APIView):
    """The log of a run from a byte on: ask again from `next_offset`."""

    @operation(
        "Read the log of a run from a byte on.",
        query=LogQuerySerializer,
        answer=LogJson,
    )
    def get(self, request: Request, run_id: UUID) -> Response:
        asked = LogQuerySerializer.read(request.query_params)
        run = services.get_run(run_id, principal=caller(request))
        part = services.read_log(
            run,
            offset=asked["offset"],
            attempt=asked["attempt"],
            principal=caller(request),
        )
        return Response(log_json(part))


class RunResults(APIView):
    """`_results.json` of a run that has ended."""

    @operation("Read `_results.json` of a run that has ended.", answer=ResultsJson)
    def get(self, request: Request, run_id: UUID) -> Response:
        run = services.get_run(run_id, principal=caller(request))
        return Response(services.read_results(run, principal=caller(request)))


class RunArtifactList(APIView):
    """The files that the training code left in its artifacts directory."""

    @operation("List the files that the training code left.", answer=ArtifactsJson)
    def get(self, request: Request, run_id: UUID) -> Response:
        run = services.get_run(run_id, principal=caller(request))
        return Response({"artifacts": [output_json(o) for o in run.outputs.all()]})


class RunArtifact(APIView):
    """The bytes of one artifact of a run."""

    @operation("Download a file that the training code left.", answer=FILE)
    def get(self, request: Request, run_id: UUID, path: str) -> FileResponse:
        run = services.get_run(run_id, principal=caller(request))
        content = services.open_output(run, path, principal=caller(request))
        return _download(content, path.rpartition("/")[2])


class RunCancel(APIView):
    """Ask for the end of a run."""

    @operation("Ask for the end of a run.", answer=RunJson, status=202)
    def post(self, request: Request, run_id: UUID) -> Response:
        run = services.get_run(run_id, principal=caller(request))
        run = services.cancel_run(run, principal=caller(request))
        return Response(run_json(run), status=202)


def _download(content: IO[bytes], name: str) -> FileResponse:
    """Answer bytes that somebody wrote: always a file to save, never a page."""
    return FileResponse(
        content,
        as_attachment=True,
        filename=name,
        content_type="application/octet-stream",
    )
