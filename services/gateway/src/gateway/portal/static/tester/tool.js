// The example tool: it tells the time, and runs in the reader's browser.

export const NAME = "get_time";

const described = {
  description: "Tells the date and the time in a time zone.",
  parameters: {
    type: "object",
    properties: { time_zone: { type: "string", description: "IANA name, for example Europe/Lisbon" } },
    required: ["time_zone"],
  },
};

export const forChat = { type: "function", function: { name: NAME, ...described } };
export const forResponses = { type: "function", name: NAME, ...described };

/** What the tool says; never fails, because the model may ask for anything. */
export function run(name, text, now = new Date()) {
  if (name !== NAME) {
    return `There is no tool ${name}.`;
  }
  try {
    const { time_zone: timeZone } = JSON.parse(text || "{}");
    return new Intl.DateTimeFormat("en-GB", { timeZone, dateStyle: "full", timeStyle: "long" }).format(now);
  } catch {
    return "That is no time zone that I know.";
  }
}
