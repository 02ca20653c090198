// The `openai` package for Node.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import * as h from "./harness.mjs";
const { assert, MODEL: model } = h;

const client = new OpenAI({ baseURL: h.BASE_URL, apiKey: h.TOKEN, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const Person = z.object({ name: z.string(), age: z.number() });

await h.run({
  async plain() {
    const chat = await client.chat.completions.create({ model, messages: user(h.HELLO), max_tokens: 500, temperature: 0 });
    assert.equal(chat.choices[0].message.content, h.ECHO);
    assert.equal((await client.responses.create({ model, input: h.HELLO })).output_text, h.ECHO);
    assert.equal((await client.completions.create({ model, prompt: h.HELLO })).choices[0].text, h.ECHO);
    const ids = [];
    for await (const one of client.models.list()) ids.push(one.id);
    assert.ok(ids.length);
  },
  async stream() {
    let text = "", last;
    const chunks = await client.chat.completions.create({ model, messages: user(h.HELLO), stream: true, stream_options: { include_usage: true } });
    for await (const chunk of chunks) { text += chunk.choices[0]?.delta?.content ?? ""; last = chunk; }
    assert.equal(text, h.ECHO);
    assert.ok(last.usage);
    const events = client.responses.stream({ model, input: h.HELLO });
    assert.equal((await events.finalResponse()).output_text, h.ECHO);
  },
  async tools() {
    const runner = client.chat.completions.runTools({
      model, messages: user(h.ASK_WEATHER), stream: true,
      tools: [{ type: "function", function: { name: "get_weather", parameters, parse: JSON.parse, function: h.getWeather } }],
    });
    assert.equal(await runner.finalContent(), h.TOOL_ECHO);
    const whole = client.chat.completions.runTools({
      model, messages: user(h.ASK_WEATHER),
      tools: [{ type: "function", function: { name: "get_weather", parameters, parse: JSON.parse, function: h.getWeather } }],
    });
    assert.equal(await whole.finalContent(), h.TOOL_ECHO);
  },
  async schema() {
    const chat = await client.chat.completions.parse({ model, messages: user("x"), response_format: zodResponseFormat(Person, "person") });
    assert.equal(typeof chat.choices[0].message.parsed.age, "number");
    const parsed = await client.responses.parse({ model, input: "x", text: { format: zodTextFormat(Person, "person") } });
    assert.equal(typeof parsed.output_parsed.age, "number");
  },
  async replay() {
    const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
    for (const extra of [{}, { include: ["reasoning.encrypted_content"], store: false }]) {
      let input = user(h.ASK_WEATHER);
      const first = await client.responses.create({ model, input, tools, reasoning: { effort: "low" }, ...extra });
      const call = first.output.find((item) => item.type === "function_call");
      input = [...input, ...first.output, { type: "function_call_output", call_id: call.call_id, output: h.getWeather({ city: "Oslo" }) }];
      const second = await client.responses.create({ model, input, tools, reasoning: { effort: "low" }, ...extra });
      assert.equal(second.output_text, h.TOOL_ECHO);
      input = [...input, ...second.output, ...user(h.HELLO)];
      assert.equal((await client.responses.create({ model, input, ...extra })).output_text, h.ECHO);
    }
    const kept = await client.responses.create({ model, input: h.HELLO });
    assert.equal((await client.responses.create({ model, input: h.HELLO, previous_response_id: kept.id })).output_text, h.ECHO);
  },
  async errors() {
    await assert.rejects(client.chat.completions.create({ model, messages: user(h.LIMITED) }), OpenAI.RateLimitError);
    await assert.rejects(client.chat.completions.create({ model, messages: user(h.LIMITED), stream: true }), OpenAI.RateLimitError);
    await assert.rejects(client.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError);
    const stranger = new OpenAI({ baseURL: h.BASE_URL, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(async () => { for await (const _ of stranger.models.list()); }, OpenAI.AuthenticationError);
    await assert.rejects(client.get("/nothing"), OpenAI.NotFoundError);
  },
  async abort() {
    const stream = await client.chat.completions.create({ model, messages: user(h.SLOW), stream: true });
    for await (const _ of stream) break;
    await h.endsWithin();
    await assert.rejects(client.responses.create({ model, input: h.SLOW }, { signal: AbortSignal.timeout(1000) }));
    await h.endsWithin();
  },
});
