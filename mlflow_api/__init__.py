"""MLflow's dialects: its wire formats over Greenlight's services, no rules here."""
