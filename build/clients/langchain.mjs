// @langchain/openai: ChatOpenAI over chat and over Responses.
import { HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAI } from "@langchain/openai";
import { z } from "zod";
import * as h from "./harness.mjs";
const { assert } = h;

const common = { model: h.MODEL, apiKey: h.TOKEN, maxRetries: 0, configuration: { baseURL: h.BASE_URL } };
const models = [new ChatOpenAI({ ...common, useResponsesApi: false }), new ChatOpenAI({ ...common, useResponsesApi: true })];
const weather = tool(async (args) => h.getWeather(args), { name: "get_weather", description: "Weather.", schema: z.object({ city: z.string() }) });
const Person = z.object({ name: z.string(), age: z.number() });
const joined = async (parts) => { let text = ""; for await (const part of parts) text += typeof part === "string" ? part : part.text; return text; };
const trip = async (model) => {
  const bound = model.bindTools([weather]);
  const history = [new HumanMessage(h.ASK_WEATHER)];
  const asked = await bound.invoke(history);
  const [call] = asked.tool_calls;
  assert.deepEqual([call.name, call.args], ["get_weather", { city: "Oslo" }]);
  history.push(asked, new ToolMessage({ content: h.getWeather(call.args), tool_call_id: call.id }));
  const answer = await bound.invoke(history);
  assert.equal(answer.text, h.TOOL_ECHO);
  history.push(answer, new HumanMessage(h.HELLO));
  assert.equal((await bound.invoke(history)).text, h.ECHO);
};

await h.run({
  async plain() {
    for (const model of models) assert.equal((await model.invoke([new SystemMessage("Be short."), new HumanMessage(h.HELLO)])).text, h.ECHO);
    assert.match(await new OpenAI(common).invoke(h.HELLO), /hello there/);
  },
  async stream() {
    for (const model of models) assert.equal(await joined(await model.stream(h.HELLO)), h.ECHO);
    assert.match(await joined(await new OpenAI(common).stream(h.HELLO)), /hello there/);
  },
  async tools() { for (const model of models) await trip(model); },
  async schema() {
    for (const model of models) {
      for (const method of ["jsonSchema", "functionCalling"]) {
        assert.equal(typeof (await model.withStructuredOutput(Person, { method }).invoke("x")).age, "number");
      }
    }
  },
  async replay() {
    const reasoning = { effort: "low", summary: "auto" };
    await trip(new ChatOpenAI({ ...common, useResponsesApi: true, reasoning }));
    await trip(new ChatOpenAI({ ...common, useResponsesApi: true, reasoning, zdrEnabled: true }));
    await trip(new ChatOpenAI({ ...common, useResponsesApi: true, reasoning, streaming: true }));
  },
  async errors() {
    for (const model of models) {
      await assert.rejects(model.invoke(h.LIMITED), (error) => error.status === 429);
      await assert.rejects(async () => joined(await model.stream(h.LIMITED)), (error) => error.status === 429);
    }
  },
  async abort() {
    for (const model of models) {
      const leave = new AbortController();
      try { for await (const _ of await model.stream(h.SLOW, { signal: leave.signal })) { leave.abort(); } } catch { /* an abort may throw */ }
      await h.endsWithin();
    }
  },
});
