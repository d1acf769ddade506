// The parts of the page that are text: messages, a node, the traffic, the ring.

import {duration, number, per, took} from "./text.js";

const bodies = new Map(); // of the messages' rows, by number

// drawMessages lists the latest messages, the newest first; choose is called with
// the one whose button is pressed.
export function drawMessages(body, model, choose) {
  const focus = model.focus(), rows = [];
  for (const m of [...model.messages].reverse()) {
    let row = bodies.get(m.message);
    if (!row) {
      row = document.createElement("tr");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = m.message;
      button.addEventListener("click", () => choose(model.message(m.message)));
      row.insertCell().append(button);
      for (const label of ["", "reached", "50 %", "99 %", "all", "copies", "datagrams", "bytes"]) row.insertCell().dataset.label = label;
      bodies.set(m.message, row);
    }
    const texts = [
      m.spread, `${number(m.reached)} / ${number(m.of)}`, ...[m.half, m.most, m.all].map((time) => m.early ? "–" : took(time)),
      per(m, "copies", 2), per(m, "datagrams", 2), per(m, "bytes", 0),
    ];
    texts.forEach((text, i) => setText(row.cells[i + 1], text));
    row.className = m === focus ? "focus" : "";
    row.cells[0].firstChild.setAttribute("aria-pressed", m === focus);
    row.cells[0].firstChild.setAttribute("aria-label", `show message ${m.message}`);
    rows.push(row);
  }
  for (const known of bodies.keys()) if (!model.message(known)) bodies.delete(known);
  if (rows.some((row, i) => body.rows[i] !== row) || body.rows.length !== rows.length) body.replaceChildren(...rows);
}

// drawNode shows what a node says of itself; null is no node.
export function drawNode(list, counters, d) {
  counters.hidden = d === null;
  if (d === null) {
    list.replaceChildren();
    return;
  }
  const s = d.stats;
  setFacts(list, [
    ["state", d.state], ["address", d.address], ["id", d.id || "–"], ["members", `${number(d.members?.length ?? 0)}`],
    ["sent", number(s.Sent)], ["delivered", number(s.Delivered)], ["of these by repair", number(s.Repaired)],
    ["duplicates", number(s.Duplicate)], ["copies relayed", number(s.Relayed)], ["retransmitted", number(s.Retries)],
    ["datagrams out", number(s.DatagramsOut)], ["datagrams in", number(s.DatagramsIn)],
    ["kB out", number(Math.round(s.BytesOut / 1000))], ["kB in", number(Math.round(s.BytesIn / 1000))],
    ["members lost", number(s.MembersLost)], ["messages retained", number(s.Retained)],
  ]);
  if (counters.open) setFacts(counters.querySelector("dl"), Object.entries(s).filter(([, n]) => n > 0).map(([name, n]) => [name, number(n)]));
}

// drawTraffic sums up what all nodes have sent.
export function drawTraffic(list, types, model) {
  const t = model.traffic, rate = model.rates.datagrams / Math.max(1, model.settings.nodes);
  setFacts(list, [
    ["datagrams/s per node", rate.toFixed(1)],
    ["datagrams", number(t.datagrams)], ["MB with headers", (t.bytes / 1e6).toFixed(1)],
    ["datagrams lost", number(t.lost)], ["deliveries", number(t.delivered)],
  ]);
  setFacts(types, Object.entries(t.messages).map(([type, n]) => [type, number(n)]));
}

// drawTable lists all nodes by their places on the ring.
export function drawTable(body, model) {
  const m = model.focus();
  const nodes = model.nodes.filter(Boolean).sort((a, b) => a.ring - b.ring);
  while (body.rows.length > nodes.length) body.deleteRow(-1);
  nodes.forEach((n, i) => {
    const row = body.rows[i] ?? body.insertRow();
    const got = m?.got.get(n.node);
    const has = got === undefined ? "no" : `after ${duration(Math.max(0, got - m.said))}`;
    [n.node, (n.ring * 360).toFixed(1), n.state, has].forEach((text, j) => setText(row.cells[j] ?? row.insertCell(), text));
  });
}

function setFacts(list, facts) {
  facts.forEach(([name, value], i) => {
    let fact = list.children[i];
    if (!fact) {
      fact = document.createElement("div");
      fact.append(document.createElement("dt"), document.createElement("dd"));
      list.append(fact);
    }
    setText(fact.children[0], name);
    setText(fact.children[1], value);
  });
  while (list.children.length > facts.length) list.lastChild.remove();
}

// setText leaves what is there already alone, also for those who select it.
export function setText(e, text) {
  if (e.textContent !== String(text)) e.textContent = text;
}
