"""Copy what orders deliveries from their events, in batches of a thousand."""

from django.db import migrations
from django.db.models import OuterRef, Subquery

_BATCH = 1000


def fill(apps, schema_editor):
    Delivery = apps.get_model("webhooks", "Delivery")
    Event = apps.get_model("events", "Event")
    event = Event.objects.filter(pk=OuterRef("event_id"))
    unfilled = Delivery.objects.filter(subject_id=None)
    while pks := list(unfilled.values_list("pk", flat=True)[:_BATCH]):
        Delivery.objects.filter(pk__in=pks).update(
            subject_id=Subquery(event.values("subject_id")[:1]),
            sequence=Subquery(event.values("sequence")[:1]),
        )


class Migration(migrations.Migration):

    dependencies = [
        ("webhooks", "0002_formats_rotation_and_circuits"),
        ("events", "0001_initial"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
