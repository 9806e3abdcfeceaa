"""Who you are: users, service principals, groups, and their access tokens."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class PrincipalKind(models.TextChoices):
    USER = "user"
    SERVICE = "service"
    GROUP = "group"


class User(AbstractUser):
    """A principal: a person, a service that a person owns, or a group.

    All three are rows of one table, so that whatever a principal can have (a
    grant, a securable, a place in a group) has one column and one unique name.
    """

    # A group is a principal here; Django's own two tables would be a second truth.
    groups = None  # type: ignore[assignment]  # as above
    user_permissions = None  # type: ignore[assignment]  # as above
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    first_name = None  # type: ignore[assignment]  # one name is enough
    last_name = None  # type: ignore[assignment]  # one name is enough
    kind = models.CharField(
        max_length=8, choices=PrincipalKind.choices, default=PrincipalKind.USER
    )
    owner = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="service_principals"
    )

    # may read the whole audit log, and nothing else by it
    is_auditor = models.BooleanField(default=False)

    # about approvals that wait for them, and what became of their own
    wants_mail = models.BooleanField(default=True, db_default=True)

    objects: ClassVar[UserManager[User]] = UserManager()  # type: ignore[assignment]  # the stub says Self

    class Meta(AbstractUser.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=["user", "group"], owner=None)
                | Q(kind="service", owner__isnull=False),
                name="service_principals_have_an_owner",
            ),
            models.CheckConstraint(
                condition=~Q(kind="group") | Q(is_superuser=False, is_auditor=False),
                name="groups_are_no_admins",
            ),
        ]

    @property
    def full_name(self) -> str:
        return self.username

    @property
    def person(self) -> User:
        """The human behind this principal; four eyes are counted in persons."""
        return self.owner.person if self.owner else self


class ServicePrincipalManager(UserManager["ServicePrincipal"]):
    def get_queryset(self) -> models.QuerySet[ServicePrincipal]:
        return super().get_queryset().filter(kind=PrincipalKind.SERVICE)


class ServicePrincipal(User):
    """A user of kind *service*: no password, owned by someone."""

    objects: ClassVar[ServicePrincipalManager] = ServicePrincipalManager()  # type: ignore[assignment]  # narrower on purpose

    class Meta:
        proxy = True


class GroupManager(UserManager["Group"]):
    def get_queryset(self) -> models.QuerySet[Group]:
        return super().get_queryset().filter(kind=PrincipalKind.GROUP)


class Group(User):
    """A principal of kind *group*: it holds grants and owns, but never signs in."""

    objects: ClassVar[GroupManager] = GroupManager()  # type: ignore[assignment]  # narrower on purpose

    class Meta:
        proxy = True


class Membership(models.Model):
    """A principal in a group; a group may be in a group, never in itself."""

    # CASCADE, twice: a membership means nothing without either end
    group = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    member = models.ForeignKey(User, models.CASCADE, related_name="group_memberships")
    added_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["member", "group"], name="one_membership_per_member_and_group"
            ),
            models.CheckConstraint(
                condition=~Q(member=F("group")), name="no_group_is_in_itself"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member} in {self.group}"


class OwnershipTransfer(models.Model):
    """A change of the owner of a securable, from which the cooling period runs."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # of any kind of securable: their ids are unique among all
    securable_id = models.UUIDField(db_index=True)
    previous = models.ForeignKey(User, models.PROTECT, related_name="+")
    owner = models.ForeignKey(User, models.PROTECT, related_name="+")
    transferred_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    transferred_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.previous} → {self.owner}"


class AccessRequestStatus(models.TextChoices):
    PENDING = "pending"
    GRANTED = "granted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class AccessRequest(models.Model):
    """Somebody asks for privileges on an object that may not even be there.

    A stranger learns nothing from asking: the row is the same whether there is
    such an object or not.
    """

    TRANSITIONS: ClassVar = {
        AccessRequestStatus.PENDING: {
            AccessRequestStatus.GRANTED,
            AccessRequestStatus.DECLINED,
            AccessRequestStatus.WITHDRAWN,
        },
        AccessRequestStatus.GRANTED: set(),
        AccessRequestStatus.DECLINED: set(),
        AccessRequestStatus.WITHDRAWN: set(),
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    requester = models.ForeignKey(User, models.PROTECT, related_name="access_requests")
    securable_type = models.CharField(max_length=40)
    full_name = models.CharField(max_length=800)
    # null: there was no such object; nobody sees the request but who asked
    securable_id = models.UUIDField(null=True)
    privileges = models.JSONField(default=list)
    reason = models.TextField(blank=True)
    status = models.CharField(
        max_length=9,
        choices=AccessRequestStatus.choices,
        default=AccessRequestStatus.PENDING,
    )
    requested_at = models.DateTimeField(default=timezone.now)
    answered_by = models.ForeignKey(User, models.PROTECT, related_name="+", null=True)
    answered_at = models.DateTimeField(null=True)
    answer = models.TextField(blank=True)

    class Meta:
        verbose_name = "access request"
        ordering: ClassVar = ["-requested_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["requester", "securable_type", "full_name"],
                condition=Q(status="pending"),
                name="one_pending_access_request_per_object",
            ),
            models.CheckConstraint(
                condition=Q(status__in=AccessRequestStatus.values),
                name="access_request_status_is_known",
            ),
        ]
        indexes: ClassVar = [
            # what waits for the managers of an object
            models.Index(
                fields=["securable_id"],
                name="access_requests_waiting",
                condition=Q(status="pending"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.requester} {self.full_name}"


class AccessToken(models.Model):
    """A bearer credential; only its sha-256 is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # CASCADE: a token means nothing without its principal
    principal = models.ForeignKey(User, models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # to the minute: a row is not written for every request
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")),
                name="tokens_expire_after_their_creation",
            )
        ]

    def __str__(self) -> str:
        return f"{self.principal} {self.name}"

    @property
    def full_name(self) -> str:
        return f"{self.principal.username}/{self.name}"
