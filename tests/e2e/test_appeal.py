"""From a measure to its end by appeal, in real browsers: one member of staff applies it, the service is told the link, the
user opens it and appeals without an account, another member of staff accepts, and the page says so. axe on the way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.installation import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
SIZES = {"desk": ((1366, 768), "light"), "phone": ((390, 844), "dark")}
GROUND = "端到端试验：发布诈骗广告"


@pytest.fixture
def service(stack: Stack) -> Iterator[Queue[dict[str, Any]]]:
    """The service's webhook receiver: what it was told, in order."""
    heard: Queue[dict[str, Any]] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    body = {"url": f"http://127.0.0.1:{server.server_port}/", "topics": ["notice.created"]}
    status, answer, _took = stack.call("/api/v1/webhooks", json.dumps(body).encode())
    assert status in (200, 201), answer
    yield heard
    server.shutdown()
    server.server_close()


def problems(page: Page) -> list[str]:
    """What axe finds serious or worse, and whether the page is wider than the window."""
    found = [
        f"{page.url} {v['id']}: {v['help']} {[n['target'] for n in v['nodes']][:3]}"
        for v in Axe().run(page).response["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return found + ([f"{page.url}: {wide} px wider than the window"] if wide > 0 else [])


def active_user(stack: Stack) -> str:
    """The id of a verified user under no measure."""
    with stack.database() as db:
        row = db.execute(
            "SELECT id FROM accounts_user u WHERE account_status = 'active' AND identity_status = 'verified'"
            " AND NOT EXISTS (SELECT 1 FROM accounts_measure m WHERE m.user_id = u.id) ORDER BY id LIMIT 1"
        ).fetchone()
    assert row
    return str(row[0])


def test_a_measure_is_lifted_by_an_appeal_through_the_link(
    visitor: Callable[..., Any], stack: Stack, service: Queue[dict[str, Any]]
) -> None:
    user = active_user(stack)
    officer = visitor()
    page = officer.login("chenmo")
    officer.visit(f"/users/{user}/")
    page.locator("details#measure > summary").click()
    page.select_option("[name=severity]", "4")  # the ladder's advice is filled in
    assert page.input_value("[name=kind]") == "suspend" and page.input_value("[name=ends_at]")
    page.fill("[name=ground]", GROUND)
    page.fill("[name=remedy]", "删除相关内容")
    page.fill("[name=material]", "整改说明")
    found = problems(page)
    page.locator("[data-measure-form] button").click()
    expect(page.locator("#measures [data-state=suspended]")).to_be_visible()

    told = service.get(timeout=30)["data"]
    assert told["kind"] == "measure_applied" and GROUND in told["body"]
    link = told["status_url"]
    assert link.startswith("/public/appeal/")

    for name, (size, scheme) in SIZES.items():
        reader = visitor(size, scheme)
        reader.visit(link)
        found += problems(reader.page)
        reader.picture(f"public_appeal_{name}")
    # Without scripts and by keyboard alone.
    holder = visitor((390, 844), "light", java_script_enabled=False)
    public = holder.visit(link)
    expect(public.locator("main")).to_contain_text(GROUND)
    public.locator("[name=statement]").focus()
    public.keyboard.type("视频不是我发布的，账号被盗用")
    public.keyboard.press("Tab")
    public.keyboard.press("Enter")
    expect(public.locator("main [data-state=open]")).to_be_visible()
    public.get_by_role("link", name="English").click()
    assert public.locator("html").get_attribute("lang") == "en"

    page.goto(f"{stack.url}/users/appeals/")
    page.locator("tbody a").first.click()
    assert page.locator("[name=outcome]").count() == 0  # who applied it reads, and is told why
    expect(page.locator("#answer [role=note]")).to_be_visible()

    senior = visitor()
    desk = senior.login("zhouyu")
    senior.visit("/users/appeals/")
    found += problems(desk)
    senior.picture("appeals")
    desk.locator("tbody a").first.click()
    found += problems(desk)
    senior.picture("appeal")
    desk.check("[name=outcome][value=accept]")
    desk.fill("[name=reason]", "经核实账号被盗用")
    desk.locator("[data-action=answer]").click()
    expect(desk.locator("tbody [data-state=accepted]").first).to_be_visible()

    public.reload()
    for state in ("lifted", "active", "accepted"):
        expect(public.locator(f"main [data-state={state}]").first).to_be_visible()
    expect(public.locator("main")).to_contain_text("经核实账号被盗用")
    found += problems(visitor().visit(link))
    with stack.database() as db:
        row = db.execute("SELECT account_status FROM accounts_user WHERE id = %s", [user]).fetchone()
    assert row == ("active",)
    assert found == []
