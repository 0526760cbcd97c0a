"""What a page owes to people who do not see it, or do not use a pointer: axe-core's rules, and the keyboard's.

axe-core is run by the debugger's protocol, so that the page's content security policy stays in force.
"""

from functools import cache
from typing import Any

from playwright.async_api import Page

from tests.browser import tools

# Everything that axe-core runs by itself, best practices included, and the rule on the size of targets (WCAG 2.2).
_ALL = {"rules": {"target-size": {"enabled": True}}}
# What another screen or colour scheme can break of a page that was found sound.
_LOOKS = {"runOnly": ["color-contrast", "link-in-text-block", "region", "scrollable-region-focusable", "target-size"]}
_RUN = """
async (options) => (await axe.run(document, { resultTypes: ["violations"], ...options })).violations
"""
# Everything that the Tab key must reach: what is shown, not switched off, and of each group of radio buttons one. From
# then on every stop that gets the focus is noted, and whether anybody can see that it has: on itself, or on what stands
# for it.
_LISTEN = """
() => {
  const named = (node) => {
    const text = node.innerText || node.getAttribute("aria-label") || node.name || node.value || "";
    return `<${node.localName}> ${text.trim().slice(0, 60)}`;
  };
  const shows = (node) => {
    const style = getComputedStyle(node);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  };
  const group = (node) => (node.type === "radio" ? `${node.form?.action} ${node.name}` : node);
  const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0'], audio, video";
  const stops = new Map();
  for (const node of document.querySelectorAll(wanted)) {
    if (node.disabled || node.closest("[inert]") || node.tabIndex < 0 || !node.checkVisibility()) continue;
    if (!stops.has(group(node))) stops.set(group(node), stops.size);
  }
  window.focused = [];
  document.addEventListener("focusin", ({ target }) => {
    const stand = [target, ...(target.labels ?? []), target.parentElement];
    const html = target.outerHTML.slice(0, 160);
    window.focused.push({ stop: stops.get(group(target)) ?? null, isSeen: stand.some(shows), html });
  });
  return [...stops.keys()].map((key) => (key instanceof Node ? named(key) : key));
}
"""
_FIRST_STOP = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"


async def axe(page: Page, *, is_known: bool = False) -> None:
    """Fails with a readable list when axe-core has anything to say about the page as it is now. `is_known`: all was
    looked at on another screen, so that only what depends on the screen is looked at again."""
    if not await page.evaluate("() => Boolean(window.axe)"):
        await page.evaluate(_source())
    violations = await page.evaluate(_RUN, _LOOKS if is_known else _ALL)
    assert not violations, "\n".join([f"axe-core on {page.url}:", *(_told(each) for each in violations)])


async def keyboard(page: Page) -> None:
    """Fails when the Tab key does not reach everything that can be used, or shows nobody where it is."""
    stops: list[str] = await page.evaluate(_LISTEN)
    for _ in range(len(stops) + 3):
        await page.keyboard.press("Tab")
    focused = await page.evaluate("() => window.focused")
    reached = {each["stop"] for each in focused}
    missed = [name for number, name in enumerate(stops) if number not in reached]
    assert not missed, "\n".join([f"the keyboard does not reach on {page.url}:", *missed])
    unseen = sorted({each["html"] for each in focused if not each["isSeen"]})
    assert not unseen, "\n".join([f"nobody sees the focus on {page.url}:", *unseen])


async def skip_link(page: Page) -> None:
    """Fails unless the first stop of a page leads past its navigation."""
    first = page.locator(_FIRST_STOP).first
    target = str(await first.get_attribute("href"))
    assert target.startswith("#"), f"the first stop on {page.url} is no skip link: {target}"
    await first.press("Enter")
    is_there = "(id) => document.activeElement.id === id || location.hash === '#' + id"
    assert await page.evaluate(is_there, target[1:]), f"the skip link of {page.url} leads nowhere"


def _told(violation: dict[str, Any]) -> str:
    lines = [f"- {violation['id']} ({violation['impact']}): {violation['help']}"]
    for node in violation["nodes"][:5]:
        lines.append(f"    {node['html'][:200]}")
        lines += [f"      {line}" for line in str(node["failureSummary"]).splitlines()[1:]]
    return "\n".join(lines)


@cache
def _source() -> str:
    return (tools.NODE_MODULES / "axe-core/axe.min.js").read_text(encoding="utf-8")
