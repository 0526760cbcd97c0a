// The live tester's page: reads the form, runs turns one at a time, shows what happens.

import { counted, element, milliseconds, Pane, RawPane, receiptTable, showRemaining, showUsage } from "tester/panes.js";
import { curl, python } from "tester/snippets.js";
import { Api, Refused, runTurn, SessionEnded } from "tester/turn.js";

const TOOL_PROMPT = "What time is it in Lisbon now?";

const form = document.querySelector("#tester");
const fields = form.elements;
const { baseUrl, ownAlias } = form.dataset;
const plainPrompt = fields.prompt.value;
const at = (name) => document.querySelector(`#tester-${name}`);
const answer = new Pane(at("answer"));
const raw = new RawPane(at("raw"));
const headers = new Pane(at("headers"));
const api = new Api(mint);
let running = null;

async function mint() {
  const sent = { method: "POST", redirect: "manual", headers: { "x-csrf-token": fields.csrf.value } };
  const minted = await fetch("/tester/token", sent);
  if (!minted.ok) {
    throw new SessionEnded();
  }
  return (await minted.json()).token;
}

function chosen() {
  return {
    endpoint: fields.endpoint.value,
    model: fields.model.value,
    instructions: fields.instructions.value.trim(),
    prompt: fields.prompt.value,
    stream: fields.stream.checked,
    tools: fields.tools.checked,
    maxTokens: Math.max(1, fields.max_tokens.valueAsNumber || 1),
  };
}

function showChoice() {
  const choice = chosen();
  at("curl").textContent = curl(choice, baseUrl);
  at("python").textContent = python(choice, baseUrl);
  const aliases = [...fields.model.options].map((option) => option.value);
  const served = aliases.indexOf(choice.model) > aliases.indexOf(ownAlias) ? ownAlias : choice.model;
  at("served").textContent = ownAlias
    ? `Served under your plan: ${served}.`
    : "What is served is the lower of it and your plan's own.";
}

function say(text) {
  at("status").textContent = text;
}

function figures(values) {
  for (const [name, text] of Object.entries(values)) {
    at(name).textContent = text;
  }
}

function begin() {
  [answer, raw, headers].forEach((pane) => pane.clear());
  at("receipt").replaceChildren(element("p", "muted", "The receipt comes when the request has ended."));
  figures({ code: "–", first: "–", total: "–", model: "–" });
  at("run").setAttribute("aria-disabled", "true");
  at("stop").removeAttribute("aria-disabled");
  // On a telephone the answer is below the form.
  at("output").scrollIntoView({ block: "nearest" });
}

function end() {
  [answer, raw].forEach((pane) => pane.flush());
  at("run").removeAttribute("aria-disabled");
  at("stop").setAttribute("aria-disabled", "true");
}

/** What a turn tells, shown. `requestIds` collects whose receipts are read at its end. */
function telling(requestIds) {
  const began = performance.now();
  const elapsed = () => milliseconds(performance.now() - began);
  return {
    asking(number, path, body) {
      const title = `${number > 1 ? "\n\n" : ""}Call ${number}: POST ${path}\n`;
      raw.write(number > 1 ? `${title}${JSON.stringify(body, null, 2)}\n\n` : `${title}\n`);
      headers.write(title);
      say(number > 1 ? "Sending what the tool said: the same prompt goes on…" : "Waiting for the first word…");
    },
    headers(response) {
      figures({ code: String(response.status), ...(requestIds.length === 0 ? { first: elapsed() } : {}) });
      headers.write([...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"));
      const requestId = response.headers.get("x-request-id");
      if (requestId) {
        requestIds.push(requestId);
      }
      showRemaining(response.headers);
      say("The answer is coming…");
    },
    raw: (text) => raw.write(text),
    text: (text) => answer.write(text),
    ended: (model) => figures({ total: elapsed(), model: model || "–" }),
    tool(call, says) {
      const shown = element("div", "tester__tool", "");
      shown.append(element("code", "", `${call.name}(${call.text})`), element("span", "", `→ ${says}`));
      answer.add(shown);
    },
  };
}

async function run() {
  if (running || !form.reportValidity()) {
    return;
  }
  const stopping = new AbortController();
  running = stopping;
  const requestIds = [];
  begin();
  try {
    const turn = await runTurn(api, chosen(), stopping.signal, telling(requestIds));
    const calls = turn.calls === 1 ? "1 call" : `${turn.calls} calls`;
    await settle(requestIds, turn.isOpen ? `The page stops after ${calls}.` : `Done, in ${calls}.`);
  } catch (problem) {
    const ids = problem instanceof Refused && !problem.hasReceipt ? requestIds.slice(0, -1) : requestIds;
    await settle(ids, explained(problem, stopping.signal), requestIds.length > 0);
  } finally {
    running = null;
    end();
  }
}

function explained(problem, signal) {
  if (signal.aborted) {
    return "Stopped; the model is stopped, too.";
  }
  if (problem instanceof SessionEnded) {
    show("Your session has ended", "Sign in again to go on; what you wrote is kept while this page is open.");
    return "Not sent.";
  }
  if (problem instanceof Refused) {
    const shown = show([problem.status || "", problem.code].filter(Boolean).join(" ") || "Broken off", problem.message);
    if (problem.code === "insufficient_quota") {
      const link = element("a", "", "Compare the plans");
      link.href = "/plans";
      shown.append(link);
    }
    if (problem.status === 0) {
      return "The answer broke off.";
    }
    return `${problem.status < 500 ? "Refused" : "Failed"} with ${problem.status}.`;
  }
  show("No connection", "The API could not be reached, or the connection broke.");
  return "The connection failed.";
}

function show(title, message) {
  const shown = element("div", "tester__error", "");
  shown.setAttribute("role", "alert");
  shown.append(element("strong", "", title), element("span", "", message));
  answer.add(shown);
  return shown;
}

/** The receipts, and what is left: read after the end, whatever it was. */
async function settle(requestIds, how, wasAnswered = true) {
  if (requestIds.length === 0) {
    const why = wasAnswered
      ? "What is refused before a prompt is held has no receipt, and costs nothing."
      : "No answer began, so there is no id to read a receipt by.";
    at("receipt").replaceChildren(element("p", "muted", why));
    say(how);
    return;
  }
  say(`${how} Reading the receipt…`);
  const receipts = await Promise.all(requestIds.map((each) => api.receipt(each).catch(() => null)));
  const usage = await api.usage().catch(() => null);
  if (usage) {
    showUsage(usage);
  }
  if (receipts.every((each) => each === null)) {
    at("receipt").replaceChildren(element("p", "muted", "The receipt cannot be read just now. The overview has it."));
    say(`${how} No receipt yet.`);
    return;
  }
  at("receipt").replaceChildren(receiptTable(receipts));
  const prompts = receipts.reduce((sum, each) => sum + (each?.prompts ?? 0), 0);
  say(`${how} ${prompts === 1 ? "1 prompt" : `${counted(prompts)} prompts`} charged.`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.addEventListener("input", showChoice);
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
});
fields.tools.addEventListener("change", () => {
  const [before, after] = fields.tools.checked ? [plainPrompt, TOOL_PROMPT] : [TOOL_PROMPT, plainPrompt];
  if (fields.prompt.value === before) {
    fields.prompt.value = after;
    showChoice();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    running?.abort();
  }
});
at("stop").addEventListener("click", () => running?.abort());
window.addEventListener("pagehide", () => running?.abort());

showChoice();
at("run").disabled = false;
