"""The rules of the reference once more, as plainly as they are written there.

It knows nothing of the code: a world is plain data, and each operation is a
function with the words of privileges.md. Slow, obvious, and held against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LEVELS = ("model", "schema", "catalog")


@dataclass
class World:
    """Owners by level, grants (level, privilege, holder, expired), and groups."""

    owners: dict[str, str]
    grants: list[tuple[str, str, str, bool]]
    groups: dict[str, set[str]] = field(default_factory=dict)
    admins: set[str] = field(default_factory=set)
    delegated: bool = False
    auditors: set[str] = field(default_factory=set)


NOT_IN_ALL = {"manage", "approve", "shift_traffic", "create_catalog"}


class Oracle:
    """One principal in a world."""

    def __init__(self, world: World, who: str) -> None:
        self.world, self.who = world, who
        self.mine = {who}
        while True:
            more = {g for g, inside in world.groups.items() if inside & self.mine}
            if more <= self.mine:
                break
            self.mine |= more

    @property
    def is_admin(self) -> bool:
        return self.who in self.world.admins

    def owns(self, level: str) -> bool:
        return self.world.owners[level] in self.mine

    def granted(self, privilege: str, level: str) -> bool:
        """A grant on a container holds for all children; ALL PRIVILEGES expands."""
        places = LEVELS[LEVELS.index(level) :]
        for place, held, holder, expired in self.world.grants:
            if expired or holder not in self.mine or place not in places:
                continue
            if held == privilege:
                return True
            if held == "all_privileges" and privilege not in NOT_IN_ALL:
                return True
        return False

    def has(self, privilege: str, level: str) -> bool:
        """Granted, or rule 6: the owner has every privilege on the object itself."""
        return self.owns(level) or self.granted(privilege, level)

    def use_catalog(self) -> bool:
        return self.has("use_catalog", "catalog") or self.is_admin

    def use_schema(self) -> bool:
        return self.has("use_schema", "schema") or self.is_admin

    def borders(self, level: str = "model") -> bool:
        return self.use_catalog() and (level == "catalog" or self.use_schema())

    def manages(self, level: str) -> bool:
        """Rule 8: MANAGE needs B, and holds for children."""
        return self.granted("manage", level) and self.borders(level)

    def owns_above(self, level: str) -> bool:
        return any(self.owns(place) for place in LEVELS[LEVELS.index(level) + 1 :])

    def power(self, level: str) -> bool:
        """own, MANAGE, the owner of a container above, admin."""
        return (
            self.owns(level)
            or self.manages(level)
            or self.owns_above(level)
            or self.is_admin
        )

    def may(self, operation: str, level: str) -> bool:
        rule = getattr(self, operation, None)
        if rule is not None:
            return bool(rule(level))
        return self.power(level)

    # P-2, P-3
    def create_schema(self, level: str) -> bool:
        owns, used = self.owns("catalog"), self.use_catalog()
        return owns or (used and self.granted("create_schema", "catalog"))

    def create_model(self, level: str) -> bool:
        return self.borders() and self.has("create_model", "schema")

    # P-4, P-5, P-27
    def see_model(self, level: str) -> bool:
        return (
            (self.borders() and self.has("execute", "model"))
            or (self.borders() and self.granted("approve", "model"))
            or self.power("model")
            or self.granted("browse", "catalog")
        )

    # rule 9: BROWSE shows that a model is there, and none of its versions
    def see_versions(self, level: str) -> bool:
        return self.power("model") or (
            self.borders()
            and (self.has("execute", "model") or self.granted("approve", "model"))
        )

    see_lineage = see_versions

    def see_catalog(self, level: str) -> bool:
        return (
            self.use_catalog()
            or self.power("catalog")
            or self.granted("browse", "catalog")
        )

    def see_schema(self, level: str) -> bool:
        return (
            self.borders() or self.power("schema") or self.granted("browse", "catalog")
        )

    # P-6, P-7, P-24
    def download_files(self, level: str) -> bool:
        return self.borders() and self.has("execute", "model")

    load_by_alias = copy_version = download_files

    # P-10
    def create_version(self, level: str) -> bool:
        delegated = self.world.delegated and self.granted(
            "create_model_version", "model"
        )
        return self.borders() and (self.owns("model") or delegated)

    # P-13 … P-16
    def move_alias(self, level: str) -> bool:
        return self.borders() and self.owns("model")

    update_model = update_version = move_alias

    def break_glass(self, level: str) -> bool:
        return self.is_admin

    def rename_model(self, level: str) -> bool:
        return self.move_alias(level) and self.create_model(level)

    def apply_tag(self, level: str) -> bool:
        return self.borders() and self.has("apply_tag", "model")

    # P-17
    def delete(self, level: str) -> bool:
        return (
            (self.owns(level) and self.borders(level))
            or self.manages(level)
            or self.owns_above(level)
            or self.is_admin
        )

    # P-19, P-28
    def see_own_grants(self, level: str) -> bool:
        return True

    ask_for_access = see_own_grants

    # P-26
    def decide_approval(self, level: str) -> bool:
        return self.borders() and self.has("approve", "model")

    # P-31
    def read_audit(self, level: str) -> bool:
        return self.power(level) or self.who in self.world.auditors
