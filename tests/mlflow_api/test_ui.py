"""MLflow's pages: for people with a session, and nothing of it elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from access.models import User
from tests.mlflow_api.conftest import Post

API = "/mlflow/ajax-api/2.0/mlflow"
OURS = "http://testserver"
EVIL = "http://evil.example"


@pytest.fixture
def signed_in(owner: User, client: Client) -> Client:
    client.force_login(owner)
    return client


@pytest.fixture
def page_file(post: Post, upload: Post) -> dict[str, str]:
    """An HTML file of a run of the owner's."""
    experiment = post("experiments/create", name="study")["experiment_id"]
    run = post("runs/create", experiment_id=experiment, start_time=1)["run"]["info"]
    upload(f"{experiment}/{run['run_id']}/artifacts/x.html", b"<script>1</script>")
    return {"run_id": run["run_id"], "path": "x.html"}


def create(client: Client, name: str, **headers: str) -> Any:
    body = {"name": name}
    return client.post(
        f"{API}/experiments/create", body, "application/json", headers=headers
    )


def test_page_sends_anonymous_to_sign_in(client: Client) -> None:
    answer = client.get("/mlflow/")
    assert (answer.status_code, answer.url) == (302, "/sign-in/?next=/mlflow/")
    assert client.get("/mlflow").url == "/mlflow/"


def test_page_and_all_that_it_loads_come_up(signed_in: Client) -> None:
    page = signed_in.get("/mlflow/")
    assert page.status_code == 200
    directives = page["Content-Security-Policy"].split("; ")
    assert "script-src 'self'" in directives
    files = re.findall(r'(?:src|href)="\.?/?(static-files/[^"]+)"', page.text)
    assert len(files) >= 4
    for file in files:
        answer = signed_in.get(f"/mlflow/{file}")
        assert answer.status_code == 200, file
        assert answer.getvalue()


@pytest.mark.parametrize(
    "path",
    ["../../__init__.py", "index.html", "lib/notebook-trace-renderer/index.html"],
)
def test_static_files_are_of_the_page_alone(signed_in: Client, path: str) -> None:
    assert signed_in.get(f"/mlflow/static-files/{path}").status_code == 404


def test_policy_of_other_pages_stays_strict(signed_in: Client) -> None:
    policy = signed_in.get("/").headers["Content-Security-Policy"]
    assert "unsafe" not in policy


def test_session_counts_below_mlflow_only(signed_in: Client) -> None:
    assert signed_in.get(f"{API}/experiments/search?max_results=5").status_code == 200
    for prefix in ("api", "ajax-api"):
        url = f"/{prefix}/2.0/mlflow/experiments/search?max_results=5"
        assert signed_in.get(url).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
        {"Origin": OURS, "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_other_sites_cannot_write_with_a_session(
    signed_in: Client, headers: dict[str, str]
) -> None:
    answer = create(signed_in, "forged", **headers)
    assert answer.status_code == 403
    assert answer.json()["error_code"] == "PERMISSION_DENIED"
    found = signed_in.get(f"{API}/experiments/search?max_results=5").json()
    assert found == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": OURS},
        {"Origin": OURS, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_own_page_writes_with_a_session(
    signed_in: Client, headers: dict[str, str]
) -> None:
    assert create(signed_in, "mine", **headers).status_code == 200


def test_session_that_ended_answers_401(client: Client, db: None) -> None:
    answer = client.get(f"{API}/experiments/search?max_results=5")
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "UNAUTHENTICATED"


def test_switched_off_person_is_out_at_once(signed_in: Client, owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert signed_in.get(f"{API}/experiments/search?max_results=5").status_code == 401


@pytest.mark.parametrize("name", ["get-artifact", "ajax-api/2.0/mlflow/get-artifact"])
def test_file_of_a_run_cannot_act_as_a_page_of_ours(
    signed_in: Client, page_file: dict[str, str], name: str
) -> None:
    answer = signed_in.get(f"/mlflow/{name}", page_file)
    assert answer.getvalue() == b"<script>1</script>"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["../x", "%2e%2e/x", "a//b", "", "/etc/passwd"])
def test_file_of_a_run_stays_inside_the_run(
    signed_in: Client, page_file: dict[str, str], path: str
) -> None:
    answer = signed_in.get("/mlflow/get-artifact", {**page_file, "path": path})
    assert answer.status_code in {400, 404}
