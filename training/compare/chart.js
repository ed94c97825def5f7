/* Axes and curves of the page that compares runs. `all` is its data. */
const COLOURS = all.colours;  // memnets.inspect.palette
const DASHES = ["", "7 3", "2 3"];  // after the last colour, the first comes again with dashes
const hidden = new Set();
let data = all.tasks[0];  // the task that is shown
let zoom = null;          // its part of the x axis, [from, to]; null: all
const $ = id => document.getElementById(id);
const colour = group => COLOURS[group % COLOURS.length];
const dash = group => DASHES[Math.floor(group / COLOURS.length) % DASHES.length];
const metricsOf = task => [...new Set(task.runs.flatMap(run => Object.keys(run.curves)))].sort();

function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "path", "line", "text", "circle", "rect"].includes(tag);
  const node = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag)
                     : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function swatch(group) {
  return make("svg", {class: "swatch", viewBox: "0 0 18 4"}, make("line", {x1: 0, x2: 18, y1: 2, y2: 2,
    stroke: colour(group), "stroke-width": 4, "stroke-dasharray": dash(group)}));
}

function number(value) {
  if (value === null || value === undefined) return "\u2013";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return value.toLocaleString("en", {maximumSignificantDigits: Math.abs(value) < 1000 ? 4 : 7});
}

function smoothed(values, width) {
  if (!width) return values;
  return values.map((_, i) => {
    const near = values.slice(Math.max(0, i - width), i + width + 1).filter(v => v !== null);
    return near.length ? near.reduce((a, b) => a + b) / near.length : null;
  });
}

/* A run's metric as points [x, y], without what is not finite. */
function points(run, metric, against, width) {
  const curve = run.curves[metric];
  if (!curve) return [];
  const values = smoothed(curve.values, width);
  return curve[against].map((x, i) => [x, values[i]]).filter(p => p[1] !== null);
}

/* The y of points at x, on the line between its neighbours; null outside. */
function at(line, x) {
  if (!line.length || x < line[0][0] || x > line[line.length - 1][0]) return null;
  let low = 0, high = line.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (line[middle][0] <= x) low = middle; else high = middle;
  }
  const [a, b] = [line[low], line[high]];
  if (b[0] === a[0]) return b[1];
  return a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0]);
}

