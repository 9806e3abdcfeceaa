"""What three apps or more share; no models, no imports of other apps."""
