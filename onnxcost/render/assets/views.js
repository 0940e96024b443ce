"use strict";
// The sections of each kind of document.

const NODE_COLUMNS = [
  {title: "Node", key: "name"},
  {title: "Operator", of: operatorOf},
  {title: "Module", of: (row) => row.scope.join("/")},
  {
    title: "Output",
    of: (row) => (row.outputs?.[0]?.shape ? row.outputs[0].shape.map((dim) => dim ?? "?").join("×") : ""),
  },
  {title: "MACs", key: "macs", kind: "count"},
  {title: "FLOPs", key: "flops", kind: "count"},
  {title: "Parameters", key: "parameters", kind: "count"},
  {title: "Read", key: "read_bytes", kind: "bytes"},
  {title: "Written", key: "write_bytes", kind: "bytes"},
  {title: "FLOP/byte", of: (row) => row.flops / (row.read_bytes + row.write_bytes || 1), kind: "number"},
];
const OPERATOR = {title: "Operator", of: operatorOf};

function operatorOf(row) {
  return row.domain && row.domain !== "ai.onnx" ? `${row.domain}.${row.op_type}` : row.op_type;
}

const total = (rows, of) => rows.reduce((sum, row) => sum + (of(row) || 0), 0);
const traffic = (row) => row.read_bytes + row.write_bytes;
const METRICS = [
  {title: "FLOPs", of: (row) => row.flops, kind: "count"},
  {title: "MACs", of: (row) => row.macs, kind: "count"},
  {title: "Memory traffic", of: traffic, kind: "bytes"},
  {title: "Parameters", of: (row) => row.parameters, kind: "count"},
];
const TIME = {title: "Time", of: (row) => row.seconds, kind: "seconds"};

function showModel() {
  const model = doc.model;
  const used = new Set([...(doc.nodes ?? []), ...(doc.profile?.nodes ?? [])].map((node) => node.domain));
  const facts = [
    model.name,
    model.producer,
    Object.entries(model.opsets ?? {})
      .filter(([domain]) => !domain || used.has(domain))
      .map(([domain, version]) => `${domain || "opset"} ${version}`)
      .join(", "),
    model.file_bytes ? `${FORMATS.bytes(model.file_bytes)} file` : "",
  ].filter(Boolean);
  main.append(el("p", {class: "faint"}, plain(facts.join(" · "))));
  const shape = (tensor) => `${tensor.name} ${tensor.dtype} ${tensor.shape?.map((dim) => dim ?? "?").join("×") ?? "?"}`;
  main.append(el("p", {}, `Input: ${(doc.inputs ?? []).map(shape).map(plain).join(", ")}`));
  main.append(el("p", {}, `Output: ${(doc.outputs ?? []).map(shape).map(plain).join(", ")}`));
  const assumed = (doc.dims ?? []).filter((dim) => dim.source === "assumed");
  if (assumed.length) {
    main.append(
      el(
        "p",
        {class: "caution"},
        plain(
          `Assumed: ${assumed.map((dim) => `${dim.name} = ${dim.value} (${[dim.reason, dim.option].filter(Boolean).join(", ")})`).join(", ")}`,
        ),
      ),
    );
  }
  for (const warning of doc.warnings ?? []) main.append(el("p", {class: "caution"}, plain(`Warning: ${warning}`)));
}

