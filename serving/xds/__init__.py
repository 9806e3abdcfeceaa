"""Envoy's resources, built as plain values from plain values."""
