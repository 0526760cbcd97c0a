// One turn: the reader's request, and the continuations that bring what the tool said. Knows nothing of the page:
// `tell` has a function for everything that happens.

import { Events } from "tester/events.js";
import { formats } from "tester/formats.js";
import * as tool from "tester/tool.js";

// The page shows how a turn goes on; it is no agent.
const CALLS_LIMIT = 4;
// The API itself waits two seconds for a receipt that can be on its way.
const RECEIPT_TRIES = 3;
// Refused before a prompt was held.
const WITHOUT_RECEIPT = [401, 403, 404, 413, 429];
const RECEIPT_PAUSE_MS = 500;

export class SessionEnded extends Error {}

/** An answer that is an error: `status` of HTTP, 0 when it broke inside a stream or before an answer. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get hasReceipt() {
    return !WITHOUT_RECEIPT.includes(this.status);
  }
}

/** The API, called with the token of the visitor's session, which is kept in memory only. */
export class Api {
  #token = null;
  #mint;

  /** `mint` fetches a token, or throws `SessionEnded`. */
  constructor(mint) {
    this.#mint = mint;
  }

  /** An answer of the API. A token that is not good any more is replaced once. */
  async call(path, options = {}) {
    const answer = await this.#send(path, options);
    if (answer.status !== 401) {
      return answer;
    }
    this.#token = null;
    return this.#send(path, options);
  }

  async #send(path, options) {
    this.#token ??= await this.#mint();
    const headers = { authorization: `Bearer ${this.#token}`, "content-type": "application/json" };
    return fetch(`/v1${path}`, { credentials: "omit", cache: "no-store", ...options, headers });
  }

  async usage() {
    const answer = await this.call("/usage");
    return answer.ok ? answer.json() : null;
  }

  /** A receipt may be on its way for a moment. Null: there is none, or it cannot be read now. */
  async receipt(requestId) {
    for (let tries = 0; tries < RECEIPT_TRIES; tries += 1) {
      const answer = await this.call(`/receipts/${requestId}`);
      if (answer.ok) {
        return answer.json();
      }
      await new Promise((resolve) => setTimeout(resolve, RECEIPT_PAUSE_MS));
    }
    return null;
  }
}

/** Runs a turn to its end. Throws `Refused`, `SessionEnded` and what `fetch` throws when `signal` is aborted. */
export async function runTurn(api, choice, signal, tell) {
  const format = formats[choice.endpoint];
  let body = format.first(choice);
  for (let number = 1; ; number += 1) {
    const reading = format.reading();
    tell.asking(number, `/v1${format.path}`, body);
    await runCall(api, format.path, body, { reading, signal, tell, isStream: choice.stream });
    if (reading.error) {
      throw new Refused(0, reading.error.code ?? "", reading.error.message ?? "The answer broke off.");
    }
    if (!reading.isDone) {
      throw new Refused(0, "", "The stream ended before its last event, so the answer was cut off on the way.");
    }
    if (reading.calls.length === 0 || number === CALLS_LIMIT) {
      return { calls: number, isOpen: reading.calls.length > 0 };
    }
    const results = reading.calls.map((call) => ({ id: call.id, says: tool.run(call.name, call.text) }));
    reading.calls.forEach((call, place) => tell.tool(call, results[place].says));
    body = format.next(choice, body, reading, results);
  }
}

async function runCall(api, path, body, { reading, signal, tell, isStream }) {
  const answer = await api.call(path, { method: "POST", body: JSON.stringify(body), signal });
  tell.headers(answer);
  if (!answer.ok) {
    const text = await answer.text();
    tell.raw(text);
    tell.ended("");
    throw refusal(answer.status, text);
  }
  if (isStream) {
    await readStream(answer.body, reading, tell);
  } else {
    const text = await answer.text();
    tell.raw(text);
    tell.text(reading.whole(JSON.parse(text)));
  }
  tell.ended(reading.model);
}

async function readStream(stream, reading, tell) {
  const events = new Events();
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    tell.raw(value);
    for (const data of events.push(value)) {
      tell.text(reading.feed(data));
    }
  }
}

function refusal(status, text) {
  try {
    const { error } = JSON.parse(text);
    return new Refused(status, error.code ?? "", error.message);
  } catch {
    return new Refused(status, "", "The answer is no error of the API. Something between here and the API sent it.");
  }
}
