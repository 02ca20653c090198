// What all views share: elements made of text only, the page's token, questions to the relay, what the head of the page
// says. Nothing here or in the other scripts reads or writes markup.

const byId = (id) => document.getElementById(id);
const openMode = document.body.dataset.mode === "open";
const openCommand = document.body.dataset.open;
const KEPT = "airelays-page";
const SVG = "http://www.w3.org/2000/svg";

// ---- text

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const spelled = (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0");

// What comes from clients and upstreams, with its control characters written out, at most `most` characters of it.
function shown(value, most = 300) {
  const text = String(value ?? "");
  const cut = text.length > most ? text.slice(0, most) + "\u2026" : text;
  return cut.replace(HIDDEN, spelled);
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const count = (value) => (isNumber(value) ? whole.format(value) : "");
const plural = (n, one, more) => `${whole.format(n)} ${n === 1 ? one : more}`;

function at(seconds, format = clock) {
  const date = new Date(seconds * 1000);
  return isNumber(seconds) && !Number.isNaN(date.getTime()) ? format.format(date) : "";
}

function lasting(ms) {
  if (!isNumber(ms)) return "";
  if (ms > 0 && ms < 1) return "<1 ms";
  if (ms < 1000) return `${whole.format(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 100) return `${tenths.format(seconds)} s`;
  if (seconds < 5400) return `${whole.format(seconds / 60)} min`;
  return seconds < 172800 ? `${whole.format(seconds / 3600)} h` : `${whole.format(seconds / 86400)} d`;
}

function short(n) {
  if (n >= 1e9) return `${tenths.format(n / 1e9)} bn`;
  if (n >= 1e6) return `${tenths.format(n / 1e6)} M`;
  return n >= 1e4 ? `${tenths.format(n / 1e3)} k` : whole.format(n);
}

// ---- elements

// An element with attributes and children; texts become text nodes.
function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const empty = (text) => el("p", { class: "empty" }, text);

function table(heads, rows, caption) {
  const cell = (tag, text, number, more) => el(tag, { ...more, class: number ? "num" : undefined }, text);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${caption}` },
    el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => cell("th", head.name, head.number, { scope: "col" })))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, n) => cell("td", text, heads[n].number)))))));
}

function pairs(entries) {
  const found = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return el("dl", { class: "pairs" }, ...found.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const tag = (text, kind = "") => el("span", { class: `tag ${kind}` }, text);

// ---- the head of the page

function say(text, is = "up") {
  const state = byId("state");
  if (state.textContent !== text) state.textContent = text;
  state.dataset.is = is;
}

function notice(...paragraphs) {
  const box = byId("notice");
  box.replaceChildren(...paragraphs.map((text) => el("p", {}, text)));
  box.hidden = paragraphs.length === 0;
}

// ---- the page's token: of this tab, and gone with it

const session = { token: null, ended: false };

function keep(token) {
  session.token = token;
  try {
    if (token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
  } catch { /* a browser without storage: the token is kept in memory */ }
}

function kept() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

// ---- questions

class Refusal extends Error {
  constructor(status, text, code) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  const token = options.token || session.token;
  if (token) headers.Authorization = `Bearer ${token}`;
  if (options.body) headers["Content-Type"] = "application/json";
  return fetch(path, {
    method: options.method || "GET", headers, body: options.body && JSON.stringify(options.body), signal: options.signal,
    cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
  });
}

async function refusal(reply) {
  let error = {};
  try {
    error = (await reply.json()).error || {};
  } catch { /* not JSON: the status says enough */ }
  return new Refusal(reply.status, shown(error.message || `The relay answered with status ${reply.status}.`), error.code);
}

// The JSON of a route. A token that has ended ends all questions: each would count as a failed attempt.
async function read(path, options = {}) {
  if (session.ended) throw new Refusal(401, "This page is not signed in.", "ended");
  const reply = await ask(path, options);
  if (reply.ok) return reply.json();
  const error = await refusal(reply);
  if (reply.status === 401 && session.token && error.code !== "page_session_needed") endSession();
  throw error;
}

function endSession() {
  if (session.ended) return;
  keep(null);
  if (openMode) return;
  session.ended = true;
  feed.stop();
  say("Not signed in", "down");
  notice("This page is no longer signed in: the relay was restarted, its token was replaced, or the session has ended.",
    `To open it again, run: ${openCommand}`);
  document.body.dataset.signed = "ended";
}
