/* What the page that compares runs shows, and what a click changes. */
function setZoom(range) {
  zoom = range;
  $("whole").hidden = zoom === null;
  $("hint").hidden = zoom !== null;
  drawLarge();
}

function drawLarge() {
  const width = 1180;
  const drawn = chart($("metric").value, width, 400, false), tip = $("tip");
  $("plot").replaceChildren(drawn.svg);
  tip.hidden = true;
  if (!drawn.x) return;
  const {svg, margin, inside, x} = drawn;
  const visibility = "hidden", [top, height] = [margin.top, inside[1]];
  const over = make("line", {class: "over", y1: top, y2: top + height, visibility});
  const chosen = make("rect", {class: "chosen", y: top, height, visibility});
  svg.append(chosen, over);
  let start = null;  // where a drag began
  const where = event => {
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * width;
    return Math.min(Math.max(at, margin.left), width - margin.right);
  };
  const value = at => x.value((at - margin.left) / inside[0]);
  svg.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    start = where(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointerup", event => {
    const ends = [start, where(event)].sort((a, b) => a - b);
    const dragged = start !== null && ends[1] - ends[0] > 6;
    start = null;
    chosen.setAttribute("visibility", "hidden");
    if (dragged) setZoom(ends.map(value));
  });
  svg.addEventListener("dblclick", () => setZoom(null));
  svg.addEventListener("pointermove", event => {
    const at = where(event);
    if (start !== null) {
      chosen.setAttribute("visibility", "visible");
      chosen.setAttribute("x", Math.min(start, at));
      chosen.setAttribute("width", Math.abs(at - start));
    }
    over.setAttribute("x1", at); over.setAttribute("x2", at);
    over.setAttribute("visibility", showTip(drawn, event, value(at), 8 / inside[0]) ? "visible" : "hidden");
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    over.setAttribute("visibility", "hidden");
  });
}

/* Say what every line is at x, the highest first; a single point is seen from a little beside it. */
function showTip({svg, found, x: across}, event, x, near) {
  const tip = $("tip"), box = svg.getBoundingClientRect();
  const beside = p => Math.abs(across.place(p[0]) - across.place(x)) < near;
  const rows = found.map(s => [s, s.line.length === 1 && beside(s.line[0]) ? s.line[0][1] : at(s.line, x)])
    .filter(row => row[1] !== null).sort((a, b) => b[1] - a[1]);
  tip.hidden = !rows.length;
  tip.replaceChildren(make("div", {class: "soft"}, number(Math.round(x))),
    ...rows.map(([s, y]) => make("div", {}, swatch(s.group), ` ${number(y)}  ${s.label}`)));
  const right = event.clientX - box.left > box.width / 2;
  tip.style.left = right ? "" : `${event.clientX - box.left + 16}px`;
  tip.style.right = right ? `${box.right - event.clientX + 16}px` : "";
  tip.style.top = "20px";
  return rows.length > 0;
}

function drawSmall() {
  $("small").replaceChildren(...metricsOf(data).map(metric => make("button", {
    "aria-pressed": metric === $("metric").value, "data-metric": metric,
    onclick: () => { $("metric").value = metric; draw(); }}, metric, chart(metric, 190, 70, true).svg)));
}

function draw() { drawLarge(); drawSmall(); }

function drawLegend() {
  $("legend").replaceChildren(...data.groups.map((label, group) => {
    const runs = data.runs.filter(run => run.group === group);
    const empty = runs.every(run => !Object.keys(run.curves).length) ? ", no rows yet" : "";
    return make("button", {"aria-pressed": !hidden.has(group), "data-group": group, onclick: () => {
      if (!hidden.delete(group)) hidden.add(group);
      drawLegend(); draw();
    }}, swatch(group), label, make("span", {class: "soft"},
      `seed ${runs.map(run => run.seed).join(", ")}${empty}`));
  }));
}

const columns = () => [
  {name: "run", value: run => run.name, text: true},
  {name: "group", value: run => data.groups[run.group], text: true},
  {name: "seed", value: run => run.seed},
  {name: "sequences", value: run => run.sequences},
  {name: "minutes", value: run => run.seconds / 60, show: v => v.toFixed(1)},
  {name: "solved after", value: run => run.solved, least: true},
  {name: "best while training", value: run => run.best, least: true, optional: true},
  ...data.settings.map(name => ({name, value: run => run.finals[name] ?? null, least: true})),
].filter(c => !c.optional || data.runs.some(run => c.value(run) !== null));
let order = {column: 1, down: false};

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;  // what is missing is last
  if (b === null || b === undefined) return -1;
  return (a < b ? -1 : 1) * (order.down ? -1 : 1);
}

