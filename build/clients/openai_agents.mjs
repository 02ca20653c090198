// openai-agents for Node: the Responses and the chat model.
import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, run, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";
import * as h from "./harness.mjs";
const { assert } = h;

setTracingDisabled(true);
const client = new OpenAI({ baseURL: h.BASE_URL, apiKey: h.TOKEN, maxRetries: 0 });
const kinds = [OpenAIResponsesModel, OpenAIChatCompletionsModel];
const weather = tool({ name: "get_weather", description: "Weather.", parameters: z.object({ city: z.string() }), execute: async (args) => h.getWeather(args) });
const agent = (Kind, more = {}) => new Agent({ name: "tester", instructions: "Be short.", model: new Kind(client, h.MODEL), ...more });
const streamed = async (one, text) => {
  const result = await run(one, text, { stream: true });
  for await (const _ of result);
  await result.completed;
  return result;
};

await h.run({
  async plain() { for (const Kind of kinds) assert.equal((await run(agent(Kind), h.HELLO)).finalOutput, h.ECHO); },
  async stream() { for (const Kind of kinds) assert.equal((await streamed(agent(Kind), h.HELLO)).finalOutput, h.ECHO); },
  async tools() {
    for (const Kind of kinds) {
      assert.equal((await run(agent(Kind, { tools: [weather] }), h.ASK_WEATHER)).finalOutput, h.TOOL_ECHO);
      assert.equal((await streamed(agent(Kind, { tools: [weather] }), h.ASK_WEATHER)).finalOutput, h.TOOL_ECHO);
    }
  },
  async schema() {
    for (const Kind of kinds) {
      const one = agent(Kind, { outputType: z.object({ name: z.string(), age: z.number() }) });
      assert.equal(typeof (await run(one, "x")).finalOutput.age, "number");
      assert.equal(typeof (await streamed(one, "x")).finalOutput.age, "number");
    }
  },
  async replay() {
    for (const Kind of kinds) {
      const one = agent(Kind, { tools: [weather], modelSettings: { reasoning: { effort: "low", summary: "auto" } } });
      const first = await run(one, h.ASK_WEATHER);
      assert.equal(first.finalOutput, h.TOOL_ECHO);
      assert.equal((await run(one, [...first.history, { role: "user", content: h.HELLO }])).finalOutput, h.ECHO);
    }
  },
  async errors() {
    for (const Kind of kinds) {
      await assert.rejects(run(agent(Kind), h.LIMITED), (error) => error.status === 429);
      await assert.rejects(streamed(agent(Kind), h.LIMITED), (error) => error.status === 429);
    }
  },
  async abort() {
    for (const Kind of kinds) {
      const leave = new AbortController();
      const result = await run(agent(Kind), h.SLOW, { stream: true, signal: leave.signal });
      try { for await (const _ of result) { leave.abort(); break; } } catch { /* an abort may throw */ }
      result.completed.catch(() => {});
      await h.endsWithin();
    }
  },
});
