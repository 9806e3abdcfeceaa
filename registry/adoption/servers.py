"""A registry behind an MLflow server, read with the stock client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY

from registry.adoption.origins import (
    OriginError,
    OriginModel,
    OriginVersion,
    model_of,
    version_of,
    without_credentials,
)

_PAGE = 1000
# The client leaves prompts out unless the filter speaks of them.
_PROMPTS = f"tag.`{IS_PROMPT_TAG_KEY}` = 'true'"
_KINDS = (f"tag.`{IS_PROMPT_TAG_KEY}` != 'true'", _PROMPTS)


class ServerOrigin:
    """An MLflow server. The client takes its credentials from the environment.

    Those are MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD.
    """

    is_server = True

    def __init__(self, url: str, artifacts: str = "") -> None:
        if urlsplit(url).username:
            raise OriginError(
                "Do not put a password into the URL; set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD."
            )
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        self.address = without_credentials(url.rstrip("/"))
        self.artifacts = artifacts or self.address
        self._client = MlflowClient(self.address, self.address)

    def models(self) -> Iterator[OriginModel]:
        """Yield the models in the order of their names, prompts after them."""
        try:
            for kind in _KINDS:
                for entity in self._pages(
                    self._client.search_registered_models, kind, ["name ASC"]
                ):
                    yield model_of(entity, self._versions(entity.name, kind), 0)
        except MlflowException as error:
            raise OriginError(f"{self.address}: {error.message}") from error

    def locate(self, version: OriginVersion) -> str:
        """Ask the server for the URI of a version's files."""
        try:
            return str(
                self._client.get_model_version_download_uri(
                    version.name, str(version.number)
                )
            )
        except MlflowException as error:
            raise OriginError(error.message) from error

    def _versions(self, name: str, kind: str) -> list[OriginVersion]:
        """Return the versions of a model; the server hides prompts as the client does."""
        mark = '"' if "'" in name else "'"
        search = self._client.search_model_versions
        text = f"name={mark}{name}{mark}"
        if kind == _PROMPTS:
            text = f"{text} AND {kind}"
        pages = self._pages(search, text, None)
        return [version_of(entity) for entity in pages]

    def _pages(self, search: Any, text: str, order: list[str] | None) -> Iterator[Any]:
        token = None
        while True:
            page = search(
                filter_string=text, max_results=_PAGE, order_by=order, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return
