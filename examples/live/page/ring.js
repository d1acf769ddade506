// The ring: all nodes at their places, and of one message the copies that are on
// their way between them and the arcs that they hand on.

const TAU = 2 * Math.PI;
const hops = 5; // that have a colour of their own; later ones share the last
const lostFor = 1500; // ms that a lost copy stays to be seen
const growFor = 250; // ms in which the tick of a node that got the message grows

export class Ring {
  constructor(canvas, model) {
    this.canvas = canvas;
    this.model = model;
    this.context = canvas.getContext("2d");
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  // resize measures the canvas and the colours anew, and so begins again.
  resize() {
    const size = this.canvas.clientWidth, dpr = devicePixelRatio || 1;
    this.canvas.width = this.canvas.height = Math.round(size * dpr);
    this.context.setTransform(dpr, 0, 0, dpr, 0, 0);
    this.size = size;
    this.band = Math.min(9, Math.max(4, size * 0.0115));
    this.radius = size / 2 - 30 - hops * this.band;
    const probe = this.canvas.parentElement;
    this.colour = {};
    for (const name of ["paper", "ink", "muted", "rest", "line", "accent", "alarm", "hop1", "hop2", "hop3", "hop4", "hop5"]) {
      probe.style.color = `var(--${name})`;
      this.colour[name] = getComputedStyle(probe).color;
    }
    probe.style.color = "";
    this.show(this.message);
  }

  // show begins to draw a message, or none.
  show(message) {
    this.message = message;
    this.pending = message ? [...message.trail] : [];
    this.chords = Array.from({length: hops + 1}, () => new Path2D());
    this.arcs = Array.from({length: hops + 1}, () => new Path2D());
    this.model.redraw();
  }

  // add tells of one more copy of the message that is shown.
  add(copy) { this.pending.push(copy); }

  // at returns the point at a place on the ring.
  at(place, radius) {
    const angle = place * TAU - TAU / 4, middle = this.size / 2;
    return [middle + radius * Math.cos(angle), middle + radius * Math.sin(angle)];
  }

  // nodeAt returns the node that is drawn nearest to a point, or -1.
  nodeAt(x, y) {
    const middle = this.size / 2, dx = x - middle, dy = y - middle;
    if (Math.abs(Math.hypot(dx, dy) - this.radius) > 40) return -1;
    const place = ((Math.atan2(dy, dx) / TAU + 1.25) % 1 + 1) % 1;
    let best = -1, least = 1;
    this.model.nodes.forEach((n, i) => {
      if (!n) return;
      const d = Math.abs(n.ring - place), apart = Math.min(d, 1 - d);
      if (apart < least) [best, least] = [i, apart];
    });
    return best;
  }

  // draw paints the moment now and reports whether the next will differ.
  draw(now) {
    const g = this.context;
    g.clearRect(0, 0, this.size, this.size);
    this.drawScale(g);
    const moving = this.land(now);
    this.drawLanded(g);
    if (this.model.settings.parted) this.drawCut(g);
    const growing = this.drawNodes(g, now);
    this.drawFlying(g, now);
    this.drawMarks(g);
    return moving || growing;
  }

  drawScale(g) {
    const outer = this.radius + 16 + hops * this.band;
    g.strokeStyle = this.colour.line;
    g.lineWidth = 1;
    g.beginPath();
    g.arc(this.size / 2, this.size / 2, this.radius, 0, TAU);
    g.stroke();
    g.fillStyle = this.colour.muted;
    g.font = "12px system-ui, sans-serif";
    g.textAlign = "center";
    g.textBaseline = "middle";
    ["0", "¼", "½", "¾"].forEach((text, i) => g.fillText(text, ...this.at(i / 4, outer + 6)));
  }

  // land moves the copies that have arrived to the paths that stay.
  land(now) {
    this.pending = this.pending.filter((c) => {
      const {end} = this.model.flight(this.message, c);
      if (now < end) return true;
      const hop = Math.min(c.hop, hops);
      if (!c.fate) {
        this.curve(this.chords[hop], c, 1);
        if (c.lo !== c.hi && hop > 0) this.arc(this.arcs[hop], c, hop);
      }
      return c.fate && now < end + lostFor;
    });
    return this.pending.length > 0;
  }

  drawLanded(g) {
    const alpha = [0.3, 0.75, 0.5, 0.32, 0.3, 0.3];
    for (let hop = hops; hop >= 0; hop--) {
      const colour = hop ? this.colour["hop" + hop] : this.colour.muted;
      g.strokeStyle = colour;
      g.globalAlpha = alpha[hop];
      g.lineWidth = [0.7, 1.5, 1, 0.7, 0.6, 0.6][hop];
      g.setLineDash(hop ? [] : [3, 3]);
      g.stroke(this.chords[hop]);
      g.setLineDash([]);
      g.globalAlpha = 1;
      g.lineWidth = this.band - 2;
      g.stroke(this.arcs[hop]);
    }
  }

  drawFlying(g, now) {
    for (const c of this.pending) {
      const {start, end} = this.model.flight(this.message, c);
      if (now < start) continue;
      const gone = this.still.matches ? 1 : Math.min(1, (now - start) / (end - start));
      const hop = Math.min(c.hop, hops), lost = c.fate !== "";
      if (this.still.matches && !lost) continue; // it is drawn when it has arrived
      const share = lost ? Math.min(gone, 0.5) : gone;
      const path = new Path2D(), head = this.curve(path, c, share);
      g.globalAlpha = lost && now > end ? Math.max(0, 1 - (now - end) / lostFor) : 1;
      g.strokeStyle = lost && gone > 0.5 ? this.colour.alarm : hop ? this.colour["hop" + hop] : this.colour.muted;
      g.lineWidth = [0.8, 1.8, 1.3, 0.9, 0.8, 0.8][hop];
      g.setLineDash(hop ? [] : [3, 3]);
      g.stroke(path);
      g.setLineDash([]);
      if (lost && gone > 0.5) this.cross(g, ...head, 3.5);
      else this.dot(g, ...head, hop < 3 ? 3 : 1.8, g.strokeStyle);
    }
    g.globalAlpha = 1;
  }

  // curve adds the first share of the way of a copy to a path, and returns where
  // that ends. The wider apart its ends are the nearer it passes by the middle.
  curve(path, c, share) {
    const a = this.model.nodes[c.from].ring, b = this.model.nodes[c.to].ring;
    const turn = ((b - a + 1.5) % 1) - 0.5, bend = this.radius * Math.max(0, 1 - 3.2 * Math.abs(turn));
    const p = this.at(a, this.radius), q = this.at(b, this.radius), m = this.at(a + turn / 2, bend);
    const mix = (s, t) => [s[0] + (t[0] - s[0]) * share, s[1] + (t[1] - s[1]) * share];
    const pm = mix(p, m), end = mix(pm, mix(m, q));
    path.moveTo(...p);
    path.quadraticCurveTo(...pm, ...end);
    return end;
  }

  // arc adds the part of the ring that a copy hands on, outside of it.
  arc(path, c, hop) {
    const radius = this.radius + 14 + (hop - 0.5) * this.band, gap = 0.75 / radius;
    const from = c.lo * TAU - TAU / 4 + gap, length = ((c.hi - c.lo + 1) % 1) * TAU - 2 * gap;
    if (length <= 0) return;
    path.moveTo(this.size / 2 + radius * Math.cos(from), this.size / 2 + radius * Math.sin(from));
    path.arc(this.size / 2, this.size / 2, radius, from, from + length);
  }

  drawNodes(g, now) {
    const width = Math.min(4, Math.max(1, TAU * this.radius / this.model.nodes.length * 0.6));
    const wait = new Path2D(), has = new Path2D(), open = new Path2D();
    let growing = false;
    const crosses = [];
    this.model.nodes.forEach((n, i) => {
      if (!n) return;
      if (n.state === "DOWN") {
        crosses.push(this.at(n.ring, this.radius - 10));
        return;
      }
      const got = this.message?.got.get(i);
      const age = got === undefined ? -1 : now - this.model.shown(this.message, got);
      const grown = this.still.matches ? (age >= 0 ? 1 : 0) : Math.min(1, Math.max(0, age / growFor));
      growing ||= got !== undefined && grown < 1;
      const path = age >= 0 ? has : wait;
      path.moveTo(...this.at(n.ring, this.radius - 2 - 4 * grown));
      path.lineTo(...this.at(n.ring, this.radius + 2 + 6 * grown));
      if (n.state !== "CONNECTED") {
        const p = this.at(n.ring, this.radius - 10);
        open.moveTo(p[0] + 2.5, p[1]);
        open.arc(...p, 2.5, 0, TAU);
      }
    });
    g.lineWidth = width;
    g.strokeStyle = this.colour.muted;
    g.stroke(wait);
    g.lineWidth = width + 0.5;
    g.strokeStyle = this.colour.accent;
    g.stroke(has);
    g.lineWidth = 1;
    g.strokeStyle = this.colour.ink;
    g.stroke(open);
    g.strokeStyle = this.colour.alarm;
    for (const p of crosses) this.cross(g, ...p, 2.5);
    return growing;
  }

  drawCut(g) {
    const [x, top] = this.at(0, this.radius + 10), [, bottom] = this.at(0.5, this.radius + 10);
    g.strokeStyle = this.colour.alarm;
    g.lineWidth = 1.5;
    g.setLineDash([7, 5]);
    g.beginPath();
    for (const side of [-3, 3]) {
      g.moveTo(x + side, top);
      g.lineTo(x + side, bottom);
    }
    g.stroke();
    g.setLineDash([]);
    this.label(g, "cut", x, this.size / 2, this.colour.alarm);
  }

  // drawMarks shows where the message was said, and the picked node and its view.
  drawMarks(g) {
    const {nodes, picked, members} = this.model;
    for (const i of members) {
      if (nodes[i]) this.dot(g, ...this.at(nodes[i].ring, this.radius - 18), 1.7, this.colour.ink);
    }
    const origin = this.message && nodes[this.message.from];
    if (origin) {
      const [x, y] = this.at(origin.ring, this.radius - 12);
      const diamond = new Path2D(`M${x} ${y - 7}L${x + 7} ${y}L${x} ${y + 7}L${x - 7} ${y}Z`);
      g.fillStyle = this.colour.ink;
      g.strokeStyle = this.colour.paper;
      g.lineWidth = 2;
      g.stroke(diamond);
      g.fill(diamond);
    }
    const chosen = nodes[picked];
    if (chosen) {
      const [x, y] = this.at(chosen.ring, this.radius);
      g.strokeStyle = this.colour.ink;
      g.lineWidth = 2;
      g.beginPath();
      g.arc(x, y, 9, 0, TAU);
      g.stroke();
      this.label(g, `node ${picked}`, ...this.at(chosen.ring, this.radius - 58), this.colour.ink);
    }
  }

  dot(g, x, y, radius, colour) {
    g.fillStyle = colour;
    g.beginPath();
    g.arc(x, y, radius, 0, TAU);
    g.fill();
  }

  cross(g, x, y, arm) {
    g.lineWidth = 1.5;
    g.beginPath();
    g.moveTo(x - arm, y - arm);
    g.lineTo(x + arm, y + arm);
    g.moveTo(x + arm, y - arm);
    g.lineTo(x - arm, y + arm);
    g.stroke();
  }

  label(g, text, x, y, colour) {
    g.font = "600 13px system-ui, sans-serif";
    g.lineWidth = 5;
    g.lineJoin = "round";
    g.strokeStyle = this.colour.paper;
    g.strokeText(text, x, y);
    g.fillStyle = colour;
    g.fillText(text, x, y);
  }
}
