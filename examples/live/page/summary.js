// The sentence above the ring.

import {duration, number, per} from "./text.js";

// summaryOf says how the message that is shown does, and before the cluster has settled how
// many nodes have joined.
export function summaryOf(model) {
  const m = model.focus(), {settled, nodes} = model.settings;
  const joined = model.count("CONNECTED"), of = nodes - model.count("DOWN");
  if (!settled && joined < of) {
    return `Still joining: ${number(joined)} of ${number(of)} nodes.${m ? ` Message ${m.message} has reached ${number(m.reached)}.` : ""}`;
  }
  if (m) return newsOf(m, model);
  return settled ? "No message yet: send one." : `All ${number(of)} nodes have joined. A first message follows when their traffic has settled.`;
}

function newsOf(m, model) {
  const what = `Message ${m.message}`, reached = `${number(m.reached)} of ${number(m.of)} nodes`;
  if (m.early) return `${what}, sent while nodes were joining, has reached ${reached}.`;
  if (m.all && m.reached >= m.of) return `${what} reached ${reached} in ${duration(m.all)}, ${per(m, "copies", 2)} copies each.`;
  if (m.all) return `${what} reached all nodes in ${duration(m.all)}. Nodes that came back since are catching up.`;
  if (model.settings.parted && model.now() - m.said > 5000) return `${what} waits at the cut, with ${reached}.`;
  return `${what} is on its way.`;
}
