"""Drives the console in a real browser. A line on stdin lets it go on where it waits for the test; each step that it sees is a line on stdout."""

import shutil
import sys

from playwright.sync_api import expect, sync_playwright

BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
# Longer than anything should take on a busy machine.
WITHIN_MS = 60_000

# Promises the time at which the first instance of the list is red.
WATCH_FOR_RED = """() => {
  window.redAt = new Promise((done) => {
    const look = () => document.querySelector('.grid .row [data-standing="bad"]') && done(Date.now());
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
}"""


def say(*words):
    print(*words, flush=True)


def ask(*words):
    """Says something, and waits for the answer of the test."""
    say(*words)
    return sys.stdin.readline().strip()


def active_row(page):
    return page.locator(".row[aria-selected]")


def keyboard_alone(page):
    """Goes from the address to an instance and back without a pointer."""
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    expect(page.locator("input.filter")).to_be_focused()
    page.keyboard.type("web")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("grid")).to_be_focused()
    expect(active_row(page)).to_contain_text("web")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("web")
    expect(page.locator(".grid .body .row")).to_have_count(3)
    page.keyboard.press("/")
    expect(page.locator("input.filter")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(active_row(page)).to_contain_text("web-2")
    page.keyboard.press("Enter")
    expect(page.locator(".detail h2").first).to_have_text("web-2")
    expect(page.get_by_text("Why it is offered")).to_be_visible()
    expect(page.get_by_role("grid")).to_be_focused()
    page.go_back()
    expect(page.locator(".detail")).to_have_count(0)
    say("the keyboard alone suffices")


def filters(page, url):
    page.goto(f"{url}#/instances")
    rows = page.locator(".grid .body .row")
    expect(rows).to_have_count(3)
    page.get_by_role("searchbox").fill("web-3")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(f"{url}#/instances?q=web-3")
    page.get_by_role("searchbox").fill("-web-3")
    expect(rows).to_have_count(2)
    page.keyboard.press("Escape")
    expect(rows).to_have_count(3)
    say("the filter works")


def accessible(page, url):
    """Has axe look at each page."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        say("skipped: axe (`pip install axe-playwright-python`)")
        return
    for path in ["", "#/service/default/web", "#/instances", "#/members", "#/changes", "#/keys"]:
        page.goto(f"{url}{path}")
        page.locator("h1").wait_for()
        expect(page.locator("#link")).to_have_text("live")
        found = Axe().run(page).response["violations"]
        serious = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, f"{path}: {serious}"
    say("axe finds nothing serious")


def main(port, browser):
    url = f"http://127.0.0.1:{port}/ui"
    page = browser.new_page()
    page.set_default_timeout(WITHIN_MS)
    expect.set_options(timeout=WITHIN_MS)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    # A browser notes each refusal as an error. That of the keys is expected: the cluster is not sealed.
    is_error = lambda message: message.type == "error" and not message.location["url"].endswith("/v1/hobnob/keys")
    page.on("console", lambda message: errors.append(message.text) if is_error(message) else None)
    page.goto(url)
    expect(page.locator("h1")).to_contain_text("All is well")
    say("all is well")
    keyboard_alone(page)
    filters(page, url)
    page.goto(f"{url}#/service/default/web")
    expect(page.locator(".grid .body .row")).to_have_count(3)
    page.evaluate(WATCH_FOR_RED)
    killed_at = int(ask("kill web-2"))
    say(f"red {page.evaluate('() => window.redAt') - killed_at} ms after the kill")
    red = page.locator(".grid .row", has_text="web-2").locator('[data-standing="bad"]')
    expect(red).to_have_text("✕ unhealthy")
    page.goto(url)
    # One instance of three is no reason to paint the service red.
    expect(page.locator("h1")).to_contain_text("It works, but web has 2 of 3 instances healthy")
    expect(page.locator('.services .c-state [data-standing="bad"]')).to_have_count(0)
    say("the service is not red")
    accessible(page, url)
    assert not errors, errors
    page.goto(url)
    # What was never heard of cannot be stale.
    expect(page.locator("#link")).to_have_text("live")
    ask("kill the agent")
    expect(page.locator("#stale")).to_contain_text("Stale since")
    say("stale")
    ask("restart the agent")
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#stale")).to_be_hidden()
    say("live again")


found = next((path for path in map(shutil.which, BROWSERS) if path), None)
if found is None:
    sys.exit("no browser")
with sync_playwright() as playwright:
    # A user who is root has no sandbox of its own; the page is that of the test.
    browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
    main(sys.argv[1], browser)
    browser.close()
