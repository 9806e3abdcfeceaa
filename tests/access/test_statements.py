"""GRANT, REVOKE, SHOW GRANTS and ALTER … OWNER TO: what is read, and what it does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from access import services as access
from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from access.statements import Statement, Verb, parse_statements
from core.errors import DomainError, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry.models import RegisteredModel

P = Privilege
MODEL = "prod.fraud.scorer"


def test_all_that_can_be_said() -> None:
    text = """
    -- who scores
    grant Execute, APPLY TAG, use_schema on Schema prod.`fraud` to `a b``c`
      until '2027-01-31 10:00';
    REVOKE ALL PRIVILEGES ON CATALOG `prod` FROM alice@example.com;;
    SHOW GRANTS ON METASTORE; SHOW GRANTS `on` ON MODEL a.b.c;
    ALTER FUNCTION a.b.c SET OWNER TO bob
    """
    grant, revoke, all_of, one, alter = parse_statements(text)
    assert grant == Statement(
        Verb.GRANT,
        "line 3, column 5",
        "schema",
        "prod.fraud",
        "a b`c",
        ("EXECUTE", "APPLY TAG", "USE_SCHEMA"),
        dt.datetime(2027, 1, 31, 10, tzinfo=dt.UTC),
    )
    assert revoke.privileges == ("ALL PRIVILEGES",)
    assert (revoke.full_name, revoke.principal) == ("prod", "alice@example.com")
    assert (all_of.full_name, all_of.principal) == ("metastore", "")
    assert (one.full_name, one.principal) == ("a.b.c", "on")
    assert (alter.securable_type, alter.principal) == ("function", "bob")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no statement"),
        (" ; -- nothing", "no statement"),
        ("DROP MODEL a", "line 1, column 1: expected GRANT, REVOKE, SHOW or ALTER, found DROP"),
        ("GRANT ON MODEL a TO b", "line 1, column 7: expected a privilege, found ON"),
        ("GRANT EXECUTE, ON MODEL a TO b", "column 16: expected a privilege, found ON"),
        ("GRANT EXECUTE TO b", "line 1, column 15: expected ON, found TO"),
        ("GRANT EXECUTE\nON TABLE a TO b", "line 2, column 4: expected CATALOG"),
        ("GRANT EXECUTE ON MODEL TO b", "expected TO, found b"),
        ("GRANT EXECUTE ON MODEL a FROM b", "expected TO, found FROM"),
        ("GRANT EXECUTE ON MODEL a TO", "expected the name of a principal, found the end"),
        ("GRANT EXECUTE ON MODEL a TO 'b'", "expected the name of a principal, found 'b'"),
        ("GRANT EXECUTE ON MODEL a TO b c", "expected ;, found c"),
        ("GRANT EXECUTE ON MODEL a TO b UNTIL soon", "expected a timestamp"),
        ("GRANT EXECUTE ON MODEL a TO b UNTIL '2027-02-31'", "expected a timestamp"),
        ("GRANT EXECUTE ON MODEL `a TO b", "line 1, column 24: ` is not closed"),
        ("SHOW ME", "expected GRANTS or GRANT, found ME"),
        ("ALTER MODEL a RENAME TO b", "expected OWNER, found RENAME"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where_and_what_was_expected(
    text: str, said: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_statements(text)
    assert said in refused.value.message


def test_owner_grants_twice_revokes_and_passes_on(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    words = f"ON MODEL {MODEL}"
    text = f"""GRANT EXECUTE, APPROVE {words} TO grantee;
        GRANT EXECUTE {words} TO grantee;
        REVOKE APPROVE, APPLY TAG {words} FROM grantee;
        ALTER MODEL {MODEL} OWNER TO grantee"""
    outcomes = access.run_statements(text, principal=owner)
    assert [outcome.changes for outcome in outcomes] == [
        ("granted APPROVE", "granted EXECUTE"),
        (),
        ("revoked APPROVE",),
        ("owner owner → grantee",),
    ]
    assert is_allowed(grantee, P.OWN, model)
    assert access.run_statements(text.rpartition(";")[2], principal=grantee)


def test_a_grant_ends_when_it_says(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    grant = f"GRANT EXECUTE ON MODEL {MODEL} TO grantee UNTIL"
    (outcome,) = access.run_statements(f"{grant} '2099-01-01'", principal=owner)
    assert outcome.changes == ("granted EXECUTE until 2099-01-01T00:00:00+00:00",)
    with pytest.raises(InvalidParameter, match="UNTIL must lie in the future"):
        access.run_statements(f"{grant} 2001-01-01", principal=owner)


@pytest.mark.parametrize(
    ("last", "refusal"),
    [
        (f"GRANT SELECT ON MODEL {MODEL} TO grantee", InvalidParameter),
        (f"GRANT USE SCHEMA ON MODEL {MODEL} TO grantee", InvalidParameter),
        (f"GRANT EXECUTE ON MODEL {MODEL} TO nobody", NotFound),
        ("GRANT EXECUTE ON MODEL prod.fraud.nothing TO grantee", NotFound),
        ("GRANT EXECUTE ON SCHEMA prod.fraud TO owner", PermissionDenied),
        ("ALTER SCHEMA prod.fraud OWNER TO owner", PermissionDenied),
        ("REVOKE USE CATALOG ON CATALOG prod FROM admin", PermissionDenied),
        ("GRANT CREATE", InvalidParameter),
    ],
)
def test_one_refused_statement_changes_nothing(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    last: str,
    refusal: type[DomainError],
) -> None:
    first = f"GRANT EXECUTE ON MODEL {MODEL} TO grantee;\n"
    with pytest.raises(refusal, match=r"^line 2, column"):
        access.run_statements(first + last, principal=owner)
    assert access.list_grants(model, principal=owner) == []
    assert not Event.objects.filter(type="grant.added", subject_name=MODEL).exists()


def test_grantee_and_stranger_change_nothing(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    use(grantee, P.EXECUTE)
    texts = (
        f"GRANT APPROVE ON MODEL {MODEL} TO {{}}",
        f"REVOKE EXECUTE ON MODEL {MODEL} FROM owner",
        f"ALTER MODEL {MODEL} OWNER TO {{}}",
        f"SHOW GRANTS owner ON MODEL {MODEL}",
    )
    for who, refusal in ((grantee, PermissionDenied), (stranger, NotFound)):
        for text in texts:
            with pytest.raises(refusal):
                access.run_statements(text.format(who.username), principal=who)
    model.refresh_from_db()
    assert model.owner == owner
    assert access.list_grants(model, principal=owner) == []


def test_grants_are_shown_with_where_they_come_from(
    model: RegisteredModel,
    admin: User,
    owner: User,
    grantee: User,
    use: Callable[..., None],
) -> None:
    readers = access.create_group("readers", principal=admin)
    access.add_member(readers, grantee, principal=admin)
    use(readers)
    access.grant(model, P.EXECUTE, readers, principal=owner)
    show = f"SHOW GRANTS grantee ON MODEL {MODEL}"
    for who in (owner, grantee):
        (outcome,) = access.run_statements(show, principal=who)
        assert [
            (line.principal.username, line.privilege, line.securable.full_name)
            for line in outcome.grants
        ] == [
            ("readers", P.EXECUTE, MODEL),
            ("readers", P.USE_SCHEMA, "prod.fraud"),
            ("readers", P.USE_CATALOG, "prod"),
        ]
    (everything,) = access.run_statements(
        f"SHOW GRANTS ON MODEL {MODEL}", principal=owner
    )
    assert {line.principal.username for line in everything.grants} == {
        "owner",
        "readers",
    }
