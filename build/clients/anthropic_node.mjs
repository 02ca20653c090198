// The `@anthropic-ai/sdk` package for Node, of both major versions.
import Anthropic from "@anthropic-ai/sdk";
import * as h from "./harness.mjs";
const { assert, MODEL: model } = h;

const baseURL = h.BASE_URL.replace(/\/v1$/, "");
const client = new Anthropic({ baseURL, apiKey: h.TOKEN, maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ name: "get_weather", description: "Get the weather.", input_schema }];
const thinking = { type: "enabled", budget_tokens: 2048 };
const textOf = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
const asked = (content, more = {}) => ({ model, max_tokens: 4096, messages: Array.isArray(content) ? content : [user(content)], ...more });
const create = (content, more) => client.messages.create(asked(content, more));
const streamed = (content, more) => client.messages.stream(asked(content, more)).finalMessage();

async function loop(ask, more = {}) {
  const messages = [user(h.ASK_WEATHER)];
  for (;;) {
    const message = await ask(messages, { tools, ...more });
    messages.push({ role: "assistant", content: message.content });
    const calls = message.content.filter((block) => block.type === "tool_use");
    if (!calls.length) return [message, messages];
    messages.push(user(calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: h.getWeather(call.input) }))));
  }
}

await h.run({
  async plain() {
    const message = await create(h.HELLO);
    assert.equal(textOf(message), h.ECHO);
    assert.ok(message.usage.input_tokens > 0 && message._request_id);
    const counted = await client.messages.countTokens({ model, messages: [user("foo")], tools });
    assert.ok(counted.input_tokens > 20);
    const ids = [];
    for await (const one of client.models.list()) ids.push(one.id);
    assert.ok(ids.length);
    assert.equal((await client.models.retrieve(ids[0])).id, ids[0]);
  },
  async stream() {
    assert.equal(textOf(await streamed(h.HELLO)), h.ECHO);
    const kinds = [];
    for await (const event of await client.messages.create(asked(h.HELLO, { stream: true }))) kinds.push(event.type);
    assert.equal(kinds[0], "message_start");
    assert.equal(kinds.at(-1), "message_stop");
  },
  async tools() {
    for (const ask of [create, streamed]) assert.equal(textOf((await loop(ask))[0]), h.TOOL_ECHO);
  },
  async schema() {
    const schema = { ...input_schema, additionalProperties: false };
    const message = await create("x", { output_config: { format: { type: "json_schema", schema } } });
    assert.equal(typeof JSON.parse(textOf(message)).city, "string");
  },
  async replay() {
    for (const ask of [create, streamed]) {
      const [message, messages] = await loop(ask, { thinking });
      assert.equal(textOf(message), h.TOOL_ECHO);
      assert.equal(messages[1].content[0].type, "thinking");
      assert.equal(textOf(await ask([...messages, user(h.HELLO)], { tools, thinking })), h.ECHO);
    }
  },
  async errors() {
    await assert.rejects(create(h.LIMITED), Anthropic.RateLimitError);
    await assert.rejects(streamed(h.LIMITED), Anthropic.RateLimitError);
    await assert.rejects(create([]), Anthropic.BadRequestError);
    await assert.rejects(create("please demo:context"), /prompt is too long/);
    await assert.rejects(create("please demo:overload"), (error) => error.status === 529);
    // The fake backend does not break off by itself.
    if (process.env.UPSTREAM !== "strict") await assert.rejects(streamed("demo:fail demo:words=9"), Anthropic.APIError);
    const stranger = new Anthropic({ baseURL, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(async () => { for await (const _ of stranger.models.list()); }, Anthropic.AuthenticationError);
    await assert.rejects(client.get("/v1/messages/nothing"), Anthropic.NotFoundError);
  },
  async abort() {
    const stream = await client.messages.create(asked(h.SLOW, { stream: true }));
    for await (const _ of stream) break;
    await h.endsWithin();
    await assert.rejects(client.messages.create(asked(h.SLOW), { signal: AbortSignal.timeout(1000) }));
    await h.endsWithin();
  },
});
