// Server-sent events out of pieces of text (WHATWG HTML, "Parsing an event stream"): only what `data:` lines say.

export class Events {
  #rest = "";

  /** The data of every event that is complete now. */
  push(text) {
    const blocks = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(dataOf).filter((data) => data !== "");
  }
}

function dataOf(block) {
  const lines = block.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
