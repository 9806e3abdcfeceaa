"""Fill a PostgreSQL database with a registry as a large company would have it.

    python -m bench.seed URL MODELS [GROWTH]

The rows are those that Greenlight's services and MLflow's store would leave, but
made in bulk by PostgreSQL itself: 100,000 models in seconds instead of hours. It
prints a token for each of the principals that are measured.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

import psycopg

ALIAS = "Champion"
# What each measured principal sees: every model by grants to a group on all schemas;
# ten models, by grants on them, to itself or to a group in its group; one catalog;
# one schema; everything.
READER, FEW, FEW_BY_GROUP, OF_CATALOG, OF_SCHEMA, ADMIN = PRINCIPALS = (
    "reader",
    "few",
    "few-by-group",
    "of-catalog",
    "of-schema",
    "admin",
)
_GROUPS_OF = {READER: ["readers"], FEW_BY_GROUP: ["finders", "seekers"]}


@dataclass(frozen=True)
class Size:
    """How many rows of each kind; `schemas` counts per catalog."""

    models: int = 100_000
    versions: int = 3
    catalogs: int = 20
    schemas: int = 50
    users: int = 500
    groups: int = 50
    growth: int = 1  # multiplies the grants per object

    def name_of(self, model: int) -> str:
        """Return the full name of a model by its index from 0."""
        schema = model // self.catalogs % self.schemas
        return f"catalog{model % self.catalogs}.schema{schema}.model{model}"

    def few(self) -> list[str]:
        """Return the names of the ten models that are granted one by one."""
        return [self.name_of(k * (self.models // 10) + k * 7) for k in range(10)]


def grown(models: int, growth: int) -> Size:
    """Return a size with that many times the users, groups and grants."""
    return Size(models, users=500 * growth, groups=50 * growth, growth=growth)


def seed(url: str, size: Size) -> dict[str, str]:
    """Migrate the database at `url`, fill it if it is empty; return tokens by name.

    Only once per process: Django keeps the first database that it was set up with.
    """
    os.environ["GREENLIGHT_DATABASE_URL"] = url
    os.environ["DJANGO_SETTINGS_MODULE"] = "greenlight.settings"
    import django

    django.setup()
    from django.core.management import call_command

    from access.models import User

    call_command("migrate", interactive=False, verbosity=0)
    if not User.objects.exists():
        _make_principals()
        _fill(url, size)
    return _tokens()


def _fill(url: str, size: Size) -> None:
    with psycopg.connect(url) as connection:
        # checks no foreign keys: half the time, and the statements keep them
        connection.execute("SET session_replication_role = replica")
        for statement in _STATEMENTS:
            connection.execute(statement, asdict(size))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _make_principals() -> None:
    """Make those who are measured, through Greenlight's own services."""
    from access import services as access
    from access.models import User

    admin = User.objects.create_superuser(ADMIN, password=None)
    for name in set(PRINCIPALS) - {ADMIN}:
        member = access.create_user(name, principal=admin)
        for group_name in _GROUPS_OF.get(name, []):
            group = access.create_group(group_name, principal=admin)
            access.add_member(group, member, principal=admin)
            member = group


def _tokens() -> dict[str, str]:
    from access import services as access
    from access.models import User

    admin = User.objects.get(username=ADMIN)
    return {
        name: access.issue_token(
            User.objects.get(username=name), "bench", principal=admin
        )
        for name in PRINCIPALS
    }


def _grants(kind: str, rows: str) -> str:
    """Return the INSERT of grants; `rows` yields (object id, holder id, codename)."""
    table = "model" if kind == "registeredmodel" else kind
    return f"""
        INSERT INTO registry_{table}grant
            (content_object_id, user_id, permission_id, granted_by_id, granted_at)
        SELECT r.object, r.holder, p.id,
            (SELECT id FROM access_user WHERE username = 'admin'), now()
        FROM ({rows}) r
        JOIN django_content_type t ON t.app_label = 'registry' AND t.model = '{kind}'
        JOIN auth_permission p ON p.content_type_id = t.id AND p.codename = r.codename
        ON CONFLICT DO NOTHING
    """


