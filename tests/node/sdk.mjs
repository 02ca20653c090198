// The `openai` package for Node against a relay: BASE_URL and TOKEN in the environment. Prints one line a check.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.TOKEN, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = (name) => ({ type: "function", function: { name, parameters } });
let passed = 0;

async function check(name, body) {
  await body();
  passed += 1;
  console.log(`ok ${name}`);
}

await check("chat whole", async () => {
  const answer = await client.chat.completions.create({ model: "demo", messages: user("hello") });
  assert.equal(answer.choices[0].message.content, "You said: hello");
  assert.match(answer._request_id, /^req_/);
});

await check("chat streamed with usage last", async () => {
  const stream = await client.chat.completions.create({
    model: "demo", messages: user("hello there"), stream: true, stream_options: { include_usage: true },
  });
  let text = "", last;
  for await (const chunk of stream) { text += chunk.choices[0]?.delta?.content ?? ""; last = chunk; }
  assert.equal(text, "You said: hello there");
  assert.ok(last.usage.total_tokens > 0 && last.choices.length === 0);
});

await check("runTools round trip", async () => {
  const runner = client.chat.completions.runTools({
    model: "demo", messages: user('call the tool get_weather with {"city": "Oslo"}'),
    tools: [{ type: "function", function: { name: "get_weather", parameters, parse: JSON.parse, function: ({ city }) => `4 degrees in ${city}` } }],
  });
  assert.equal(await runner.finalContent(), "The tool said: 4 degrees in Oslo");
});

await check("parallel calls streamed", async () => {
  const stream = client.chat.completions.stream({
    model: "demo", messages: user("call the tools get_weather, get_time"), tools: [tool("get_weather"), tool("get_time")],
  });
  const message = (await stream.finalChatCompletion()).choices[0].message;
  assert.deepEqual(message.tool_calls.map((c) => c.function.name), ["get_weather", "get_time"]);
  for (const call of message.tool_calls) JSON.parse(call.function.arguments);
});

await check("parse with a schema", async () => {
  const Person = z.object({ name: z.string(), age: z.number() });
  const answer = await client.chat.completions.parse({ model: "demo", messages: user("x"), response_format: zodResponseFormat(Person, "person") });
  assert.equal(typeof answer.choices[0].message.parsed.age, "number");
});

await check("responses whole and streamed", async () => {
  assert.equal((await client.responses.create({ model: "demo", input: "hello" })).output_text, "You said: hello");
  const stream = client.responses.stream({ model: "demo", input: "hello there" });
  let text = "";
  for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
  assert.equal(text, "You said: hello there");
  assert.equal((await stream.finalResponse()).output_text, "You said: hello there");
});

await check("completions and models", async () => {
  assert.equal((await client.completions.create({ model: "demo", prompt: "hi" })).choices[0].text, "You said: hi");
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["demo", "demo-mini", "gpt-image-2"]);
});

await check("error classes", async () => {
  const failing = (text) => client.chat.completions.create({ model: "demo", messages: user(text) });
  await assert.rejects(failing("demo:rate-limit"), OpenAI.RateLimitError);
  await assert.rejects(failing("demo:overload"), OpenAI.InternalServerError);
  await assert.rejects(client.chat.completions.create({ model: "demo", messages: [] }), OpenAI.BadRequestError);
  await assert.rejects(client.models.retrieve("nothing"), OpenAI.NotFoundError);
  const stranger = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(async () => { for await (const _ of stranger.models.list()); }, OpenAI.AuthenticationError);
});

await check("a cut stream throws", async () => {
  const stream = await client.chat.completions.create({ model: "demo", messages: user("a b c d demo:cut"), stream: true });
  await assert.rejects(async () => { for await (const _ of stream); }, OpenAI.APIError);
});

await check("abort in the middle of a stream", async () => {
  const stream = await client.chat.completions.create({ model: "demo", messages: user("demo:pace=50 " + "w ".repeat(200)), stream: true });
  for await (const _ of stream) { stream.controller.abort(); break; }
});

console.log(`${passed} checks passed`);
