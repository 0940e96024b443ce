"use strict";
// What all pages share: texts and units, elements, theme, tables that scroll, sort and filter, and charts.
// Strings of a model are data: they become text nodes, never markup.

const {document: doc, text: terminalText, extra} = JSON.parse(document.getElementById("data").textContent);
const MOST_PRINTED = 50;
// As in a terminal: what controls, reorders or is invisible becomes "?", and accents do not pile up.
const UNSEEN =
  /[\p{C}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1680\u2000-\u200f\u202f\u205f\u2800\u3000\u3164\ufe00-\ufe0f\uffa0]|(?<=\p{M}{3})\p{M}/gu;

function plain(value) {
  const shown = String(value ?? "").replace(UNSEEN, "?");
  return shown.length > 300 ? `${shown.slice(0, 120)}…${shown.slice(-179)}` : shown;
}

function scaled(value, prefixes, step, unit) {
  if (value === null || value === undefined) return "unknown";
  let at = 0;
  while (Math.abs(value) >= step * 0.9995 && at < prefixes.length - 1) {
    value /= step;
    at += 1;
  }
  const digits = at || !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  return `${digits.toLocaleString("en-US", {maximumSignificantDigits: 6})} ${prefixes[at]}${unit}`.trim();
}

// Each kind of number: its text, and whether it is aligned to the right.
const FORMATS = {
  text: plain,
  whole: (value) =>
    value === null || value === undefined
      ? ""
      : Number.isSafeInteger(value)
        ? value.toLocaleString("en-US")
        : FORMATS.count(value),
  count: (value) => scaled(value, ["", "k", "M", "G", "T", "P", "E", "Z", "Y"], 1000, ""),
  rate: (value) => scaled(value, ["", "k", "M", "G", "T", "P", "E", "Z", "Y"], 1000, "FLOP/s"),
  bandwidth: (value) => scaled(value, ["", "k", "M", "G", "T"], 1000, "B/s"),
  bytes: (value) => scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024, ""),
  seconds: (value) =>
    value === null || value === undefined
      ? "unknown"
      : value && value < 1e-6
        ? `${Number((value * 1e9).toPrecision(4))} ns`
        : value && value < 1e-3
          ? `${Number((value * 1e6).toPrecision(4))} µs`
          : value < 1
            ? `${Number((value * 1e3).toPrecision(4))} ms`
            : `${Number(value.toPrecision(4))} s`,
  number: (value) =>
    value === null || value === undefined
      ? ""
      : Number(value.toPrecision(4)).toLocaleString("en-US", {maximumSignificantDigits: 6}),
  percent: (value) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(1)} %`),
  dollars: (value) =>
    value === null || value === undefined ? "" : `$${Number(value.toPrecision(4)).toLocaleString("en-US")}`,
};

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const main = document.getElementById("content");

function section(title, ...children) {
  const made = el("section", {}, el("h2", {}, title), ...children);
  main.append(made);
  return made;
}

function cards(entries) {
  return el(
    "dl",
    {class: "cards"},
    ...entries
      .filter(Boolean)
      .map(([label, value, note, exact]) =>
        el(
          "div",
          {},
          el("dt", {}, label),
          el(
            "dd",
            {...(exact === undefined || exact === null ? {} : {"data-value": exact})},
            value,
            note ? el("small", {}, plain(note)) : null,
          ),
        ),
      ),
  );
}

function choice(label, options, onChange) {
  const select = el(
    "select",
    {onchange: () => onChange(select.value)},
    ...options.map(([value, title]) => el("option", {value}, plain(title))),
  );
  return el("label", {}, label, select);
}

// A table of all rows for small data, readers without charts, and paper.
function plainTable(columns, rows, attributes = {}) {
  const side = (column) => (column.kind && column.kind !== "text" ? {class: "number"} : {});
  return el(
    "table",
    {class: "plain", ...attributes},
    el(
      "thead",
      {},
      el("tr", {}, ...columns.map((column) => el("th", {scope: "col", ...side(column)}, plain(column.title)))),
    ),
    el(
      "tbody",
      {},
      ...rows.map((row) =>
        el(
          "tr",
          {},
          ...columns.map((column) => el("td", side(column), FORMATS[column.kind ?? "text"](valueOf(row, column)))),
        ),
      ),
    ),
  );
}

function valueOf(row, column) {
  return column.of ? column.of(row) : row[column.key];
}

// A table that sorts, filters and searches; only the rows in sight are in the page. Rows are plain objects.
function bigTable(into, columns, rows, {label, filter = null, sort = null} = {}) {
  const search = el("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": `Search ${label}`,
    oninput: () => refresh(),
  });
  const count = el("span", {class: "faint", role: "status"});
  const box = el("div", {"aria-label": label});
  const controls = el("div", {class: "controls"}, search);
  let wanted = "";
  if (filter) {
    const values = [...new Set(rows.map((row) => valueOf(row, filter)))].sort();
    controls.append(
      choice(filter.title, [["", "all"], ...values.map((value) => [value, value])], (value) => {
        wanted = value;
        refresh();
      }),
    );
  }
  controls.append(count);
  into.append(controls, box);
  const data = rows.map((row, at) => {
    const cells = Object.fromEntries(columns.map((column, place) => [`c${place}`, valueOf(row, column)]));
    return {
      at,
      cells,
      ...cells,
      group: filter ? valueOf(row, filter) : "",
      words: columns
        .map((column) => plain(valueOf(row, column)))
        .join("\n")
        .toLowerCase(),
    };
  });
  const table = new Tabulator(box, {
    data,
    index: "at",
    layout: "fitDataFill",
    ...(rows.length > 15 ? {height: "30rem"} : {}),
    placeholder: "nothing matches",
    initialSort: sort ? [{column: `c${columns.findIndex((column) => column.title === sort)}`, dir: "desc"}] : [],
    columns: columns.map((column, place) => ({
      title: column.title,
      field: `c${place}`,
      hozAlign: column.kind && column.kind !== "text" ? "right" : "left",
      sorter: column.kind && column.kind !== "text" ? (left, right) => (left ?? -1) - (right ?? -1) : "string",
      headerSortStartingDir: column.kind && column.kind !== "text" ? "desc" : "asc",
      maxWidth: 520,
      titleFormatter: () => document.createTextNode(plain(column.title)),
      formatter: (cell) =>
        el(
          "span",
          {title: plain(cell.getValue()), "data-value": plain(cell.getValue())},
          FORMATS[column.kind ?? "text"](cell.getValue()),
        ),
    })),
  });
  function refresh() {
    const needle = search.value.toLowerCase();
    table.setFilter((row) => (!wanted || row.group === wanted) && row.words.includes(needle));
  }
  const say = (shown) => {
    count.textContent = `${shown.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")} rows`;
  };
  table.on("dataFiltered", (_, shown) => say(shown.length));
  table.on("tableBuilt", () => {
    say(rows.length);
    for (const header of box.querySelectorAll(".tabulator-col-sorter-element")) {
      header.tabIndex = 0;
      header.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          header.click();
        }
      });
    }
  });
  const printed = el("div", {class: "print-only"});
  into.append(printed);
  window.addEventListener("beforeprint", () => {
    const ordered = table.getRows("active").map((row) => rows[row.getData().at]);
    printed.replaceChildren(
      plainTable(columns, ordered.slice(0, MOST_PRINTED)),
      ordered.length > MOST_PRINTED
        ? el("p", {class: "faint"}, `The first ${MOST_PRINTED} of ${ordered.length} rows.`)
        : "",
    );
  });
  return table;
}

