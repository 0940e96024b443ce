"use strict";
// Documents of several models or devices, of profiles, and what any other document looks like; then the page itself.

function showProfile() {
  const profile = doc.profile;
  main.append(
    cards([
      [
        "Time in nodes",
        FORMATS.seconds(profile.node_seconds),
        `${FORMATS.percent(profile.coverage)} of the profiled runs`,
        profile.node_seconds,
      ],
      ["Latency without profiler", FORMATS.seconds(profile.latency_seconds), "", profile.latency_seconds],
      ["Executed nodes", FORMATS.whole(profile.nodes.length), "", profile.nodes.length],
      ["Peak activation memory", FORMATS.bytes(profile.peak_activation_bytes), "", profile.peak_activation_bytes],
    ]),
  );
  for (const warning of profile.warnings) main.append(el("p", {class: "caution"}, plain(`Warning: ${warning}`)));
  const metrics = [TIME, ...METRICS.slice(0, 3)];
  shares("Time by operator", profile.by_operator, metrics);
  modules("Time by module", profile.nodes, metrics);
  const points = () =>
    profile.nodes
      .filter((node) => node.flops && node.seconds && traffic(node))
      .map((node) => ({
        ...node,
        x: node.flops / traffic(node),
        y: node.flops_per_second,
        share: node.share ?? 0,
        limit: node.flops_per_second / best.peak >= node.bytes_per_second / best.bandwidth ? "compute" : "memory",
        lines: [
          node.name,
          `${operatorOf(node)}, runs ${node.origins.length} of the model's nodes`,
          `${FORMATS.count(node.flops)} FLOPs, ${FORMATS.bytes(traffic(node))}`,
          `${FORMATS.seconds(node.seconds)}, ${FORMATS.percent(node.share)} of the time`,
          `${FORMATS.rate(node.flops_per_second)}, ${FORMATS.bandwidth(node.bytes_per_second)}`,
        ],
      }));
  const best = {
    title: "best of this profile",
    peak: Math.max(...profile.nodes.map((node) => node.flops_per_second || 0)),
    bandwidth: Math.max(...profile.nodes.map((node) => node.bytes_per_second || 0)),
  };
  if (points().length) {
    roofChart(section("Roofline"), {
      title: "Roofline of the measured nodes",
      points,
      roofs: () => [best],
      note: `Each point is an executed node as it was measured. The roof is the best rate (${FORMATS.rate(best.peak)}) and the best bandwidth (${FORMATS.bandwidth(best.bandwidth)}) that any node of this profile reached, not the machine's peak.`,
      columns: [
        {title: "Executed node", key: "name"},
        OPERATOR,
        {title: "FLOP/byte", key: "x", kind: "number"},
        {title: "Achieved", key: "y", kind: "rate"},
        {title: "Time", key: "seconds", kind: "seconds"},
      ],
    });
  }
  bigTable(
    section("Executed nodes"),
    [
      {title: "Executed node", key: "name"},
      OPERATOR,
      {title: "Time", key: "seconds", kind: "seconds"},
      {title: "Share", key: "share", kind: "percent"},
      {title: "FLOPs", key: "flops", kind: "count"},
      {title: "Achieved", key: "flops_per_second", kind: "rate"},
      {title: "Bytes per second", key: "bytes_per_second", kind: "bandwidth"},
      {title: "Runs these nodes of the model", of: (row) => row.origins.join(", ")},
    ],
    profile.nodes,
    {label: "executed nodes", filter: OPERATOR, sort: "Time"},
  );
}

const METRIC_KINDS = {
  weight_bytes: "bytes",
  peak_activation_bytes: "bytes",
  traffic_bytes: "bytes",
  file_bytes: "bytes",
  peak_rss_bytes: "bytes",
  latency: "seconds",
  fps: "number",
  flops_per_second: "rate",
  intensity: "number",
};

// Counts of the same work in other conventions, which the chart leaves to the table.
const CONVENTION_NAMES = [
  "classic",
  "torch",
  "fvcore",
  "thop",
  "ptflops",
  "torchinfo",
  "calflops",
  "ultralytics",
  "onnx-tool",
];

