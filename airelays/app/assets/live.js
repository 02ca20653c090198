// The feed: read from a fetch, because what browsers have for events cannot carry a token. And the view "Now", which it fills.

const MOST_KEPT = 500;
const MOST_ROWS = 150;
const SILENT_MS = 45000;
const HIDDEN_MS = 60000;

const feed = {
  abort: null,
  timer: 0,
  heard: 0,
  tries: 0,
  wanted: false,
  started: 0,

  start() {
    this.wanted = true;
    this.connect();
  },

  stop() {
    this.wanted = false;
    clearTimeout(this.timer);
    if (this.abort) this.abort.abort();
  },

  again(seconds) {
    clearTimeout(this.timer);
    if (this.wanted && !session.ended) this.timer = setTimeout(() => this.connect(), seconds * 1000);
  },

  async connect() {
    if (this.abort || !this.wanted || session.ended) return;
    const abort = this.abort = new AbortController();
    let after = null;
    try {
      const reply = await ask("/v1/relay/feed", { signal: abort.signal });
      if (!reply.ok) throw await refusal(reply);
      after = await this.listen(reply.body.getReader());
    } catch (error) {
      if (error instanceof Refusal && error.status === 401 && !openMode) return endSession();
      if (error instanceof Refusal) {
        say(error.code === "too_many_feeds" ? "Not live: two other pages are open" : "Not live", "wait");
        after = 15;
      }
    } finally {
      this.abort = null;
    }
    if (!this.wanted || session.ended) return;
    if (after === null) {
      after = [1, 2, 5, 10][Math.min(this.tries++, 3)];
      say("Reconnecting\u2026", "wait");
    }
    this.again(after);
  },

  // Read until the end; return the seconds after which the relay wants to be asked again, null when it just broke off.
  async listen(reader) {
    const decoder = new TextDecoder();
    let text = "", after = null;
    this.heard = performance.now();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return after;
      this.heard = performance.now();
      const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const found = /^event: (\w+)\ndata: (.*)$/.exec(block);
        if (!found) continue;
        const data = JSON.parse(found[2]);
        if (found[1] === "bye") after = this.parted(data);
        else this.told(found[1], data);
      }
    }
  },

  parted(data) {
    if (data.reason === "signed_out") {
      endSession();
      return 0;
    }
    say(data.reason === "stopping" ? "The relay is stopping" : "Paused for a moment: a request needs the slot", "wait");
    return isNumber(data.reconnect_s) ? data.reconnect_s : 5;
  },

  told(kind, data) {
    if (kind === "hello") {
      this.tries = 0;
      say("Live");
      notice();
      if (this.started && this.started !== data.started) notice(`The relay was restarted at ${at(data.started)}.`);
      this.started = data.started;
      refresh();
    } else if (kind === "now") live.running(data);
    else if (kind === "missed") live.missed += data.count;
    else live.happened(kind, data);
  },

  look() {
    if (this.abort && performance.now() - this.heard > SILENT_MS) this.abort.abort();
  },
};

let hiddenTimer = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => feed.stop(), HIDDEN_MS);
  } else if (!feed.wanted && document.body.dataset.signed === "in") {
    feed.start();
  }
});

// ---- what happened

const GOOD = new Set(["ok"]);
const SOFT = new Set(["client_left"]);
const WORDS = {
  ok: "ok", client_left: "client left", cut_by_upstream: "cut by upstream", failed_upstream: "upstream failed",
  bad_request: "bad request", refused: "refused", key_ended: "key ended", shut_down: "relay stopped", relay_bug: "defect",
  auth_failed: "wrong token", request_rate_limit: "rate limit", concurrency_limit: "too many at once",
  auth_block_active: "address blocked",
};
const word = (one) => WORDS[one.state] || shown(one.state, 40).replace(/_/g, " ");
const failed = (one) =>
  one.kind === "refused" || (one.kind === "request" && ((!GOOD.has(one.state) && !SOFT.has(one.state)) || one.status >= 400));

