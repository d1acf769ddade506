// The coverage of the latest messages: the share of the nodes that have each, over
// the time since it was sent. A message that was sent while nodes were joining has neither
// curve nor times: it waits for these nodes, not for the network.

import {curveOf} from "./model.js";
import {duration} from "./text.js";

const margin = {left: 44, right: 14, top: 24, bottom: 36};
const steps = [1, 2, 5];

// drawChart paints the curves; the one of the message that is shown stands out and sets the
// scale.
export function drawChart(svg, model, now) {
  const messages = model.messages.filter((m) => !m.early), focus = messages.find((m) => m === model.focus());
  const width = svg.clientWidth, height = svg.clientHeight;
  const span = spanOf(focus, messages, now);
  const x = (t) => margin.left + Math.min(1, t / span) * (width - margin.left - margin.right);
  const y = (share) => height - margin.bottom - share * (height - margin.top - margin.bottom);
  const parts = [];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(line(x(0), y(share), x(span), y(share)), text(margin.left - 8, y(share) + 4, `${share * 100} %`, "end"));
  }
  const step = tickStep(span);
  for (let t = 0; t <= span * 1.001; t += step) {
    parts.push(line(x(t), y(0), x(t), y(0) + 4), text(x(t), y(0) + 17, duration(t), "middle"));
  }
  parts.push(text(x(span), height - 2, "since it was sent", "end"));
  for (const m of [...messages].sort((a, b) => (a === focus) - (b === focus))) {
    const curve = pathOf(m, span, now, x, y);
    parts.push(element("path", {d: curve.d, class: m === focus ? "focus" : ""}));
    if (m === focus) parts.push(text(Math.max(curve.x, margin.left + 70), curve.y - 8, `message ${m.message}`, "end", "focus"));
  }
  const title = svg.querySelector("title"), note = focus ? "" : noteOf(model);
  title.textContent = focus ? textOf(focus) : note;
  parts.push(text(x(span / 2), y(0.5) + 4, note, "middle", "focus"));
  svg.replaceChildren(title, ...parts);
}

// textOf is the curve of a message as text.
function textOf(m) {
  const times = [["50 %", m.half], ["99 %", m.most], ["all", m.all]].filter(([, time]) => time);
  return [`Message ${m.message} has reached ${m.reached} of ${m.of} nodes`, ...times.map(([share, time]) => `${share} after ${duration(time)}`)].join(", ");
}

// noteOf says why there is no curve.
function noteOf(model) {
  const m = model.focus();
  return m ? `Message ${m.message} has no curve: nodes were joining` : "No message yet";
}

// spanOf returns how much time the chart shows: up to the last delivery and a bit,
// which for a message on its way is guessed from others of its kind.
function spanOf(m, messages, now) {
  if (!m) return 1000;
  let last = curveOf(m).times.at(-1) ?? 0;
  if (!m.curve && m.reached < m.of) {
    const others = messages.filter((other) => other.spread === m.spread && other !== m);
    last = Math.max(last, Math.min(now - m.said, 20000), ...others.map((other) => other.most));
  }
  return Math.max(last * 1.08, 0.5);
}

// pathOf returns the curve of a message, and where it ends.
function pathOf(m, span, now, x, y) {
  const {times, of} = curveOf(m);
  let d = `M${x(0)} ${y(0)}`, share = 0, lastX = -1;
  for (let i = 0; i < times.length && times[i] <= span; i++) {
    const at = x(times[i]).toFixed(1);
    share = Math.min(1, (i + 1) / of);
    if (at !== lastX) d += `H${at}`;
    d += `V${y(share).toFixed(1)}`;
    lastX = at;
  }
  const last = Math.min(times.at(-1) ?? 0, span), end = x(Math.max(last, Math.min(span, now - m.said)));
  return {d: d + `H${end}`, x: end, y: y(share), share};
}

// tickStep returns a round distance between three to seven ticks.
function tickStep(span) {
  let unit = 10 ** Math.floor(Math.log10(span));
  if (span / unit < 2) unit /= 10;
  return unit * steps.find((s) => span / (unit * s) <= 7) || unit * 10;
}

function line(x1, y1, x2, y2) { return element("line", {x1, y1, x2, y2, class: "grid"}); }

function text(x, y, content, anchor, name = "") {
  const e = element("text", {x, y, "text-anchor": anchor, class: name});
  e.textContent = content;
  return e;
}

function element(name, attributes) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  return e;
}
