// The documentation inside the page. The relay sends it as markup; a parser that runs nothing and loads nothing takes it
// apart, and what is shown is made anew of its texts and of the few elements listed here.

const PLAIN = new Set(["H1", "H2", "H3", "H4", "H5", "H6", "P", "UL", "OL", "LI", "PRE", "CODE", "STRONG", "TABLE", "TR", "TH",
  "TD", "TBODY", "THEAD"]);
const LOWER = { H1: "h2", H2: "h3", H3: "h4", H4: "h5", H5: "h6", H6: "h6" };
const policy = globalThis.trustedTypes ? trustedTypes.createPolicy("docs", { createHTML: (text) => text }) : null;

async function parsed(path) {
  if (session.ended) throw new Refusal(401, "This page is not signed in.", "ended");
  const reply = await ask(path);
  if (reply.status === 401 && session.token) endSession();
  if (!reply.ok) throw await refusal(reply);
  // The style of a page by itself: the policy of this one would complain of it.
  const text = (await reply.text()).replace(/<style>[^<]*<\/style>/, "");
  return new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
}

function copied(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.textContent);
  if (node.nodeType !== Node.ELEMENT_NODE) return null;
  const children = [...node.childNodes].map(copied);
  if (PLAIN.has(node.tagName)) {
    const made = el(LOWER[node.tagName] || node.tagName.toLowerCase(), {}, ...children);
    if (made.tagName === "TABLE" || made.tagName === "PRE") made.tabIndex = 0;
    return made;
  }
  if (node.tagName === "A") return link(node.getAttribute("href") || "", children);
  return null;
}

function link(target, children) {
  const page = /^\/docs\/([\w-]+)$/.exec(target);
  if (page) return el("a", { href: `#docs/${page[1]}` }, ...children);
  if (!/^https:\/\//.test(target)) return el("span", {}, ...children);
  return el("a", { href: target, rel: "noopener noreferrer", target: "_blank" }, ...children);
}

let topics = null;

async function showDocs(name) {
  if (!topics) {
    const found = await parsed("/docs");
    topics = [...found.querySelectorAll("main a[href^='/docs/']")].map((a) => [a.getAttribute("href").slice(6), a.textContent]);
    byId("topics").replaceChildren(el("ul", {}, ...topics.map(([topic, title]) =>
      el("li", {}, el("a", { href: `#docs/${topic}` }, shown(title, 80))))));
  }
  const wanted = name || (topics[0] && topics[0][0]);
  if (!wanted) return;
  for (const a of byId("topics").querySelectorAll("a")) {
    const here = a.getAttribute("href") === `#docs/${wanted}`;
    if (here) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  const page = byId("page");
  if (page.dataset.topic === wanted) return;
  const found = await parsed(`/docs/${wanted}`);
  page.dataset.topic = wanted;
  page.replaceChildren(...[...found.querySelector("main").childNodes].map(copied).filter(Boolean));
  if (name) scrollTo(0, 0);
}
