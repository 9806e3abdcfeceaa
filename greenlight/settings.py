"""Settings, read from the environment; every default runs the embedded stack.

`GREENLIGHT_HOME` holds all state of a stack, and nothing is written outside it.
A secret may also come from a file named by the variable with the suffix `_FILE`.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from greenlight.email_url import email_settings

BASE_DIR = Path(__file__).resolve().parent.parent


def env(name: str, default: str = "") -> str:
    """Read a variable, or the file that its `_FILE` twin names."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    return os.environ.get(name, default)


def env_bool(name: str, default: bool) -> bool:
    value = env(name, str(default)).lower()
    if value not in {"true", "false", "1", "0", "yes", "no"}:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return value in {"true", "1", "yes"}


def audit_sink(name: str) -> str:
    """Read where a stream of the audit log is shipped to, or nothing."""
    url = env(name)
    parts = urlsplit(url)
    is_file = parts.scheme == "file" and parts.path and not parts.netloc
    is_syslog = parts.scheme in {"syslog+tcp", "syslog+udp"} and parts.hostname
    if url and not (is_file or is_syslog):
        raise ImproperlyConfigured(
            f"{name} must be file:///path, syslog+tcp://host:port or "
            f"syslog+udp://host:port, not {url!r}."
        )
    return url


HOME = Path(env("GREENLIGHT_HOME", str(BASE_DIR / ".greenlight"))).resolve()
PORT = int(env("GREENLIGHT_PORT", "8000"))
# 0.0.0.0 lets other machines in; put TLS in front of it then
BIND_ADDRESS = env("GREENLIGHT_BIND_ADDRESS", "127.0.0.1")
PUBLIC_URL = env("GREENLIGHT_PUBLIC_URL", f"http://127.0.0.1:{PORT}").rstrip("/")
KEYS_DIR = HOME / "keys"


def _kept_key(variable: str, name: str, length: int) -> str:
    """Take a key from the environment, else make one in the home and keep it."""
    if given := env(variable):
        return given
    path = KEYS_DIR / name
    KEYS_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        fresh.touch(mode=0o600)
        fresh.write_text(base64.urlsafe_b64encode(secrets.token_bytes(length)).decode())
        try:
            os.link(fresh, path)  # exactly one of several first processes wins
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


SECRET_KEY = _kept_key("GREENLIGHT_SECRET_KEY", "secret_key", 48)
# Fernet keys of the secrets at rest: the first encrypts, all of them decrypt.
ENCRYPTION_KEYS = _kept_key("GREENLIGHT_ENCRYPTION_KEYS", "encryption_keys", 32).split(
    ","
)
# Signs receipts: a P-256 key in PEM. Without one, the first receipt makes one in the home.
RECEIPT_KEY = env("GREENLIGHT_RECEIPT_KEY")
DEBUG = env_bool("GREENLIGHT_DEBUG", False)
ALLOWED_HOSTS = env("GREENLIGHT_ALLOWED_HOSTS", "*").split(",")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
ROOT_URLCONF = "greenlight.urls"
WSGI_APPLICATION = "greenlight.wsgi.application"
APPEND_SLASH = False  # a redirect would turn a wrong API path into a success

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "guardian",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "events",
    "access",
    "registry",
    "approvals",
    "webhooks",
    "runners",
    "serving",
    "mlflow_api",
    "console",
    "greenlight",
]

MIDDLEWARE = [
    "core.http.RequestMiddleware",
    "access.token_uses.LastUseMiddleware",
    "access.refusals.RefusalMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "core.http.ProgramMiddleware",  # what follows is for browsers
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",  # writers queue instead of failing at upgrade
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;",
}

# A statement is prepared when it comes for the fifth time: to plan the hot read
# costs five times what it costs to run it.
# Compiling a plan costs seconds where running it costs milliseconds, and PostgreSQL
# decides by an estimate: a list through a thousand schemas looks expensive to it.
POSTGRESQL_OPTIONS: dict[str, Any] = {
    "server_side_binding": True,
    "prepare_threshold": 5,
    "options": "-c jit=off",
}