const live = {
  queue: [],
  kept: [],
  minute: [],
  failures: 0,
  missed: 0,
  paused: false,
  only: false,
  frame: 0,
  speed: 0,

  happened(kind, data) {
    const one = { ...data, kind };
    if (kind === "request" || kind === "refused") {
      this.queue.push(one);
      if (this.queue.length > MOST_KEPT) this.queue.splice(0, this.queue.length - MOST_KEPT);
      this.minute.push(performance.now());
      if (failed(one)) {
        this.failures += 1;
        soon("failures");
      }
      this.draw();
    } else {
      soon(kind === "block" ? "access" : "upstreams");
      this.event(one);
    }
  },

  // What is not a request: there is little of it, and it is shown until twenty others have come.
  event(one) {
    const list = byId("events");
    list.prepend(el("li", {}, el("span", { class: "soft" }, at(one.at_s)), el("span", {}, sentence(eventText(one)))));
    while (list.children.length > 20) list.lastElementChild.remove();
    byId("events-card").hidden = false;
  },

  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.paint());
  },

  // Once per frame, for all that came since the last one.
  paint() {
    this.frame = 0;
    const fresh = this.queue;
    this.queue = [];
    this.kept.push(...fresh);
    if (this.kept.length > MOST_KEPT) this.kept.splice(0, this.kept.length - MOST_KEPT);
    if (!this.paused) this.rows(fresh);
    this.numbers();
  },

  rows(fresh) {
    const body = byId("requests-body");
    const wanted = (this.only ? fresh.filter(failed) : fresh).slice(-MOST_ROWS);
    const open = body.querySelector("[aria-expanded='true']");
    if (wanted.length) body.prepend(...wanted.reverse().map(requestRow));
    while (body.children.length > MOST_ROWS) body.lastElementChild.remove();
    if (open && !open.isConnected && open === document.activeElement) byId("main").focus();
    const none = body.children.length === 0;
    byId("requests").hidden = none;
    byId("requests-empty").hidden = !none;
    this.foot();
  },

  redraw() {
    byId("requests-body").replaceChildren();
    this.rows(this.kept);
  },

  foot() {
    const foot = byId("requests-foot");
    const parts = [];
    if (this.paused) parts.push("Paused: the list shows earlier requests.");
    if (this.missed) parts.push(`${plural(this.missed, "request", "requests")} not shown: there were more than this page can show.`);
    foot.textContent = parts.join(" ");
    foot.hidden = !parts.length;
  },

  numbers() {
    const now = performance.now();
    while (this.minute.length && now - this.minute[0] > 60000) this.minute.shift();
    set("stat-minute", whole.format(this.minute.length));
    set("stat-failed", whole.format(this.failures));
  },

  running(data) {
    const streams = data.streams || [];
    set("stat-running", whole.format(data.running || 0));
    set("stat-speed", tenths.format(streams.reduce((sum, one) => sum + (one.per_second || 0), 0)));
    byId("running").replaceChildren(...streams.map(runningRow));
    byId("running-empty").hidden = streams.length > 0;
    this.numbers();
  },
};

function set(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function eventText(one) {
  if (one.kind === "block") {
    const who = shown(one.client || "", 60);
    if (one.state === "blocked") return `${who} is blocked for ${lasting((one.seconds || 0) * 1000)} after failed attempts`;
    return who ? `the block of ${who} was lifted` : "all blocks were lifted";
  }
  if (one.text) return shown(one.text, 400);
  return `${shown(one.upstream || "", 60)} ${shown(one.state || one.kind, 40).replace(/_/g, " ")}`.trim();
}

const whoAsked = (one) => (one.key ? `key ${shown(one.key, 60)}` : shown(one.program || one.client, 60));

function runningRow(one) {
  const speed = isNumber(one.per_second) ? `${tenths.format(one.per_second)} tokens/s` : "waiting";
  return el("li", {},
    el("span", { class: "cut" }, shown(one.model || one.route, 80)),
    el("span", { class: "cut soft" }, whoAsked(one)),
    el("span", { class: "num" }, speed),
    el("span", { class: "num soft" }, lasting(one.seconds * 1000)));
}

function tokensOf(one) {
  if (!isNumber(one.input_tokens) && !isNumber(one.output_tokens)) return "";
  return `${short(one.input_tokens || 0)} \u2192 ${short(one.output_tokens || 0)}`;
}

const details = new WeakMap();

function requestRow(one) {
  const kind = failed(one) ? "bad" : SOFT.has(one.state) ? "warn" : "good";
  const said = one.status ? `${one.status} ${word(one)}` : word(one);
  const opener = el("button", { type: "button", class: "open", "aria-expanded": "false" }, at(one.at_s) || "--:--:--");
  const row = el("tr", {},
    el("td", {}, opener),
    el("td", {}, shown(one.model || one.path || one.route, 120)),
    el("td", {}, whoAsked(one)),
    el("td", {}, tag(said, kind)),
    el("td", { class: "num" }, lasting(one.first_ms)),
    el("td", { class: "num" }, tokensOf(one)),
    el("td", { class: "num" }, lasting(one.took_ms)));
  details.set(row, one);
  return row;
}

function requestFacts(one) {
  return pairs([
    ["Why", shown(one.why || "", 600)], ["Error", shown(one.text || "", 600)], ["Code", shown(one.code || "", 80)],
    ["Request", shown(`${one.method || ""} ${one.path || ""}`.trim(), 300)], ["Client", shown(one.client || "", 80)],
    ["Program", shown(one.program || "", 120)], ["Upstream", shown(one.upstream || "", 80)],
    ["Cached tokens", count(one.cached_tokens)], ["Reasoning tokens", count(one.reasoning_tokens)],
    ["Id", one.id ? el("code", {}, shown(one.id, 60)) : ""],
  ]);
}

byId("requests-body").addEventListener("click", (event) => {
  const opener = event.target.closest(".open");
  if (!opener) return;
  const row = opener.closest("tr"), cell = row.nextElementSibling;
  const isOpen = opener.getAttribute("aria-expanded") === "true";
  opener.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen && cell && cell.dataset.more) cell.remove();
  else row.after(el("tr", { "data-more": "yes" }, el("td", { class: "more", colspan: "7" }, requestFacts(details.get(row)))));
});

byId("pause").addEventListener("click", () => {
  live.paused = !live.paused;
  byId("pause").setAttribute("aria-pressed", String(live.paused));
  if (live.paused) live.foot();
  else live.redraw();
});

byId("only-failed").addEventListener("change", (event) => {
  live.only = event.target.checked;
  live.redraw();
});
