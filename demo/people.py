"""Who takes part in the demo, and what each may do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from demo.api import Api
from demo.stack import Stack


@dataclass
class Cast:
    """Who takes part: an API client for each role."""

    admin: Api
    owner: Api
    approver: Api
    stranger: Api
    ci: Api
    shop: Api
    passwords: dict[str, str] = field(default_factory=dict)


def cast(stack: Stack) -> Cast:
    """Create the accounts, each with a token of its own."""
    first = stack.bootstrap("--namespace", "prod.oncology")
    admin = Api(stack.url, first["token"])
    passwords = {"admin": first["password"]}
    for name in ("owner", "approver", "stranger"):
        passwords[name] = secrets.token_urlsafe(12)
        admin.post("users", {"username": name, "password": passwords[name]})
    for name in ("ci", "shop"):
        admin.post("service-principals", {"username": name, "owner": "admin"})
    tokens = {
        name: admin.post("tokens", {"name": "demo", "principal": name})["token"]
        for name in ("owner", "approver", "stranger", "ci", "shop")
    }
    clients = {name: Api(stack.url, token) for name, token in tokens.items()}
    return Cast(admin=admin, passwords=passwords, **clients)


def grant_rights(people: Cast) -> None:
    """Give each role what it needs, and nothing more."""
    grant = people.admin.grant
    for name in ("owner", "approver", "ci"):
        grant("catalog", "prod", name, "USE CATALOG")
        grant("schema", "prod.oncology", name, "USE SCHEMA")
    grant(
        "schema",
        "prod.oncology",
        "owner",
        "CREATE MODEL",
        "CREATE PIPELINE",
        "CREATE DATASET",
        "CREATE ENDPOINT",
    )
    grant("schema", "prod.oncology", "approver", "APPROVE")
    grant("schema", "prod.oncology", "ci", "EXECUTE")
