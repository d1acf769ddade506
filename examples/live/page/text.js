// Numbers as text, with their units.

const plain = new Intl.NumberFormat("en-GB");

export function number(n) { return plain.format(n); }

// duration takes milliseconds; 0 stands for what has not happened.
export function duration(ms) {
  if (ms >= 10000) return `${(ms / 1000).toFixed(0)} s`;
  if (ms >= 1000) return `${+(ms / 1000).toFixed(2)} s`;
  if (ms >= 10 || ms === 0) return `${ms.toFixed(0)} ms`;
  return `${+ms.toFixed(2)} ms`;
}

// took is a duration that may not be over.
export function took(ms) { return ms ? duration(ms) : "–"; }

// per divides what a message cost by its deliveries.
export function per(m, what, digits) {
  return m.delivered > 0 ? (m[what] / m.delivered).toFixed(digits) : "–";
}
