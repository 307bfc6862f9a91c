"use strict";

// Plays the snapshots of a run or a study. Names are set as text, never as markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const MISSING = "–";
const STEP_MILLISECONDS = 1000; // between two snapshots at speed 1
const TILE = 96; // pixels of the page that a unit's picture is wide, about
const PLANE = 640; // pixels of the picture of a boundary, on a side
const DOT = 4; // radius of an example in it
const LEVELS = 127; // of a positive or a negative weight
const LOG_FROM = 4; // ratio of highest to lowest cost from which their axis is logarithmic, as in reports
const MARGIN = { left: 54, right: 12, top: 26, bottom: 38 };
const COLOURS = 4; // c1 to c4 in the style sheet, and as many dashes

const isRun = DATA.kind === "run";
const state = {
  experiment: 0,
  chosen: 0, // the configuration whose network is shown
  at: 0, // its snapshot
  part: "validation",
  log: false,
  off: new Set(), // curves that are not shown
  timer: null,
  fresh: true, // nobody has chosen a snapshot yet: it plays from the first one
};
const charts = {}; // what moves the cursor of each chart, by its id
const unpacked = new Map(); // bytes of networks

const get = (id) => document.getElementById(id);
const configurations = () => DATA.experiments[state.experiment].configurations;
const shownNetwork = () => DATA.networks[configurations()[state.chosen]?.network] ?? null;