function showReport() {
  const totals = doc.totals;
  const bound = (sign) => ({lower: "≥ ", upper: "≤ ", mixed: "≈ "})[sign] ?? sign ?? "";
  main.append(
    cards([
      ["MACs", bound(doc.macs_bound) + FORMATS.count(totals.macs), FORMATS.whole(totals.macs), totals.macs],
      ["FLOPs", bound(doc.bound) + FORMATS.count(totals.flops), FORMATS.whole(totals.flops), totals.flops],
      ["Parameters", FORMATS.count(totals.parameters), FORMATS.whole(totals.parameters), totals.parameters],
      [
        "Weights",
        FORMATS.bytes(totals.weight_bytes),
        Object.keys(totals.weight_bytes_by_dtype).join(", "),
        totals.weight_bytes,
      ],
      ["Peak activation memory", FORMATS.bytes(totals.peak_activation_bytes), "", totals.peak_activation_bytes],
      [
        "Memory traffic",
        FORMATS.bytes(traffic(totals)),
        `${FORMATS.bytes(totals.read_bytes)} read, ${FORMATS.bytes(totals.write_bytes)} written`,
        traffic(totals),
      ],
      ["Arithmetic intensity", `${FORMATS.number(totals.intensity)} FLOP/byte`, "", totals.intensity],
      [
        "Nodes",
        FORMATS.whole(doc.nodes.length + doc.uncounted.length),
        doc.uncounted.length ? `${doc.uncounted.length} not counted` : "all counted",
        doc.nodes.length,
      ],
    ]),
  );
  showMeasured();
  if (doc.uncounted.length) {
    const columns = [{title: "Not counted", key: "name"}, OPERATOR, {title: "Reason", key: "reason"}];
    bigTable(section("Not counted"), columns, doc.uncounted, {label: "nodes that are not counted"});
  }
  if (doc.nodes.length) {
    shares("Share by operator", doc.by_operator, METRICS);
    modules("Share by module", doc.nodes, METRICS);
  }
  if (extra.roofline?.steps.length) roofline(extra.roofline);
  if (doc.memory?.curve?.length) memory(doc.memory);
  if (doc.nodes.length)
    bigTable(section("Nodes"), NODE_COLUMNS, doc.nodes, {label: "nodes", filter: OPERATOR, sort: "FLOPs"});
  conventions();
}

function conventions() {
  const rows = Object.entries(doc.conventions).map(([name, value]) => ({name, value}));
  section(
    "The same model in other conventions",
    plainTable(
      [
        {title: "Convention", key: "name"},
        {title: "Total", key: "value", kind: "whole"},
      ],
      rows,
    ),
  );
}

function metricChoice(metrics, onChange) {
  return choice(
    "By",
    metrics.map((each, at) => [at, each.title]),
    (at) => onChange(metrics[at]),
  );
}

// Bars of the operators' shares, the largest first.
function shares(title, groups, metrics) {
  const into = section(title);
  let metric = metrics[0];
  const ordered = () => [...groups].sort((left, right) => metric.of(right) - metric.of(left));
  const option = (colors) => {
    const sum = total(groups, metric.of);
    const most = ordered()
      .slice(0, 14)
      .filter((row) => metric.of(row) > 0);
    const rest = sum - total(most, metric.of);
    const bars = most.map((row) => [plain(operatorOf(row)), metric.of(row)]);
    if (rest > sum * 1e-6) bars.push(["other", rest]);
    return {
      grid: {left: 8, right: 130, top: 8, bottom: 8, containLabel: true},
      xAxis: axis(colors, {type: "value", axisLabel: {formatter: FORMATS[metric.kind], hideOverlap: true}}),
      yAxis: axis(colors, {
        type: "category",
        inverse: true,
        data: bars.map(([name]) => name),
        axisLabel: {width: 220, overflow: "truncate"},
      }),
      tooltip: {
        trigger: "item",
        ...tooltip(colors, (point) => [
          point.name,
          `${FORMATS[metric.kind](point.value)}, ${FORMATS.percent(point.value / sum)}`,
        ]),
      },
      series: [
        {
          type: "bar",
          data: bars.map(([, value]) => value),
          barMaxWidth: 26,
          label: {
            show: true,
            position: "right",
            color: colors.text,
            formatter: (point) => `${FORMATS[metric.kind](point.value)} (${FORMATS.percent(point.value / sum)})`,
          },
        },
      ],
    };
  };
  const says = () =>
    `${metric.title}: the largest are ${ordered()
      .slice(0, 3)
      .map((row) => `${operatorOf(row)} ${FORMATS.percent(metric.of(row) / total(groups, metric.of))}`)
      .map(plain)
      .join(", ")}.`;
  let made = null;
  into.append(
    el(
      "div",
      {class: "controls"},
      metricChoice(metrics, (chosen) => {
        metric = chosen;
        redraw(made, says());
      }),
    ),
  );
  const columns = [
    OPERATOR,
    {title: "Nodes", key: "nodes", kind: "whole"},
    ...metrics.map((each) => ({title: each.title, of: each.of, kind: each.kind})),
  ];
  made = chart(into, {
    title,
    note: says(),
    option,
    columns,
    rows: ordered,
    height: `${Math.min(groups.length, 15) * 1.7 + 3}rem`,
  });
}

