"""The tests' own keys, set before Django reads its settings (loaded by `-p tests.environment`): nothing of an
installation is read or needed."""

import base64
import os

os.environ["SECRET_KEY"] = "tests-only-" + "k" * 50
os.environ["FIELD_KEY"] = base64.urlsafe_b64encode(b"f" * 32).decode()
os.environ["DIGEST_KEY"] = base64.urlsafe_b64encode(b"d" * 32).decode()
os.environ["DEMO"] = "1"
