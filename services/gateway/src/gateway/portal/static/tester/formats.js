// The two formats of the API, as far as the tester speaks them: what is sent, and what is read out of an answer.
//
// `choice` is what the reader chose: { endpoint, model, instructions, prompt, stream, tools, maxTokens }.

import * as tool from "tester/tool.js";

class Chat {
  path = "/chat/completions";

  first(choice) {
    const system = choice.instructions ? [{ role: "system", content: choice.instructions }] : [];
    return {
      model: choice.model,
      messages: [...system, { role: "user", content: choice.prompt }],
      ...(choice.tools ? { tools: [tool.forChat] } : {}),
      max_completion_tokens: choice.maxTokens,
      ...(choice.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
    };
  }

  /** The request with what the tools said: a continuation of the same turn. */
  next(_, body, reading, results) {
    const calls = reading.calls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: call.text },
    }));
    const said = { role: "assistant", content: reading.said || null, tool_calls: calls };
    const told = results.map((result) => ({ role: "tool", tool_call_id: result.id, content: result.says }));
    return { ...body, messages: [...body.messages, said, ...told] };
  }

  reading() {
    return new ChatReading();
  }
}

class Responses {
  path = "/responses";

  first(choice) {
    return {
      model: choice.model,
      ...(choice.instructions ? { instructions: choice.instructions } : {}),
      input: choice.prompt,
      ...(choice.tools ? { tools: [tool.forResponses] } : {}),
      max_output_tokens: choice.maxTokens,
      ...(choice.stream ? { stream: true } : {}),
    };
  }

  next(_, body, reading, results) {
    const told = results.map((result) => ({
      type: "function_call_output",
      call_id: result.id,
      output: result.says,
    }));
    return { ...body, previous_response_id: reading.id, input: told };
  }

  reading() {
    return new ResponsesReading();
  }
}

export const formats = { chat: new Chat(), responses: new Responses() };

/** What one answer said so far. `feed` and `whole` give the text that is new. */
class ChatReading {
  model = "";
  said = "";
  calls = [];
  error = null;
  isDone = false;

  feed(data) {
    if (data === "[DONE]") {
      this.isDone = true;
      return "";
    }
    const chunk = JSON.parse(data);
    this.error = chunk.error ?? this.error;
    this.model = chunk.model ?? this.model;
    const delta = chunk.choices?.[0]?.delta ?? {};
    for (const piece of delta.tool_calls ?? []) {
      const call = (this.calls[piece.index ?? 0] ??= { id: "", name: "", text: "" });
      call.id = piece.id ?? call.id;
      call.name += piece.function?.name ?? "";
      call.text += piece.function?.arguments ?? "";
    }
    return this.#says(delta.content);
  }

  whole(completion) {
    const message = completion.choices?.[0]?.message ?? {};
    this.model = completion.model ?? "";
    this.calls = (message.tool_calls ?? []).map((call) => ({
      id: call.id,
      name: call.function.name,
      text: call.function.arguments,
    }));
    this.isDone = true;
    return this.#says(message.content);
  }

  #says(text) {
    this.said += text ?? "";
    return text ?? "";
  }
}

class ResponsesReading {
  id = "";
  model = "";
  said = "";
  calls = [];
  error = null;
  isDone = false;

  feed(data) {
    const event = JSON.parse(data);
    if (event.type === "response.output_text.delta") {
      this.said += event.delta;
      return event.delta;
    }
    if (["response.completed", "response.incomplete", "response.failed"].includes(event.type)) {
      this.#ended(event.response);
    }
    return "";
  }

  whole(response) {
    this.#ended(response);
    const parts = (response.output ?? []).flatMap((item) => (item.type === "message" ? item.content : []));
    this.said = parts.map((part) => part.text ?? part.refusal ?? "").join("");
    return this.said;
  }

  #ended(response) {
    this.id = response.id;
    this.model = response.model;
    this.error = response.error ?? null;
    this.calls = (response.output ?? [])
      .filter((item) => item.type === "function_call")
      .map((item) => ({ id: item.call_id, name: item.name, text: item.arguments }));
    this.isDone = true;
  }
}
