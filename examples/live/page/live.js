// The page: it shows what the stream tells, and sends what its controls ask for.

import {drawChart} from "./chart.js";
import {Model} from "./model.js";
import {Ring} from "./ring.js";
import {summaryOf} from "./summary.js";
import {drawMessages, drawNode, drawTable, drawTraffic, setText} from "./tables.js";
import {number} from "./text.js";

const $ = (id) => document.getElementById(id);
const model = new Model();

let frame = 0;
model.redraw = () => { frame ||= requestAnimationFrame(paint); };
const ring = new Ring($("ring"), model);
model.onCopy = (c) => ring.add(c);
model.onMessage = () => {
  ring.show(model.focus());
  drawTablesSoon();
};
model.onChange = (f) => {
  showFigures();
  if (f.settings) showSettings();
  if (f.reset) pick(model.picked); // there may be fewer nodes
  if (f.settings || f.nodes || f.messages || f.got) drawTablesSoon();
  announce();
  if (f.settings || f.nodes || f.messages || f.copies || f.got) model.redraw();
};

// paint draws the ring, as long as something moves. The page is ready once the cluster is
// drawn.
function paint() {
  frame = 0;
  const now = model.now(), m = model.focus();
  if (ring.draw(now)) model.redraw();
  if (model.settings.nodes > 0) $("main").setAttribute("aria-busy", "false");
  if (!m) {
    $("share").textContent = $("elapsed").textContent = "";
    return;
  }
  let has = 0;
  for (const at of m.got.values()) if (model.shown(m, at) <= now) has++;
  const running = m.spread === "direct" ? 1 : m.of;
  $("share").textContent = `${number(Math.min(has, running))} of ${number(running)}`;
  $("elapsed").textContent = `${m.spread}, node ${m.from} to ${m.to < 0 ? "all" : m.to}`;
}

// The tables and the chart follow a few times a second.
let soon = 0;
function drawTablesSoon() {
  soon ||= setTimeout(() => {
    soon = 0;
    const m = model.focus(), now = model.now();
    drawMessages($("messages").tBodies[0], model, choose);
    drawChart($("chart"), model, now);
    if ($("table").open) drawTable($("table").querySelector("tbody"), model);
    if (m && m.reached < m.of && now - m.said < 20000) drawTablesSoon(); // the curve goes on
  }, 100);
}
new ResizeObserver(drawTablesSoon).observe($("chart"));
$("table").addEventListener("toggle", drawTablesSoon);
$("counters").addEventListener("toggle", () => refreshNode());

function choose(m) {
  model.chosen = m === model.messages.at(-1) ? null : m;
  model.onMessage();
  announce();
}

// announce updates the summary. Screen readers skip the counts of the nodes that join.
function announce() {
  $("summary").setAttribute("aria-busy", !model.settings.settled);
  setText($("summary"), summaryOf(model));
}

function showFigures() {
  $("connected").textContent = number(model.count("CONNECTED"));
  $("nodes").textContent = number(model.settings.nodes);
  $("down").textContent = number(model.count("DOWN"));
  if (model.rates) {
    $("rate").textContent = number(Math.round(model.rates.datagrams));
    $("bandwidth").textContent = number(Math.round(model.rates.bytes / 1000));
    drawTraffic($("traffic"), $("types"), model);
  }
}

function showSettings() {
  const s = model.settings;
  $("what").textContent = s.real
    ? `${number(s.nodes)} nodes on UDP sockets of the loopback interface`
    : `${number(s.nodes)} nodes on a simulated network in one process`;
  $("pace").textContent = model.slowed() ? " The first 10 ms of a message are drawn 100 times slower." : "";
  for (const [id, value, unit] of [["loss", s.loss, "%"], ["latency", s.latency, "ms"]]) {
    if (document.activeElement !== $(id)) $(id).value = value;
    $(id + "-value").textContent = `${number(Math.round(value))} ${unit}`;
  }
  $("part").setAttribute("aria-pressed", s.parted);
  $("part").firstChild.textContent = s.parted ? "Heal the ring " : "Cut the ring in two ";
  $("picked").max = s.nodes - 1;
}

// post sends what a control asks for, after the requests before it: what is asked for last
// holds.
let posted = Promise.resolve();
function post(path, values) { return posted = posted.then(() => request(path, values)); }

// request shows why a request was refused.
async function request(path, values) {
  try {
    const answer = await fetch(path, {method: "POST", body: new URLSearchParams(values)});
    $("problem").textContent = answer.ok ? "" : (await answer.text()).trim();
  } catch {
    $("problem").textContent = "The program does not answer: start it again.";
  }
}

