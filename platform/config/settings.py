"""Settings of the whole product. The environment is read here and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import environ

from core.logs import LOGGING as LOGGING
from stack.addresses import resolve

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()

DEBUG = False
DEMO = env.bool("DEMO", False)  # invented provider, plain http on loopback; a production check refuses it elsewhere
SECRET_KEY = env.str("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])  # earlier ones, for links that users still hold
FIELD_KEYS = env.dict("FIELD_KEYS", default={"1": env.str("FIELD_KEY", "")})  # key id -> urlsafe base64 of 32 bytes
FIELD_KEY_ID = env.str("FIELD_KEY_ID", "1")
DIGEST_KEY = env.str("DIGEST_KEY", "")
DIGEST_KEY_FILE = env.str("DIGEST_KEY_FILE", "")  # instead of DIGEST_KEY: a file of mode 0400 or 0600
PEPPER_SOCKET = env.str("PEPPER_SOCKET", "")  # instead of both: where `manage.py pepper` listens
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
PUBLIC_URL = env.str("PUBLIC_URL", "").rstrip("/")  # how the outside names this installation, for links in notices
HTTPS = env.bool("HTTPS", not DEMO)
CHECK_MODULES = env.list("CHECK_MODULES", default=[])  # modules that register checks of the operator's own
REGION_DATABASE = env.str("REGION_DATABASE", "")  # a .mmdb file: where an address lies
RESERVED_NAMES = env.str("RESERVED_NAMES", "")  # a list of one's own; else accounts/data/reserved_names.txt
METRICS_TOKEN = env.str("METRICS_TOKEN", "")

# Who is asked whether a name and a number belong together, whether a token of the national service is good, and who
# carries one-time codes (docs/identity-verifier.md). Empty: a person decides.
# A classifier that is asked over HTTP about every text (docs/checks.md); without an address there is none.
EXTERNAL_CLASSIFIER_URL = env.str("EXTERNAL_CLASSIFIER_URL", "")
EXTERNAL_CLASSIFIER_KEY = env.str("EXTERNAL_CLASSIFIER_KEY", "")
EXTERNAL_CLASSIFIER_LABELS = env.json("EXTERNAL_CLASSIFIER_LABELS", {})
EXTERNAL_CLASSIFIER_SECONDS = env.float("EXTERNAL_CLASSIFIER_SECONDS", 3.0)
EXTERNAL_CLASSIFIER_PER_DAY = env.int("EXTERNAL_CLASSIFIER_PER_DAY", 0)
# Speech to text over HTTP; without an address sound tracks are not read, and people hear them.
SPEECH_URL = env.str("SPEECH_URL", "")
SPEECH_KEY = env.str("SPEECH_KEY", "")
SPEECH_SECONDS = env.float("SPEECH_SECONDS", 60.0)
SPEECH_PER_DAY = env.int("SPEECH_PER_DAY", 0)
IDENTITY_VERIFIER_URL = env.str("IDENTITY_VERIFIER_URL", "")
IDENTITY_VERIFIER_KEY = env.str("IDENTITY_VERIFIER_KEY", "")
NETWORK_IDENTITY_URL = env.str("NETWORK_IDENTITY_URL", "")
NETWORK_IDENTITY_KEY = env.str("NETWORK_IDENTITY_KEY", "")
SMS_GATEWAY_URL = env.str("SMS_GATEWAY_URL", "")
SMS_GATEWAY_KEY = env.str("SMS_GATEWAY_KEY", "")
MAIL = env.str("EMAIL_URL", "")  # e.g. smtp+tls://user:password@mail.example.cn:587; empty: no e-mail is sent
globals().update(environ.Env.email_url_config(MAIL or "dummymail://"))  # EMAIL_BACKEND, EMAIL_HOST, ...
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("MAIL_FROM", "mingjian@localhost")

DATA_DIR = Path(env.str("MINGJIAN_DATA", str(BASE_DIR / "var")))
ADDRESSES = resolve(BASE_DIR, os.environ)
DATABASES: dict[str, dict[str, object]] = {
    "default": {
        **ADDRESSES.django_database(),
        "ENGINE": "core.postgres",
        "CONN_MAX_AGE": 600,  # a new connection costs PostgreSQL 6 ms
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **dict(ADDRESSES.django_database().get("OPTIONS") or {}),  # type: ignore[call-overload]
            # Django switches preparing off; core.sql asks for it by name, Django's own statements never do.
            "prepare_threshold": 5,
            "options": "-c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"
            " -c timezone=UTC -c jit=off",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "simple_history",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "csp",
    "django_htmx",
    "core",
    "governance",
    "accounts",
    "labeling",
    "moderation",
    "rumors",
    "reporting",
    "config",
]

MIDDLEWARE = [
    "core.requests.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.requests.ApiShortcutMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.presence.PresenceMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "core.requests.StaffMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.enrolment.EnrolmentMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "platform" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.template.context_processors.csrf",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "core.context.page",
            ],
            "builtins": ["django.templatetags.i18n", "django.templatetags.static", "core.templatetags.mingjian"],
        },
    }
]

AUTH_USER_MODEL = "accounts.Staff"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "core.requests.known_address"
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_DISABLE_ACCESS_LOG = True
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_VERBOSE = False  # its log lines name people and addresses

# allauth runs the steps of a sign-in; nobody signs up, and Staff.email is an address to write to, not to sign in with.
ACCOUNT_ADAPTER = "accounts.sign_in.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_USER_MODEL_EMAIL_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_TIMEOUT = 300  # seconds between the password and the second factor
ACCOUNT_RATE_LIMITS = False  # accounts.guesses counts, in the database
MFA_ADAPTER = "accounts.second_factor.Adapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Mingjian"
MFA_RECOVERY_CODE_DIGITS = 10
MFA_RATE_LIMITS = False
SOCIALACCOUNT_ADAPTER = "accounts.sso.SocialAdapter"
SOCIALACCOUNT_AUTO_SIGNUP = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
OIDC_ISSUER = env.str("OIDC_ISSUER", "")  # single sign-on is off without one; docs/operator.md, "Signing in"
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", "")
OIDC_NAME = env.str("OIDC_NAME", "SSO")
OIDC_ROLE_CLAIM = env.str("OIDC_ROLE_CLAIM", "groups")
OIDC_ROLES = env.json("OIDC_ROLES", {})  # value of the claim -> role, the first that fits counts

SESSION_COOKIE_NAME = "__Host-sid" if HTTPS else "sid"
SESSION_COOKIE_AGE = int(env.float("MINGJIAN_SESSION_LONGEST", 12 * 3600))
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = False  # htmx reads the token from the page, the cookie stays readable for plain forms
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
TRUST_PROXY = env.bool("TRUST_PROXY", False)  # every request comes through a proxy of ours, which sets X-Forwarded-*
PROXY_HOPS = max(1, env.int("PROXY_HOPS", 1))  # how many of our proxies append to X-Forwarded-For
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUST_PROXY else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "简体中文"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "platform" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "platform" / "static"]
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(DATA_DIR / "files")},
    },
    "evidence": {
        "BACKEND": env.str("EVIDENCE_STORAGE", "django.core.files.storage.FileSystemStorage"),
        "OPTIONS": env.json("EVIDENCE_STORAGE_OPTIONS", {"location": str(DATA_DIR / "evidence")}),
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": ADDRESSES.cache_url,
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
        "KEY_PREFIX": "mj",
    }
}

CELERY_BROKER_URL = ADDRESSES.broker_url
BROKER_CLIENT_URL = ADDRESSES.broker_client_url  # the same server as a plain client names it
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 2.0,
    "socket_connect_timeout": 1.0,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "max_retries": 1,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_ROUTES = {"core.tasks.*": {"queue": "work"}}
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 90
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.keys.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.keys.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "core.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Mingjian 明鉴",
    "DESCRIPTION": "The desk of a deep-synthesis provider: users, submissions, gates, webhooks. See docs/api.md.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
}

SIMPLE_HISTORY_REVERT_DISABLED = True
SIMPLE_HISTORY_HISTORY_ID_USE_UUID = False
SIMPLE_HISTORY_ENABLED = True
