// What the page knows of the cluster, put together from the frames of the stream.

const behind = 80; // ms that the ring is behind, so that frames arrive before they are drawn
const slowFor = 10; // ms of a message on real sockets that are drawn slow times slower
const slow = 100;

// curveOf returns when each node got a message, in ms since it was said, and of how many.
// It is kept as it is when all have it: nodes that come later are no part of how it spread.
export function curveOf(m) {
  if (m.curve) return m.curve;
  const times = [...m.got.values()].map((at) => Math.max(0, at - m.said)).sort((a, b) => a - b);
  return {times, of: Math.max(m.of, 1)};
}

export class Model {
  constructor() {
    this.onChange = () => {};
    this.onCopy = () => {};
    this.onMessage = () => {};
    this.redraw = () => {};
    this.reset();
  }

  reset() {
    this.settings = {nodes: 0, loss: 0, latency: 0, parted: false, settled: false, real: false};
    this.nodes = [];
    this.messages = [];
    this.chosen = null; // the message that was asked for; else the newest is shown
    this.picked = -1;
    this.members = [];
    this.traffic = null;
    this.rates = null;
    this.offset = Infinity; // from the cluster's clock to the page's
  }

  // apply takes a frame.
  apply(f) {
    if (f.reset) {
      const {picked, chosen} = this;
      this.reset();
      Object.assign(this, {picked, chosen: null, wanted: chosen?.message});
    }
    this.offset = Math.min(this.offset, performance.now() - f.time);
    if (f.settings) this.settings = f.settings;
    for (const n of f.nodes ?? []) this.setNode(n);
    for (const m of f.messages ?? []) this.setMessage(m);
    for (const c of f.copies ?? []) {
      const m = this.message(c.message);
      m?.trail.push(c);
      if (m && m === this.focus()) this.onCopy(c);
    }
    for (const g of f.got ?? []) this.message(g.message)?.got.set(g.node, g.at);
    for (const m of this.messages) if (m.all && !m.curve && m.reached >= m.of) m.curve = curveOf(m);
    if (f.traffic) this.setTraffic(f.traffic, f.time);
    if (f.reset) this.onMessage();
    this.onChange(f);
  }

  setNode(n) {
    this.nodes[n.node] = n;
    if (n.state === "DOWN") for (const m of this.messages) m.got.delete(n.node);
  }

  setMessage(v) {
    const known = this.message(v.message);
    if (known) {
      Object.assign(known, v);
      return;
    }
    this.messages.push({...v, trail: [], got: new Map()});
    if (this.messages.length > 8) this.messages.shift();
    if (this.wanted === v.message) this.chosen = this.messages.at(-1);
    if (!this.messages.includes(this.chosen)) this.chosen = null;
    if (!this.chosen) this.onMessage();
  }

  // setTraffic keeps the rates since the count before.
  setTraffic(traffic, time) {
    const last = this.traffic;
    if (last && time > last.time) {
      const rate = (what) => (traffic[what] - last[what]) * 1000 / (time - last.time);
      this.rates = {datagrams: rate("datagrams"), bytes: rate("bytes")};
    }
    this.traffic = {...traffic, time};
  }

  message(number) { return this.messages.find((m) => m.message === number); }

  // focus returns the message that is shown.
  focus() { return this.chosen ?? this.messages.at(-1); }

  // now returns the moment to draw, on the cluster's clock.
  now() { return performance.now() - this.offset - behind; }

  slowed() { return this.settings.real && this.settings.latency < slowFor; }

  // shown returns when something that happened to a message is to be drawn.
  shown(m, at) {
    const after = at - m.said;
    return this.slowed() ? at + Math.min(after, slowFor) * (slow - 1) : at;
  }

  // flight returns when a copy is drawn on its way. How long it takes on real
  // sockets is known from its delivery only.
  flight(m, c) {
    let at = c.at;
    if (this.slowed()) {
      const got = m.got.get(c.to) ?? 0;
      at = got > c.sent && got < c.sent + 5 ? got : c.sent + 0.1;
    }
    return {start: this.shown(m, c.sent), end: Math.max(this.shown(m, at), this.shown(m, c.sent) + 1)};
  }

  count(state) { return this.nodes.filter((n) => n?.state === state).length; }
}