const MOST_LEVELS = 30;

// A treemap of modules in each other; nodes without a module stand under their operator.
function modules(title, nodes, metrics) {
  const into = section(title);
  let metric = metrics[0];
  function tree() {
    const root = {name: "model", value: 0, children: new Map()};
    for (const node of nodes) {
      const amount = metric.of(node) || 0;
      if (!amount) continue;
      root.value += amount;
      let at = root;
      for (const name of [
        ...(node.scope.length ? node.scope.slice(0, MOST_LEVELS) : [operatorOf(node)]),
        node.name || node.op_type,
      ]) {
        if (!at.children.has(name)) at.children.set(name, {name: plain(name), value: 0, children: new Map()});
        at = at.children.get(name);
        at.value += amount;
      }
    }
    const list = (branch) => ({
      name: branch.name,
      value: branch.value,
      children: [...branch.children.values()].map(list),
    });
    return list(root);
  }
  let root = tree(),
    inside = "";
  const shown = () => root.children.find((child) => child.name === inside) ?? root;
  const option = (colors) => ({
    tooltip: tooltip(colors, (point) => [
      point.treePathInfo
        ?.map((step) => step.name)
        .filter(Boolean)
        .join(" / ") ?? point.name,
      `${FORMATS[metric.kind](point.value)}, ${FORMATS.percent(point.value / root.value)} of the model`,
    ]),
    series: [
      {
        type: "treemap",
        data: shown().children,
        name: shown().name,
        leafDepth: 2,
        roam: false,
        visibleMin: 200,
        width: "100%",
        top: 0,
        bottom: 34,
        left: 0,
        right: 0,
        nodeClick: "zoomToNode",
        breadcrumb: {itemStyle: {color: colors.card, borderColor: colors.line, textStyle: {color: colors.text}}},
        label: {lineHeight: 17, formatter: (point) => `${point.name}\n${FORMATS.percent(point.value / root.value)}`},
        upperLabel: {
          show: true,
          height: 22,
          color: colors.text,
          formatter: (point) => `${point.name}  ${FORMATS.percent(point.value / root.value)}`,
        },
        levels: [
          {itemStyle: {gapWidth: 3, borderColor: colors.page}, upperLabel: {show: false}},
          {itemStyle: {gapWidth: 1, borderColor: colors.card, borderWidth: 1}},
        ],
      },
    ],
  });
  const says = () => `${metric.title} by module: choose a box to look inside, the path below it to go back.`;
  let made = null;
  const names = root.children.map((child) => [child.name, child.name]);
  const zoom = choice("Zoom", [["", "model"], ...names], (name) => {
    inside = name;
    redraw(made, says());
  });
  into.append(
    el(
      "div",
      {class: "controls"},
      metricChoice(metrics, (chosen) => {
        metric = chosen;
        root = tree();
        redraw(made, says());
      }),
      zoom,
    ),
  );
  const rows = () =>
    shown()
      .children.map(({name, value}) => ({name, value, share: value / root.value}))
      .sort((left, right) => right.value - left.value);
  made = chart(into, {
    title,
    note: says(),
    option,
    many: nodes.length > 500,
    rows,
    columns: [
      {title: "Module", key: "name"},
      {title: "Amount", key: "value", kind: "number"},
      {title: "Share", key: "share", kind: "percent"},
    ],
  });
}

const SYMBOLS = {compute: "circle", memory: "triangle"};

