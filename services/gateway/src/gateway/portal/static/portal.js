// What every page gains by JavaScript: copy buttons, and moments in the reader's own time zone. Nothing depends on it.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

for (const element of document.querySelectorAll("time[data-local]")) {
  const at = new Date(element.dateTime);
  if (zone !== "UTC" && !Number.isNaN(at.getTime())) {
    element.textContent = `${moment.format(at)} (${zone}), ${element.textContent}`;
  }
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
  }
  setTimeout(() => {
    button.textContent = "Copy";
  }, 2000);
}

for (const block of document.querySelectorAll(".code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "code__copy";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", () => copy(button, block.querySelector("code").textContent.trimEnd()));
  block.append(button);
}
