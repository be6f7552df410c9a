"""A real OAuth 2 authorisation server for tests (django-oauth-toolkit), in an environment of its own.

Two clients, `support` and `other`, each with the client-credentials grant: /o/token/, /o/revoke_token/, /o/introspect/.
"""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firebreak.deployments.ports import LOOPBACK, free_port
from tests.environments import OAUTH
from tests.waiting import until

CLIENT_SECRETS = {"support": "support-secret-0123456789", "other": "other-secret-0123456789"}
SERVER = """
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for-tests-only",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="__main__",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "oauth.db"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    OAUTH2_PROVIDER={"SCOPES": {"read": "r", "introspection": "i"}},
    USE_TZ=True,
)
django.setup()
from django.core.management import call_command
from django.urls import include, path
from oauth2_provider.models import Application

urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]
call_command("migrate", verbosity=0)
for pair in sys.argv[2:]:
    name, secret = pair.split("=")
    Application.objects.create(
        name=name, client_id=name, client_secret=secret, client_type="confidential",
        authorization_grant_type="client-credentials",
    )
call_command("runserver", f"127.0.0.1:{sys.argv[1]}", use_reloader=False, use_threading=True)
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its address. What it printed is in ``folder/output``."""
    program, port = OAUTH.program("python"), free_port()
    (folder / "server.py").write_text(SERVER)
    pairs = [f"{name}={secret}" for name, secret in CLIENT_SECRETS.items()]
    with (folder / "output").open("w") as output:
        server = subprocess.Popen(
            [program, "server.py", str(port), *pairs],
            cwd=folder,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": ""},
            start_new_session=True,
        )
    url = f"http://{LOOPBACK}:{port}"
    try:
        until(lambda: server.poll() is not None or _answers(url), 60, "the OAuth server")
        assert server.poll() is None, (folder / "output").read_text()[-3000:]
        yield url
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/o/token/", timeout=2)
    except urllib.error.HTTPError as error:
        return error.code == 405  # it wants a POST
    except OSError:
        return False
    return False
