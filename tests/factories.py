"""Rows for tests; what has a history is built through the services."""

from __future__ import annotations

import datetime as dt

import factory
from django.utils import timezone

from access.models import Group, Membership, PrincipalKind, User
from registry.models import Catalog, RegisteredModel, Schema


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user{n}")


class GroupFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Group

    kind = PrincipalKind.GROUP
    username = factory.Sequence(lambda n: f"group{n}")


class MembershipFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Membership

    group = factory.SubFactory(GroupFactory)
    member = factory.SubFactory(UserFactory)
    added_by = factory.SelfAttribute("member")
    # settled: who joined just now does not count for four eyes
    added_at = factory.LazyFunction(lambda: timezone.now() - dt.timedelta(days=2))


class CatalogFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Catalog

    name = factory.Sequence(lambda n: f"catalog{n}")
    owner = factory.SubFactory(UserFactory)


class SchemaFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Schema

    name = factory.Sequence(lambda n: f"schema{n}")
    catalog = factory.SubFactory(CatalogFactory)
    owner = factory.SelfAttribute("catalog.owner")


class ModelFactory(factory.django.DjangoModelFactory):
    """A governance row alone; use the `model` fixture where MLflow matters."""

    class Meta:
        model = RegisteredModel

    name = factory.Sequence(lambda n: f"model{n}")
    schema = factory.SubFactory(SchemaFactory)
    full_name = factory.LazyAttribute(lambda o: f"{o.schema.full_name}.{o.name}")
    owner = factory.SubFactory(UserFactory)