// ---- elements and texts

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function html(name, attributes = {}, ...children) {
  return put(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return put(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

const costText = (value) => (value === null ? MISSING : value.toFixed(4));
const percentText = (value) => (value === null ? MISSING : (100 * value).toFixed(2));
const sizeText = (value) => (value === null ? MISSING : value === 0 ? "0" : value.toExponential(2));
const countText = (value) => value.toLocaleString("en");

function cell(text, attributes = {}) {
  return html("td", { class: "right", ...attributes }, text);
}

function head(text, attributes = {}) {
  return html("th", { scope: "col", ...attributes }, text);
}

// ---- curves

// The curves that can be shown, each with its name and its curve of a quantity.
function curves() {
  const [only] = configurations();
  if (isRun) {
    return ["validation", "training"].map((part, k) => ({
      name: part,
      style: k === 0 ? "c1 d1" : "c2 d2",
      of: (quantity) => only.curves[`${part}_${quantity}`],
      diverged: k === 0 ? only.diverged : [],
      index: k,
    }));
  }
  return configurations().map((configuration, k) => ({
    name: `${configuration.label}, ${configuration.about}`,
    style: `c${(k % COLOURS) + 1} d${(Math.floor(k / COLOURS) % COLOURS) + 1}`,
    of: (quantity) => configuration.curves[`${state.part}_${quantity}`],
    diverged: configuration.diverged,
    index: k,
  }));
}

const shownCurves = () => curves().filter((curve) => !state.off.has(curve.index));

function drawLegend() {
  const legend = html("legend", { class: "muted" }, isRun ? "Curves" : "Configurations");
  const labels = curves().map((curve) => {
    const box = html("input", { type: "checkbox" });
    box.checked = !state.off.has(curve.index);
    box.addEventListener("change", () => {
      state.off[box.checked ? "delete" : "add"](curve.index);
      drawCurves();
    });
    const line = svg("line", { x1: 0, y1: 6, x2: 30, y2: 6, "stroke-width": 2.5, class: curve.style });
    return html("label", {}, box, svg("svg", { "aria-hidden": "true" }, line), curve.name);
  });
  const all = [];
  if (labels.length > 3) {
    for (const [name, off] of [["all", []], ["none", curves().map((curve) => curve.index)]]) {
      const button = html("button", { type: "button" }, name);
      button.addEventListener("click", () => {
        state.off = new Set(off);
        drawLegend();
        drawCurves();
      });
      all.push(button);
    }
  }
  get("legend").replaceChildren(legend, ...labels, ...all);
}

function drawCurves() {
  drawChart("cost", "Cost, nats", state.log, tickText);
  drawChart("accuracy", "Accuracy, %", false, (value) => tickText(100 * value));
  moveCursors();
  if (get("numbers").open) {
    drawNumbers();
  }
}

// The lowest and the highest value with room in a chart. On a logarithmic axis the lower edge of a
// band counts only down to half of all values, as in reports.
function drawnRange(shown, log) {
  const known = (values) => (values ?? []).filter((v) => v !== null && (!log || v > 0));
  const values = shown.flatMap((curve) => [...known(curve.mean), ...known(curve.high)]);
  if (values.length === 0) {
    return null;
  }
  const least = (numbers) => numbers.reduce((a, b) => Math.min(a, b), Infinity);
  const low = least(values);
  const edges = shown.flatMap((curve) => known(curve.low)).filter((v) => !log || v >= low / 2);
  return [Math.min(low, least(edges)), -least(values.map((v) => -v))];
}

// An accuracy with the edges of its band within 0 and 1, as in other plots.
function clipped(curve) {
  const edge = (values) => values?.map((v) => (v === null ? null : Math.min(1, Math.max(0, v)))) ?? null;
  return { ...curve, low: edge(curve.low), high: edge(curve.high) };
}

function linearTicks(low, high) {
  const rough = (high - low) / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-12); k += 1) {
    ticks.push(k * step);
  }
  return ticks;
}

function logTicks(low, high) {
  for (const factors of [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1) {
      ticks.push(...factors.map((k) => k * 10 ** e).filter((v) => v >= low && v <= high));
    }
    if (ticks.length <= 7) {
      return ticks;
    }
  }
  const [first, last] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
  const step = Math.ceil((last - first + 1) / 7);
  const ticks = [];
  for (let e = first; e <= last; e += step) {
    ticks.push(10 ** e);
  }
  return ticks;
}

// A tick's label, short enough for the margin.
function tickText(value) {
  const size = Math.abs(value);
  const isPlain = value === 0 || (size >= 1e-4 && size < 1e6);
  return isPlain ? `${Number(value.toPrecision(6))}` : value.toExponential(0).replace("e+", "e");
}

function drawChart(id, title, log, text) {
  const root = get(id);
  const width = root.clientWidth || 400;
  const height = root.clientHeight || 272;
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const shown = shownCurves();
  const lines = shown.map((curve) => (id === "accuracy" ? clipped(curve.of(id)) : curve.of(id)));
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  root.replaceChildren(
    svg("text", { x: 0, y: 12, class: "title" }, title),
    svg("text", { x: right, y: height - 4, "text-anchor": "end" }, "epoch"),
    svg("line", { x1: MARGIN.left, x2: right, y1: bottom, y2: bottom, class: "frame" }),
  );
  const range = drawnRange(lines, log);
  const epochs = shown.flatMap((curve, k) => [
    ...lines[k].epoch.slice(-1),
    ...curve.diverged.map((run) => run.epoch),
  ]);
  const last = Math.max(0, ...epochs, ...(shownNetwork()?.epochs ?? []).slice(-1)) || 1;
  const x = (epoch) => MARGIN.left + (epoch / last) * (right - MARGIN.left);
  for (const tick of linearTicks(0, last)) {
    const label = `${Number(tick.toPrecision(6))}`;
    root.append(svg("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle" }, label));
  }
  if (range === null) {
    const note = { x: MARGIN.left + 8, y: (MARGIN.top + bottom) / 2 };
    root.append(svg("text", note, shown.length ? "no finite values" : "no curve is chosen"));
  } else {
    drawLines(root, shown, lines, range, log, text, { x, right, bottom });
  }
  for (const run of shown.flatMap((curve) => curve.diverged)) {
    const [cx, cy, r] = [x(run.epoch), MARGIN.top, 4];
    const d = `M${cx - r} ${cy - r}L${cx + r} ${cy + r}M${cx - r} ${cy + r}L${cx + r} ${cy - r}`;
    const name = svg("title", {}, `seed ${run.seed} diverged at update ${countText(run.update)}`);
    root.append(svg("path", { d, class: "cross" }, name));
  }
  const cursor = svg("line", { y1: MARGIN.top, y2: bottom, class: "cursor" });
  root.append(cursor);
  charts[id] = {
    move(epoch) {
      cursor.setAttribute("visibility", epoch === null ? "hidden" : "visible");
      put(cursor, { x1: x(epoch ?? 0), x2: x(epoch ?? 0) }, []);
      const names = isRun ? "validation and training" : state.part;
      const where = epoch === null ? "" : ` The cursor is at epoch ${snapshotName()}.`;
      const what = `${title.split(",")[0]}, ${names}, against epochs: ${shown.length} curves.`;
      root.setAttribute("aria-label", what + where);
    },
    epochAt: (pixel) => ((pixel - MARGIN.left) / (right - MARGIN.left)) * last,
  };
}