function showComparison() {
  const models = doc.models,
    names = [...new Set(models.flatMap((model) => Object.keys(model.metrics)))];
  const kind = (name) => METRIC_KINDS[name] ?? "count";
  const shown = names.filter(
    (name) => !CONVENTION_NAMES.includes(name) && models.some((model) => model.relative?.[name]),
  );
  const rows = names.map((name) => ({name, models}));
  section(
    "Models",
    plainTable(
      [
        {title: "Metric", key: "name"},
        ...models.map((model) => ({
          title: model.label,
          kind: "text",
          of: (row) =>
            model.metrics[row.name] === undefined || model.metrics[row.name] === null
              ? ""
              : FORMATS[kind(row.name)](model.metrics[row.name]) +
                (model.label !== doc.baseline && model.relative?.[row.name]
                  ? `  ${FORMATS.number(model.relative[row.name])}×`
                  : ""),
        })),
      ],
      rows,
    ),
  );
  const factors = models.flatMap((model) => shown.map((name) => Math.abs(Math.log2(model.relative?.[name] || 1))));
  const reach = Math.max(1, Math.ceil(Math.max(...factors)));
  const labels = models.map((model) => plain(model.label));
  chart(section("Relative to the baseline"), {
    title: "Relative to the baseline",
    note: plain(`1 is ${doc.baseline}; the axis is logarithmic.`),
    height: `${shown.length * (1 + models.length * 0.7) + 5}rem`,
    option: (colors) => ({
      grid: {left: 8, right: 60, top: 36, bottom: 8, containLabel: true},
      legend: {top: 0, textStyle: {color: colors.text}},
      xAxis: axis(colors, {
        type: "log",
        logBase: 2,
        min: 2 ** -reach,
        max: 2 ** reach,
        axisLabel: {formatter: (value) => `${FORMATS.number(value)}×`, hideOverlap: true},
      }),
      yAxis: axis(colors, {type: "category", inverse: true, data: shown}),
      aria: {enabled: true, label: {enabled: false}, decal: {show: true}},
      tooltip: tooltip(colors, (point) => [
        point.seriesName,
        `${point.name}: ${FORMATS.number(point.value)} × the baseline`,
      ]),
      series: models.map((model, at) => ({
        type: "bar",
        name: labels[at],
        barMaxWidth: 14,
        data: shown.map((name) => model.relative?.[name] ?? null),
      })),
    }),
  });
  for (const difference of doc.differences ?? []) {
    const into = section(plain(`What differs: ${difference.model} against ${doc.baseline}`));
    if (difference.layers)
      into.append(el("p", {}, `${difference.layers.alike} of ${difference.layers.of.join(" and ")} layers are alike.`));
    if (difference.changes?.length) {
      into.append(
        plainTable(
          [
            {title: "Places", key: "places", kind: "whole"},
            {title: doc.baseline, of: (row) => row.left.join(", ")},
            {title: difference.model, of: (row) => row.right.join(", ")},
            {title: "Why", key: "reason"},
            {title: "Count", key: "count", kind: "count"},
            {title: "Traffic", key: "traffic", kind: "bytes"},
          ],
          difference.changes,
        ),
      );
    }
    bigTable(
      into,
      [
        {title: "Operator", key: "op_type"},
        ...["nodes", "count", "parameters", "traffic_bytes"].flatMap((name) =>
          [0, 1].map((side) => ({
            title: `${name.replace("_bytes", "")}: ${side ? difference.model : doc.baseline}`,
            kind: name === "traffic_bytes" ? "bytes" : "count",
            of: (row) => row[name]?.[side] ?? null,
          })),
        ),
      ],
      difference.operators ?? [],
      {label: "operators of both models"},
    );
  }
  for (const broken of doc.broken ?? [])
    main.append(el("p", {class: "caution"}, plain(Object.values(broken).join(": "))));
}

const MOST_BARS = 40;

