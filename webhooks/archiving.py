"""What the delivery log has to say when a range of events leaves the database."""

from __future__ import annotations

from webhooks.models import Attempt, Delivery, DeliveryStatus


def pending(last: int) -> str:
    """Tell what of the events up to a sequence is still to be delivered, or nothing."""
    rows = Delivery.objects.filter(
        event__sequence__lte=last, status=DeliveryStatus.PENDING
    )
    count = rows.count()
    return f"{count} deliveries to webhooks are pending" if count else ""


def let_go(first: int, last: int) -> None:
    """Delete the log of the deliveries of a range; the range lies in an archive."""
    span = (first, last)
    Attempt.objects.filter(delivery__event__sequence__range=span).delete()
    Delivery.objects.filter(event__sequence__range=span).delete()