function drawLines(root, shown, lines, [lowest, highest], log, text, { x, right, bottom }) {
  const room = log ? 1.1 : 0.05 * (highest - lowest || Math.abs(highest) || 1);
  const [low, high] = log ? [lowest / room, highest * room] : [lowest - room, highest + room];
  const scaled = log ? Math.log : (value) => value;
  const share = (value) => (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
  const y = (value) => bottom - Math.min(1, Math.max(0, share(value))) * (bottom - MARGIN.top);
  for (const tick of log ? logTicks(low, high) : linearTicks(low, high)) {
    const place = { y1: y(tick), y2: y(tick), x1: MARGIN.left, x2: right, class: "grid" };
    const label = { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" };
    root.append(svg("line", place), svg("text", label, text(tick)));
  }
  const hasPlace = (value) => value !== null && (!log || value > 0);
  lines.forEach((line, k) => {
    for (const part of line.low === null ? [] : parts(line.low, line.high)) {
      const edge = (values) => part.map((i) => {
        const inside = hasPlace(values[i]) ? values[i] : low; // below a logarithmic axis
        return `${x(line.epoch[i]).toFixed(1)} ${y(inside).toFixed(1)}`;
      });
      const d = `M${[...edge(line.high), ...edge(line.low).reverse()].join("L")}Z`;
      root.append(svg("path", { d, class: `band ${shown[k].style.split(" ")[0]}` }));
    }
  });
  lines.forEach((line, k) => {
    const isChosen = !isRun && shown[k].index === state.chosen;
    const values = line.mean.map((value) => (hasPlace(value) ? value : null));
    for (const part of parts(values)) {
      const points = part.map((i) => `${x(line.epoch[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`);
      const place = { class: `line ${shown[k].style}${isChosen ? " chosen" : ""}` };
      // A point between two gaps is a dot: a line of no length with round ends.
      const d = `M${points.length === 1 ? [...points, ...points].join("L") : points.join("L")}`;
      const end = points.length === 1 ? { "stroke-linecap": "round", "stroke-width": 5 } : {};
      root.append(svg("path", { d, ...place, ...end }));
    }
  });
}

// The indices of the runs of neighbours that are known in all of these lists.
function parts(...lists) {
  const found = [];
  let open = null;
  lists[0].forEach((_, i) => {
    if (lists.some((values) => values[i] === null)) {
      open = null;
    } else if (open === null) {
      found.push((open = [i]));
    } else {
      open.push(i);
    }
  });
  return found;
}

function moveCursors() {
  const network = shownNetwork();
  for (const chart of Object.values(charts)) {
    chart.move(network === null ? null : network.epochs[state.at]);
  }
}

function drawNumbers() {
  const shown = shownCurves();
  const columns = shown.flatMap((curve) => [
    { name: `${curve.name}: cost`, curve: curve.of("cost"), text: costText },
    { name: `${curve.name}: accuracy %`, curve: curve.of("accuracy"), text: percentText },
  ]);
  const epochs = [...new Set(columns.flatMap((column) => column.curve.epoch))].sort((a, b) => a - b);
  const places = columns.map(({ curve }) => new Map(curve.epoch.map((epoch, i) => [epoch, i])));
  const rows = epochs.map((epoch) => {
    const name = Number.isInteger(epoch) ? `${epoch}` : epoch.toFixed(2);
    const cells = columns.map(({ curve, text }, k) => {
      const i = places[k].get(epoch);
      if (i === undefined) {
        return cell(MISSING);
      }
      const known = curve.low !== null && curve.low[i] !== null;
      const band = known ? ` (${text(curve.low[i])} to ${text(curve.high[i])})` : "";
      return cell(text(curve.mean[i]) + band);
    });
    return html("tr", {}, html("th", { scope: "row" }, name), ...cells);
  });
  const titles = columns.map((column) => head(column.name, { class: "right" }));
  const thead = html("thead", {}, html("tr", {}, head("epoch"), ...titles));
  const table = html("table", {}, thead, html("tbody", {}, ...rows));
  get("numbers").querySelector(".scroll").replaceChildren(table);
}

function captionText() {
  const line = "The vertical line is at the snapshot; a click moves it.";
  const cross = configurations().some((c) => c.diverged.length > 0)
    ? " A cross marks where a run diverged."
    : "";
  if (isRun) {
    return line + cross;
  }
  return (
    "Lines are means over the finished runs of a configuration, as long as at least half of them " +
    "are in training; the band is the 95\u00a0% t-interval of the mean, from 3 seeds on. " +
    `The thick line is the configuration whose network is shown. ${line}${cross}` +
    (cross ? " It enters no mean." : "")
  );
}

// ---- the network at a snapshot

const snapshotName = () => shownNetwork().names[state.at];

function drawInside() {
  const network = shownNetwork();
  get("inside").hidden = network === null;
  if (network === null) {
    return;
  }
  const e = state.at;
  get("inside-title").textContent = `The network at epoch ${snapshotName()}`;
  get("about").textContent = aboutText(network, e);
  drawLayers(network, e);
  drawBoundary(network, e);
  drawWeights(network, e);
  drawConfusion(network, e);
}

function aboutText(network, e) {
  const of = isRun ? "" : ", the first ended seed of its configuration";
  const isLast = e === network.epochs.length - 1;
  const end = network.diverged_at !== null && isLast
    ? ` The run diverged at update ${countText(network.diverged_at)}; this is the last finite network.`
    : "";
  const accuracy = network.accuracy[e] === null ? MISSING : `${percentText(network.accuracy[e])}\u00a0%`;
  return (
    `${isRun ? "" : `${configurations()[state.chosen].label}. `}Run ${network.run}, seed ${network.seed}${of}: ${network.state}. ` +
    `On the ${countText(network.examples)} ${network.what}s of the ${network.part} part: ` +
    `cost ${costText(network.cost[e])}, accuracy ${accuracy}.${end}`
  );
}

function drawLayers(network, e) {
  const titles = ["gradient norm ‖g‖/√n", "update ‖Δθ‖/‖θ‖", "dead ReLU units"];
  const top = html("tr", {}, head("layer", { class: "left" }), ...titles.map((t) => head(t, { class: "right" })));
  const rows = network.layers.map((name, k) => {
    const isRelu = network.relu.includes(k);
    const dead = isRelu ? `${network.dead_units[e][k]} of ${network.units[k]}` : MISSING;
    const sizes = [network.gradient_norm[e][k], network.update_ratio[e][k]].map(sizeText);
    return html("tr", {}, html("th", { scope: "row" }, name), ...[...sizes, dead].map((t) => cell(t)));
  });
  get("layers").replaceChildren(html("thead", {}, top), html("tbody", {}, ...rows));
  get("update-words").textContent =
    `Gradient norm: of the cost over training examples, n parameters. Update: ${network.update_words}`;
}

function bytesOf(packed) {
  if (!unpacked.has(packed)) {
    unpacked.set(packed, Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0)));
  }
  return unpacked.get(packed);
}