function median(sorted) {
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/* What is drawn: a line a group with a band, or a line a run. */
function series(metric) {
  const against = $("against").value, width = Number($("smooth").value), found = [];
  data.groups.forEach((label, group) => {
    if (hidden.has(group)) return;
    const runs = data.runs.filter(run => run.group === group);
    const lines = runs.map(run => points(run, metric, against, width));
    if (!$("bands").checked) {
      lines.forEach((line, i) => {
        if (line.length) found.push({label: `${label}, seed ${runs[i].seed}`, group, line});
      });
      return;
    }
    const all = lines.flat().map(p => p[0]);
    if (!all.length) return;
    let grid = [...new Set(all)].sort((a, b) => a - b);
    if (grid.length > 600) {
      const [first, last] = [grid[0], grid[grid.length - 1]];
      grid = Array.from({length: 401}, (_, i) => first + (last - first) * i / 400);
    }
    const rows = grid.map(x => [x, lines.map(l => at(l, x)).filter(y => y !== null).sort((a, b) => a - b)])
      .filter(row => row[1].length);
    found.push({label, group, line: rows.map(([x, ys]) => [x, median(ys)]),
      band: runs.length > 1 ? rows.map(([x, ys]) => [x, ys[0], ys[ys.length - 1]]) : null});
  });
  return found;
}

/* The part of a line, or of a band, between two values of x; at both ends it is cut off. */
function part(rows, [x0, x1]) {
  const cut = x => {
    const ys = rows[0].slice(1).map((_, i) => at(rows.map(row => [row[0], row[i + 1]]), x));
    return ys[0] === null ? [] : [[x, ...ys]];
  };
  const inside = rows.filter(row => row[0] > x0 && row[0] < x1);
  if (rows.length > 1) return [...cut(x0), ...inside, ...cut(x1)];
  return rows.filter(row => row[0] >= x0 && row[0] <= x1);
}

/* Of any number of values: there can be more than a call takes arguments. */
const least = values => values.reduce((a, b) => Math.min(a, b), Infinity);

/* How values become places from 0 to 1 between the least and the greatest of them, and back.
   A logarithmic axis begins at the least value; only if there are values of 0 or below, it is
   linear near 0. */
function axis(values, logarithmic, fromZero) {
  let low = least(values), high = -least(values.map(v => -v));
  const above = values.filter(v => v > 0), near = Math.max(least(above), high * 1e-6);
  let bend = v => v, back = v => v;
  if (logarithmic && above.length && low > 0) {
    bend = Math.log10;
    back = v => 10 ** v;
  } else if (logarithmic && above.length) {
    bend = v => Math.sign(v) * Math.log10(1 + Math.abs(v) / near);
    back = v => Math.sign(v) * (10 ** Math.abs(v) - 1) * near;
  } else if (fromZero) {
    low = Math.min(0, low);
  }
  if (!(high > low)) [low, high] = low > 0 ? [low / 1.1, high * 1.1] : [low - 1, high + 1];
  const [first, last] = [bend(low), bend(high)];
  return {low, high, near, logarithmic: logarithmic && above.length > 0,
    place: v => (bend(v) - first) / (last - first),
    value: p => back(first + p * (last - first))};
}

/* Round values on an axis, so far apart that their labels have room. */
function ticks(axis, room) {
  const {low, high, near} = axis;
  const evenly = () => {
    const raw = (high - low) / 5, base = 10 ** Math.floor(Math.log10(raw)), found = [];
    const step = [1, 2, 5, 10].map(m => m * base).find(s => s >= raw * 0.999);
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
      found.push(i * step || 0);  // not -0
    return found;
  };
  const decades = factors => {
    const found = low <= 0 && high >= 0 ? [0] : [];
    const last = Math.log10(Math.max(Math.abs(low), Math.abs(high)));
    for (let power = Math.floor(Math.log10(near)); power <= last; power++)
      for (const factor of factors) found.push(factor * 10 ** power, -factor * 10 ** power);
    return found.filter(v => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
  };
  let found = axis.logarithmic ? decades([1]) : evenly();
  if (axis.logarithmic && found.length < 3) found = decades([1, 2, 5]);
  if (axis.logarithmic && found.length < 3) found = evenly();
  // Where it is too narrow, small values are left out, but not 0.
  found.sort((a, b) => (b === 0) - (a === 0) || Math.abs(b) - Math.abs(a));
  const kept = [];
  for (const v of found)
    if (kept.every(other => Math.abs(axis.place(v) - axis.place(other)) > room(v))) kept.push(v);
  return kept.sort((a, b) => a - b);
}

function path(pairs) {
  return pairs.map((p, i) => `${i ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`).join("");
}

/* The axes for series: of x, and of the values that are in its range. */
function axes(found, small) {
  const xs = found.flatMap(s => s.line.map(p => p[0]));
  const x = axis(small || !zoom ? xs : zoom, $("log-x").checked, !zoom || small);
  const seen = found.map(s => part(s.band ?? s.line, [x.low, x.high])).flat();
  const ys = seen.flatMap(row => row.slice(1));
  return {x, y: axis(ys.length ? ys : [0, 1], $("log").checked, !zoom || small)};
}

function chart(metric, width, height, small) {
  const found = series(metric);
  const svg = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", class: small ? "" : "chart",
    "aria-label": `${metric} of ${found.length} lines`});
  if (!found.length) {
    svg.append(make("text", {x: width / 2, y: height / 2, "text-anchor": "middle"}, "nothing to show"));
    return {svg, found};
  }
  const {x, y} = axes(found, small), wide = text => 7 * text.length;
  // The last label is in the middle below its tick: half of it needs room at the right.
  const margin = small ? {left: 4, right: 4, top: 5, bottom: 5}
    : {left: 66, right: Math.max(14, 6 + wide(number(x.high)) / 2), top: 10, bottom: 42};
  const inside = [width - margin.left - margin.right, height - margin.top - margin.bottom];
  const place = p => [margin.left + x.place(p[0]) * inside[0], margin.top + (1 - y.place(p[1])) * inside[1]];
  if (!small) {
    for (const v of ticks(y, () => 16 / inside[1])) {
      const at = place([x.low, v])[1];
      svg.append(make("line", {class: "grid", x1: margin.left, x2: width - margin.right, y1: at, y2: at}));
      svg.append(make("text", {class: "y-tick", x: margin.left - 8, y: at + 4, "text-anchor": "end"},
        number(v)));
    }
    for (const v of ticks(x, v => (wide(number(v)) + 12) / inside[0])) {
      const at = place([v, y.low])[0], end = height - margin.bottom;
      svg.append(make("line", {class: "grid", x1: at, x2: at, y1: end, y2: end + 5}));
      svg.append(make("text", {class: "x-tick", x: at, y: end + 19, "text-anchor": "middle"}, number(v)));
    }
    svg.append(make("text", {x: (width + margin.left) / 2, y: height - 4, "text-anchor": "middle"},
      $("against").selectedOptions[0].textContent));
  }
  for (const s of found) {
    const band = s.band ? part(s.band, [x.low, x.high]) : [];
    if (!band.length) continue;
    const up = band.map(p => place([p[0], p[2]])), down = band.map(p => place([p[0], p[1]])).reverse();
    svg.append(make("path", {class: "band", d: path([...up, ...down]) + "Z", fill: colour(s.group),
      "fill-opacity": .18, stroke: colour(s.group), "stroke-opacity": band.length > 1 ? 0 : .5}));
  }
  for (const s of found) {
    const line = part(s.line, [x.low, x.high]).map(place);
    if (line.length === 1)  // a line from a point to itself is not drawn
      svg.append(make("circle", {class: "curve", cx: line[0][0], cy: line[0][1], r: small ? 2 : 4,
        fill: colour(s.group)}));
    else if (line.length)
      svg.append(make("path", {class: "curve", d: path(line), fill: "none", stroke: colour(s.group),
        "stroke-width": small ? 1.2 : 1.8, "stroke-linejoin": "round", "stroke-dasharray": dash(s.group)}));
  }
  return {svg, found, x, y, margin, inside};
}
