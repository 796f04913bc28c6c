# SPDX-License-Identifier: MIT
"""Checks a page of the writer html, without a network: bash tests/page/run.sh

python3 check.py DELVE_REPORT CHROMIUM FOLDER TABLE...: makes a page of the tables, reads it by a
strict HTML5 parser, opens it in Chromium, uses it by mouse and keyboard, looks at what a screen
reader is told and at contrasts, and leaves screenshots in FOLDER.
"""

import json
import pathlib
import re
import subprocess
import sys

import html5lib
from playwright.sync_api import sync_playwright


def contrast(foreground, background):
    """WCAG 2.2, "contrast ratio", of two colours (r, g, b)."""

    def luminance(colour):
        parts = []
        for part in colour:
            part /= 255
            parts.append(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    light, dark = sorted((luminance(foreground), luminance(background)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colour(text):
    return tuple(float(part) for part in re.findall(r"[\d.]+", text)[:3])


def is_clear(text):
    return text == "transparent" or text.replace(" ", "").endswith(",0)")


CONTRASTS = """
() => [...document.querySelectorAll("p, li, td, th, h1, h2, h3, dt, dd, figcaption, button, caption, label")]
  .filter(node => node.offsetParent !== null && node.textContent.trim() !== "")
  .map(node => {
    const grounds = [];
    for (let at = node; at; at = at.parentElement) grounds.push(getComputedStyle(at).backgroundColor);
    return [node.tagName + ": " + node.textContent.trim().slice(0, 40), getComputedStyle(node).color, grounds];
  })
"""


def check_contrast(page, scheme):
    checked = 0
    for name, ink, grounds in page.evaluate(CONTRASTS):
        ground = next((it for it in grounds if not is_clear(it)), "rgb(255, 255, 255)")
        ratio = contrast(colour(ink), colour(ground))
        assert ratio >= 4.5, f"{scheme}: {name}: contrast {ratio:.2f}, {ink} on {ground}"
        checked += 1
    assert checked > 50
    return checked


def check_names(page):
    """Every mark, button and region has a name."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    counts = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if node.get("ignored") or role not in ("image", "img", "button", "slider", "region", "article", "group"):
            continue
        name = node.get("name", {}).get("value", "")
        assert name.strip(), f"a node of role {role} has no name: {node}"
        counts[role] = counts.get(role, 0) + 1
    assert counts.get("button", 0) > 5, counts
    assert counts.get("slider", 0) >= 1, counts
    return counts


def main():
    program, chromium, folder, *tables = sys.argv[1:]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / "report.html").resolve()
    subprocess.run([program, *tables, "-o", str(path)], check=True, stdout=subprocess.DEVNULL)
    text = path.read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(text)
    assert not re.search(r'(src|href)\s*=|url\(|@import', text), "the page asks for something outside"
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.S).group(1))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        errors = []
        requests = []

        def open_page(**settings):
            context = browser.new_context(offline=True, **settings)
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("request", lambda request: requests.append(request.url))
            page.goto(path.as_uri())
            return page

        for scheme in ("light", "dark"):
            page = open_page(color_scheme=scheme, viewport={"width": 1200, "height": 900})
            checked = check_contrast(page, scheme)
            page.screenshot(path=folder / f"{scheme}.png", full_page=True)
        counts = check_names(page)

        # The slider, by keyboard.
        slider = page.locator(".epochs input").first
        epochs = sorted({epoch for series in data["series"] for epoch in series["epochs"]})
        slider.focus()
        page.keyboard.press("Home")
        assert page.locator(".epochs .number").first.text_content() == str(epochs[0])
        series = data["series"][0]
        cells = page.locator("article").first.locator('td[data-s="0"]')
        for place, layer in enumerate(series["layers"]):
            value = series["values"][0][place]
            wanted = "–" if value is None else f"{100 * value:.1f} %"
            shown = cells.nth(layer).text_content()
            assert shown == wanted, f"{data['layers'][layer]}: {shown}, not {wanted}"
        page.keyboard.press("End")
        assert page.locator(".epochs .number").first.text_content() == str(epochs[-1])

        # Sorting, by keyboard, up and down.
        head = page.locator("table.layers-table").first.locator("thead th").nth(1)
        for direction in ("ascending", "descending"):
            head.locator("button").focus()
            page.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == direction
            column = page.locator("table.layers-table").first.locator("tbody tr td:nth-child(2)")
            values = [float(it) for it in column.evaluate_all("cells => cells.map(cell => cell.dataset.v)") if it]
            assert values == sorted(values, reverse=direction == "descending"), values

        # A layer's own curves.
        own = page.locator(".own").first
        assert not own.is_visible()
        page.locator("tbody th button").first.click()
        assert own.is_visible() and own.locator("circle").count() > 0

        narrow = open_page(viewport={"width": 390, "height": 800})
        narrow.screenshot(path=folder / "narrow.png", full_page=True)
        width = narrow.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"a phone has to scroll the page sideways: {width} pixels"

        plain = open_page(java_script_enabled=False)
        assert plain.locator("section.verdict p").first.is_visible()
        assert plain.locator("tbody tr").count() >= len(data["layers"])
        assert not plain.locator(".epochs").first.is_visible()
        plain.pdf(path=folder / "print.pdf")
        browser.close()
    assert not errors, errors
    assert all(url.startswith("file:") for url in requests), requests
    print(f"{path}: {len(text)} bytes, {checked} texts of enough contrast, names of {counts}")


if __name__ == "__main__":
    main()