def database(url: str) -> dict[str, Any]:
    """Read `sqlite:///path` or `postgresql://user:password@host:port/name`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        name = Path(unquote(parts.path[1:]))
        name.parent.mkdir(parents=True, exist_ok=True)
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(name),
            "OPTIONS": SQLITE_OPTIONS,
            "TEST": {"NAME": str(name.with_name(f"test_{name.name}"))},
            "CONN_MAX_AGE": None,
        }
    if parts.scheme in {"postgresql", "postgres"}:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path.lstrip("/"),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "OPTIONS": {**POSTGRESQL_OPTIONS, **dict(parse_qsl(parts.query))},
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": False,
        }
    raise ImproperlyConfigured(
        "GREENLIGHT_DATABASE_URL must start with sqlite:/// or postgresql://, "
        f"not {parts.scheme!r}."
    )


DATABASES = {
    "default": database(
        env("GREENLIGHT_DATABASE_URL", f"sqlite:///{HOME / 'greenlight.sqlite3'}")
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "access.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# Wrong passwords for a name from an address, after which the sign-in is locked.
AXES_FAILURE_LIMIT = int(env("GREENLIGHT_SIGN_IN_ATTEMPTS", "10"))
AXES_COOLOFF_TIME = dt.timedelta(
    seconds=float(env("GREENLIGHT_SIGN_IN_LOCK_SECONDS", "900"))
)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "core.callers.address_of"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True  # the audit log is ours
AXES_VERBOSE = False
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ANONYMOUS_USER_NAME = None  # guardian: nobody is a principal unless signed in
# access.authz asks the grants, not backends; our views tell a lock, no middleware
SILENCED_SYSTEM_CHECKS = ["guardian.W001", "axes.W002"]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
# Two stacks on one host differ only by port, and cookies ignore ports.
SESSION_COOKIE_NAME = f"greenlight_session_{PORT}"
CSRF_COOKIE_NAME = f"greenlight_csrf_{PORT}"
SECURE_HSTS_SECONDS = int(env("GREENLIGHT_HSTS_SECONDS", "0"))
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'"],  # htmx asks for the live parts
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 2**20
DATA_UPLOAD_MAX_NUMBER_FILES = 10_000  # a snapshot is uploaded file by file
FILE_UPLOAD_TEMP_DIR = HOME / "tmp"
FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "access.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "core.serializers.StrictJSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_SCHEMA_CLASS": "core.openapi.Schema",
    "EXCEPTION_HANDLER": "core.http.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,  # `format` is a parameter of ours
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Greenlight",
    "DESCRIPTION": "A model registry with governance and approval workflow.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "WebhookStatus": "webhooks.models.WebhookStatus",
        "DeliveryStatus": "webhooks.models.DeliveryStatus",
    },
    "COMPONENT_SPLIT_PATCH": False,
    "SERVE_INCLUDE_SCHEMA": False,
}

# The broker is a doorbell: nothing depends on its durability.
BROKER_URL = env(
    "GREENLIGHT_BROKER_URL", f"greenlight-sqlite:///{HOME / 'broker.sqlite3'}"
)
EVENT_SUBSCRIPTIONS = "greenlight.subscriptions.SUBSCRIPTIONS"
EVENT_TAKES_ALL = "greenlight.subscriptions.TAKES_ALL"
EVENT_HOLDERS = "greenlight.subscriptions.EVENT_HOLDERS"
VISIBLE_SUBJECTS = "greenlight.visibility.subjects_seen"
REGISTRY_HOOKS = "greenlight.subscriptions.REGISTRY_HOOKS"

# The governed store: a directory, or s3://bucket/prefix (gs://, az:// by driver).
ARTIFACTS = env("GREENLIGHT_ARTIFACTS", str(HOME / "artifacts")).rstrip("/")
# Where MLflow's own tracking keeps the files of runs, before registration.
TRACKING_ARTIFACTS = env(
    "GREENLIGHT_TRACKING_ARTIFACTS", str(HOME / "tracking")
).rstrip("/")
# Copies on this machine of versions in object storage, for model servers to load.
ARTIFACTS_CACHE = env("GREENLIGHT_ARTIFACTS_CACHE", str(HOME / "cache"))
# Where the audit log, and its checkpoints, are shipped: file:///…, syslog+tcp://host:port
# or syslog+udp://host:port.
AUDIT_SINKS = {
    "events": audit_sink("GREENLIGHT_AUDIT_SINK"),
    "checkpoints": audit_sink("GREENLIGHT_AUDIT_CHECKPOINT_SINK"),
}
MAX_MODEL_BYTES = int(env("GREENLIGHT_MAX_MODEL_BYTES", str(100 * 2**30)))
MAX_MODEL_FILES = int(env("GREENLIGHT_MAX_MODEL_FILES", "10000"))
# A model of more bytes is taken by a worker, not within the request.
INLINE_BYTES = int(env("GREENLIGHT_INLINE_BYTES", str(256 * 2**20)))
RUNS_DIR = HOME / "runs"
# how many trainings one host runs at a time; the others wait
RUN_SLOTS = int(env("GREENLIGHT_RUN_SLOTS", str(os.cpu_count() or 1)))
ENVIRONMENTS_DIR = Path(env("GREENLIGHT_ENVIRONMENTS", str(HOME / "environments")))
GATEWAY_DIR = HOME / "gateway"
ENVOY_BIN = env("GREENLIGHT_ENVOY_BIN")
# Receivers on these networks may be called although they are not public.
WEBHOOK_ALLOWED_NETWORKS = [
    network
    for network in env("GREENLIGHT_WEBHOOK_ALLOWED_NETWORKS").split(",")
    if network
]
# How long after a change of owner neither the old nor the new one takes part in
# approvals: four eyes outlive a transfer.
COOLING_PERIOD = dt.timedelta(
    seconds=float(env("GREENLIGHT_COOLING_PERIOD_SECONDS", "86400"))
)
# Tries in a minute before the answer is 429: callbacks by address, decisions and
# reports of checks by principal; 0 is no limit.
CALLBACKS_PER_MINUTE = int(env("GREENLIGHT_CALLBACKS_PER_MINUTE", "120"))
DECISIONS_PER_MINUTE = int(env("GREENLIGHT_DECISIONS_PER_MINUTE", "120"))
# Whether an admin may set a protected alias at once, with a reason and an event.
BREAK_GLASS = env_bool("GREENLIGHT_BREAK_GLASS", True)
WEBHOOK_TIMEOUT_SECONDS = float(env("GREENLIGHT_WEBHOOK_TIMEOUT_SECONDS", "15"))
# Mail about approvals; without a URL none is written.
EMAIL_URL = env("GREENLIGHT_EMAIL_URL")
MAIL_IS_ON = bool(EMAIL_URL)
vars().update(email_settings(EMAIL_URL))
EMAIL_TIMEOUT = 10
EMAIL_SUBJECT_PREFIX = ""
DEFAULT_FROM_EMAIL = env("GREENLIGHT_EMAIL_FROM", "Greenlight <greenlight@localhost>")
# Reviewers are reminded once when nobody answered for so long, and once so long
# before the end; 0 is never.
REMIND_AFTER = dt.timedelta(hours=float(env("GREENLIGHT_REMIND_AFTER_HOURS", "24")))
REMIND_BEFORE_EXPIRY = dt.timedelta(
    hours=float(env("GREENLIGHT_REMIND_BEFORE_EXPIRY_HOURS", "24"))
)
# Event type -> function of (event, webhook id) whose answer is added to the data.
WEBHOOK_ENRICHERS = {"approval.requested": "approvals.callbacks.for_webhook"}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}
    },
    "filters": {"callbacks": {"()": "greenlight.logs.HideCallbacks"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "filters": ["callbacks"],
        }
    },
    "root": {"handlers": ["stderr"], "level": env("GREENLIGHT_LOG_LEVEL", "INFO")},
    # It logs every URL, and paths of webhooks are often secrets.
    "loggers": {"httpx": {"level": "WARNING"}},
}
