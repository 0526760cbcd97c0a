"""What a page owes to people who do not see it, or do not use a pointer: axe-core's rules, and the keyboard's.

axe-core is run by the debugger's protocol, so that the page's content security policy stays in force.
"""

from functools import cache
from typing import Any

from playwright.async_api import Page

from tests.browser import tools

# Everything that axe-core runs by itself, best practices included, and the rule on the size of targets (WCAG 2.2).
_RUN = """
async () => (await axe.run(document, {
  resultTypes: ["violations"],
  rules: { "target-size": { enabled: true } },
})).violations
"""
# Everything that the Tab key must reach: what is shown, not switched off, and of each group of radio buttons one.
_STOPS = """
() => {
  const named = (node) => {
    const text = node.innerText || node.getAttribute("aria-label") || node.name || node.value || "";
    return `<${node.localName}> ${text.trim().slice(0, 60)}`;
  };
  const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0'], audio, video";
  const groups = new Set();
  return [...document.querySelectorAll(wanted)].filter((node) => {
    if (node.disabled || node.closest("[inert]") || node.tabIndex < 0 || !node.checkVisibility()) return false;
    if (node.type !== "radio") return true;
    const group = `${node.form?.action} ${node.name}`;
    return !groups.has(group) && groups.add(group);
  }).map((node, number) => { node.dataset.stop = String(number); return named(node); });
}
"""
# The stop that has the focus, and whether anybody can see that it has: on itself, or on what stands for it.
_FOCUS = """
() => {
  const node = document.activeElement;
  if (!node || node === document.body) return null;
  const shows = (each) => {
    const style = getComputedStyle(each);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  };
  const stand = [node, ...(node.labels ?? []), node.parentElement];
  const radio = node.type === "radio"
    ? document.querySelector(`input[type=radio][name="${CSS.escape(node.name)}"][data-stop]`) : node;
  const stop = radio?.dataset.stop;
  const html = node.outerHTML.slice(0, 160);
  return { stop: stop === undefined ? null : Number(stop), visible: stand.some(shows), html };
}
"""


async def axe(page: Page) -> None:
    """Fails with a readable list when axe-core has anything to say about the page as it is now."""
    if not await page.evaluate("() => Boolean(window.axe)"):
        await page.evaluate(_source())
    violations = await page.evaluate(_RUN)
    assert not violations, "\n".join([f"axe-core on {page.url}:", *(_told(each) for each in violations)])


async def keyboard(page: Page) -> None:
    """Fails when the Tab key does not reach everything that can be used, or shows nobody where it is."""
    stops: list[str] = await page.evaluate(_STOPS)
    reached: set[int] = set()
    unseen: list[str] = []
    for _ in range(len(stops) + 5):
        await page.keyboard.press("Tab")
        focus = await page.evaluate(_FOCUS)
        if focus is None:
            break
        reached.add(focus["stop"])
        if not focus["visible"]:
            unseen.append(focus["html"])
    missed = [name for number, name in enumerate(stops) if number not in reached]
    assert not missed, "\n".join([f"the keyboard does not reach on {page.url}:", *missed])
    assert not unseen, "\n".join([f"nobody sees the focus on {page.url}:", *unseen])


async def skip_link(page: Page) -> None:
    """Fails unless the first stop of a page leads past its navigation."""
    await page.keyboard.press("Tab")
    target = str(await page.evaluate("() => document.activeElement.getAttribute('href')"))
    assert target.startswith("#"), f"the first stop on {page.url} is no skip link: {target}"
    await page.keyboard.press("Enter")
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
