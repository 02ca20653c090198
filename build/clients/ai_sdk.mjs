// The Vercel AI SDK with @ai-sdk/openai (Responses, chat, completions) and @ai-sdk/openai-compatible.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import * as h from "./harness.mjs";
const { assert } = h;

const openai = createOpenAI({ baseURL: h.BASE_URL, apiKey: h.TOKEN });
const compatible = createOpenAICompatible({ name: "relay", baseURL: h.BASE_URL, apiKey: h.TOKEN, includeUsage: true, supportsStructuredOutputs: true });
const models = {
  responses: openai(h.MODEL), chat: openai.chat(h.MODEL),
  compatible: compatible(h.MODEL),
};
const each = async (play) => {
  for (const [name, model] of Object.entries(models)) {
    try { await play(model, name); } catch (error) { error.message = `${name}: ${error.message}`; throw error; }
  }
};
const tools = { get_weather: tool({ description: "Weather.", inputSchema: z.object({ city: z.string() }), execute: async (args) => h.getWeather(args) }) };
const person = Output.object({ schema: z.object({ name: z.string(), age: z.number() }) });
const quick = { maxRetries: 0 };
const streamed = async (options) => {
  let failure;
  const result = streamText({ ...quick, onError: ({ error }) => { failure = error; }, ...options });
  let text = "";
  for await (const part of result.textStream) text += part;
  if (failure) throw failure;
  return [text, result];
};

await h.run({
  async plain() {
    await each(async (model) => {
      const { text, usage } = await generateText({ ...quick, model, system: "Be short.", prompt: h.HELLO, maxOutputTokens: 500, temperature: 0 });
      assert.equal(text, h.ECHO);
      assert.ok(usage.totalTokens > 0);
    });
    for (const model of [openai.completion(h.MODEL), compatible.completionModel(h.MODEL)]) {
      assert.match((await generateText({ ...quick, model, prompt: h.HELLO })).text, /hello there/);
    }
  },
  async stream() {
    await each(async (model) => {
      const [text, result] = await streamed({ model, prompt: h.HELLO });
      assert.equal(text, h.ECHO);
      assert.equal(await result.finishReason, "stop");
      assert.ok((await result.usage).totalTokens > 0);
    });
    const [text] = await streamed({ model: openai.completion(h.MODEL), prompt: h.HELLO });
    assert.match(text, /hello there/);
  },
  async tools() {
    await each(async (model) => {
      const options = { model, tools, prompt: h.ASK_WEATHER, stopWhen: stepCountIs(3) };
      assert.equal((await generateText({ ...quick, ...options })).text, h.TOOL_ECHO);
      assert.equal((await streamed(options))[0], h.TOOL_ECHO);
    });
  },
  async schema() {
    await each(async (model) => {
      const options = { model, output: person, prompt: "x" };
      assert.equal(typeof (await generateText({ ...quick, ...options })).output.age, "number");
      const [, result] = await streamed(options);
      assert.equal(typeof (await result.output).age, "number");
    });
  },
  async replay() {
    for (const store of [true, false]) {
      await each(async (model) => {
        const providerOptions = { openai: { reasoningEffort: "low", reasoningSummary: "auto", store, ...(store ? {} : { include: ["reasoning.encrypted_content"] }) }, relay: { reasoningEffort: "low" } };
        if (model === models.chat) delete providerOptions.openai.reasoningSummary;
        const messages = [{ role: "user", content: h.ASK_WEATHER }];
        const first = await generateText({ ...quick, model, tools, messages, providerOptions, stopWhen: stepCountIs(3) });
        assert.equal(first.text, h.TOOL_ECHO);
        messages.push(...first.response.messages, { role: "user", content: h.HELLO });
        assert.equal((await generateText({ ...quick, model, tools, messages, providerOptions })).text, h.ECHO);
      });
    }
  },
  async errors() {
    await each(async (model) => {
      const limited = (error) => APICallError.isInstance(error) && error.statusCode === 429 && error.isRetryable;
      await assert.rejects(generateText({ ...quick, model, prompt: h.LIMITED }), limited);
      await assert.rejects(streamed({ model, prompt: h.LIMITED }), limited);
    });
    const stranger = createOpenAI({ baseURL: h.BASE_URL, apiKey: "wrong" });
    await assert.rejects(generateText({ ...quick, model: stranger(h.MODEL), prompt: "x" }), (error) => error.statusCode === 401);
  },
  async abort() {
    await each(async (model) => {
      const leave = new AbortController();
      const result = streamText({ ...quick, model, prompt: h.SLOW, abortSignal: leave.signal, onError() {} });
      for await (const _ of result.textStream) { leave.abort(); break; }
      await h.endsWithin();
      await assert.rejects(generateText({ ...quick, model, prompt: h.SLOW, abortSignal: AbortSignal.timeout(1000) }));
      await h.endsWithin();
    });
  },
});
