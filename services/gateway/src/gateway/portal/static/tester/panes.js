// The page's output. Everything from the API is text: nothing here makes HTML of it. Heights are fixed by the style
// sheet, so nothing moves while an answer comes.

const RAW_LENGTH = 20000;
const FACTS = [
  ["Request", (receipt) => receipt.request_id],
  ["Outcome", (receipt) => receipt.outcome],
  ["Prompts charged", (receipt) => String(receipt.prompts)],
  ["Why", (receipt) => receipt.reason],
  ["Place in the turn", (receipt) => `${receipt.turn.call} of ${receipt.turn.calls ?? "–"}`],
  ["Model asked", (receipt) => receipt.model_asked],
  ["Model served", (receipt) => receipt.model_served],
  ["Tokens in", (receipt) => counted(receipt.tokens.input)],
  ["Tokens out", (receipt) => counted(receipt.tokens.output)],
  ["First word", (receipt) => milliseconds(receipt.timings?.first_content_ms)],
  ["Total", (receipt) => milliseconds(receipt.timings?.total_ms)],
];

/** A text that grows, and follows its end unless the reader has scrolled up. Written once per frame. */
export class Pane {
  #pane;
  #length;
  #waiting = "";
  #node = null;
  #frame = 0;

  constructor(pane, length = Infinity) {
    this.#pane = pane;
    this.#length = length;
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#waiting = "";
    this.#node = null;
    this.#pane.replaceChildren();
  }

  write(text) {
    this.#waiting += text;
    if (text && !this.#frame) {
      this.#frame = requestAnimationFrame(() => this.flush());
    }
  }

  /** Something that is no text of the answer, after what was written so far. */
  add(element) {
    this.flush();
    this.#follow(() => this.#pane.append(element));
    this.#node = null;
  }

  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const text = this.#waiting;
    this.#waiting = "";
    if (text) {
      this.#follow(() => this.#append(text));
    }
  }

  #append(text) {
    if (this.#node === null) {
      this.#node = document.createTextNode("");
      this.#pane.append(this.#node);
    }
    this.#node.appendData(text);
    const over = this.#node.length - this.#length;
    if (over > 0) {
      this.#node.deleteData(0, over);
    }
  }

  #follow(change) {
    const pane = this.#pane;
    const isAtEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 24;
    change();
    if (isAtEnd) {
      pane.scrollTop = pane.scrollHeight;
    }
  }
}

export class RawPane extends Pane {
  constructor(pane) {
    super(pane, RAW_LENGTH);
  }
}

export function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

/** A column per call of the turn, so that a reader sees what only the first of them costs. */
export function receiptTable(receipts) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  head.append(heading("Receipt", "col"), ...receipts.map((_, place) => heading(`Call ${place + 1}`, "col")));
  const body = table.createTBody();
  for (const [title, fact] of FACTS) {
    const row = body.insertRow();
    row.append(heading(title, "row"));
    for (const receipt of receipts) {
      const cell = row.insertCell();
      cell.append(receipt === null ? "–" : title === "Request" ? requestLink(fact(receipt)) : fact(receipt));
    }
  }
  return table;
}

function heading(text, scope) {
  const made = document.createElement("th");
  made.scope = scope;
  made.textContent = text;
  return made;
}

function requestLink(requestId) {
  const link = document.createElement("a");
  link.href = `/overview/requests/${encodeURIComponent(requestId)}`;
  link.textContent = requestId;
  return link;
}

/** The figures of `GET /v1/usage` into the bar at the top of the page; an unlimited window has no meter. */
export function showUsage(usage) {
  const windows = document.querySelectorAll(".allowance .window");
  [usage.daily, usage.monthly].forEach((window, place) => {
    showLeft(windows[place], window.remaining);
    const used = windows[place]?.querySelector(".muted:last-child")?.firstChild;
    if (used) {
      used.data = used.data.replace(/^[\d,]+/, counted(window.used));
    }
  });
}

/** What the headers of an answer say is left, at once. */
export function showRemaining(headers) {
  const windows = document.querySelectorAll(".allowance .window");
  ["daily", "monthly"].forEach((name, place) => {
    const left = headers.get(`x-smartroute-${name}-remaining`);
    if (left !== null && /^\d+$/.test(left)) {
      showLeft(windows[place], Number(left));
    }
  });
}

function showLeft(window, remaining) {
  const meter = window?.querySelector("meter");
  if (!meter || remaining === null) {
    return;
  }
  window.querySelector("[data-remaining]").textContent = counted(remaining);
  meter.value = remaining;
  meter.setAttribute("aria-label", meter.getAttribute("aria-label").replace(/: [\d,]+/, `: ${counted(remaining)}`));
}

export function counted(number) {
  return number === null || number === undefined ? "–" : number.toLocaleString("en-GB");
}

export function milliseconds(value) {
  if (value === null || value === undefined) {
    return "–";
  }
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`;
}
