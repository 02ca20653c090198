// The other views: usage, failures, upstreams, access. Each is read when it is looked at, and again while it is.

const EVERY_MS = { now: 0, usage: 60000, failures: 60000, upstreams: 15000, access: 15000, docs: 0 };

// ---- usage

async function showUsage() {
  const days = byId("book-days").value;
  await Promise.all([
    read("/v1/relay/windows").then((found) => byId("windows").replaceChildren(...windowBars(found.data))),
    read(`/v1/relay/usage?by=day,model&since=${days}d`).then((found) => drawBook(found.book.rows, Number(days))),
  ]);
}

function windowBars(upstreams) {
  if (!upstreams.length) {
    return [empty("No upstream has usage windows; only a ChatGPT subscription does.")];
  }
  return upstreams.flatMap((one) => {
    if (one.problem) return [el("p", {}, tag(shown(one.upstream, 60), "bad"), ` ${shown(one.problem, 300)}`)];
    if (!one.windows.length) return [empty(`${shown(one.upstream, 60)} has not reported its usage yet.`)];
    return one.windows.map((bar) => windowBar(one, bar));
  });
}

function windowBar(upstream, bar) {
  const used = Math.min(100, Math.max(0, bar.used_percent));
  const name = [shown(upstream.upstream, 60), shown(bar.name, 60), shown(bar.label, 20)].filter(Boolean).join(" \u00b7 ");
  const fill = el("i", { class: used >= 95 ? "full" : used >= 75 ? "much" : "" });
  fill.style.width = `${used}%`;
  const resets = isNumber(bar.reset_at) ? `resets ${at(bar.reset_at, moment)}` : "";
  return el("div", { class: "bar-row" },
    el("div", { class: "head" }, el("span", {}, name), el("strong", {}, `${tenths.format(used)}% used`)),
    el("div", { class: "meter", role: "meter", "aria-label": name, "aria-valuenow": used, "aria-valuemin": 0,
      "aria-valuemax": 100 }, fill),
    el("span", { class: "soft" }, resets));
}

let drawn = null;

function drawBook(rows, days) {
  drawn = { rows, days };
  const plot = byId("plot"), below = byId("book");
  if (!rows.length) {
    plot.replaceChildren(empty("Nothing was used on these days."));
    below.replaceChildren();
    return;
  }
  const models = ranked(rows);
  plot.replaceChildren(plotOf(rows, models, days), legendOf(models));
  const heads = [{ name: "Day" }, { name: "Model" }, { name: "Requests", number: true }, { name: "Failed", number: true },
    { name: "Input", number: true }, { name: "Output", number: true }, { name: "Total", number: true }];
  const cells = [...rows].reverse().slice(0, 200).map((row) => [
    shown(row.day, 12), shown(row.model || "none", 80), count(row.requests), count(row.failed), count(row.input_tokens),
    count(row.output_tokens), count(row.total_tokens)]);
  below.replaceChildren(table(heads, cells, "Tokens by day and model"));
}

// The models with the most tokens, by name; what is beyond seven is one of "others".
function ranked(rows) {
  const sums = new Map();
  for (const row of rows) sums.set(row.model || "none", (sums.get(row.model || "none") || 0) + row.total_tokens);
  const names = [...sums].filter(([, sum]) => sum > 0).sort((a, b) => b[1] - a[1]).map(([name]) => name);
  return names.length > 8 ? [...names.slice(0, 7), null] : names;
}

const colorOf = (models, name) => {
  const found = models.indexOf(name);
  return found < 0 ? models.length - 1 : found;
};

function daysBack(days) {
  const today = Date.now();
  return Array.from({ length: days }, (_, n) => new Date(today - (days - 1 - n) * 86400000).toISOString().slice(0, 10));
}

