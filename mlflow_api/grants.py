"""Unity Catalog's own API of grants, effective privileges and owners.

Privileges are spelt with underscores on this wire, and read in either spelling. A
grant has no end here: whoever wants one uses REST or the command line.
"""

from __future__ import annotations

from typing import Any

from access import services as access
from access.models import User
from access.privileges import Privilege
from access.rights import Right, Rights, direct_rights, effective_rights, rights_of_some
from access.securables import Securable, find_securable
from access.ways import require_able
from core.errors import InvalidParameter
from core.http import read_page_token, sign_page_token
from mlflow_api.messages import Message, integer, text, texts
from registry.models import Metastore
from registry.services import get_metastore

_LARGEST_PAGE = 1000


def list_permissions(
    principal: User, message: Message, *, securable_type: str, full_name: str
) -> Message:
    """Answer the grants on a securable itself, by principal."""
    _refuse_others(message, "principal", "max_results", "page_token")
    securable = _find(securable_type, full_name)
    holder = text(message, "principal", "")
    found = direct_rights(securable, holder, principal=principal)
    return _page(found, message, f"{securable.pk}:direct:{holder}")


def change_permissions(
    principal: User, message: Message, *, securable_type: str, full_name: str
) -> Message:
    """Grant and revoke, all or nothing; answer what the principals named hold then."""
    _refuse_others(message, "changes")
    changes = _changes(message)
    securable = _find(securable_type, full_name)
    require_able(principal, "change_grants", securable)
    access.change_grants(securable, changes, principal=principal)
    names = {change["principal"] for change in changes}
    return _assignments(rights_of_some(securable, names))


def list_effective_permissions(
    principal: User, message: Message, *, securable_type: str, full_name: str
) -> Message:
    """Answer what counts on a securable, with the container that it comes from."""
    _refuse_others(message, "principal", "max_results", "page_token")
    securable = _find(securable_type, full_name)
    holder = text(message, "principal", "")
    found = effective_rights(securable, holder, principal=principal)
    page = _page(found, message, f"{securable.pk}:effective:{holder}")
    for assignment in page["privilege_assignments"]:
        rights = found[assignment["principal"]]
        assignment["privileges"] = [_effective(right) for right in rights]
    return page


def change_owner(
    principal: User, message: Message, *, securable_type: str, full_name: str
) -> Message:
    """Make another principal the owner of a catalog, schema or model."""
    _refuse_others(message, "owner")
    owner = text(message, "owner")
    securable = _find(securable_type, full_name)
    require_able(principal, "transfer_ownership", securable)
    to = access.get_principal(owner)
    access.transfer_ownership(securable, to, principal=principal)
    return {
        "name": securable.name,
        "full_name": securable.full_name,
        "owner": owner,
        "comment": securable.comment,
    }


def _find(securable_type: str, full_name: str) -> Securable:
    """Return a securable; the metastore is there before anybody asked for it."""
    if securable_type.lower() == full_name == Metastore.NAME:
        return get_metastore()
    return find_securable(securable_type, full_name)


def _refuse_others(message: Message, *names: str) -> None:
    if unknown := set(message) - set(names):
        raise InvalidParameter(
            f"The parameter {min(unknown)!r} is unknown here; there is "
            f"{', '.join(names)}."
        )


def _changes(message: Message) -> list[dict[str, Any]]:
    """Read `changes: [{principal, add, remove}]`. Raises InvalidParameter."""
    value = message.get("changes")
    if not isinstance(value, list) or not value:
        raise InvalidParameter(
            "Parameter 'changes' must be a list of {principal, add, remove}."
        )
    return [_change(one) for one in value]


def _change(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidParameter("Each of 'changes' must be {principal, add, remove}.")
    _refuse_others(value, "principal", "add", "remove")
    add, remove = texts(value, "add"), texts(value, "remove")
    if both := set(map(_spelt, add)) & set(map(_spelt, remove)):
        raise InvalidParameter(
            f"changes: {min(both)} stands in 'add' and in 'remove'; choose one."
        )
    return {
        "principal": text(value, "principal"),
        "add": add,
        "remove": remove,
        "expires_at": None,
    }


def _spelt(privilege: str) -> str:
    return privilege.strip().upper().replace(" ", "_")


def _page(found: Rights, message: Message, purpose: str) -> Message:
    """Answer a page of principals, each with all it has; 0 is the largest page."""
    size = min(integer(message, "max_results", 0) or _LARGEST_PAGE, _LARGEST_PAGE)
    token = text(message, "page_token", "")
    after = read_page_token(token, purpose=f"grants:{purpose}") if token else ""
    names = [name for name in found if name > after]
    page = _assignments({name: found[name] for name in names[:size]})
    if len(names) > size:
        last = names[size - 1]
        page["next_page_token"] = sign_page_token(last, purpose=f"grants:{purpose}")
    return page


def _assignments(found: Rights) -> Message:
    return {
        "privilege_assignments": [
            {"principal": name, "privileges": [_wire(r.privilege) for r in rights]}
            for name, rights in found.items()
        ]
    }


def _effective(right: Right) -> Message:
    source = right.inherited_from
    inherited = _source(source) if source else {}
    return {"privilege": _wire(right.privilege), **inherited}


def _source(container: Securable) -> Message:
    return {
        "inherited_from_type": str(container._meta.model_name).upper(),
        "inherited_from_name": container.full_name,
    }


def _wire(privilege: Privilege) -> str:
    return privilege.value.upper()