function logAxis(colors, name, formatter, values) {
  const found = values.filter((value) => value > 0 && Number.isFinite(value));
  const low = Math.floor(Math.log10(Math.min(...found))),
    high = Math.ceil(Math.log10(Math.max(...found)));
  return axis(colors, {
    type: "log",
    name,
    nameLocation: "middle",
    nameGap: 28,
    min: 10 ** low,
    max: 10 ** Math.max(high, low + 1),
    axisLabel: {formatter, hideOverlap: true},
  });
}

function roofChart(into, {title, note, points, roofs, columns}) {
  const option = (colors) => {
    const {shown, lines} = {shown: points(), lines: roofs()};
    const ends = [Math.min(...shown.map((point) => point.x)), Math.max(...shown.map((point) => point.x))];
    const xs = [10 ** Math.floor(Math.log10(ends[0])), 10 ** Math.ceil(Math.log10(ends[1] * 1.01))];
    const series = lines.map((roof, at) => {
      const ridge = Math.min(Math.max(roof.peak / roof.bandwidth, xs[0]), xs[1]);
      const rate = (x) => Math.min(roof.peak, x * roof.bandwidth);
      return {
        type: "line",
        name: plain(roof.title),
        data: [xs[0], ridge, xs[1]].map((x) => [x, rate(x)]),
        symbol: "none",
        silent: true,
        z: 1,
        lineStyle: {width: 2, type: ["solid", "dashed", "dotted"][at % 3], color: colors.faint},
        itemStyle: {color: colors.faint},
      };
    });
    for (const limit of ["compute", "memory"]) {
      const members = shown.filter((point) => point.limit === limit);
      series.push({
        type: "scatter",
        name: `${limit}-bound`,
        symbol: SYMBOLS[limit],
        symbolSize: (_, item) => 5 + 18 * Math.sqrt(members[item.dataIndex].share),
        z: 2,
        data: members.map((point) => [point.x, point.y]),
        itemStyle: {opacity: 0.75, color: limit === "compute" ? COLORS[0] : COLORS[1]},
        tooltip: tooltip(colors, (item) => members[item.dataIndex].lines),
      });
    }
    return {
      grid: {left: 70, right: 24, top: 40, bottom: 48},
      legend: {top: 0, textStyle: {color: colors.text}},
      tooltip: {trigger: "item", confine: true},
      xAxis: logAxis(colors, "arithmetic intensity in FLOP/byte", FORMATS.number, xs),
      yAxis: {
        ...logAxis(colors, "", FORMATS.rate, [
          ...shown.map((point) => point.y),
          ...series.slice(0, lines.length).flatMap((line) => line.data.map(([, y]) => y)),
        ]),
      },
      dataZoom: [
        {type: "inside", xAxisIndex: 0, zoomOnMouseWheel: "ctrl"},
        {type: "inside", yAxisIndex: 0, zoomOnMouseWheel: "ctrl"},
      ],
      series,
    };
  };
  return chart(into, {title, note, option, columns, rows: points, many: points().length > 1500, height: "28rem"});
}

