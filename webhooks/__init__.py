"""One subscriber of every event: signed deliveries to the systems of others."""
