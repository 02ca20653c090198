// What the Node drivers share; the counterpart of harness.py.
import assert from "node:assert/strict";
export { assert };
export const { BASE_URL, TOKEN, MODEL } = process.env;
export const HELLO = "hello there";
export const ECHO = "You said: hello there";
export const ASK_WEATHER = 'call the tool get_weather with {"city": "Oslo"}';
export const TOOL_ECHO = "The tool said: 4 degrees in Oslo";
export const SLOW = "demo:words=400 demo:pace=25";
export const LIMITED = "please demo:rate-limit";
export const getWeather = ({ city }) => `4 degrees in ${city}`;
export class Skip extends Error {}

const find = (value, name) => {
  if (value === null || typeof value !== "object") return undefined;
  if (name in value) return value[name];
  for (const inner of Object.values(value)) {
    const found = find(inner, name);
    if (found !== undefined) return found;
  }
  return undefined;
};

export async function endsWithin(ms = 5000) {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    const answer = await fetch(`${BASE_URL}/relay/status`, { headers: { authorization: `Bearer ${TOKEN}` } });
    if (find(await answer.json(), "requests_open") === 1) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error("the relay still answers a client that has left");
}

export async function run(cases) {
  const only = (process.env.CASES ?? "").split(",").filter(Boolean);
  for (const [name, play] of Object.entries(cases)) {
    if (only.length && !only.includes(name)) continue;
    let state = "ok", why = "", timer;
    const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error("no end within 60 s")), 60000); });
    try {
      await Promise.race([play(), late]);
    } catch (error) {
      state = error instanceof Skip ? "skipped" : "failed";
      why = `${error?.name}: ${error?.message}`.replace(/\s+/g, " ").slice(0, 400);
      if (process.env.TRACE) console.error(error);
    }
    clearTimeout(timer);
    console.log(["CASE", name, state, why].join("\t"));
  }
  process.exit(0);
}
