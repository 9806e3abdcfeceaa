"""Drop the columns whose meaning is in the rules now."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0005_policy_terms_filled")]

    operations = [
        migrations.RemoveConstraint(
            model_name="policy", name="policies_need_at_least_one_approval"
        ),
        migrations.RemoveField(model_name="policy", name="approvals_needed"),
        migrations.RemoveField(model_name="policy", name="reviewers"),
    ]