// Okabe and Ito's colors, which people with a color vision deficiency can tell apart; patterns and symbols say the same.
const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999"];
const charts = [];

function palette() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    ["page", "card", "text", "faint", "line", "accent"].map((name) => [
      name,
      style.getPropertyValue(`--${name}`).trim(),
    ]),
  );
}

// A chart, what it says in words, and its data as a table. `option` is a function of the palette.
function chart(into, {title, note, option, columns, rows, many = false, height = null}) {
  const box = el("div", {
    class: "chart",
    role: "img",
    "aria-label": title,
    ...(height ? {style: `height: ${height}`} : {}),
  });
  const figure = el("figure", {}, box, el("figcaption", {}, note ?? ""));
  if (columns) {
    const details = el(
      "details",
      {
        ontoggle: () => {
          if (details.open && details.childElementCount === 1) {
            details.append(el("div", {class: "scroll", tabindex: "0"}, plainTable(columns, rows().slice(0, 500))));
          }
        },
      },
      el("summary", {}, "Data as a table"),
    );
    figure.append(details);
  }
  into.append(figure);
  const made = {box, figure, option, instance: null, renderer: many ? "canvas" : "svg"};
  draw(made);
  charts.push(made);
  return made;
}

function draw(made) {
  made.instance?.dispose();
  const colors = palette();
  made.instance = echarts.init(made.box, null, {renderer: made.renderer});
  made.instance.setOption({
    color: COLORS,
    animation: false,
    textStyle: {color: colors.text, fontFamily: "system-ui, Segoe UI, Helvetica Neue, Arial, sans-serif"},
    ...made.option(colors),
  });
}

function redraw(made, note) {
  draw(made);
  if (note !== undefined) made.figure.querySelector("figcaption").textContent = note;
  const details = made.figure.querySelector("details");
  if (details) {
    details.open = false;
    [...details.children].slice(1).forEach((child) => child.remove());
  }
}

function axis(colors, options) {
  return {
    nameTextStyle: {color: colors.faint},
    axisLabel: {color: colors.faint, ...options.axisLabel},
    axisLine: {lineStyle: {color: colors.line}},
    splitLine: {lineStyle: {color: colors.line, opacity: 0.5}},
    ...Object.fromEntries(Object.entries(options).filter(([key]) => key !== "axisLabel")),
  };
}

function tooltip(colors, lines) {
  return {
    backgroundColor: colors.card,
    borderColor: colors.line,
    textStyle: {color: colors.text},
    confine: true,
    formatter: (params) => {
      const box = el("div", {class: "tooltip"});
      for (const line of lines(Array.isArray(params) ? params[0] : params)) box.append(el("div", {}, plain(line)));
      return box;
    },
  };
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = theme === "dark" ? "Light" : "Dark";
  charts.forEach(draw);
}

document
  .getElementById("theme")
  .addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
window.addEventListener("resize", () => charts.forEach((made) => made.instance.resize()));
let themeBefore = null;
window.addEventListener("beforeprint", () => {
  themeBefore = document.documentElement.dataset.theme;
  if (themeBefore === "dark") setTheme("light");
});
window.addEventListener("afterprint", () => {
  if (themeBefore === "dark") setTheme("dark");
});
