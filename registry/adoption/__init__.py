"""Take over an existing MLflow registry: read it, plan, carry out the plan."""