// Each step of a run on a device of the catalog: where the estimate lies below the roof.
function roofline({steps, devices}) {
  const into = section("Roofline");
  let device = devices[0],
    made = null;
  const still = steps.filter((step) => !step.flops || !step.bytes).length;
  const points = () => {
    const sum = total(device.times, ([, , low, high]) => (low + high) / 2);
    return steps.flatMap((step, at) => {
      const [compute, transfer, low, high] = device.times[at];
      if (!step.flops || !step.bytes || !high) return [];
      const middle = (low + high) / 2,
        least = Math.max(compute, transfer);
      const limit = transfer > compute ? "memory" : "compute";
      return [
        {
          ...step,
          x: step.flops / step.bytes,
          y: step.flops / middle,
          limit,
          share: middle / sum,
          least,
          low,
          high,
          rate: step.flops / middle,
          lines: [
            step.name,
            `${step.op_type}${step.merged ? ` and ${step.merged} more` : ""}, ${step.dtype}, ${step.shape}`,
            `${FORMATS.count(step.flops)} FLOPs, ${FORMATS.bytes(step.bytes)}`,
            `${FORMATS.seconds(low)} to ${FORMATS.seconds(high)}, at the roof ${FORMATS.seconds(least)}`,
            `${limit}-bound`,
          ],
        },
      ];
    });
  };
  const says = () =>
    `Each point is a step of the run (a node with what is merged into it) at the middle of its estimated range on ${plain(device.title)}; its size is its share of the time.${still ? ` ${still} steps that only move data are left out.` : ""} Hold Ctrl and turn the wheel to zoom.`;
  const roofs = () =>
    device.peaks.map(([dtype, peak]) => ({title: `roof in ${dtype}`, peak, bandwidth: device.bandwidth}));
  into.append(
    el(
      "div",
      {class: "controls"},
      choice(
        "Device",
        devices.map((each, at) => [at, each.title]),
        (at) => {
          device = devices[at];
          redraw(made, says());
        },
      ),
    ),
  );
  made = roofChart(into, {
    title: "Roofline",
    note: says(),
    points,
    roofs,
    columns: [
      {title: "Step", key: "name"},
      {title: "Operator", key: "op_type"},
      {title: "FLOP/byte", key: "x", kind: "number"},
      {title: "Estimate", key: "rate", kind: "rate"},
      {title: "From", key: "low", kind: "seconds"},
      {title: "To", key: "high", kind: "seconds"},
      {title: "At the roof", key: "least", kind: "seconds"},
      {title: "Bound by", key: "limit"},
    ],
  });
}

function memory({curve, peak_bytes: peak, node, tensors, workspace_bytes: workspace}) {
  const into = section("Memory over the execution");
  const step = 2 ** Math.ceil(Math.log2(Math.max(peak, 8) / 5));
  const option = (colors) => ({
    grid: {left: 80, right: 24, top: 20, bottom: 44},
    xAxis: axis(colors, {
      type: "value",
      name: "executed node",
      nameLocation: "middle",
      nameGap: 26,
      min: 0,
      max: Math.max(curve.length - 1, 1),
      minInterval: 1,
    }),
    yAxis: axis(colors, {
      type: "value",
      interval: step,
      max: step * Math.ceil((peak * 1.02) / step),
      axisLabel: {formatter: FORMATS.bytes},
    }),
    dataZoom: [{type: "inside", zoomOnMouseWheel: "ctrl"}],
    tooltip: {
      trigger: "axis",
      ...tooltip(colors, (point) => {
        const at = curve[point.dataIndex];
        return [
          `${point.dataIndex}: ${at.name}`,
          operatorOf(at),
          FORMATS.bytes(at.bytes) +
            (at.workspace_bytes ? `, of it ${FORMATS.bytes(at.workspace_bytes)} workspace` : ""),
        ];
      }),
    },
    series: [
      {
        type: "line",
        step: "middle",
        showSymbol: false,
        areaStyle: {opacity: 0.2},
        lineStyle: {width: 1.5},
        data: curve.map((each, at) => [at, each.bytes]),
        sampling: curve.length > 4000 ? "max" : undefined,
        markLine: {
          silent: true,
          symbol: "none",
          lineStyle: {color: COLORS[5]},
          label: {color: colors.text, position: "insideEndTop", formatter: () => `peak ${FORMATS.bytes(peak)}`},
          data: [{yAxis: peak}],
        },
      },
    ],
  });
  const held = tensors.slice(0, 6).map((tensor) => `${FORMATS.bytes(tensor.bytes)} ${tensor.name}`);
  if (workspace) held.push(`${FORMATS.bytes(workspace)} workspace`);
  const more = tensors.length > 6 ? `, and ${tensors.length - 6} more` : "";
  chart(into, {
    title: "Memory over the execution",
    option,
    many: curve.length > 2000,
    rows: () => curve,
    note: node
      ? plain(`Peak ${FORMATS.bytes(peak)} while ${node.op_type} ${node.name} runs: ${held.join(", ")}${more}.`)
      : "",
    columns: [
      {title: "Executed node", key: "name"},
      OPERATOR,
      {title: "Bytes", key: "bytes", kind: "bytes"},
      {title: "Workspace", key: "workspace_bytes", kind: "bytes"},
    ],
  });
}