function drawFinals() {
  const shown = columns(), key = (shown[order.column] ?? shown[1]).value;
  const rows = [...data.runs].sort((a, b) => compare(key(a), key(b)) || a.seed - b.seed);
  const least = shown.map(c => c.least
    ? Math.min(...data.runs.map(c.value).filter(v => v !== null && v !== undefined)) : null);
  const arrow = i => i === order.column ? (order.down ? " \u25be" : " \u25b4") : "";
  const head = make("tr", {}, ...shown.map((c, i) => make("th", {class: c.text ? "" : "number"},
    make("button", {"data-column": c.name, onclick: () => {
      order = {column: i, down: i === order.column && !order.down};
      drawFinals();
    }}, c.name.replaceAll("_", " ") + arrow(i)))));
  const body = rows.map(run => make("tr", {}, ...shown.map((c, i) => {
    const value = c.value(run);
    const best = data.runs.length > 1 && least[i] !== null && value === least[i];
    const kind = [c.text ? c.name : "number", best ? "best" : ""].join(" ");
    let words = c.text ? value : c.show ? c.show(value) : number(value);
    if (c.name === "sequences" && !run.finished) words += ` of ${number(run.wanted)}`;
    const cell = make("td", {class: kind}, words);
    if (c.name === "group") cell.prepend(swatch(run.group));
    return cell;
  })));
  $("finals").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}

function drawConfig() {
  const only = $("differing").checked;
  const head = make("tr", {}, make("th", {}, ""), ...data.groups.map((label, group) => make("th", {},
    swatch(group), label)));
  const rows = data.config.filter(row => !only || row.differs);
  const body = rows.map(row => make("tr", {class: row.differs ? "differs" : ""},
    make("th", {}, make("code", {}, (row.differs ? "\u2260 " : "") + row.name)),
    ...row.values.map(value => make("td", {}, make("code", {}, value)))));
  if (!rows.length) body.push(make("tr", {}, make("td", {class: "soft"}, "nothing differs but the seeds")));
  $("config").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}

function drawPictures() {
  const setting = $("setting").value;
  $("pictures").replaceChildren(...data.runs.filter(run => run.pictures[setting]).map(run => {
    const name = `${data.groups[run.group]}, seed ${run.seed}: ${setting.replaceAll("_", " ")}`;
    return make("figure", {}, make("figcaption", {}, swatch(run.group), name),
      make("button", {"aria-label": `enlarge ${name}`, onclick: () => {
        $("large-name").textContent = name;
        $("large-image").src = run.pictures[setting];
        $("large").showModal();
      }}, make("img", {src: run.pictures[setting], alt: name})));
  }));
}

function drawTasks() {
  $("tasks").hidden = all.tasks.length < 2;
  $("tasks").replaceChildren(...all.tasks.map(task => make("button", {"aria-pressed": task === data,
    "data-task": task.name, onclick: () => { show(task); }}, `${task.name.replaceAll("_", " ")} `,
    make("span", {class: "soft"}, `${task.runs.length}`))));
}

/* Tasks count different things: the page is about one of them at a time. */
function show(task) {
  const wanted = $("metric").value, metrics = metricsOf(task), setting = $("setting").value;
  const settings = [...new Set(task.runs.flatMap(run => Object.keys(run.pictures)))];
  data = task;
  hidden.clear();
  $("metric").replaceChildren(...metrics.map(m => make("option", {value: m}, m)));
  $("metric").value = metrics.includes(wanted) ? wanted
    : metrics.find(m => m.startsWith("train/wrong_")) ?? metrics[0];
  $("setting").replaceChildren(...settings.map(s => make("option", {value: s}, s.replaceAll("_", " "))));
  $("setting").value = [setting, "training", settings[0]].find(s => settings.includes(s));
  $("differing").checked = data.groups.length > 1;
  $("drawn").parentElement.hidden = !settings.length;
  drawTasks(); setZoom(null); drawSmall(); drawLegend(); drawFinals(); drawConfig(); drawPictures();
}

const [runs, groups] = ["runs", "groups"].map(of => all.tasks.flatMap(task => task[of]).length);
$("about").textContent = `${runs} runs in ${groups} groups`
  + (all.tasks.length > 1 ? ` of ${all.tasks.length} tasks` : ` of ${data.name.replaceAll("_", " ")}`)
  + "; the runs of a group differ only in their seeds";
for (const id of ["metric", "smooth", "log", "log-x", "bands"]) $(id).addEventListener("input", draw);
$("against").addEventListener("input", () => { setZoom(null); drawSmall(); });
$("whole").addEventListener("click", () => setZoom(null));
$("differing").addEventListener("input", drawConfig);
$("setting").addEventListener("input", drawPictures);
$("close").addEventListener("click", () => $("large").close());
show(data);