_PEOPLE = """
    INSERT INTO access_user (id, username, password, email, kind, is_active, is_staff,
        is_superuser, is_auditor, date_joined)
    SELECT gen_random_uuid(), 'user' || n, '!', '', 'user', true, false, false, false,
        now()
    FROM generate_series(0, %(users)s - 1) n
"""
_TOKENS = """
    INSERT INTO access_accesstoken
        (id, principal_id, name, digest, hint, scopes, created_at, expires_at)
    SELECT gen_random_uuid(), id, 'laptop', md5(username) || md5('token' || username),
        'gl_', '["all"]', now(), now() + interval '90 days'
    FROM access_user WHERE kind = 'user'
"""
_GROUPS = """
    INSERT INTO access_user (id, username, password, email, kind, is_active, is_staff,
        is_superuser, is_auditor, date_joined)
    SELECT gen_random_uuid(), 'team' || n, '!', '', 'group', true, false, false, false,
        now()
    FROM generate_series(0, %(groups)s - 1) n
"""
# Everyone, the reader too, is in three teams besides.
_MEMBERS = """
    INSERT INTO access_membership (member_id, group_id, added_by_id, added_at)
    SELECT u.id, g.id, (SELECT id FROM access_user WHERE username = 'admin'), now()
    FROM (SELECT id, row_number() OVER (ORDER BY username) AS n FROM access_user
        WHERE username LIKE 'user%%' OR username = 'reader') u
    CROSS JOIN generate_series(0, 2) k
    JOIN access_user g ON g.username = 'team' || ((u.n * 7 + k * 11) %% %(groups)s)
    ON CONFLICT DO NOTHING
"""
_CATALOGS = """
    INSERT INTO registry_catalog (id, name, comment, owner_id, delegated_versions,
        created_at, updated_at)
    SELECT gen_random_uuid(), 'catalog' || c, '', u.id, false, now(), now()
    FROM generate_series(0, %(catalogs)s - 1) c
    JOIN access_user u ON u.username = 'user' || (c %% %(users)s)
"""
_SCHEMAS = """
    INSERT INTO registry_schema
        (id, name, comment, owner_id, catalog_id, created_at, updated_at)
    SELECT gen_random_uuid(), 'schema' || s, '', u.id, c.id, now(), now()
    FROM registry_catalog c CROSS JOIN generate_series(0, %(schemas)s - 1) s
    JOIN access_user u ON u.username = 'user' || (s %% %(users)s)
"""
_MODELS = """
    INSERT INTO registry_registeredmodel (id, name, full_name, comment, owner_id,
        schema_id, is_prompt, numbers_after, created_at, updated_at)
    SELECT gen_random_uuid(), 'model' || i, c.name || '.' || s.name || '.model' || i,
        '', u.id, s.id, false, 0, now(), now()
    FROM generate_series(0, %(models)s - 1) i
    JOIN registry_catalog c ON c.name = 'catalog' || (i %% %(catalogs)s)
    JOIN registry_schema s ON s.catalog_id = c.id
        AND s.name = 'schema' || (i / %(catalogs)s %% %(schemas)s)
    JOIN access_user u ON u.username = 'user' || (i %% %(users)s)
"""
_VERSIONS = """
    INSERT INTO registry_modelversion (id, model_id, number, status, status_message,
        source, source_directory, mlflow_run_id, logged_model_id, digest, manifest,
        size_bytes, lineage, request_digest, created_by_id, created_at, ready_at)
    SELECT gen_random_uuid(), m.id, v, 'ready', '',
        'runs:/' || md5(m.full_name || v) || '/model', '', md5(m.full_name || v),
        'm-' || md5(v || m.full_name), md5(m.full_name) || md5(v || m.full_name),
        '[{"path": "MLmodel", "size": 400, "sha256": ""}]', 400, '{}',
        '', m.owner_id, now(), now()
    FROM registry_registeredmodel m CROSS JOIN generate_series(1, %(versions)s) v
"""
_ALIASES = """
    INSERT INTO registry_alias
        (id, model_id, name, version_id, generation, set_by_id, set_at)
    SELECT gen_random_uuid(), m.id, a.name, v.id, 1, m.owner_id, now()
    FROM registry_registeredmodel m
    CROSS JOIN (VALUES ('Champion', 1), ('Challenger', 2)) a (name, number)
    JOIN registry_modelversion v ON v.model_id = m.id AND v.number = a.number
"""
# Some millisecond of the last eight months, the same for a name in every seed.
_TIME = """(extract(epoch FROM now()) * 1000)::bigint
    - 10 * (hashtext({}) & 2147483647)::bigint"""
