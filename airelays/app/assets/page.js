// The whole: signing in with a code, choosing a view by the fragment, reading it again.

const VIEWS = { now: null, usage: showUsage, failures: showFailures, upstreams: showUpstreams, access: showAccess, docs: showDocs };
const CODE = /^#([A-Za-z0-9_-]{43})$/;
let current = "now", topic = "", shownAt = 0, reading = false, again = false;
const stale = new Set();

function place() {
  const [name, rest] = location.hash.slice(1).split("/");
  return [name in VIEWS ? name : "now", rest && /^[\w-]+$/.test(rest) ? rest : ""];
}

function choose(focus) {
  [current, topic] = place();
  for (const name of Object.keys(VIEWS)) byId(name).hidden = name !== current;
  for (const a of byId("tabs").querySelectorAll("a")) {
    if (a.getAttribute("href") === `#${current}`) {
      a.setAttribute("aria-current", "page");
      const tabs = byId("tabs");
      tabs.scrollLeft = Math.max(0, a.offsetLeft - (tabs.clientWidth - a.offsetWidth) / 2);
    } else a.removeAttribute("aria-current");
  }
  document.title = `${byId(`${current}-title`).textContent} \u00b7 AIRelays`;
  if (focus) {
    byId(`${current}-title`).focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  refresh();
}

// Read the view that is looked at; one reading at a time, and once more when something came in between.
async function refresh() {
  const show = VIEWS[current];
  if (!show || session.ended) return;
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  stale.delete(current);
  shownAt = performance.now();
  try {
    await show(topic);
    clearProblem();
  } catch (error) {
    if (!session.ended) problem(error);
  }
  reading = false;
  if (again) {
    again = false;
    refresh();
  }
}

let problemShown = false;

function problem(error) {
  problemShown = true;
  notice(error instanceof Refusal ? `${error.message}` : "The relay does not answer. This page keeps trying.");
}

function clearProblem() {
  if (problemShown) notice();
  problemShown = false;
}

// A view has to be read again: at once when it is looked at, but not for each of many happenings.
function soon(name) {
  stale.add(name);
}

function tick() {
  feed.look();
  if (document.hidden || session.ended || !feed.abort) return;
  const age = performance.now() - shownAt, every = EVERY_MS[current];
  if ((every && age > every) || (stale.has(current) && age > 2000)) refresh();
  live.numbers();
}

async function past() {
  try {
    const found = await read("/v1/relay/requests?limit=100");
    live.kept.unshift(...found.data.reverse());
    live.redraw();
  } catch { /* the list begins with what comes now */ }
}

function enter() {
  document.body.dataset.signed = "in";
  byId("landing").hidden = true;
  byId("tabs").hidden = false;
  choose(false);
  past();
  feed.start();
  setInterval(tick, 1000);
}

// Give the code back for a token. It leaves the address before anything else happens.
async function redeem(code) {
  history.replaceState(null, "", location.pathname);
  try {
    const reply = await ask("/v1/relay/page-session", { method: "POST", token: code });
    if (!reply.ok) throw await refusal(reply);
    keep((await reply.json()).token);
    session.ended = false;
    notice();
    return true;
  } catch (error) {
    say(openMode ? "The relay is up." : "Not signed in", openMode ? "up" : "down");
    notice(error instanceof Refusal ? error.message : "The relay does not answer.", `To try again, run: ${openCommand}`);
    return false;
  }
}

async function begin() {
  const found = CODE.exec(location.hash);
  session.token = kept();
  const good = found ? await redeem(found[1]) : Boolean(session.token);
  if (good || session.token || openMode) enter();
}

addEventListener("hashchange", async () => {
  const found = CODE.exec(location.hash);
  if (found && await redeem(found[1])) location.reload();
  else if (!found && document.body.dataset.signed) choose(true);
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});

begin();