// pick looks at a node; -1 at none.
function pick(node) {
  model.picked = Number.isInteger(node) && node >= 0 && node < model.settings.nodes ? node : -1;
  if (document.activeElement !== $("picked")) $("picked").value = model.picked < 0 ? "" : model.picked;
  refreshNode();
}

// refreshNode asks a node what it says of itself.
async function refreshNode() {
  const asked = model.picked;
  let d = null;
  if (asked >= 0) {
    const answer = await fetch(`node?node=${asked}`).catch(() => null);
    if (answer?.ok) d = await answer.json();
  }
  if (asked !== model.picked) return; // another was picked meanwhile
  model.members = d?.members ?? [];
  $("crash").disabled = !d || d.state === "DOWN" || d.state === "NOT STARTED";
  $("restart").disabled = d?.state !== "DOWN";
  $("node-hint").hidden = d !== null;
  drawNode($("node"), $("counters"), d);
  const order = byPlace(), text = d ? `node ${asked}, ${d.state}, ${model.focus()?.got.has(asked) ? "has" : "lacks"} the message` : "no node picked";
  $("ring").setAttribute("aria-valuemax", Math.max(1, order.length));
  $("ring").setAttribute("aria-valuenow", Math.max(1, order.indexOf(asked) + 1));
  $("ring").setAttribute("aria-valuetext", text);
  model.redraw();
}
setInterval(() => { if (model.picked >= 0 && !document.hidden) refreshNode(); }, 1000);

// byPlace returns the nodes as they follow on the ring.
function byPlace() {
  return [...model.nodes.keys()].filter((i) => model.nodes[i]).sort((a, b) => model.nodes[a].ring - model.nodes[b].ring);
}

function walk(steps) {
  const order = byPlace();
  if (order.length === 0) return;
  const at = order.indexOf(model.picked);
  pick(at < 0 ? order[0] : order[(at + steps + order.length) % order.length]);
}

// nodeOf is what a select for a node stands for.
function nodeOf(select) {
  return select.value === "picked" ? (model.picked < 0 ? "any" : model.picked) : "any";
}

const actions = {
  m: () => {
    if (document.activeElement?.name !== "from") model.chosen = null;
    post("send", {spread: $("say").elements.spread.value, from: nodeOf($("from")), to: nodeOf($("to"))});
  },
  x: () => post("crash", {share: 20}),
  u: () => post("restart", {node: "any"}),
  p: () => post("network", {parted: !model.settings.parted}),
  c: () => { if (!$("crash").disabled) post("crash", {node: model.picked}).then(refreshNode); },
  r: () => { if (!$("restart").disabled) post("restart", {node: model.picked}).then(refreshNode); },
  Escape: () => {
    $("picked").value = ""; // also where it is being typed
    pick(-1);
    choose(model.messages.at(-1));
  },
};

$("say").addEventListener("submit", (e) => {
  e.preventDefault();
  actions.m();
});
$("say").addEventListener("change", () => { $("to-label").hidden = $("say").elements.spread.value !== "direct"; });
for (const [id, key] of [["crash-share", "x"], ["restart-all", "u"], ["part", "p"], ["crash", "c"], ["restart", "r"]]) {
  $(id).addEventListener("click", actions[key]);
}
for (const id of ["loss", "latency"]) $(id).addEventListener("input", () => post("network", {[id]: $(id).value}));
$("picked").addEventListener("input", () => pick($("picked").value === "" ? -1 : Number($("picked").value)));

const steps = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -25, PageUp: 25};
$("ring").addEventListener("keydown", (e) => {
  if (!(e.key in steps)) return;
  e.preventDefault();
  walk(steps[e.key]);
});
$("ring").addEventListener("click", (e) => pick(ring.nodeAt(e.offsetX, e.offsetY)));

// A key alone acts, but where it would write.
document.addEventListener("keydown", (e) => {
  const key = e.key.length === 1 ? e.key.toLowerCase() : e.key; // the page shows capitals
  const typing = e.target.matches("input[type=number], select") && e.key !== "Escape";
  if (e.ctrlKey || e.metaKey || e.altKey || e.repeat || typing || !Object.hasOwn(actions, key)) return;
  actions[key]();
});

// The theme is the system's until the button asks for another.
const themes = ["", "light", "dark"];
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme || "system"}`;
  localStorage.setItem("theme", theme);
  ring.resize();
}
$("theme").addEventListener("click", () => setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => ring.resize());
setTheme(themes.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "");

const stream = new EventSource("events");
stream.onmessage = (e) => model.apply(JSON.parse(e.data));
stream.onopen = () => { $("problem").textContent = ""; };
stream.onerror = () => {
  $("problem").textContent = stream.readyState === EventSource.CLOSED
    ? "Too many pages are open: close one, then load this page again."
    : "The program does not answer: start it again.";
};
