"""Where mail goes, from one URL, as Django's settings want it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_BACKENDS = "django.core.mail.backends"
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


def email_settings(url: str) -> dict[str, Any]:
    """Read `smtp[s]://user:password@host:port`, `console:`, `file:///path`, or "".

    `smtp+starttls://` begins in clear and insists on encryption before the
    password. Without a URL no mail is written or sent.
    """
    parts = urlsplit(url)
    if not url:
        return {"EMAIL_BACKEND": f"{_BACKENDS}.dummy.EmailBackend"}
    if parts.scheme == "console":
        return {"EMAIL_BACKEND": f"{_BACKENDS}.console.EmailBackend"}
    if parts.scheme == "file" and parts.path:
        backend = f"{_BACKENDS}.filebased.EmailBackend"
        return {"EMAIL_BACKEND": backend, "EMAIL_FILE_PATH": unquote(parts.path)}
    if parts.scheme in _PORTS and parts.hostname:
        return {
            "EMAIL_BACKEND": f"{_BACKENDS}.smtp.EmailBackend",
            "EMAIL_HOST": parts.hostname,
            "EMAIL_PORT": parts.port or _PORTS[parts.scheme],
            "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
            "EMAIL_USE_TLS": parts.scheme == "smtp+starttls",
            "EMAIL_USE_SSL": parts.scheme == "smtps",
        }
    raise ImproperlyConfigured(
        "GREENLIGHT_EMAIL_URL must be smtp://, smtp+starttls:// or smtps:// with a "
        "host, file:///path or console:."  # the URL itself holds a password
    )