function showBudget() {
  if (doc.model)
    main.append(
      el(
        "p",
        {class: "faint"},
        plain(
          `${doc.model.path}: ${FORMATS.count(doc.model.macs)} MACs, ${FORMATS.count(doc.model.parameters)} parameters`,
        ),
      ),
    );
  const limits = doc.limits ?? {};
  main.append(
    el(
      "p",
      {},
      plain(
        `Limits: ${
          Object.entries(limits)
            .map(([name, value]) => `${name} ${FORMATS.number(value)}`)
            .join(", ") || "none"
        }`,
      ),
    ),
  );
  const known = doc.devices.filter((device) => device.latency);
  const kinds = [...new Set(doc.devices.map((device) => device.kind))];
  let kind = "",
    most = Infinity,
    level = "",
    order = "price",
    made = null;
  const ORDERS = {price: (device) => device.price ?? Infinity, latency: (device) => device.latency.high};
  const matching = () =>
    known
      .filter(
        (device) =>
          (!kind || device.kind === kind) && (device.price ?? 0) <= most && (!level || device.level === level),
      )
      .sort((left, right) => ORDERS[order](left) - ORDERS[order](right) || left.latency.high - right.latency.high);
  const chosen = () => matching().slice(0, MOST_BARS);
  const at = limits.fps ? 1 / limits.fps : (limits.latency ?? null);
  const into = section("Latency by device");
  const option = (colors) => {
    const shown = chosen(),
      values = shown
        .flatMap((device) => [device.latency.low, device.latency.high, device.bound?.seconds])
        .concat(at ?? []);
    return {
      grid: {left: 8, right: 30, top: 8, bottom: 50, containLabel: true},
      xAxis: logAxis(colors, "seconds for one inference", FORMATS.seconds, values.length ? values : [1, 10]),
      yAxis: axis(colors, {
        type: "category",
        inverse: true,
        data: shown.map((device) => plain(device.title)),
        axisLabel: {width: 260, overflow: "truncate"},
      }),
      tooltip: tooltip(colors, (point) => {
        const device = shown[point.dataIndex];
        return [
          device.title,
          device.level,
          `${FORMATS.seconds(device.latency.low)} to ${FORMATS.seconds(device.latency.high)} (${device.latency.basis})`,
          device.bound ? `bound ${FORMATS.seconds(device.bound.seconds)}` : "",
          device.price ? FORMATS.dollars(device.price) : "",
        ].filter(Boolean);
      }),
      series: [
        {
          type: "custom",
          data: shown.map((device, row) => [row, device.latency.low, device.latency.high]),
          encode: {x: [1, 2], y: 0},
          renderItem: (_, api) => {
            const [left, y] = api.coord([api.value(1), api.value(0)]),
              [right] = api.coord([api.value(2), api.value(0)]);
            const device = shown[api.value(0)];
            return {
              type: "rect",
              shape: {x: left, y: y - 6, width: Math.max(right - left, 2), height: 12, r: 3},
              style: {
                fill: COLORS[{fits: 2, marginal: 1}[device.level] ?? 5],
                stroke: colors.text,
                lineWidth: device.level === "fits" ? 0 : 1,
                lineDash: device.level === "marginal" ? [4, 2] : null,
              },
            };
          },
          markLine: at
            ? {
                silent: true,
                symbol: "none",
                lineStyle: {color: colors.text, type: "dashed"},
                label: {color: colors.text, formatter: () => `limit ${FORMATS.seconds(at)}`},
                data: [{xAxis: at}],
              }
            : undefined,
        },
      ],
    };
  };
  const says = () =>
    `${chosen().length} of ${matching().length} devices with an estimate that match. A bar is the estimated range; its outline is solid where the device does not fit, dashed where it is marginal.`;
  const again = () => {
    made.box.style.height = `${chosen().length * 1.5 + 5}rem`;
    redraw(made, says());
  };
  const prices = [100, 300, 1000, 3000, 10000];
  into.append(
    el(
      "div",
      {class: "controls"},
      choice("Kind", [["", "all"], ...kinds.map((each) => [each, each])], (value) => {
        kind = value;
        again();
      }),
      choice("Price", [["", "any"], ...prices.map((price) => [price, `up to ${FORMATS.dollars(price)}`])], (value) => {
        most = value ? Number(value) : Infinity;
        again();
      }),
      choice(
        "Order",
        [
          ["price", "price"],
          ["latency", "latency"],
        ],
        (value) => {
          order = value;
          again();
        },
      ),
      choice(
        "Verdict",
        [["", "all"], ...[...new Set(doc.devices.map((device) => device.level))].map((each) => [each, each])],
        (value) => {
          level = value;
          again();
        },
      ),
    ),
  );
  made = chart(into, {
    title: "Latency by device",
    note: says(),
    option,
    rows: chosen,
    height: `${chosen().length * 1.5 + 5}rem`,
    columns: [
      {title: "Device", key: "title"},
      {title: "From", of: (row) => row.latency.low, kind: "seconds"},
      {title: "To", of: (row) => row.latency.high, kind: "seconds"},
    ],
  });
  bigTable(
    section("Devices"),
    [
      {title: "Device", key: "title"},
      {title: "Kind", key: "kind"},
      {title: "Verdict", key: "level"},
      {title: "From", of: (row) => row.latency?.low ?? null, kind: "seconds"},
      {title: "To", of: (row) => row.latency?.high ?? null, kind: "seconds"},
      {title: "FPS from", of: (row) => row.fps?.low ?? null, kind: "number"},
      {title: "FPS to", of: (row) => row.fps?.high ?? null, kind: "number"},
      {title: "Limited by", key: "limit"},
      {title: "Memory", of: (row) => row.memory?.[0]?.needed_bytes ?? null, kind: "bytes"},
      {title: "Price", key: "price", kind: "dollars"},
      {title: "Power (W)", key: "power", kind: "number"},
    ],
    doc.devices,
    {label: "devices", filter: {title: "Verdict", key: "level"}},
  );
}