// A colour for each class: those of the style sheet, then hues that are far from each other.
function classColours(n) {
  const names = ["--series-1", "--series-2", "--series-3", "--series-4", "--diverged", "--muted"];
  return Array.from({ length: n }, (_, k) => (k < names.length ? colourOf(names[k]) : hue(137.5 * k)));
}

function hue(degrees) {
  return [0, 8, 4].map((shift) => {
    const k = (shift + degrees / 30) % 12;
    return Math.round(255 * (0.5 - 0.3 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}

function drawBoundary(network, e) {
  const plane = network.boundary;
  get("boundary-panel").hidden = plane === null;
  if (plane === null) {
    return;
  }
  const [width, height] = [plane.x.length, plane.y.length];
  const size = width * height;
  const bytes = bytesOf(plane.bytes).subarray(2 * e * size, 2 * (e + 1) * size);
  const colours = classColours(network.classes.length);
  const picture = new ImageData(width, height);
  for (let i = 0; i < size; i += 1) {
    const row = height - 1 - Math.floor(i / width); // y points up
    const sure = bytes[size + i] / 255;
    if (bytes[i] > 0) {
      const alpha = 0.1 + 0.6 * Math.max(0, (sure - 1 / colours.length) / (1 - 1 / colours.length));
      const pixel = [...colours[bytes[i] - 1], Math.round(255 * alpha)];
      picture.data.set(pixel, 4 * (row * width + (i % width)));
    }
  }
  const small = html("canvas");
  [small.width, small.height] = [width, height];
  small.getContext("2d").putImageData(picture, 0, 0);
  const canvas = get("boundary");
  canvas.width = canvas.height = PLANE;
  const drawing = canvas.getContext("2d");
  drawing.imageSmoothingEnabled = false;
  drawing.drawImage(small, 0, 0, PLANE, PLANE);
  const wrong = drawExamples(drawing, plane, e, colours);
  drawClasses(network.classes, colours);
  const [first, second] = plane.columns;
  const span = (values) => `${values[0].toPrecision(3)} to ${values.at(-1).toPrecision(3)}`;
  const n = plane.points.length;
  const some = n < plane.examples ? `${n} of ${countText(plane.examples)}` : `${n}`;
  get("boundary-words").textContent =
    `${first} from ${span(plane.x)} to the right, ${second} from ${span(plane.y)} upwards. The colour ` +
    `is the predicted class, stronger if its probability is higher. Dots are ${some} examples of the ` +
    `validation part, in the colour of their class; the ${wrong} with a ring are misclassified.`;
  canvas.setAttribute(
    "aria-label",
    `Predicted class in the plane of ${first} and ${second}; ${wrong} of ${n} examples misclassified`,
  );
}

// Draws the examples, and returns how many of them are misclassified.
function drawExamples(drawing, plane, e, colours) {
  const place = (values, value) => (value - values[0]) / (values.at(-1) - values[0]);
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  let wrong = 0;
  plane.points.forEach(([x, y], k) => {
    const centre = [place(plane.x, x) * PLANE, (1 - place(plane.y, y)) * PLANE];
    const circle = (radius) => {
      drawing.beginPath();
      drawing.arc(...centre, radius, 0, 2 * Math.PI);
    };
    circle(DOT);
    drawing.fillStyle = `rgb(${colours[plane.labels[k]].join(" ")})`;
    drawing.fill();
    if (plane.predicted[e][k] !== plane.labels[k]) {
      wrong += 1;
      circle(2 * DOT);
      drawing.lineWidth = DOT / 2;
      drawing.strokeStyle = ink;
      drawing.stroke();
    }
  });
  return wrong;
}

function drawClasses(names, colours) {
  const items = names.map((name, k) => {
    const dot = html("span", { "aria-hidden": "true" });
    dot.style.backgroundColor = `rgb(${colours[k].join(" ")})`;
    return html("li", {}, dot, `class ${name}`);
  });
  get("classes").replaceChildren(...items);
}

function drawWeights(network, e) {
  const weights = network.weights;
  get("weights-panel").hidden = weights === null;
  if (weights === null) {
    return;
  }
  const size = weights.units * weights.height * weights.width;
  const bytes = bytesOf(weights.bytes).subarray(e * size, (e + 1) * size);
  const scale = weights.scale[e];
  const isTable = weights.inputs.length > 0;
  (isTable ? drawWeightTable : drawWeightPictures)(weights, bytes, scale);
  const shown = weights.units < weights.of ? `${weights.units} of ${weights.of}` : weights.of;
  const within = weights.within === null ? "" : ` (${weights.within}\u00a0% of the weights are within)`;
  const full = scale === null
    ? "The weights are not finite."
    : `Orange is positive, blue negative; full colour is ±${scale.toPrecision(3)}${within}, ` +
      `and weights are rounded to a ${LEVELS}th of it.`;
  get("weights-words").textContent = `${shown} units. ${full}`;
}

function drawWeightPictures({ units, height, width }, bytes, scale) {
  const box = get("weights");
  const zoom = Math.max(1, Math.round(TILE / width));
  const columns = Math.max(1, Math.min(units, Math.floor(box.clientWidth / ((width + 1) * zoom))));
  const canvas = html("canvas", { role: "img" });
  canvas.width = columns * (width + 1) - 1;
  canvas.height = Math.ceil(units / columns) * (height + 1) - 1;
  canvas.style.width = `${canvas.width * zoom}px`;
  const picture = new ImageData(canvas.width, canvas.height);
  const [plus, minus] = ["--positive", "--negative"].map(colourOf);
  for (let i = 0; i < bytes.length; i += 1) {
    const unit = Math.floor(i / (height * width));
    const row = Math.floor(unit / columns) * (height + 1) + (Math.floor(i / width) % height);
    const column = (unit % columns) * (width + 1) + (i % width);
    const level = bytes[i] === 0 ? 0 : bytes[i] - LEVELS - 1;
    const alpha = Math.round((255 * Math.abs(level)) / LEVELS);
    picture.data.set([...(level < 0 ? minus : plus), alpha], 4 * (row * canvas.width + column));
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  const what = scale === null ? "not finite" : `full colour at ±${scale.toPrecision(3)}`;
  canvas.setAttribute("aria-label", `Weights of ${units} units as pictures, ${what}`);
  box.replaceChildren(canvas);
}

function drawWeightTable({ units, inputs }, bytes, scale) {
  // No digit that the rounding does not leave certain to within one.
  const decimals = scale ? Math.max(0, Math.floor(Math.log10(LEVELS / scale))) : 0;
  const rows = inputs.map((input, k) => {
    const cells = Array.from({ length: units }, (_, unit) => {
      const byte = bytes[unit * inputs.length + k];
      if (byte === 0 || scale === null) {
        return html("td", {}, MISSING);
      }
      const share = (byte - LEVELS - 1) / LEVELS;
      const made = html("td", { class: share < 0 ? "minus" : "plus" }, (share * scale).toFixed(decimals));
      made.style.setProperty("--share", Math.abs(share));
      return made;
    });
    return html("tr", {}, html("th", { scope: "row" }, input), ...cells);
  });
  const names = Array.from({ length: units }, (_, unit) => head(`unit ${unit}`));
  const thead = html("thead", {}, html("tr", {}, head("input"), ...names));
  get("weights").replaceChildren(html("table", { class: "weights" }, thead, html("tbody", {}, ...rows)));
}

// A colour of the style sheet as red, green and blue.
function colourOf(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

function drawConfusion(network, e) {
  get("confusion-panel").hidden = network.confusion === null;
  if (network.confusion === null) {
    return;
  }
  const { classes } = network;
  const counts = network.confusion[e];
  const rows = classes.map((name, k) => {
    const row = counts.slice(k * classes.length, (k + 1) * classes.length);
    const total = row.reduce((a, b) => a + b, 0) || 1;
    const cells = row.map((count, j) => {
      const made = html("td", { class: j === k ? "correct" : "wrong" }, `${count}`);
      made.style.setProperty("--share", count / total);
      return made;
    });
    return html("tr", {}, html("th", { scope: "row" }, name), ...cells);
  });
  const thead = html("thead", {}, html("tr", {}, head("true ╲ predicted"), ...classes.map((c) => head(c))));
  get("confusion").replaceChildren(thead, html("tbody", {}, ...rows));
  const n = network.unknown[e];
  const unknown = n > 0 ? ` ${countText(n)} without a prediction: not finite.` : "";
  get("confusion-words").textContent =
    `Rows are true classes, columns predicted ones; the colour is the share of the row.${unknown}`;
}

// ---- the player

function show(at) {
  const network = shownNetwork();
  if (network !== null) {
    const last = network.epochs.length - 1;
    state.at = Math.max(0, Math.min(last, at));
    const kept = state.at === network.best ? ", the kept network" : "";
    const text = `epoch ${snapshotName()}${kept}`;
    const slider = get("at");
    slider.max = last;
    slider.value = state.at;
    slider.setAttribute("aria-valuetext", text);
    get("epoch").textContent = `${text} (snapshot ${state.at + 1} of ${last + 1})`;
  }
  get("player").hidden = network === null && DATA.networks.length === 0;
  if (network === null) {
    get("epoch").textContent = "no networks are shown of this configuration";
  }
  moveCursors();
  drawInside();
}

function showNearest(epoch) {
  state.fresh = false;
  const distances = shownNetwork()?.epochs.map((e) => Math.abs(e - epoch)) ?? [];
  show(distances.indexOf(Math.min(...distances)));
}

function pause() {
  clearTimeout(state.timer);
  state.timer = null;
  get("play").textContent = "Play";
}

function play() {
  const last = (shownNetwork()?.epochs.length ?? 0) - 1;
  if (last < 1) {
    return;
  }
  if (state.at === last || state.fresh) {
    show(0);
  }
  state.fresh = false;
  get("play").textContent = "Pause";
  const next = () => {
    state.timer = setTimeout(() => {
      show(state.at + 1);
      if (state.at < (shownNetwork()?.epochs.length ?? 0) - 1) {
        next();
      } else {
        pause();
      }
    }, STEP_MILLISECONDS / Number(get("speed").value));
  };
  next();
}

const toggle = () => (state.timer === null ? play() : pause());

function step(to) {
  state.fresh = false;
  pause();
  show(to);
}

const lastSnapshot = () => (shownNetwork()?.epochs.length ?? 1) - 1;
const KEYS = {
  " ": toggle,
  ArrowLeft: () => step(state.at - 1),
  ArrowRight: () => step(state.at + 1),
  Home: () => step(0),
  End: () => step(lastSnapshot()),
};

document.addEventListener("keydown", (event) => {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) {
    return;
  }
  // These have the key for themselves.
  const own = event.key === " " ? "button, select, summary, input:not(#at)" : "select, #at, .scroll";
  if (event.target.closest?.(own)) {
    return;
  }
  event.preventDefault();
  action();
});

// ---- the choices

function chooseExperiment(index) {
  pause();
  state.experiment = index;
  state.off = new Set();
  state.fresh = true;
  const withNetwork = configurations().filter((c) => c.network !== null);
  const first = withNetwork.find((c) => c.best) ?? withNetwork[0];
  state.chosen = Math.max(0, configurations().indexOf(first));
  const options = configurations().map((configuration, k) => {
    const network = DATA.networks[configuration.network];
    const what = network ? `seed ${network.seed}` : "none shown";
    const option = html("option", { value: k }, `${configuration.label}: ${what}`);
    option.disabled = !network;
    return option;
  });
  get("network").replaceChildren(...options);
  get("network").value = state.chosen;
  get("which").hidden = isRun;
  state.log = isWide();
  get("log").checked = state.log;
  get("caption").textContent = captionText();
  drawLegend();
  const network = shownNetwork();
  state.at = network === null ? 0 : network.best ?? network.epochs.length - 1;
  drawCurves();
  show(state.at);
}

// Whether the costs need a logarithmic axis.
function isWide() {
  const range = drawnRange(curves().map((curve) => ({ ...curve.of("cost"), low: null, high: null })), false);
  return range !== null && range[0] > 0 && range[1] / range[0] >= LOG_FROM;
}

function begin() {
  get("curves").hidden = false;
  get("parts").hidden = isRun;
  const experiments = DATA.experiments.map(({ title }, k) => html("option", { value: k }, title));
  get("experiment").replaceChildren(...experiments);
  get("experiments").hidden = experiments.length < 2;
  chooseExperiment(0);

  get("experiment").addEventListener("change", () => chooseExperiment(Number(get("experiment").value)));
  get("network").addEventListener("change", () => {
    const epoch = shownNetwork()?.epochs[state.at] ?? 0;
    pause();
    state.chosen = Number(get("network").value);
    drawCurves();
    showNearest(epoch);
  });
  get("part").addEventListener("change", () => {
    state.part = get("part").value;
    drawCurves();
  });
  get("log").addEventListener("change", () => {
    state.log = get("log").checked;
    drawCurves();
  });
  get("numbers").addEventListener("toggle", () => get("numbers").open && drawNumbers());
  get("at").addEventListener("input", () => step(Number(get("at").value)));
  get("play").addEventListener("click", toggle);
  for (const [id, key] of [["first", "Home"], ["back", "ArrowLeft"], ["forward", "ArrowRight"], ["last", "End"]]) {
    get(id).addEventListener("click", KEYS[key]);
  }
  for (const id of ["cost", "accuracy"]) {
    get(id).addEventListener("click", (event) => {
      pause();
      showNearest(charts[id].epochAt(event.clientX - get(id).getBoundingClientRect().left));
    });
  }
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) { // a phone's address bar changes the height alone
      width = innerWidth;
      drawCurves();
      drawInside();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawInside);
}

begin();