_OF_MODEL = _TIME.format("full_name")
_OF_VERSION = _TIME.format("m.full_name || v.number")
_MLFLOW_MODELS = f"""
    INSERT INTO registered_models (name, creation_time, last_updated_time, description)
    SELECT full_name, {_OF_MODEL}, {_OF_MODEL}, '' FROM registry_registeredmodel
"""
_MLFLOW_VERSIONS = f"""
    INSERT INTO model_versions (name, version, creation_time, last_updated_time,
        description, user_id, current_stage, source, run_id, status, run_link,
        storage_location)
    SELECT m.full_name, v.number, {_OF_VERSION}, {_OF_VERSION}, '', u.username, 'None',
        v.source,
        v.mlflow_run_id, 'READY', '', 's3://models/' || m.full_name || '/' || v.number
    FROM registry_modelversion v
    JOIN registry_registeredmodel m ON m.id = v.model_id
    JOIN access_user u ON u.id = m.owner_id
"""
_MLFLOW_TAGS = """
    INSERT INTO model_version_tags (name, version, key, value)
    SELECT name, version, 'flavour', 'sklearn' FROM model_versions
"""
_MLFLOW_ALIASES = """
    INSERT INTO registered_model_aliases (name, alias, version)
    SELECT m.full_name, a.name, v.number FROM registry_alias a
    JOIN registry_registeredmodel m ON m.id = a.model_id
    JOIN registry_modelversion v ON v.id = a.version_id
"""
_CATALOG_GROUPS = """
    SELECT c.id AS object, g.id AS holder, 'use_catalog' AS codename
    FROM registry_catalog c JOIN access_user g ON g.kind = 'group'
"""
_CATALOG_USERS = """
    SELECT c.id AS object, u.id AS holder, 'browse' AS codename
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM registry_catalog) c
    CROSS JOIN generate_series(1, 10 * %(growth)s) k
    JOIN access_user u ON u.username = 'user' || ((c.n * 17 + k) %% %(users)s)
"""
# The readers hold what the measured token needs; two teams work in each schema.
_SCHEMA_GROUPS = """
    SELECT s.id AS object, g.id AS holder, x.codename
    FROM (SELECT id, row_number() OVER (ORDER BY name, id) AS n FROM registry_schema) s
    CROSS JOIN generate_series(0, 2 * %(growth)s - 1) k
    JOIN access_user g
        ON g.username IN ('readers', 'team' || ((s.n + 17 * k) %% %(groups)s))
    CROSS JOIN (VALUES ('use_schema'), ('execute')) x (codename)
"""
_SCHEMA_USERS = """
    SELECT s.id AS object, u.id AS holder, x.codename
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM registry_schema) s
    CROSS JOIN generate_series(0, %(growth)s - 1) k
    JOIN access_user u ON u.username = 'user' || ((s.n * 3 + k * 31) %% %(users)s)
    CROSS JOIN (VALUES ('use_schema'), ('create_model')) x (codename)
"""
_MODELS_IN_ORDER = """
    (SELECT id, row_number() OVER (ORDER BY id) AS n FROM registry_registeredmodel) m
    CROSS JOIN generate_series(0, %(growth)s - 1) k
"""
_MODEL_USERS = f"""
    SELECT m.id AS object, u.id AS holder, 'execute' AS codename FROM {_MODELS_IN_ORDER}
    JOIN access_user u ON u.username = 'user' || ((m.n * 13 + k * 29) %% %(users)s)
    WHERE m.n %% 10 = 0
"""
_MODEL_GROUPS = f"""
    SELECT m.id AS object, g.id AS holder, 'execute' AS codename FROM {_MODELS_IN_ORDER}
    JOIN access_user g ON g.username = 'team' || ((m.n * 7 + k * 13) %% %(groups)s)
    WHERE m.n %% 20 = 0
"""
# Ten models, spread over the catalogs and schemas; see `Size.few`.
_FEW = f"""
    SELECT m.id, m.schema_id, s.catalog_id, u.id AS holder
    FROM generate_series(0, 9) k
    JOIN registry_registeredmodel m ON m.name = 'model' || (k * (%(models)s / 10) + k * 7)
    JOIN registry_schema s ON s.id = m.schema_id
    JOIN access_user u ON u.username IN ('{FEW}', 'seekers')
"""
_FEW_MODELS = f"SELECT id AS object, holder, 'execute' AS codename FROM ({_FEW}) f"
_FEW_SCHEMAS = f"""
    SELECT DISTINCT schema_id AS object, holder, 'use_schema' AS codename FROM ({_FEW}) f
"""
_FEW_CATALOGS = f"""
    SELECT DISTINCT catalog_id AS object, holder, 'use_catalog' AS codename
    FROM ({_FEW}) f
"""
_ONE_CATALOG = f"""
    SELECT c.id AS object, u.id AS holder, x.codename FROM registry_catalog c
    JOIN access_user u ON u.username IN ('{OF_CATALOG}', '{OF_SCHEMA}')
    JOIN (VALUES ('use_catalog', true), ('use_schema', false), ('execute', false))
        x (codename, for_schema) ON x.for_schema OR u.username = '{OF_CATALOG}'
    WHERE c.name = 'catalog3'
"""
_ONE_SCHEMA = f"""
    SELECT s.id AS object, u.id AS holder, x.codename FROM registry_schema s
    JOIN registry_catalog c ON c.id = s.catalog_id AND c.name = 'catalog3'
    JOIN access_user u ON u.username = '{OF_SCHEMA}'
    CROSS JOIN (VALUES ('use_schema'), ('execute')) x (codename)
    WHERE s.name = 'schema5'
"""
_STATEMENTS = [
    _PEOPLE,
    _TOKENS,
    _GROUPS,
    _MEMBERS,
    _CATALOGS,
    _SCHEMAS,
    _MODELS,
    _VERSIONS,
    _ALIASES,
    _MLFLOW_MODELS,
    _MLFLOW_VERSIONS,
    _MLFLOW_TAGS,
    _MLFLOW_ALIASES,
    _grants("catalog", _CATALOG_GROUPS),
    _grants("catalog", _CATALOG_USERS),
    _grants("schema", _SCHEMA_GROUPS),
    _grants("schema", _SCHEMA_USERS),
    _grants("registeredmodel", _MODEL_GROUPS),
    _grants("registeredmodel", _MODEL_USERS),
    _grants("catalog", _FEW_CATALOGS),
    _grants("schema", _FEW_SCHEMAS),
    _grants("registeredmodel", _FEW_MODELS),
    _grants("catalog", _ONE_CATALOG),
    _grants("schema", _ONE_SCHEMA),
]


def main() -> None:
    """Seed one database; every size needs a process of its own."""
    url, models, growth = sys.argv[1], int(sys.argv[2]), int((*sys.argv, 1)[3])
    print(json.dumps(seed(url, grown(models, growth))))


if __name__ == "__main__":
    main()