function showScan() {
  const counted = doc.models.filter((model) => model.totals);
  main.append(el("p", {}, `${counted.length} of ${doc.models.length} models are counted.`));
  if (counted.some((model) => model.totals.macs && model.totals.parameters)) {
    const rows = counted.filter((model) => model.totals.macs && model.totals.parameters);
    chart(section("MACs and parameters"), {
      title: "MACs and parameters",
      note: "Each point is a model; both axes are logarithmic. Hold Ctrl and turn the wheel to zoom.",
      many: rows.length > 1500,
      rows: () => rows,
      columns: [
        {title: "Model", key: "path"},
        {title: "MACs", of: (row) => row.totals.macs, kind: "count"},
        {title: "Parameters", of: (row) => row.totals.parameters, kind: "count"},
      ],
      option: (colors) => ({
        grid: {left: 70, right: 24, top: 16, bottom: 48},
        xAxis: logAxis(
          colors,
          "parameters",
          FORMATS.count,
          rows.map((row) => row.totals.parameters),
        ),
        yAxis: logAxis(
          colors,
          "",
          FORMATS.count,
          rows.map((row) => row.totals.macs),
        ),
        dataZoom: [{type: "inside", zoomOnMouseWheel: "ctrl"}],
        tooltip: tooltip(colors, (point) => [
          rows[point.dataIndex].path,
          `${FORMATS.count(point.value[1])} MACs, ${FORMATS.count(point.value[0])} parameters`,
        ]),
        series: [
          {
            type: "scatter",
            symbolSize: 9,
            itemStyle: {opacity: 0.8},
            data: rows.map((row) => [row.totals.parameters, row.totals.macs]),
          },
        ],
      }),
    });
  }
  bigTable(
    section("Models"),
    [
      {title: "Model", key: "path"},
      {title: "Status", key: "status"},
      {title: "MACs", of: (row) => row.totals?.macs ?? null, kind: "count"},
      {title: "FLOPs", of: (row) => row.totals?.flops ?? null, kind: "count"},
      {title: "Parameters", of: (row) => row.totals?.parameters ?? null, kind: "count"},
      {title: "Weights", of: (row) => row.totals?.weight_bytes ?? null, kind: "bytes"},
      {title: "Peak activation memory", of: (row) => row.totals?.peak_activation_bytes ?? null, kind: "bytes"},
      {title: "Latency", of: (row) => row.measurement?.latency?.median ?? null, kind: "seconds"},
      {title: "Reason", key: "reason"},
    ],
    doc.models,
    {label: "models", filter: {title: "Status", key: "status"}},
  );
}