function showMeasured() {
  const found = [...(doc.measurement ? [doc.measurement] : []), ...(doc.batches ?? [])];
  for (const each of found)
    showMeasurement(each, found.length > 1 && each.batch ? `Measured at batch ${each.batch}` : "Measured");
}

function showMeasurement(measured, title) {
  if (measured.status === "skipped") return;
  const into = section(title);
  if (measured.status !== "ok") {
    into.append(el("p", {class: "caution"}, plain(`Not measured: ${measured.reason}`)));
    return;
  }
  const latency = measured.latency,
    interval = latency.median_ci95;
  into.append(
    cards([
      [
        "Latency",
        FORMATS.seconds(latency.median),
        interval
          ? `95 % interval of the median: ${FORMATS.seconds(interval[0])} to ${FORMATS.seconds(interval[1])}`
          : `${measured.runs} runs`,
        latency.median,
      ],
      ["Throughput", `${FORMATS.number(measured.fps)} FPS`, `batch ${measured.batch}`, measured.fps],
      measured.flops_per_second
        ? ["Achieved", FORMATS.rate(measured.flops_per_second), "", measured.flops_per_second]
        : null,
      measured.peak_rss_bytes
        ? ["Peak memory", FORMATS.bytes(measured.peak_rss_bytes), "of the process", measured.peak_rss_bytes]
        : null,
      ["Conditions", `${measured.threads.intra} threads`, `onnxruntime ${measured.onnxruntime}, ${measured.device}`],
    ]),
  );
  for (const advice of measured.advice) into.append(el("p", {class: "caution"}, plain(`Advice: ${advice}`)));
  if (measured.samples.length < 2) return;
  const samples = measured.samples,
    low = Math.min(...samples),
    width = (Math.max(...samples) - low) / Math.min(40, Math.ceil(Math.sqrt(samples.length))) || 1e-9;
  const bins = [];
  for (const sample of samples) {
    const at = Math.min(Math.floor((sample - low) / width), 39);
    bins[at] = (bins[at] ?? 0) + 1;
  }
  chart(into, {
    title: "Latency: histogram",
    note: "How many runs took how long.",
    height: "15rem",
    rows: () => samples.map((seconds, run) => ({run: run + 1, seconds})),
    columns: [
      {title: "Run", key: "run", kind: "whole"},
      {title: "Seconds", key: "seconds", kind: "seconds"},
    ],
    option: (colors) => ({
      grid: {left: 60, right: 24, top: 16, bottom: 30},
      xAxis: axis(colors, {
        type: "category",
        data: Array.from(bins, (_, at) => FORMATS.seconds(low + (at + 0.5) * width)),
        axisLabel: {hideOverlap: true},
      }),
      yAxis: axis(colors, {type: "value", minInterval: 1}),
      tooltip: tooltip(colors, (point) => [point.name, `${point.value} runs`]),
      series: [{type: "bar", barWidth: "96%", data: Array.from(bins, (count) => count ?? 0)}],
    }),
  });
  chart(into, {
    title: "Latency over time",
    note: "The runs in order: a slope or steps mean that the machine did not run evenly.",
    height: "15rem",
    many: samples.length > 1500,
    option: (colors) => ({
      grid: {left: 80, right: 24, top: 16, bottom: 40},
      xAxis: axis(colors, {
        type: "value",
        name: "run",
        nameLocation: "middle",
        nameGap: 24,
        min: 1,
        max: samples.length,
      }),
      yAxis: axis(colors, {type: "value", scale: true, axisLabel: {formatter: FORMATS.seconds}}),
      dataZoom: [{type: "inside", zoomOnMouseWheel: "ctrl"}],
      tooltip: tooltip(colors, (point) => [`run ${point.value[0]}`, FORMATS.seconds(point.value[1])]),
      series: [{type: "scatter", symbolSize: 5, data: samples.map((seconds, at) => [at + 1, seconds])}],
    }),
  });
}