function plotOf(rows, models, days) {
  const width = Math.max(240, byId("plot").clientWidth || 700), height = 230, left = 46, low = 24, high = 10;
  const names = daysBack(days);
  const sums = new Map(names.map((day) => [day, models.map(() => 0)]));
  for (const row of rows) {
    if (models.length && sums.has(row.day)) sums.get(row.day)[colorOf(models, row.model || "none")] += row.total_tokens;
  }
  const most = Math.max(1, ...[...sums.values()].map((parts) => parts.reduce((a, b) => a + b, 0)));
  const top = niceTop(most), inner = height - low - high, step = (width - left) / days;
  const y = (value) => high + inner - (value / top) * inner;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img",
    "aria-label": `Tokens per day in the last ${days} days; the table below has the numbers` });
  for (const part of [0, 0.5, 1]) {
    picture.append(svg("line", { class: "grid", x1: left, x2: width, y1: y(top * part), y2: y(top * part) }),
      svg("text", { x: left - 8, y: y(top * part) + 4, "text-anchor": "end" }, short(top * part)));
  }
  const every = Math.ceil(days / Math.max(2, Math.floor((width - left) / 62)));
  names.forEach((day, n) => {
    let from = 0;
    sums.get(day).forEach((value, color) => {
      if (!value) return;
      const bar = svg("rect", { class: `f${color}`, x: left + n * step + step * 0.14, width: Math.max(1, step * 0.72),
        y: y(from + value), height: Math.max(0.5, y(from) - y(from + value)) });
      bar.append(svg("title", {}, `${day}: ${shown(models[color] ?? "others", 80)}, ${whole.format(value)} tokens`));
      picture.append(bar);
      from += value;
    });
    if ((days - 1 - n) % every === 0) {
      picture.append(svg("text", { x: Math.min(left + (n + 0.5) * step, width - 18), y: height - 6, "text-anchor": "middle" }, day.slice(5)));
    }
  });
  return picture;
}

function niceTop(most) {
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 8, 10].map((n) => n * size).find((n) => n >= most);
}

function legendOf(models) {
  return el("ul", { class: "legend" }, ...models.map((name, n) =>
    el("li", {}, el("i", { class: `f${n}`, "aria-hidden": "true" }), el("span", { class: "cut" }, shown(name ?? "others", 60)))));
}

byId("book-days").addEventListener("change", () => refresh());
let resized = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resized);
  if (drawn && !byId("usage").hidden) resized = requestAnimationFrame(() => drawBook(drawn.rows, drawn.days));
});

// ---- failures

async function showFailures() {
  const found = await read("/v1/relay/requests?failed=true&limit=50");
  const list = byId("failure-list");
  if (!found.enabled) list.replaceChildren(empty("The traffic log is off, so failures are not recorded."));
  else if (!found.data.length) list.replaceChildren(empty("There are no failures in the traffic log."));
  else list.replaceChildren(...found.data.map(failureCard));
}

function failureCard(one) {
  const head = [at(one.at_s, moment), shown(one.model || "", 80), whoAsked(one), shown(one.upstream || "", 60)];
  return el("article", { class: "card failure" },
    el("div", { class: "head" }, el("h2", {}, sentence(one.text || one.why || word(one))),
      tag(one.status ? `${one.status} ${word(one)}` : word(one), "bad")),
    one.text && one.why && one.text !== one.why ? el("p", {}, `${sentence(one.why)}.`) : null,
    el("p", { class: "soft" }, head.filter(Boolean).join(" \u00b7 ")),
    el("p", { class: "soft" }, el("code", {}, shown(one.id, 60)), ` ${shown(`${one.method || ""} ${one.path || ""}`.trim(), 200)}`));
}

function sentence(text) {
  const said = shown(text, 600);
  return said.charAt(0).toUpperCase() + said.slice(1);
}

// ---- upstreams

async function showUpstreams() {
  const [status, models] = await Promise.all([read("/v1/relay/status"), read("/v1/relay/models")]);
  byId("upstream-list").replaceChildren(...Object.entries(status.upstreams).map(upstreamCard));
  const heads = [{ name: "Model" }, { name: "Upstream" }, { name: "Context window", number: true }, { name: "Note" }];
  const rows = models.data.slice(0, 500).map((one) => [
    el("code", {}, shown(one.id, 120)), shown(one.upstream, 60), count(one.context_window),
    one.default ? tag("default", "good") : ""]);
  const note = models.data.length > 500 ? [el("p", { class: "foot" }, `The first 500 of ${count(models.data.length)}.`)] : [];
  byId("models").replaceChildren(...(rows.length ? [table(heads, rows, "Models"), ...note] : [empty("No upstream lists a model.")]));
}

