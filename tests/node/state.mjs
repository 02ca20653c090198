// Files, conversations, kept answers and images with the `openai` package for Node: BASE_URL and TOKEN in the environment.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.TOKEN, maxRetries: 0 });
let passed = 0;

async function check(name, body) {
  await body();
  passed += 1;
  console.log(`ok ${name}`);
}

await check("files go round", async () => {
  const data = Buffer.alloc(300000, "abc\r\n--");
  const made = await client.files.create({ file: await toFile(data, "naïve 日本.txt"), purpose: "user_data" });
  assert.equal(made.bytes, data.length);
  assert.equal(made.filename, "naïve 日本.txt");
  const content = Buffer.from(await (await client.files.content(made.id)).arrayBuffer());
  assert.ok(content.equals(data));
  const ids = [];
  for await (const file of client.files.list({ limit: 1 })) ids.push(file.id);
  assert.ok(ids.includes(made.id));
  assert.equal((await client.files.delete(made.id)).deleted, true);
  await assert.rejects(client.files.retrieve(made.id), OpenAI.NotFoundError);
});

await check("a file is used by its id", async () => {
  const made = await client.files.create({ file: await toFile(Buffer.from("%PDF-1.7"), "a.pdf"), purpose: "user_data" });
  const content = [{ type: "input_file", file_id: made.id }, { type: "input_text", text: "what?" }];
  const answer = await client.responses.create({ model: "demo", input: [{ role: "user", content }] });
  assert.equal(answer.output_text, "I got the file a.pdf. You said: what?");
});

await check("a conversation with its items", async () => {
  const made = await client.conversations.create({ metadata: { a: "b" }, items: [{ role: "user", content: "hello" }] });
  await client.responses.create({ model: "demo", input: "first", conversation: made.id });
  const stream = await client.responses.create({ model: "demo", input: "second", conversation: made.id, stream: true });
  for await (const event of stream) if (event.type === "response.completed") assert.ok(event.response.output.length);
  const texts = [];
  for await (const item of client.conversations.items.list(made.id, { order: "asc", limit: 2 })) texts.push(item.content[0].text);
  assert.deepEqual(texts, ["hello", "first", "You said: first", "second", "You said: second"]);
  assert.deepEqual((await client.conversations.update(made.id, { metadata: { c: "d" } })).metadata, { a: "b", c: "d" });
  assert.equal((await client.conversations.delete(made.id)).deleted, true);
});

await check("answers are kept", async () => {
  const first = await client.responses.create({ model: "demo", input: "one", store: true });
  const second = await client.responses.create({ model: "demo", input: "two", previous_response_id: first.id });
  assert.equal(second.previous_response_id, first.id);
  assert.equal((await client.responses.retrieve(first.id)).output_text, "You said: one");
  const items = [];
  for await (const item of client.responses.inputItems.list(first.id)) items.push(item.content[0].text);
  assert.deepEqual(items, ["one"]);
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

await check("images are made and edited", async () => {
  const made = await client.images.generate({ prompt: "a fox", model: "gpt-image-2" });
  const picture = Buffer.from(made.data[0].b64_json, "base64");
  const edited = await client.images.edit({ image: await toFile(picture, "a.png", { type: "image/png" }), prompt: "bluer" });
  assert.equal(edited.data.length, 1);
});

await check("errors are the classes that programs catch", async () => {
  await assert.rejects(client.files.create({ file: await toFile(Buffer.from("x"), "a"), purpose: "fun" }), OpenAI.BadRequestError);
  await assert.rejects(client.conversations.retrieve("conv_x"), OpenAI.NotFoundError);
});

console.log(`${passed} checks passed`);