// Formulas that the page works out for any sizes in their domain, in whole numbers of any length.
function showScaling() {
  const {dims, fixed = {}, floors, totals, peak_activation_bytes: pieces} = doc.scaling;
  const names = Object.keys(dims);
  const kinds = {read_bytes: "bytes", write_bytes: "bytes", kv_cache_bytes: "bytes", peak_activation_bytes: "bytes"};
  function floorOf({dim, factor, offset, divisor}, sizes) {
    const over = BigInt(factor) * sizes[names.indexOf(dim)] + BigInt(offset);
    const rest = over % BigInt(divisor);
    return (over - rest) / BigInt(divisor) - (rest < 0n ? 1n : 0n);
  }
  function value({terms}, sizes) {
    const parts = terms.map((term) => {
      const [over, under = "1"] = term.coefficient.split("/");
      return [
        term.exponents.reduce((product, power, at) => product * sizes[at] ** BigInt(power), BigInt(over)),
        BigInt(under),
      ];
    });
    const common = parts.reduce((product, [, under]) => product * under, 1n);
    return parts.reduce((sum, [over, under]) => sum + (over * common) / under, 0n) / common;
  }
  const sizes = names.map((name) => dims[name].base);
  const into = section("The cost at any size");
  const result = el("div", {role: "status"});
  function refresh() {
    const point = sizes.map(BigInt);
    point.push(...floors.map((floor) => floorOf(floor, point)));
    const rows = Object.entries(totals).map(([name, formula]) => [name, value(formula, point)]);
    if (pieces.length) {
      const found = pieces.map((piece) => value(piece, point));
      rows.push(["peak_activation_bytes", found.reduce((most, each) => (each > most ? each : most))]);
    }
    result.replaceChildren(
      cards(
        rows.map(([name, each]) => [
          name.replaceAll("_", " "),
          FORMATS[kinds[name] ?? "count"](Number(each)),
          each.toLocaleString("en-US"),
          String(each),
        ]),
      ),
    );
  }
  names.forEach((name, at) => {
    const {least, most, step} = dims[name];
    const slider = el("input", {type: "range", min: 0, max: 1000, value: 0, "aria-label": plain(name)});
    const number = el("input", {
      type: "number",
      min: least,
      max: most,
      step,
      value: sizes[at],
      "aria-label": plain(`${name}, as a number`),
    });
    const ratio = (most + step) / (least + step);
    const take = (size) => {
      sizes[at] = Math.min(Math.max(Math.round(size / step) * step, least), most);
      slider.value = ratio > 1 ? (1000 * Math.log((sizes[at] + step) / (least + step))) / Math.log(ratio) : 0;
      number.value = sizes[at];
      refresh();
    };
    slider.addEventListener("input", () => take((least + step) * ratio ** (slider.value / 1000) - step));
    number.addEventListener("change", () => take(Number(number.value) || least));
    into.append(
      el(
        "div",
        {class: "controls"},
        el("label", {}, plain(name), slider),
        number,
        el("span", {class: "faint"}, plain(dims[name].reasons.join("; "))),
      ),
    );
    take(sizes[at]);
  });
  const others = Object.entries(fixed).map(([name, size]) => `${name} = ${size}`);
  if (others.length) into.append(el("p", {class: "faint"}, plain(`With ${others.join(", ")}.`)));
  into.append(result);
  const formulas = [
    ...Object.entries(totals),
    ...pieces.map((piece, at) => [`peak activation bytes, piece ${at + 1} of the largest`, piece]),
  ];
  section(
    "Formulas",
    plainTable(
      [
        {title: "Of", of: ([name]) => name.replaceAll("_", " ")},
        {title: "Formula", of: ([, each]) => each.formula},
      ],
      formulas,
    ),
  );
  const records = [...doc.scaling.by_operator, ...doc.scaling.by_module];
  bigTable(
    section("By operator and module"),
    [
      {title: "Operator", key: "operator"},
      {title: "Module", key: "module"},
      {title: "MACs", of: (row) => row.macs.formula},
      {title: "FLOPs", of: (row) => row.flops.formula},
    ],
    records,
    {label: "formulas"},
  );
}

// A document without a view of its own: its lists of records as tables.
function showAny(value, path = []) {
  for (const [key, each] of Object.entries(value)) {
    if (Array.isArray(each) && each.length && typeof each[0] === "object" && each[0] !== null) {
      const keys = [...new Set(each.flatMap((row) => Object.keys(row)))].filter((name) =>
        each.some((row) => row[name] !== null && typeof row[name] !== "object"),
      );
      const isNumber = (name) =>
        each.every((row) => row[name] === null || row[name] === undefined || typeof row[name] === "number");
      const columns = keys.map((name) => ({
        title: name.replaceAll("_", " "),
        key: name,
        kind: isNumber(name)
          ? name.endsWith("bytes")
            ? "bytes"
            : name.endsWith("seconds")
              ? "seconds"
              : "number"
          : "text",
      }));
      if (columns.length)
        bigTable(section(plain([...path, key].join(": ").replaceAll("_", " "))), columns, each, {label: plain(key)});
    } else if (each && typeof each === "object" && !Array.isArray(each) && key !== "model")
      showAny(each, [...path, key]);
  }
}

if (doc.model?.opsets) showModel();
if (doc.totals) showReport();
else if (doc.profile) showProfile();
else if (doc.scaling) showScaling();
else if (doc.sweep) showSweep();
else if (doc.llm) showLanguage();
else if (doc.limits && doc.devices) showBudget();
else if (doc.devices?.[0]?.parts) showDevices();
else if (doc.baseline !== undefined) showComparison();
else if (doc.models) showScan();
else if (doc.measurement || doc.batches) showMeasured();
else showAny(doc);
section("The same as text", el("pre", {tabindex: "0"}, terminalText));
document.documentElement.dataset.ready = "true";