function upstreamCard([name, facts]) {
  const health = facts.health || {};
  const well = facts.ready !== false && (health.state === "ready" || !health.state);
  const state = well ? "ready" : health.state && health.state !== "ready" ? shown(health.state, 40) : "not ready";
  return el("article", { class: "card" },
    el("div", { class: "head" }, el("h2", {}, shown(name, 60)), tag(state, well ? "good" : "bad")),
    pairs([["Kind", shown(facts.kind || "", 60)], ["Address", shown(facts.base_url || "", 200)],
      ["Account", shown(facts.email || "", 100)], ["Plan", shown(facts.plan_type || "", 40)],
      ["Why", shown(health.reason || facts.problem || "", 300)],
      ["Next attempt", isNumber(health.seconds) ? `in ${lasting(health.seconds * 1000)}` : ""]]));
}

// ---- access

async function showAccess() {
  const [status, blocks, usage] = await Promise.all([
    read("/v1/relay/status"), read("/v1/relay/blocks"), read("/v1/relay/usage?since=1d"),
  ]);
  byId("blocks").replaceChildren(...(blocks.data.length
    ? blocks.data.map(blockRow) : [empty("No address is blocked. An address is blocked after too many wrong tokens.")]));
  const security = status.security, relay = status.relay;
  byId("limits").replaceChildren(pairs([
    ["Rate", `${count(security.rate_limit_per_minute)} requests per minute per address, in bursts of up to ${count(security.rate_limit_burst)}`],
    ["Running", `${count(security.concurrent_requests_per_ip)} requests at a time per address`],
    ["Block", `after ${count(security.failed_auth_max_attempts)} failed attempts in ${lasting(security.failed_auth_window_seconds * 1000)}, `
      + `for ${lasting(security.failed_auth_block_seconds * 1000)}`],
    ["Clients", security.require_bearer_auth ? "require the relay token or a named key" : "don't need a token (open mode)"],
    ["Network", shown(relay.effective_network_scope, 40)],
    ["Listens on", relay.listeners.map((one) => `${shown(one.host, 60)}:${one.port}${one.key ? ` (key ${shown(one.key, 40)})` : ""}`).join(", ")],
    ["Version", shown(status.version, 40)],
  ]));
  const heads = [{ name: "Key" }, { name: "State" }, { name: "Can use" }, { name: "Tokens today", number: true },
    { name: "Budget", number: true }, { name: "Ends", number: true }];
  const rows = usage.keys.slice(0, 300).map((key) => [
    shown(key.name, 60), tag(shown(key.state, 20), key.state === "live" ? "good" : "warn"), shown(key.routes, 20),
    count(key.tokens_today), count(key.tokens_per_day) || "none", at(key.expires_at, moment) || "never"]);
  byId("keys").replaceChildren(rows.length ? table(heads, rows, "Named keys")
    : empty("There are no named keys. Every program uses the relay token."));
}

function blockRow(one) {
  const lift = el("button", { type: "button" }, "Lift");
  lift.setAttribute("aria-label", `Lift the block of ${shown(one.client, 60)}`);
  const said = el("span", { class: "soft" }, ` for ${lasting(one.seconds * 1000)} more `);
  lift.addEventListener("click", async () => {
    lift.disabled = true;
    try {
      await read("/v1/relay/unblock", { method: "POST", body: { client: one.client } });
      await showAccess();
      byId("access-title").focus();
    } catch (error) {
      said.textContent = ` ${shown(error.message)} `;
      lift.disabled = false;
    }
  });
  return el("p", {}, el("code", {}, shown(one.client, 60)), said, lift);
}
