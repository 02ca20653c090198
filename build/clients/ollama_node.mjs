// The `ollama` package for JavaScript.
import { Ollama } from "ollama";
import * as h from "./harness.mjs";
const { assert } = h;

const host = h.BASE_URL.replace(/\/v1$/, "");
const make = (token) => new Ollama({ host, headers: { Authorization: `Bearer ${token}` } });
const client = make(h.TOKEN);
const model = h.MODEL;
const user = (content) => ({ role: "user", content });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", description: "Get the weather.", parameters } }];
const whole = (messages, more = {}) => client.chat({ model, messages, ...more });

async function streamed(messages, more = {}) {
  let content = "", tool_calls = [], last;
  for await (last of await client.chat({ model, messages, stream: true, ...more })) {
    content += last.message.content;
    tool_calls.push(...(last.message.tool_calls ?? []));
  }
  return { ...last, message: { role: "assistant", content, tool_calls } };
}

async function loop(ask, more = {}) {
  const messages = [user(h.ASK_WEATHER)];
  for (;;) {
    const { message } = await ask(messages, { tools, ...more });
    messages.push(message);
    if (!message.tool_calls?.length) return [message, messages];
    for (const call of message.tool_calls) {
      messages.push({ role: "tool", tool_name: call.function.name, content: h.getWeather(call.function.arguments) });
    }
  }
}

await h.run({
  async plain() {
    const answer = await whole([user(h.HELLO)]);
    assert.equal(answer.message.content, h.ECHO);
    assert.ok(answer.prompt_eval_count > 0 && answer.eval_count > 0 && answer.eval_duration > 0);
    const { models } = await client.list();
    assert.ok(models.length);
    assert.ok((await client.show({ model: models[0].model })).capabilities.includes("completion"));
    assert.equal((await client.generate({ model, prompt: h.HELLO })).response, h.ECHO);
    if (process.env.UPSTREAM === "strict") assert.ok((await client.ps()).models.length);
  },
  async stream() {
    const last = await streamed([user(h.HELLO)]);
    assert.equal(last.message.content, h.ECHO);
    assert.ok(last.done);
    assert.equal(last.done_reason, "stop");
  },
  async tools() {
    for (const ask of [whole, streamed]) assert.equal((await loop(ask))[0].content, h.TOOL_ECHO);
  },
  async schema() {
    const answer = await whole([user("x")], { format: { ...parameters, additionalProperties: false } });
    assert.equal(typeof JSON.parse(answer.message.content).city, "string");
  },
  async replay() {
    for (const ask of [whole, streamed]) {
      const [message, messages] = await loop(ask, { think: true });
      assert.equal(message.content, h.TOOL_ECHO);
      assert.equal((await ask([...messages, user(h.HELLO)], { think: true })).message.content, h.ECHO);
    }
  },
  async errors() {
    for (const ask of [whole, streamed]) await assert.rejects(ask([user(h.LIMITED)]), (error) => error.status_code === 429);
    await assert.rejects(client.show({ model: "nothing" }), /not found/);
    // The fake backend does not break off by itself.
    if (process.env.UPSTREAM !== "strict") await assert.rejects(streamed([user("demo:fail demo:words=9")]));
    await assert.rejects(make("wrong").list(), (error) => error.status_code === 401);
  },
  async abort() {
    const stream = await client.chat({ model, messages: [user(h.SLOW)], stream: true });
    for await (const _ of stream) break;
    stream.abort();
    await h.endsWithin();
  },
});
